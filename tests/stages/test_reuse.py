"""Runs that take over the masks of unchanged files: the same files as a run of all, and nothing that is out of date."""

from __future__ import annotations

import logging
import multiprocessing
import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

from tests.films import make_film
from tests.processes import SEGMENT, files, rows, summary
from tests.stages.test_predict import write_checkpoint
from wsvs.core.reviews import Answer, Journal, subject_of
from wsvs.engine import reuse
from wsvs.records.journal import JournalLedger

WORDS = (
    *SEGMENT,
    "segment.workers=0",
    "segment.max_frames=4",
    "segment.overlay=true",
    "segment.instances=true",
    "videos=v",
)
LAST = (*WORDS, "segment.reuse=last")
HERE = Path("out/n/segment")


@pytest.fixture
def segment(wsvs, tmp_path):
    """Segments v/ and returns the run; a.mp4 and b.mp4 are segmented, torn.mp4 is refused."""
    for number, name in enumerate("ab"):
        make_film(tmp_path / f"v/{name}.mp4", 6 + 3 * number, seed=number)
    (tmp_path / "v/torn.mp4").write_bytes(b"no video")

    def call(run_id: str, *words: str) -> Path:
        status, _, err = wsvs(*(words or LAST), run_id=run_id)
        assert status == 3, err  # one is skipped
        return HERE / run_id

    call("first", *WORDS)
    return call


def check_same(made: Path, whole: Path) -> None:
    """All that a run has, but for the bytes of overlays, which an encoder may make different."""
    for folder in ("masks", "instances"):
        assert files(made / folder) == files(whole / folder) and files(made / folder)
    for name in ("videos.jsonl", "tracks.jsonl", "sources.jsonl"):
        assert rows(made / name) == rows(whole / name)
    for name in ("overlay", "terms", "done"):
        found = [sorted(path.relative_to(run).as_posix() for path in (run / name).rglob("*")) for run in (made, whole)]
        assert found[0] == found[1]
    seen = [JournalLedger(run / "seen") for run in (made, whole)]
    assert {name: seen[0].read(name) for name in seen[0].items()} == {
        name: seen[1].read(name) for name in seen[1].items()
    }
    assert summary(made)["counts"] == summary(whole)["counts"]


def linked(run: Path, other: Path) -> set[str]:
    """The videos all of whose masks are the very files of another run."""
    found: dict[str, bool] = {}
    for path in (run / "masks").rglob("*.png"):
        same = other / path.relative_to(run)
        found[path.parent.name] = found.get(path.parent.name, True) and same.is_file() and same.samefile(path)
    return {name for name, all_of_them in found.items() if all_of_them}


def test_only_new_and_changed_videos_are_segmented(segment, wsvs, caplog):
    caplog.set_level(logging.INFO, "wsvs")
    make_film(Path("v/b.mp4"), 7, seed=5)
    make_film(Path("v/c.mp4"), 5, seed=6)
    made = segment("second")
    assert linked(made, HERE / "first") == {"a"}
    assert f"taken over from {HERE / 'first'}: 1 of 4" in caplog.text
    check_same(made, segment("whole", *WORDS))
    Path("v/a.mp4").unlink()  # what is gone is not taken over
    third = segment("third")
    assert linked(third, HERE / "whole") == {"b", "c"} == {path.name for path in (third / "masks").iterdir()}
    shutil.rmtree(HERE / "whole")
    assert all(path.read_bytes() for path in (third / "masks").rglob("*.png"))


def test_what_failed_or_has_lost_files_is_done_again(segment):
    made = segment("second")
    assert linked(made, HERE / "first") == {"a", "b"}
    assert "failed" in JournalLedger(made / "seen").read("torn")
    (made / "overlay/a.mp4").unlink()
    (made / "masks/b/00002.png").unlink()
    assert not linked(segment("third"), made)
    check_same(HERE / "third", HERE / "first")


def test_shards_take_over_and_are_merged(segment, wsvs):
    """The merge takes over nothing by itself; it skips what the shards have skipped."""
    make_film(Path("v/b.mp4"), 7, seed=5)
    for number in range(2):
        assert wsvs(*LAST, f"segment.shard={number}/2", run_id="set")[0] in (0, 3)
    shutil.rmtree(HERE / "first/masks/b")
    status, _, err = wsvs("stage=merge", "name=n", "out=out", "logger=none", run_id="m")
    assert status == 3, err
    assert summary(Path("out/n/merge/m"))["counts"]["skipped items"] == 1
    made, whole = HERE / "merged-m", segment("whole", *WORDS)
    assert linked(made, HERE / "first") == {"a"}
    check_same(made, whole)


