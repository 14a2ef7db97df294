"""Whole retrievals: the manifest, budgets, videos of several classes, what is left on disk, and the closing table."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.retrieve.conftest import TOOLS, Retrieval
from tests.retrieve.films import another, film, thumbnail
from tests.retrieve.server import Site, after, file, status
from wsvs.core.classes import Classes
from wsvs.core.errors import UserError
from wsvs.records.retrieved import FoundVideo
from wsvs.retrieve.crawl import Budget, Crawl
from wsvs.retrieve.download import fetch_file
from wsvs.retrieve.examine import Choice, best, spread
from wsvs.retrieve.folder import FolderSource
from wsvs.retrieve.local import LocalSource
from wsvs.retrieve.manifest import iter_clips
from wsvs.retrieve.pace import StopRetrieval
from wsvs.retrieve.table import tally
from wsvs.retrieve.urls import UrlSource
from wsvs.video.reader import read_frames

RED = thumbnail(0.9)


def pages(site: Site, content: bytes, names: str, picture: bytes = RED) -> list[str]:
    """Pages with a video each: the same frames, other bytes."""
    return [site.page(name, another(content, name), picture) for name in names.split()]


def test_every_candidate_has_its_line(retrieval: Retrieval, site: Site, red_film: bytes) -> None:
    cats = [*pages(site, red_film, "a b"), site.page("pale", red_film, thumbnail(0.5))]
    cats += [
        site.add("/gone", status(404)),
        site.page("dull", film(retrieval.folder / "dull.mp4", frames=60, red=lambda _: 0.3).read_bytes(), RED),
    ]
    rows = retrieval.crawl({"cat": cats, "dog": pages(site, red_film, "c")}).fetch()
    assert list(FoundVideo.read(retrieval.out / "manifest.jsonl")) == rows
    assert [(row.class_name, row.rank, row.url) for row in rows] == [
        *(("cat", rank, url) for rank, url in enumerate(cats, 1)),
        ("dog", 1, site.url + "/c"),
    ]
    assert [row.status.partition(" (")[0] for row in rows] == [
        "retrieved",
        "retrieved",
        "skipped: thumbnail not above 0.8",
        "failed: HTTP error 404",
        "skipped: no key frame above 0.8",
        "retrieved",
    ]
    dull = rows[4].key_frames
    assert [(key.time, key.chosen) for key in dull] == [(0.0, False), (1.2, False)]
    assert all(abs(key.score - 0.3) < 0.02 for key in dull)

    tallies = {name: one.asdict() for name, one in tally(rows, ["cat", "dog"]).items()}
    size = len(another(red_film, "a"))
    assert tallies["cat"] == {
        "found": 5,
        "thumbnails_passed": 3,
        "downloaded": 3,
        "key_frames_passed": 6,
        "retrieved": 2,
        "clips": 4,
        "frames": 2 * (131 + 80),
        "bytes": 2 * size + (retrieval.folder / "dull.mp4").stat().st_size,
        "lost": {
            "skipped: thumbnail not above 0.8": 1,
            "failed: HTTP error 404": 1,
            "skipped: no key frame above 0.8": 1,
        },
        "failures": {"gone": 1},
    }
    assert tallies["all"]["found"] == 6 and tallies["all"]["clips"] == 6

    for clip in iter_clips(retrieval.out / "manifest.jsonl"):
        frames = list(read_frames(clip.file, clip.start, clip.stop))
        assert len(frames) == clip.stop - clip.start
    files = {path.relative_to(retrieval.out).parts[0] for path in retrieval.out.rglob("*") if path.is_file()}
    assert files == {"manifest.jsonl", "journal.jsonl", "clips"}  # no video, nothing half done


def test_clips_hold_the_frames_of_the_video(retrieval: Retrieval, site: Site, red_film: bytes) -> None:
    row = retrieval.one(*pages(site, red_film, "a"), keep_videos=True)
    [kept] = retrieval.out.glob("videos/*.mp4")
    assert kept.read_bytes() == another(red_film, "a")
    whole = list(read_frames(kept))
    assert row.frames == len(whole) == 300
    for clip in row.clips:
        first = clip.offset + clip.start
        for number, frame in enumerate(read_frames(retrieval.out / clip.path, clip.start, clip.stop), first):
            assert np.array_equal(frame, whole[number])
        assert clip.time[0] == pytest.approx(first / 25)


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Addresses of the files that are fetched. (The site sees more: yt-dlp sniffs at a page's file, and leaves.)"""
    seen: list[str] = []

    def fetch(web, media, target, limit) -> None:
        seen.append(media.url)
        fetch_file(web, media, target, limit)

    monkeypatch.setattr("wsvs.retrieve.youtube.fetch_file", fetch)
    return seen


