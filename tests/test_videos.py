"""Whole videos in processes as users start them: ranks, workers, kills, classes, and clips of the wild."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import numpy as np
import pytest

from tests.films import assert_same_films, make_film
from tests.processes import TWO_RANKS, files, only_run, quoted, rows, summary, times
from wsvs.core.masks import read_mask
from wsvs.records.journal import JournalLedger

pytestmark = pytest.mark.slow
KILLED = -signal.SIGKILL
FRAMES = {"a": 26, "b": 13, "sub/c": 5}
QUICK = (
    "stage=segment",
    "experiment=motion",
    "name=n",
    "trainer=cpu",
    "segment.superpixels=60",
    "segment.flow=dis_ultrafast",
    "segment.gain=adaptive",
    "segment.max_frames=7",
    "segment.workers=0",
    "segment.overlay=true",
)


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("films") / "my videos, [2]"
    for number, (name, frames) in enumerate(FRAMES.items()):
        make_film(folder / f"{name}.mp4", frames, seed=number)
    return folder


@pytest.fixture(scope="module")
def alone(cli, videos, tmp_path_factory) -> Path:
    """The run of one rank without workers that nothing disturbs."""
    out = tmp_path_factory.mktemp("alone")
    said = cli.run(*words(videos, out))
    assert "%" not in said and "\r" not in said  # no bar where there is no terminal
    return only_run(out, "segment")


def words(videos: Path, out: Path, *more: str) -> list[str]:
    return [*QUICK, f"videos={quoted(videos)}", f"out={quoted(out)}", *more]


def check_whole(run: Path, alone: Path) -> None:
    """Every mask once, complete, and the same as in an undisturbed run; overlays too."""
    expected = {f"{video}/{t:05d}.png" for video, count in FRAMES.items() for t in range(count)}
    masks = files(run / "masks")
    assert set(masks) == expected and masks == files(alone / "masks")
    assert any(read_mask(run / "masks" / name).any() for name in expected)
    assert_same_films(run / "overlay", alone / "overlay")
    assert (run / "videos.jsonl").read_bytes() == (alone / "videos.jsonl").read_bytes()
    assert len(times(run / "done", "*.json")) == 4 + 2 + 1
    assert not list(run.rglob(".tmp-*")) and not (run / "overlay" / ".pieces").exists()
    assert summary(run)["counts"]["frames"] == sum(FRAMES.values())


def test_two_ranks_with_two_workers_give_what_one_gives_alone(cli, videos, alone, tmp_path):
    check_whole(alone, alone)
    cli.run(*words(videos, tmp_path, *TWO_RANKS, "segment.workers=2"))
    check_whole(only_run(tmp_path, "segment"), alone)


@pytest.mark.parametrize(("place", "rank"), [("/masks/|9", 1), ("/masks/|9", 0), ("/seen/|0", 1), ("/done/|1", 0)])
def test_a_rank_is_killed_and_the_run_resumes(cli, videos, alone, tmp_path, place, rank):
    """While it writes its tenth mask, in the middle of a piece; while it looks at the videos; before a ledger line."""
    more = ("segment.workers=1",) if place.startswith("/seen") else ()
    command = words(videos, tmp_path, *TWO_RANKS, *more)
    process = cli.start(*command, sabotage=f"{place}|{rank}|{'tear' if more else 'kill'}")
    process.communicate(timeout=600)
    assert process.returncode in ({KILLED} if rank == 0 else {KILLED, 2})
    run = only_run(tmp_path, "segment")
    done = times(run / "done", "*.json")
    assert len(done) < 7 and not (run / "summary.json").exists()
    masks = times(run / "masks", "*.png")
    assert bool(masks) == ("/seen" not in place)
    cli.run(*command)
    assert only_run(tmp_path, "segment") == run
    assert all(path.stat().st_mtime_ns == time for path, time in done.items())  # nothing finished was done again
    check_whole(run, alone)


@pytest.mark.parametrize("place", ["-worker-0.jsonl|3|1|tear", "killed/done/|2|0|kill"])
def test_a_kill_while_some_videos_are_not_looked_at(cli, tmp_path, place):
    """In the middle of what a worker records of a video, and before a piece is recorded; other ranks resume it."""
    for number in range(18):
        make_film(tmp_path / f"v/{number:02d}.mp4", 3 + number % 2, size=(48, 32), seed=number)
    cli.run(*words(tmp_path / "v", tmp_path / "alone"))
    whole = only_run(tmp_path / "alone", "segment")
    command = words(tmp_path / "v", tmp_path / "out", *TWO_RANKS, "segment.workers=1")
    cli.start(*command, sabotage=place, WSVS_RUN_ID="killed").communicate(timeout=600)
    run = only_run(tmp_path / "out", "segment")
    done, seen = times(run / "done", "*.json"), {*JournalLedger(run / "seen").items()}
    assert 0 < len(seen) < 18 and not (run / "summary.json").exists()
    cli.run(*words(tmp_path / "v", tmp_path / "out", "segment.workers=2"), WSVS_RUN_ID="killed")
    assert all(path.stat().st_mtime_ns == time for path, time in done.items())
    assert files(run / "masks") == files(whole / "masks") and len(files(run / "masks")) == 63
    assert (run / "videos.jsonl").read_bytes() == (whole / "videos.jsonl").read_bytes()
    lines = sum(path.read_bytes().count(b"\n") for path in (run / "seen/done").iterdir())
    assert lines == 18  # nothing was looked at twice; half a line of a killed process has no end


def test_killed_while_overlays_are_joined(cli, videos, alone, tmp_path):
    command = words(videos, tmp_path)
    cli.run(*command, sabotage="/overlay/b.mp4|0|0|kill", status=KILLED)
    run = only_run(tmp_path, "segment")
    masks = times(run / "masks", "*.png")
    assert len(masks) == sum(FRAMES.values()) and (run / "overlay" / "a.mp4").is_file()
    cli.run(*command)
    assert all(path.stat().st_mtime_ns == time for path, time in masks.items())
    check_whole(run, alone)


def test_fewer_pieces_than_ranks(cli, tmp_path):
    make_film(tmp_path / "v" / "one.mp4", 5)
    said = cli.run(*words(tmp_path / "v", tmp_path / "out", *TWO_RANKS))
    assert "ranks without work: 1 of 2, because only 1 items are left (trainer.devices=1 is enough)" in said
    assert len(files(only_run(tmp_path / "out", "segment") / "masks")) == 5


def test_classes_from_a_table(toy, cli, tmp_path):
    """One class, two of which one is unknown, none: attention of what is known, the label of the first of these."""
    shown = sorted((toy.data / "videos").iterdir())[:3]
    for name, path in zip("xyz", shown, strict=True):
        (tmp_path / "v").mkdir(exist_ok=True)
        shutil.copy(path, tmp_path / "v" / f"{name}.mp4")
    (tmp_path / "t.tsv").write_text("video\tclass\nx\tPfau (grün)\ny\tunicorn,it's a=zebra,polar bear\nz\tunicorn\n")
    own = (
        "trainer=cpu",
        "segment.superpixels=60",
        "segment.max_frames=6",
        "segment.workers=0",
        "name=n",
        f"videos={tmp_path / 'v'}",
        f"labels={tmp_path / 't.tsv'}",
        "stage=segment",
    )
    runs = {}
    for kind, more in {
        "full": ["experiment=full", *toy.inputs("encoder")],
        "named": ["experiment=full", f"segment.checkpoint={quoted(toy.run('encoder') / 'checkpoints' / 'best.ckpt')}"],
        "motion": ["experiment=motion"],
    }.items():
        cli.run(*own, f"out={tmp_path / kind}", *more)
        runs[kind] = only_run(tmp_path / kind, "segment")
    for kind in ("full", "named"):
        assert summary(runs[kind])["counts"]["without a known class"] == 1
        labels = {row["video"]: (row["classes"], row["label"]) for row in rows(runs[kind] / "videos.jsonl")}
        assert labels == {"x": (["Pfau (grün)"], 3), "y": (["it's a=zebra", "polar bear"], 2), "z": ([], 1)}
        for name, (_, label) in labels.items():
            masks_of = [read_mask(path) for path in (runs[kind] / "masks" / name).iterdir()]
            assert set(np.unique(masks_of)) <= {0, label}
    assert list(summary(runs["full"])["inputs"]) == ["encoder"] and summary(runs["named"])["inputs"] == {}
    assert summary(runs["full"])["results"]["ms per frame"]["attention"] > 0
    masks = {kind: files(run / "masks") for kind, run in runs.items()}
    assert masks["full"] == masks["named"] != masks["motion"]
    unknown = [name for name in masks["full"] if name.startswith("z/")]
    assert unknown and all(masks["full"][name] == masks["motion"][name] for name in unknown)


def test_clips_of_the_wild(cli, real_data, tmp_path):
    """Short and long, of many encoders: every frame of each gets its mask."""
    frames = {
        "bikes": 250,
        "cat": 87,
        "demo": 280,
        "fades": 250,
        "realshort": 36,
        "schoolgirls": 80,
        "test": 164,
        "truck": 21,
        "wolf": 40,
    }
    (tmp_path / "v").mkdir()
    for path in (real_data / "data" / "clips").iterdir():
        if path.stem in frames:
            (tmp_path / "v" / path.name).symlink_to(path)
    cli.run(*words(tmp_path / "v", tmp_path, *TWO_RANKS, "segment.longest_edge=160", "segment.max_frames=100"))
    run = only_run(tmp_path, "segment")
    assert {row["video"]: row["frames"] for row in rows(run / "videos.jsonl")} == frames
    expected = {f"{name}/{t:05d}.png" for name, count in frames.items() for t in range(count)}
    assert set(files(run / "masks")) == expected
