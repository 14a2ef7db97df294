"""YouTube's search, with canned answers for that one call: everything else is yt-dlp's own code. Live: see the end."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf
from yt_dlp.extractor.youtube import YoutubeSearchIE

from tests.retrieve.conftest import TOOLS, Retrieval
from tests.retrieve.films import thumbnail
from tests.retrieve.server import Site, file
from wsvs.core.errors import BadItem
from wsvs.retrieve.crawl import Budget, Crawl
from wsvs.retrieve.examine import Choice
from wsvs.retrieve.failures import failed
from wsvs.retrieve.pace import Pace, StopRetrieval
from wsvs.retrieve.web import Web
from wsvs.retrieve.youtube import YouTubeSource, thumbnail_of, unwanted

CONF = Path(__file__).parents[2] / "conf" / "retrieve"
LIMITS = {"max_duration": 600.0, "max_size": 1e7}


def entry(video: str, title: str, length: str, picture: str) -> dict[str, Any]:
    """A result as the answer of YouTube's search holds it."""
    return {
        "videoRenderer": {
            "videoId": video,
            "title": {"runs": [{"text": title}]},
            "lengthText": {"simpleText": length},
            "ownerText": {"runs": [{"text": "someone"}]},
            "viewCountText": {"simpleText": "12 views"},
            "thumbnail": {
                "thumbnails": [
                    {"url": picture, "width": 360, "height": 202},
                    {"url": picture + "?large", "width": 720, "height": 404},
                ]
            },
        }
    }


def answer(entries: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "contents": {
            "twoColumnSearchResultsRenderer": {
                "primaryContents": {
                    "sectionListRenderer": {
                        "contents": [
                            {"itemSectionRenderer": {"contents": entries}},
                        ]
                    }
                }
            }
        }
    }


@pytest.fixture
def canned(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[dict[str, Any]]]:
    """{query: entries}; nothing else of YouTube is asked for."""
    answers: dict[str, list[dict[str, Any]]] = {}
    monkeypatch.setattr(YoutubeSearchIE, "_call_api", lambda self, ep, query, *_, **__: answer(answers[query["query"]]))
    monkeypatch.setattr(YoutubeSearchIE, "_download_ytcfg", lambda *_, **__: {})
    return answers


def number(k: int) -> str:
    return f"video_{k:05d}"


def test_search_is_flat(retrieval: Retrieval, site: Site, canned: dict) -> None:
    canned["cat"] = [entry(number(k), f"A cat, {k}", "1:05", f"{site.url}/{k}.png") for k in range(7)]
    found = YouTubeSource(retrieval.web(), per_class=5, **LIMITS).search("cat")
    assert len(found) == 5 and site.hits == []  # no request for a single video
    first = found[0]
    assert (first.video, first.rank, first.query, first.title, first.uploader, first.duration) == (
        "video_00000",
        1,
        "cat",
        "A cat, 0",
        "someone",
        65,
    )
    assert first.url.endswith("watch?v=video_00000") and first.thumbnail == f"{site.url}/0.png"
    assert [one.rank for one in found] == [1, 2, 3, 4, 5]


def test_several_queries_share_the_places(retrieval: Retrieval, site: Site, canned: dict) -> None:
    canned["cat"] = [entry(number(k), "t", "1:05", site.url) for k in (1, 2, 3, 4)]
    canned["kitten"] = [entry(number(k), "t", "1:05", site.url) for k in (2, 11, 12)]
    source = YouTubeSource(retrieval.web(), per_class=5, queries={"cat": ["cat", "kitten"]}, **LIMITS)
    assert [(one.video[-2:], one.query, one.rank) for one in source.search("cat")] == [
        ("01", "cat", 1),
        ("02", "kitten", 1),
        ("11", "kitten", 2),
        ("03", "cat", 3),
        ("12", "kitten", 3),
    ]


def test_thumbnails_are_scored_and_long_videos_left_out(retrieval: Retrieval, site: Site, canned: dict) -> None:
    canned["cat"] = [entry(number(k), "t", "2:00:00" if k == 1 else "1:05", f"{site.url}/{k}.png") for k in range(4)]
    for k, red in ((0, 0.9), (2, 0.5), (3, 0.95)):
        site.add(f"/{k}.png", file(thumbnail(red), kind="image/png"))
    source = YouTubeSource(retrieval.web(), per_class=300, **LIMITS)
    crawl = Crawl(source, ["cat"], retrieval.out, TOOLS, Choice(), Budget())
    assert [one.video for _, one in crawl.look()] == [number(0), number(3)]
    assert crawl.journal.found["cat"][1].unwanted == "longer than 600 s (7200 s)"
    assert not site.of("/1.png") and sorted(hit.path for hit in site.hits) == ["/0.png", "/2.png", "/3.png"]