def test_a_video_of_two_classes_is_fetched_once(
    retrieval: Retrieval, site: Site, red_film: bytes, fetched: list[str]
) -> None:
    both = pages(site, red_film, "a b")
    rows = retrieval.crawl({"cat": both, "dog": both[::-1]}).fetch()
    assert [row.status for row in rows] == ["retrieved"] * 4
    assert len({clip.path for row in rows for clip in row.clips}) == 8
    assert fetched == [site.url + "/a.mp4", site.url + "/b.mp4"]
    assert tally(rows, ["cat", "dog"])["all"].size == 2 * len(another(red_film, "a"))


def test_budgets(retrieval: Retrieval, site: Site, red_film: bytes, fetched: list[str]) -> None:
    cats, dogs = pages(site, red_film, "a b c"), pages(site, red_film, "d e f")
    rows = retrieval.crawl({"cat": cats, "dog": dogs}, budget=Budget(max_videos=3)).fetch()
    # in turn: a d b
    late = "skipped: max_videos was reached"
    assert [row.status for row in rows] == ["retrieved", "retrieved", late, "retrieved", late, late]
    assert fetched == [site.url + name for name in ("/a.mp4", "/d.mp4", "/b.mp4")]


def test_budget_of_bytes_counts_thumbnails(retrieval: Retrieval, site: Site, red_film: bytes) -> None:
    urls = pages(site, red_film, "a b c")
    enough = 3 * len(RED) + len(another(red_film, "a")) + 1
    rows = retrieval.crawl({"cat": urls}, budget=Budget(max_bytes=enough)).fetch()
    assert [row.status for row in rows] == ["retrieved", "retrieved", "skipped: max_bytes was reached"]


def test_budget_of_hours_counts_from_the_first_start(
    retrieval: Retrieval, site: Site, red_film: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    urls = {"cat": pages(site, red_film, "a b")}
    crawl = retrieval.crawl(urls, budget=Budget(max_hours=2))
    crawl.look()
    later = time.time() + 3 * 3600
    monkeypatch.setattr("wsvs.retrieve.crawl.time.time", lambda: later)
    rows = retrieval.crawl(urls, budget=Budget(max_hours=2)).fetch()
    assert [row.status for row in rows] == ["skipped: max_hours was reached"] * 2


def test_stopped_and_taken_up(retrieval: Retrieval, site: Site, red_film: bytes) -> None:
    urls = {"cat": pages(site, red_film, "a b c")}
    site.page("b", after(2, file(red_film), status(429)), RED)  # good for two sniffs, then it refuses
    with pytest.raises(StopRetrieval):
        retrieval.crawl(urls).fetch()
    assert not (retrieval.out / "manifest.jsonl").exists()
    before = len(site.of("/a")), len(site.of("/a.png"))
    site.page("b", red_film, RED)
    rows = retrieval.crawl(urls).fetch()
    assert [row.status for row in rows] == ["retrieved"] * 3
    assert (len(site.of("/a")), len(site.of("/a.png"))) == before
    again = retrieval.crawl(urls).fetch()  # a finished one has nothing to do
    assert again == rows and len(site.of("/c")) == 2


def test_thumbnails_are_scored_in_batches(retrieval: Retrieval, site: Site, red_film: bytes) -> None:
    sizes: list[int] = []

    def score(images, class_name):
        sizes.append(len(images))
        return TOOLS.score(images, class_name)

    crawl = retrieval.crawl({"cat": pages(site, red_film, "a b c d e", thumbnail(0.5))}, choice=Choice(batch=2))
    crawl.tools = replace(TOOLS, score=score)
    assert crawl.look() == [] and sizes == [2, 2, 1]


def test_tells_how_far_it_is(
    retrieval: Retrieval, site: Site, red_film: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "wsvs"), retrieval.crawl({"cat": pages(site, red_film, "a b")}) as crawl:
        crawl.every = 0
        crawl.fetch()
    said = [record.getMessage() for record in caplog.records]
    assert said[0] == "cat: 2 videos found" and said[2].startswith("2 of 2 addresses, ")
    assert said[3].startswith("2 of 2 thumbnails, ")
    assert said[4].startswith("1 of 2 videos, ") and said[4].endswith(f"  {(len(red_film) + 9) / 1e9:.3g} GB so far")
    assert said[5].startswith("2 of 2 videos")


def test_a_damaged_journal_is_not_guessed_at(retrieval: Retrieval, site: Site, red_film: bytes) -> None:
    urls = {"cat": pages(site, red_film, "a")}
    retrieval.crawl(urls).fetch()
    journal = retrieval.out / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([lines[0], b"{broken\n", *lines[1:]]))
    with pytest.raises(UserError, match="line 2 of the journal"):
        retrieval.crawl(urls)
    journal.write_bytes(b"".join(lines) + lines[-1][:20])  # the stump of a killed start
    assert retrieval.crawl(urls).fetch()[0].status == "retrieved"
    assert journal.read_bytes() == b"".join(lines)


