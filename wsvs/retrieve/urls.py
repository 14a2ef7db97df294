"""Videos from a list of addresses with their classes."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from urllib.parse import urlsplit

from wsvs.core.errors import BadItem, UserError
from wsvs.core.tables import read_table
from wsvs.retrieve.download import fetch_bytes
from wsvs.retrieve.source import Candidate
from wsvs.retrieve.web import Web
from wsvs.retrieve.youtube import SiteVideos, thumbnail_of

_YOUTUBE = re.compile(r"(^|\.)(youtube(-nocookie)?\.com|youtu\.be)$", re.IGNORECASE)
_HELP = "two columns with the headings url and class; one row for each class of a video"


class UrlSource(SiteVideos):
    """Pages or files that a table (tsv, csv) lists; yt-dlp finds the video of a page.

    Args:
        file: Table with the columns url and class.
        See `SiteVideos` for the others.

    Raises:
        UserError: No such table, no row, or something that is not http(s).
    """

    def __init__(
        self, web: Web, *, file: str | Path, max_duration: float, max_size: float, max_thumbnail: float = 5e6
    ) -> None:
        super().__init__(web, max_duration=max_duration, max_size=max_size, max_thumbnail=max_thumbnail)
        self.rows: list[tuple[str, str]] = []
        for line, row in enumerate(read_table(file, ("url", "class")), 2):
            url, name = (row["url"] or "").strip(), (row["class"] or "").strip()
            if urlsplit(url).scheme.lower() not in ("http", "https"):
                raise UserError(f"not a web address: {url!r}", where=f"{file}:{line}", remedy=_HELP)
            self.rows.append((url, name))
        if not self.rows:
            raise UserError("the table lists no video", where=file, remedy=_HELP)

    def asks_youtube(self) -> bool:
        return any(_YOUTUBE.search(urlsplit(url).hostname or "") for url, _ in self.rows)

    def names(self) -> list[str]:
        """The classes that the table names."""
        return sorted({name for _, name in self.rows})

    def search(self, class_name: str) -> list[Candidate]:
        urls = dict.fromkeys(url for url, name in self.rows if name == class_name)
        return [
            Candidate(f"{(urlsplit(url).hostname or 'web')}-{hashlib.sha256(url.encode()).hexdigest()[:16]}", url,
                      rank=rank)
            for rank, url in enumerate(urls, 1)
        ]

    def thumbnail(self, candidate: Candidate) -> bytes | None:
        url = thumbnail_of(self.look(candidate.url))
        if url is None:
            return None
        if urlsplit(url).scheme.lower() not in ("http", "https"):
            raise BadItem("its thumbnail is not on the web", where=candidate.url)
        return fetch_bytes(self.web, url, self.max_thumbnail)
