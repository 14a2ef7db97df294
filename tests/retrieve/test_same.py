"""One video under several addresses, lists of videos, and lengths that only the file tells."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from tests.retrieve.conftest import Retrieval
from tests.retrieve.films import another, thumbnail
from tests.retrieve.server import Site, file, says, status
from tests.retrieve.test_failures import SiteIE
from wsvs.retrieve.download import fetch_file
from wsvs.retrieve.manifest import iter_clips
from wsvs.retrieve.table import tally
from wsvs.retrieve.youtube import identity

RED = thumbnail(0.9)


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Paths of the files that are fetched. (The site sees more: yt-dlp looks into the beginning of a page's file.)"""
    seen: list[str] = []

    def fetch(web, media, target, limit) -> None:
        seen.append(urlsplit(media.url).path)
        fetch_file(web, media, target, limit)

    monkeypatch.setattr("wsvs.retrieve.youtube.fetch_file", fetch)
    return seen


def known_site(retrieval: Retrieval):
    web = retrieval.web()
    web._ies = {"ToySite": SiteIE, **web._ies}
    web._ies_instances["ToySite"] = SiteIE(web)
    return web


def test_site_and_id_tell_before_any_download(
    retrieval: Retrieval, site: Site, red_film: bytes, fetched: list[str]
) -> None:
    """Three addresses of one video: once for each class, and one file for both."""
    site.add("/a.mp4", file(red_film))
    urls = [site.add(f"/{way}/a", says("a page")) for way in ("watch", "short", "embed")]
    with retrieval.crawl({"cat": urls[:2], "dog": urls[2:]}, web=known_site(retrieval)) as crawl:
        first, second, third = crawl.fetch()
    assert [row.identity for row in (first, second, third)] == ["toysite a"] * 3
    assert first.status == third.status == "retrieved" and first.sha256 == third.sha256
    assert second.status == f"skipped: the same video as {first.video} (toysite a)" and not second.clips
    assert fetched == ["/a.mp4"]
    assert tally([first, second, third], ["cat", "dog"])["all"].size == len(red_film)
    clips = list(iter_clips(retrieval.out / "manifest.jsonl"))
    assert {clip.line["identity"] for clip in clips} == {"toysite a"} and len(
        {clip.line["sha256"] for clip in clips}
    ) == 1


def test_pages_with_the_same_file_are_one_video(
    retrieval: Retrieval, site: Site, red_film: bytes, fetched: list[str]
) -> None:
    first = site.page("a", red_film, RED)
    again = site.add("/again", site.handlers["/a"])
    moved = site.add("/moved", status(302, Location=first))
    with retrieval.crawl({"cat": [first, again, moved]}) as crawl:
        rows = crawl.fetch()
    assert [row.status.partition(" (")[0] for row in rows] == [
        "retrieved",
        *[f"skipped: the same video as {rows[0].video}"] * 2,
    ]
    assert fetched == ["/a.mp4"] and len(site.of("/a.png")) == 1


def test_the_same_content_is_found_after_the_download(
    retrieval: Retrieval, site: Site, red_film: bytes, fetched: list[str]
) -> None:
    cats = [site.page("a", red_film, RED), site.page("b", red_film, RED)]
    other = site.page("c", another(red_film, "c"), RED)
    for _ in range(2):  # a second start changes nothing
        with retrieval.crawl({"cat": [*cats, other]}) as crawl:
            first, second, third = crawl.fetch()
        assert second.status == f"skipped: the same video as {first.video} (by its content)"
        assert second.sha256 == first.sha256 and not second.clips and third.status == "retrieved"
    assert fetched == ["/a.mp4", "/b.mp4", "/c.mp4"]


def test_identities() -> None:
    for key in ("extractor_key", "ie_key"):
        assert identity({key: "Youtube", "id": "x"}) == "youtube x"
    assert identity({"extractor_key": "Generic", "id": "a", "url": "http://h/1/a.mp4"}) == "file http://h/1/a.mp4"
    assert identity({"extractor_key": "Generic", "id": "film"}) is None and identity({"id": "x"}) is None


def test_a_list_becomes_its_first_videos(
    retrieval: Retrieval, site: Site, red_film: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    pages = [site.page(f"v{k}", another(red_film, f"v{k}"), RED) for k in range(6)]
    listed = site.feed("list", pages)
    with caplog.at_level("INFO", "wsvs"), retrieval.crawl({"cat": [pages[1], listed]}, per_list=4) as crawl:
        rows = crawl.fetch()
    assert [row.url for row in rows] == [pages[1], pages[0], pages[2], pages[3]]  # each video once
    assert [row.query for row in rows] == [None, *[listed] * 3]
    assert [row.status for row in rows] == ["retrieved"] * 4
    assert f"{listed}: a list, of which videos are taken: 4 (retrieve.per_list)" in caplog.text
    assert not site.of("/v4") and not site.of("/v5")
    site.hits.clear()
    with retrieval.crawl({"cat": [pages[1], listed]}, per_list=4) as crawl:
        assert crawl.fetch() == rows
    assert site.hits == []


def test_a_list_within_a_list_and_an_empty_one(retrieval: Retrieval, site: Site, red_film: bytes) -> None:
    page = site.page("v", red_film, RED)
    inner = site.feed("inner", [page])
    with retrieval.crawl({"cat": [site.feed("outer", [inner, page]), site.feed("empty", [])]}) as crawl:
        rows = crawl.fetch()
    assert [(row.status.partition(" (")[0], row.failure) for row in rows] == [
        ("failed: a list of videos within another one", "list"),
        ("retrieved", None),
        (rows[2].status, "list"),
    ]


@pytest.mark.parametrize(
    ("says_so", "most", "status"),
    [
        ({}, 11, "skipped: longer than 11 s (12 s)"),
        ({"duration": "PT5S"}, 11, "skipped: longer than 11 s (12 s)"),
        ({}, 12, "retrieved"),
    ],
)
def test_what_is_longer_is_known_of_the_file_too(
    retrieval: Retrieval, site: Site, red_film: bytes, says_so: dict, most: float, status: str
) -> None:
    """A page without the video's duration of 12 s, and one with a wrong duration."""
    row = retrieval.one(site.page("a", red_film, RED, **says_so), max_duration=most)
    assert row.status == status and row.frames == 300 and row.sha256
    assert bool(row.clips) == bool(row.key_frames) == (status == "retrieved")