def test_local_videos_go_the_same_way(tmp_path: Path, red_film: bytes) -> None:
    for name in ("cat/tom.mp4", "dog/rex.mp4", "bird/no.mp4"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(red_film)
    (tmp_path / "in" / "dog" / "bad.mp4").write_text("no film")
    classes = Classes(["cat", "dog"])
    source = LocalSource(FolderSource(tmp_path / "in"), classes)
    rows = Crawl(source, classes.names, tmp_path / "out", TOOLS, Choice(), Budget()).fetch()
    assert [(row.video, row.class_name, row.status) for row in rows] == [
        ("cat/tom", "cat", "retrieved"),
        ("dog/bad", "dog", rows[1].status),
        ("dog/rex", "dog", "retrieved"),
        ("bird/no", None, "skipped: no class among its tags (bird)"),
    ]
    assert rows[1].status.startswith("failed: not a video")
    assert len(rows[0].clips) == 2 and (tmp_path / "in" / "cat" / "tom.mp4").read_bytes() == red_film
    assert not (tmp_path / "out" / "videos").exists()


def test_best_and_spread() -> None:
    scores = {0: 0.9, 1: 0.8, 2: 0.95, 3: 0.9, 4: 0.1}
    assert best(scores, Choice(key_frames=2)) == {0, 2}  # of two equal ones the earlier
    assert best(scores, Choice()) == {0, 2, 3}  # 0.8 is not above 0.8
    assert spread(list(range(10)), 4) == [0, 2, 5, 7] and spread([1, 2], 4) == [1, 2]


def test_a_score_of_float32_at_the_threshold(retrieval: Retrieval, site: Site, red_film: bytes) -> None:
    crawl = retrieval.crawl({"cat": pages(site, red_film, "a")})
    crawl.tools = replace(TOOLS, score=lambda images, _: np.full(len(images), 0.8, np.float32))
    assert crawl.fetch()[0].status == "skipped: thumbnail not above 0.8 (0.8)"


def test_settings_refused() -> None:
    with pytest.raises(ValueError, match=r"threshold must be a number in \[0, 1\], got 1.5"):
        Choice(threshold=1.5)
    with pytest.raises(ValueError, match="max_videos must be a whole number >= 0, or null, got -1"):
        Budget(max_videos=-1)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("url\tclass\nfile:///etc/passwd\tcat\n", "not a URL"),
        ("url\tclass\n", "lists no video"),
        ("address\tclass\n", "url"),
    ],
)
def test_a_bad_list_of_addresses(retrieval: Retrieval, tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "urls.tsv").write_text(text)
    with pytest.raises(UserError, match=problem):
        UrlSource(retrieval.web(), file=tmp_path / "urls.tsv", max_duration=1, max_size=1)


def test_which_addresses_ask_youtube(retrieval: Retrieval, tmp_path: Path) -> None:
    for url, expected in (
        ("https://www.youtube.com/watch?v=x", True),
        ("https://youtu.be/x", True),
        ("https://notyoutube.com/x", False),
        ("http://h/youtube.com", False),
    ):
        (tmp_path / "urls.tsv").write_text(f"url\tclass\n{url}\tcat\n")
        source = UrlSource(retrieval.web(), file=tmp_path / "urls.tsv", max_duration=1, max_size=1)
        assert source.asks_youtube() is expected, url


def test_titles_name_no_file(retrieval: Retrieval, site: Site, red_film: bytes) -> None:
    row = retrieval.one(
        site.page("a", red_film, RED)
        and site.add(
            "/b",
            file(
                b'<html><head><script type="application/ld+json">'
                + json.dumps(
                    {
                        "@context": "https://schema.org",
                        "@type": "VideoObject",
                        "name": "../../etc/x; rm -rf $HOME\n",
                        "contentUrl": site.url + "/a.mp4",
                    }
                ).encode()
                + b"</script></head></html>",
                kind="text/html",
            ),
        )
    )
    assert row.status == "retrieved" and "rm -rf" in row.title and "\n" not in row.title
    names = [path.name for path in retrieval.folder.rglob("*")]
    assert not [name for name in names if "rm" in name or "etc" in name]
