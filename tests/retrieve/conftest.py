"""A site of its own for each test, and what looks at videos."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.retrieve.films import film, redness
from tests.retrieve.server import Site
from wsvs.records.retrieved import FoundVideo
from wsvs.retrieve.crawl import Budget, Crawl
from wsvs.retrieve.examine import Choice, Tools
from wsvs.retrieve.pace import Pace
from wsvs.retrieve.urls import UrlSource
from wsvs.retrieve.web import Web
from wsvs.video.convert import Converter
from wsvs.video.cuts import find_cuts
from wsvs.video.decode import OpenVideo
from wsvs.video.reader import probe, read_frames

TOOLS = Tools(OpenVideo, Converter(96), probe, lambda path: find_cuts(read_frames(path)).cuts, redness)  # type: ignore[arg-type]


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    for variable in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    site = Site()
    yield site
    site.close()


@pytest.fixture(scope="session")
def red_film(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Twelve seconds, a key frame every 30; those at frames 60, 90 and 270 are red (0.95), the others are not."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    return film(path, frames=300, red=lambda t: 0.95 if 60 <= t < 100 or t >= 270 else 0.3).read_bytes()


@dataclass
class Retrieval:
    """Retrieves from a list of addresses into `out`, with no pauses."""

    site: Site
    folder: Path

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def web(self, *, timeout: float = 60.0, format: str = "b", **pace: Any) -> Web:
        waits = Pace(**{"pause": (0, 0), "rate": 1e9, "backoff": 0.001, "retries": 2, **pace})
        return Web(waits, timeout=timeout, format=format)

    def crawl(
        self,
        urls: dict[str, list[str]],
        *,
        web: Web | None = None,
        budget: Budget | None = None,
        choice: Choice | None = None,
        keep_videos: bool = False,
        max_size: float = 2e6,
        max_duration: float = 600,
        max_thumbnail: float = 1e6,
        per_list: int = 50,
        streak: int | None = 5,
        retry: Sequence[str] = (),
    ) -> Crawl:
        """{class: urls} -> a retrieval that has not begun."""
        lines = [f"{url}\t{name}" for name, listed in urls.items() for url in listed]
        (self.folder / "urls.tsv").write_text("url\tclass\n" + "\n".join(lines) + "\n")
        source = UrlSource(
            web or self.web(),
            file=self.folder / "urls.tsv",
            max_duration=max_duration,
            max_size=max_size,
            max_thumbnail=max_thumbnail,
            per_list=per_list,
        )
        return Crawl(
            source,
            list(urls),
            self.out,
            TOOLS,
            choice or Choice(max_duration=max_duration),
            budget or Budget(),
            keep_videos=keep_videos,
            streak=streak,
            retry=retry,
        )

    def one(self, url: str, **how: Any) -> FoundVideo:
        """The manifest's row of one address."""
        with self.crawl({"cat": [url]}, **how) as crawl:
            [row] = crawl.fetch()
        return row


@pytest.fixture
def retrieval(site: Site, tmp_path: Path) -> Retrieval:
    return Retrieval(site, tmp_path)