def test_the_default_format_is_one_small_file_by_http() -> None:
    """Of a list like YouTube's: neither pieces, nor sound, nor more lines than are needed."""

    def one(name: str, height: int, protocol: str = "https", ext: str = "mp4", **more: Any) -> dict[str, Any]:
        return {
            "format_id": name,
            "height": height,
            "protocol": protocol,
            "ext": ext,
            "url": "https://h/" + name,
            "vcodec": "avc1",
            "acodec": "none",
            **more,
        }

    formats = [
        one("sound", 0, acodec="mp4a", vcodec="none"),
        one("tiny", 144),
        one("good", 360),
        one("large", 1080),
        one("web", 360, ext="webm", vcodec="vp9"),
        one("hls", 360, "m3u8_native"),
        one("pieces", 360, "http_dash_segments"),
        one("both", 360, acodec="mp4a"),
    ]
    chosen = OmegaConf.load(CONF / "youtube.yaml").format

    def pick(*left_out: str) -> str:
        web = Web(Pace(), format=chosen)
        left = [dict(one) for one in formats if one["format_id"] not in left_out]
        select = web.build_format_selector(chosen)
        [found] = select({"formats": left, "has_merged_format": True, "incomplete_formats": False})
        return found["format_id"]

    assert pick() == "good" and pick("good") == "tiny"
    assert pick("good", "tiny") == "web" and pick("good", "tiny", "web") == "both"


def test_a_check_for_humans_stops() -> None:
    for text in (
        "ERROR: [youtube] x: Sign in to confirm you\N{RIGHT SINGLE QUOTATION MARK}re not a bot. Use --cookies",
        "ERROR: [youtube] x: YouTube is requiring a captcha challenge before playback",
    ):
        with pytest.raises(StopRetrieval, match="asks for a human"):
            failed(Exception(text), "https://youtu.be/x")
    gone = failed(Exception("ERROR: [youtube] x: Private video; please report this issue on https://x"), "u")
    assert isinstance(gone, BadItem) and gone.problem == "needs an account: private ([youtube] x: Private video)"


def test_live_and_thumbnails() -> None:
    assert unwanted({"live_status": "is_live"}, 10) == "live" and unwanted({"duration": 10}, 10) is None
    assert unwanted({}, 10) is None
    sizes = [{"url": "a", "width": 120}, {"url": "b", "width": 720}, {"url": "c", "width": 336}]
    assert thumbnail_of({"thumbnails": sizes}) == "c" and thumbnail_of({"thumbnails": sizes[:1]}) == "a"
    assert thumbnail_of({"thumbnail": "d"}) == "d" and thumbnail_of({}) is None


def test_settings_refused(retrieval: Retrieval) -> None:
    with pytest.raises(ValueError, match="per_class"):
        YouTubeSource(retrieval.web(), per_class=0, **LIMITS)
    with pytest.raises(ValueError, match="max_size"):
        YouTubeSource(retrieval.web(), per_class=1, max_duration=1, max_size=0)
    with pytest.raises(ValueError, match=r"javascript must be a list of deno, .*\['perl'\]"):
        Web(Pace(), javascript=["perl"])


@pytest.mark.skipif("WSVS_LIVE_YOUTUBE" not in os.environ, reason="WSVS_LIVE_YOUTUBE is not set: no request to YouTube")
def test_live_youtube(tmp_path: Path) -> None:
    """One search, three thumbnails and one video of YouTube itself."""
    web = Web(
        Pace(),
        format=OmegaConf.load(CONF / "youtube.yaml").format,
        javascript=["deno", "node", "bun", "quickjs"],
    )
    source = YouTubeSource(web, per_class=3, queries={"cat": ["cat playing short"]}, max_duration=300, max_size=3e7)
    tools = replace(TOOLS, score=lambda images, _: [0.9] * len(images))
    rows = Crawl(source, ["cat"], tmp_path, tools, Choice(), Budget(max_videos=1)).fetch()
    assert len(rows) == 3 and all(row.title and row.uploader for row in rows)
    assert "retrieved" in [row.status for row in rows], [row.status for row in rows]