def test_another_class_or_other_settings_take_over_nothing(segment, wsvs, caplog):
    Path("v/cat").mkdir()
    os.rename("v/a.mp4", "v/cat/a.mp4")
    assert linked(segment("moved"), HERE / "first") == {"b"}
    other = segment("other", *LAST, "seed=7")
    assert "no finished run has these settings and inputs" in caplog.text and not linked(other, HERE / "moved")
    status, _, err = wsvs(*WORDS, "seed=7", f"segment.reuse={HERE / 'first'}", run_id="x")
    assert status == 2 and "made with other settings or inputs" in err and "segment.reuse=" in err
    status, _, err = wsvs(*WORDS, "segment.reuse=nowhere", run_id="y")
    assert status == 2 and "not a finished run of stage segment" in err
    assert linked(segment("named", *WORDS, f"segment.reuse={HERE / 'moved'}"), HERE / "moved") == {"a", "b"}


def test_a_kill_while_masks_are_taken_over(segment, wsvs, monkeypatch, caplog):
    """At the eighth link. Meanwhile a video changes: the resumed run must not take its old masks."""
    place, left = reuse.link_file, iter(range(7))

    def killed(path: Path, target: Path) -> None:
        if next(left, None) is None:
            os._exit(9)
        place(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(reuse, "link_file", killed)
        process = multiprocessing.get_context("fork").Process(target=wsvs, args=LAST, kwargs={"run_id": "second"})
        process.start()
        process.join(120)
    assert process.exitcode == 9 and (HERE / "second/masks/a").is_dir() and not (HERE / "second/masks/b").exists()
    make_film(Path("v/b.mp4"), 7, seed=5)
    made, whole = segment("second"), segment("whole", *WORDS)
    assert "changed since this run was started: 1 of 3 files (b)" in caplog.text
    assert linked(made, HERE / "first") == {"a"} and files(made / "masks") == files(whole / "masks")
    states = [{row["id"]: row["state"] for row in rows(run / "sources.jsonl")} for run in (made, whole)]
    assert states[0]["a"] == states[1]["a"]
    assert states[0]["b"] != states[1]["b"]  # that of before: the next run works on it again


def test_images_and_videos_of_predict(wsvs, tmp_path):
    """Images, a video and a broken file stay; an image changes, two have other tags, one is new; then the network."""
    write_checkpoint(tmp_path / "net.ckpt")
    long = "n" * 249  # with its suffix as long as a name may be
    colors = {
        "same": "red",
        "changed": "blue",
        "tagged": "green",
        "same/deep": "gray",
        "corrected": "pink",
        long: "tan",
    }
    for name, color in colors.items():
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (30, 20), color).save(tmp_path / f"in/{name}.png")
    (tmp_path / "in/torn.jpg").write_bytes(b"")
    make_film(tmp_path / "in/clip.mp4", 3, size=(32, 16))
    tags = {**dict.fromkeys(colors, "dog"), "same/deep": "cat", "torn": "cat", "clip": "cat"}

    def predict(run_id: str, *more: str) -> Path:
        (tmp_path / "tags.tsv").write_text("id\ttags\n" + "".join(f"{name}\t{tag}\n" for name, tag in tags.items()))
        words = ["stage=predict", "name=n", "out=out", f"predict.checkpoint={tmp_path}/net.ckpt", "trainer=cpu"]
        words += ["input='in/**/*'", "labels=tags.tsv", "predict.scores=true", "predict.workers=0", "logger=none"]
        status, _, err = wsvs(*words, *more, run_id=run_id)
        assert status == 3, err
        return Path("out/n/predict", run_id)

    first = predict("first")
    Image.new("RGB", (40, 20), "white").save(tmp_path / "in/changed.png")
    Image.new("RGB", (30, 20), "white").save(tmp_path / "in/new.png")
    tags |= {"new": "cat", "tagged": "cat"}
    with Journal(tmp_path / "out/n/review.jsonl") as journal:
        journal.answer(subject_of("image", "corrected", tmp_path / "in/corrected.png"), Answer(tags=("cat",)))
    made, whole = predict("second", "predict.reuse=last"), predict("whole")
    kept = {path.relative_to(made).as_posix() for path in made.rglob("*") if path.is_file()}
    kept = {name for name in kept if (first / name).is_file() and (first / name).samefile(made / name)}
    images = ("same", "same/deep", long)
    assert kept == {
        *(f"{name}.png" for name in images),
        *(f"scores/{name}.npz" for name in images),
        *(f"overlay/{name}.jpg" for name in images),
        *(f"done/{name}.json" for name in images),
        *(f"clip/{number:05d}.png" for number in range(3)),
        "overlay/clip.mp4",
        "done/clip.json",
    }
    assert files(made) == files(whole) and rows(made / "items.jsonl") == rows(whole / "items.jsonl")
    assert files(made, "*.npz").keys() == files(whole, "*.npz").keys()
    assert summary(made)["counts"] == summary(whole)["counts"]
    os.utime(tmp_path / "net.ckpt", (1, 1))  # another network at the same place
    third = predict("third", "predict.reuse=last")
    assert not any((third / f"{name}.png").samefile(whole / f"{name}.png") for name in colors)
