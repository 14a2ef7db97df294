"""A retrieval that is killed repeatedly at random moments gives the result of an uninterrupted one."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import random
import time
from collections import Counter
from pathlib import Path

import pytest

import wsvs.retrieve.youtube
from tests.retrieve.conftest import Retrieval
from tests.retrieve.films import another, film, segmented, thumbnail
from tests.retrieve.server import Site, after, file, status, truncated
from wsvs.retrieve.crawl import Budget
from wsvs.retrieve.examine import Choice
from wsvs.retrieve.journal import Journal

KILLS = 20


def work(folder: Path, urls: dict[str, list[str]]) -> None:
    """The whole retrieval, in a process of its own; folder/fetched.log gets a line for each finished download."""
    fetch_file, fetch_segments = wsvs.retrieve.youtube.fetch_file, wsvs.retrieve.youtube.fetch_segments

    def note(url: str) -> None:
        with (folder / "fetched.log").open("a") as log:
            log.write(f"{url}\n")

    def fetch(web, media, target, limit) -> None:
        there = target.exists()
        fetch_file(web, media, target, limit)
        if not there:
            note(media.url)

    def fetch_pieces(web, chosen, target, *bounds) -> Path:
        there = target.with_name(target.name + ".ts").exists()
        path = fetch_segments(web, chosen, target, *bounds)
        if not there:
            note(chosen["url"])
        return path

    wsvs.retrieve.youtube.fetch_file = fetch
    wsvs.retrieve.youtube.fetch_segments = fetch_pieces
    retrieval = Retrieval(None, folder)  # type: ignore[arg-type]
    web = retrieval.web(timeout=60.0)
    retrieval.crawl(urls, web=web, budget=Budget(max_videos=5), choice=Choice(batch=2)).fetch()


def state(out: Path) -> dict[str, str]:
    """{file: digest} of all that a retrieval left; of the journal what it says at last of each video.

    Each start tries again what failed for now, so that there may be several lines of one.
    """
    found = {}
    for path in sorted(out.rglob("*")):
        if path.is_file():
            content = path.read_bytes()
            if path.name == "journal.jsonl":
                journal = Journal(path)
                journal.close()
                content = repr(
                    [
                        journal.found,
                        journal.into,
                        *map(
                            sorted,
                            map(
                                dict.items,
                                (
                                    {key: str(value) for key, value in known.items()}
                                    for known in (journal.thumbnails, journal.rows)
                                ),
                            ),
                        ),
                    ]
                ).encode()
            found[path.relative_to(out).as_posix()] = hashlib.sha256(content).hexdigest()
    return found


def make_movie(folder: Path) -> bytes:
    """Some 100 kB; encoded once, for an encoder may give other bytes the next time."""

    def bright(t: int) -> float:
        return 0.95 if 20 <= t < 40 or t >= 100 else 0.3

    return film(
        folder / "film.mp4",
        frames=120,
        gop=20,
        red=bright,
        size=(192, 128),
        options={"x264-params": "keyint=20:min-keyint=20:scenecut=0:crf=8"},
    ).read_bytes()


def furnish(site: Site, movie: bytes, pieces: list[bytes]) -> dict[str, list[str]]:
    """Two classes with videos in common, slow downloads, segments, and videos that fail in several ways."""
    slow = file(movie, pause=0.02)
    red = thumbnail(0.9)
    good = [site.page(f"good{k}", file(another(movie, f"{k}"), pause=0.02), red) for k in range(4)]
    good[2] = site.stream("stream", [file(piece, kind="video/mp2t", pause=0.05) for piece in pieces])
    bad = [
        site.add("/gone", status(404)),
        site.page("pale", slow, thumbnail(0.4)),
        site.page("lying", file(b"no film"), red),
        site.page("broken", truncated(movie, 1000), red),
        site.page("shaky", after(3, truncated(movie, 20_000), slow), red),
    ]
    return {"cat": [good[0], bad[0], good[1], bad[1], good[2]], "dog": [good[1], *bad[2:], good[3]]}


@pytest.mark.slow
def test_killed_at_random_moments(site: Site, tmp_path: Path) -> None:
    seed = int(os.environ.get("WSVS_TEST_SEED", 0))
    print(f"WSVS_TEST_SEED={seed}")  # shown where it fails; any whole number gives other moments
    chance = random.Random(seed)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.retrieve.test_killed", "yt_dlp.extractor.extractors"])
    kills = rounds = 0

    def start(name: str) -> multiprocessing.process.BaseProcess:
        (tmp_path / name).mkdir(exist_ok=True)
        process = context.Process(target=work, args=(tmp_path / name, urls))
        process.start()
        return process

    movie = make_movie(tmp_path)
    pieces = segmented(movie, tmp_path / "pieces")
    for name in ("warm", "calm"):  # the first one starts the server of processes
        urls = furnish(site, movie, pieces)
        started = time.monotonic()
        calm = start(name)
        calm.join()
        assert calm.exitcode == 0
        takes = time.monotonic() - started
    expected = state(tmp_path / "calm" / "out")
    assert state(tmp_path / "warm" / "out") == expected and len(expected) > 6

    while kills < KILLS:
        rounds += 1
        urls = furnish(site, movie, pieces)
        name = f"round{rounds}"
        for _ in range(8):
            process = start(name)
            process.join(chance.uniform(0.02, takes))
            if process.is_alive():
                os.kill(process.pid, 9)  # type: ignore[arg-type]
                process.join()
                kills += 1
            if process.exitcode == 0:
                break
        else:
            process = start(name)
            process.join()
        assert process.exitcode == 0
        assert state(tmp_path / name / "out") == expected
        fetched = Counter((tmp_path / name / "fetched.log").read_text().split())
        assert set(fetched.values()) == {1}, fetched
    assert rounds > 1
