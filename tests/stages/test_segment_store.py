"""segment.store=shards: the same masks in a few archives, for every stage that reads them, and after kills."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.films import make_film
from tests.processes import SEGMENT, TWO_RANKS, files, summary
from wsvs.records.masks import MaskSet

WORDS = (
    *SEGMENT,
    "segment.workers=0",
    "segment.max_frames=8",
    "segment.frames=true",
    "videos=v",
)
TARS = "segment.store=shards"
HERE = Path("out/n/segment")


@pytest.fixture
def videos(tmp_path) -> Path:
    for number, frames in enumerate((9, 5, 3)):
        make_film(tmp_path / f"v/deep/{'abc'[number]}.mp4", frames, seed=number)
    return tmp_path / "v"


def contents(run: Path) -> dict[str, bytes]:
    masks = MaskSet.find(run)
    places = [(row.name, number) for row in masks.rows() for number in masks.numbered(row.name)]
    found = {f"{one}/{number}": masks.mask(one, number).read_bytes() for one, number in places}
    return found | {f"{one}/{number} frame": masks.frame(one, number).read_bytes() for one, number in places}


def scores(run: Path) -> tuple[str, str]:
    return (run / "metrics.json").read_text(), (run / "per_frame.csv").read_text()


def test_archives_hold_what_files_hold(wsvs, videos, tmp_path):
    """And so do the score, the export and the progress; a broken video is the same failure."""
    (videos / "deep/bad.mp4").write_bytes(b"no video")
    assert wsvs(*WORDS, "segment.overlay=true", run_id="files")[0] == 3
    status, _, err = wsvs(*WORDS, "segment.overlay=true", TARS, run_id="tars")
    assert status == 3, err
    one, other = HERE / "files", HERE / "tars"
    assert contents(one) == contents(other) and len(contents(one)) == 34
    assert (one / "videos.jsonl").read_bytes() == (other / "videos.jsonl").read_bytes()
    assert summary(one)["counts"] == summary(other)["counts"]
    assert summary(one)["results"]["failed"] == summary(other)["results"]["failed"]
    assert summary(one)["results"]["fingerprint"] != summary(other)["results"]["fingerprint"]
    assert {path.name for top in ("tars", "done", "seen", "overlay") for path in (other / top).rglob("*.*")} == {
        *("c_000000.tar", "rank-0.jsonl", "a.mp4", "b.mp4", "c.mp4")
    }
    assert not any((other / name).exists() for name in ("masks", "frames", "terms"))
    rest = [path for path in other.rglob("*") if path.is_file() and path.suffix not in (".tar", ".mp4")]
    assert len(rest) <= 20  # whatever the number of frames: 0.03 a frame from 1,100 frames on
    truth = quoted_truth(one, tmp_path)
    for run in (one, other):
        words = ("name=n", "out=out", f"predictions={run}")
        assert wsvs("stage=evaluate", "evaluate.kind=video", truth, *words, run_id=f"score-{run.name}")[0] == 0
        assert wsvs("stage=export", "export.format=davis", *words, run_id=f"davis-{run.name}")[0] == 0
    assert scores(Path("out/n/evaluate/score-files")) == scores(Path("out/n/evaluate/score-tars"))
    exported = [files(Path(f"out/n/export/davis-{name}"), "*.*") for name in ("files", "tars")]
    names = [name for name in exported[0] if name.startswith("Annotations/") or name == "frames.json"]
    assert len(names) == 18 and all(exported[0][name] == exported[1][name] for name in names)


def quoted_truth(run: Path, folder: Path) -> str:
    """The masks of a run moved by one frame as true masks."""
    for path in (run / "masks").rglob("*.png"):
        place = folder / "truth" / path.parent.relative_to(run / "masks") / f"{(int(path.stem) + 1) % 3:05d}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(path.read_bytes())
    return f"truth={folder / 'truth'}"


def test_progress_is_read_from_journals(wsvs, videos):
    (videos / "deep/bad.mp4").write_bytes(b"no video")
    assert wsvs(*WORDS, TARS, run_id="a")[0] == 3
    (HERE / "a/summary.json").unlink()
    status, out, _ = wsvs("stage=status", "name=n", "out=out")
    assert status == 0 and "4 of 4" in out and " 1 " in out


def test_shards_of_archives_merge(wsvs, videos):
    """Two jobs with archives and journals of their own, into what one run has."""
    assert wsvs(*WORDS, TARS, run_id="whole")[0] == 0
    for number in range(2):
        assert wsvs(*WORDS, TARS, f"segment.shard={number}/2", run_id="auto")[0] == 0
    status, _, err = wsvs("stage=merge", "name=n", "out=out", "logger=none", run_id="m")
    assert status == 0, err
    made = HERE / "merged-m"
    assert contents(made) == contents(HERE / "whole")
    assert (made / "videos.jsonl").read_bytes() == (HERE / "whole/videos.jsonl").read_bytes()
    assert {path.name for path in (made / "done").iterdir()} == {"0-of-2-rank-0.jsonl", "1-of-2-rank-0.jsonl"}
    assert len(list((made / "tars").rglob("*.tar"))) == 2


@pytest.mark.parametrize("word", ["segment.instances=true", "segment.reuse=last"])
def test_settings_that_need_files_are_refused(wsvs, videos, word):
    status, _, err = wsvs(*WORDS, TARS, word)
    assert status == 2 and word.partition("=")[0] in err and "give segment.store=files, or leave out" in err


def test_another_store_does_not_resume_a_run(wsvs, videos):
    assert wsvs(*WORDS, TARS, run_id="a")[0] == 0
    (HERE / "a/summary.json").unlink()
    status, _, err = wsvs(*WORDS, run_id="a")
    assert status == 2 and "settings" in err


@pytest.mark.slow
@pytest.mark.parametrize("how", [".tar|2|0|kill", "killed/done/|2|0|tear"])
def test_killed_runs_resume_with_other_ranks(wsvs, cli, tmp_path, how):
    """Before the third archive has its name, and in the middle of a line of a journal: nothing lost, nothing twice."""
    for number in range(4):
        make_film(tmp_path / f"v/{number}.mp4", 120, size=(48, 32), seed=number)
    words = [*WORDS[:-1], TARS, f"videos={tmp_path / 'v'}"]
    assert wsvs(*words, run_id="whole")[0] == 0
    words = [word if word != "out=out" else f"out={tmp_path / 'out'}" for word in words]
    cli.run(*words, sabotage=how, status=-signal.SIGKILL, WSVS_RUN_ID="killed")
    run = HERE / "killed"
    before = [path.name for path in (run / "tars").iterdir()]
    lines = (run / "done/rank-0.jsonl").read_bytes()
    assert len(before) == (2 if "tear" not in how else 3) and lines.count(b"\n") == 2
    assert lines.endswith(b"\n") == ("tear" not in how) and bool(list(run.glob(".tmp-*"))) == ("tear" not in how)
    cli.run(*(word for word in words if word != "trainer=cpu"), *TWO_RANKS, WSVS_RUN_ID="killed")
    assert contents(run) == contents(HERE / "whole")
    assert (run / "videos.jsonl").read_bytes() == (HERE / "whole/videos.jsonl").read_bytes()
    kept = [json.loads(line) for path in (run / "done").iterdir() for line in path.read_text().splitlines()]
    items = [item for line in kept for item in line["items"]]
    assert len(items) == len(set(items)) and not list(run.glob(".tmp-*"))
    assert {path.name for path in (run / "tars").iterdir()} == {f"{line['items'][0]}.tar" for line in kept}
