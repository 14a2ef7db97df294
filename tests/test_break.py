"""What real life does to a run: kills, broken files, full disks. What is finished stays, what is bad stops no other."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

pytestmark = pytest.mark.slow
TWO_RANKS = ("trainer=ddp", "trainer.devices=2", "trainer.accelerator=cpu")
KILLED = -signal.SIGKILL


def quoted(value: object) -> str:
    return "'" + str(value).replace("\\", "\\\\").replace("'", "\\'") + "'"


def summary(run: Path) -> dict:
    return json.loads((run / "summary.json").read_text())


def skipped(run: Path) -> dict[str, str]:
    return {item["item"]: item["reason"] for item in json.loads((run / "skipped.json").read_text())}


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def files(folder: Path, pattern: str = "*.png") -> dict[str, bytes]:
    """Files of results by name, hidden ones left out."""
    paths = [path for path in sorted(folder.rglob(pattern)) if not path.name.startswith(".")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def times(folder: Path, pattern: str) -> dict[Path, int]:
    paths = [path for path in folder.rglob(pattern) if not path.name.startswith(".")]
    return {path: path.stat().st_mtime_ns for path in paths}


def only_run(out: Path, stage: str) -> Path:
    [run] = (out / "n" / stage).iterdir()
    return run


def metrics(path: Path) -> list[dict[str, str]]:
    with path.open() as stream:
        return list(csv.DictReader(stream))


def check_went_on(run: Path, done: dict[Path, int], masks: dict[str, bytes]) -> None:
    """The run is whole, what was finished is untouched, and the masks are those of an undisturbed run."""
    assert done and all(path.stat().st_mtime_ns == time for path, time in done.items())
    assert files(run / "masks") == masks
    assert len(times(run / "done", "*.json")) == summary(run)["counts"]["shots"] > len(done)
    assert not list((run / "masks").rglob(".tmp-*"))


# --- kill -9 --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 2])
def test_a_killed_segmentation_goes_on(toy, cli, tmp_path, workers):
    """Killed between the last mask of the fourth shot and its line in the ledger."""
    words = [
        "stage=segment", *toy.words(), "name=n", f"out={tmp_path}", f"segment.workers={workers}",
        *toy.inputs("encoder", "relevance"),
    ]
    cli.run(*words, sabotage="/done/|3|0|kill", status=KILLED)
    run = only_run(tmp_path, "segment")
    done = times(run / "done", "*.json")
    assert len(done) == 3 and not (run / "summary.json").exists()
    stump = next(path for path in (run / "masks").rglob("*.png")).parent / ".tmp-0.png"
    stump.write_bytes(b"half a mask")  # where the kill came while a mask was written
    unfinished = {line["shot"] for line in lines(toy.run("segment") / "shots.jsonl")} - {
        str(path.relative_to(run / "done").with_suffix("")) for path in done
    }
    stump = stump.rename(run / "masks" / next(s for s in unfinished if (run / "masks" / s).is_dir()) / stump.name)
    cli.run(*words)
    check_went_on(only_run(tmp_path, "segment"), done, files(toy.run("segment") / "masks"))


@pytest.mark.parametrize("killed", [0, 1])
def test_when_one_rank_is_killed_the_other_ends_and_the_run_goes_on(toy, cli, tmp_path, killed):
    """The first rank ends with exit status 2, or is killed by Lightning, which watches over the others."""
    words = [
        "stage=segment", *toy.words(), *TWO_RANKS, "name=n", f"out={tmp_path}", *toy.inputs("encoder", "relevance"),
    ]
    process = cli.start(*words, sabotage=f"/done/|2|{killed}|kill")
    said, _ = process.communicate(timeout=600)  # returns when both have ended: they hold the same pipe
    assert process.returncode in ({KILLED} if killed == 0 else {KILLED, 2})
    if process.returncode == 2:
        assert "error: another rank ended before its time" in said and "goes on from there" in said
    assert not alive(process.pid)
    run = only_run(tmp_path, "segment")
    done = times(run / "done", "*.json")
    assert 2 <= len(done) < len(lines(toy.run("segment") / "shots.jsonl"))
    cli.run(*words)
    check_went_on(only_run(tmp_path, "segment"), done, files(toy.run("segment") / "masks"))


def alive(session: int) -> list[str]:
    """Living processes of a session."""
    listed = subprocess.run(["ps", "-o", "sid=,stat=,args=", "-A"], capture_output=True, text=True, check=True)
    found = [line.split(maxsplit=2) for line in listed.stdout.splitlines()]
    return [args for sid, state, args in found if sid == str(session) and not state.startswith("Z")]


def test_a_killed_prediction_goes_on(toy, cli, tmp_path):
    words = [
        "stage=predict", *toy.words(), "name=n", f"out={tmp_path}", f"input={quoted(toy.data / 'images')}",
        f"labels={quoted(toy.data / 'labels.tsv')}", *toy.inputs("adapt"),
    ]
    cli.run(*words, sabotage=".png|5|0|kill", status=KILLED)
    run = only_run(tmp_path, "predict")
    done = times(run, "*.png")
    assert len(done) == 5
    cli.run(*words)
    assert only_run(tmp_path, "predict") == run
    assert all(path.stat().st_mtime_ns == time for path, time in done.items())
    assert files(run) == files(toy.run("predict"))


def test_a_killed_training_goes_on_and_keeps_its_metrics(toy, cli, tmp_path):
    """Killed three times: while the checkpoint of the third epoch is written, and then of each epoch after it."""
    words = [word for word in toy.words() if not word.startswith("encoder.epochs")]
    words = ["stage=encoder", *words, "encoder.epochs=5", "trainer.log_every_n_steps=1", "name=n", f"out={tmp_path}"]
    for good in (2, 1, 1):
        cli.run(*words, sabotage=f"last.ckpt|{good}|0|kill", status=KILLED)
    run = only_run(tmp_path, "encoder")
    said = cli.run(*words)
    assert "goes on from" in said
    per_epoch = summary(run)["counts"]["train images"] // 4
    assert torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 5 * per_epoch
    seen = []
    for name in ("metrics.1.csv", "metrics.2.csv", "metrics.3.csv", "metrics.csv"):
        rows = metrics(run / name)
        seen.append([int(row["epoch"]) for row in rows if row["val/map"]])
        assert len([row for row in rows if row["train/loss"]]) == len(seen[-1]) * per_epoch
    assert seen == [[0, 1, 2], [2, 3], [3, 4], [4]]  # an epoch without its checkpoint is trained again
    best = max(float(row["val/map"]) for path in run.glob("metrics*.csv") for row in metrics(path) if row["val/map"])
    assert summary(run)["results"]["val/map"] == pytest.approx(best)


@pytest.mark.parametrize("stage", ["decoder", "adapt"])
def test_a_killed_training_in_steps_goes_on(toy, cli, tmp_path, stage):
    words = [
        f"stage={stage}", *toy.words(), "name=n", f"out={tmp_path}", f"{stage}.steps=8",
        *toy.inputs("encoder", "segment", "decoder"),
    ]
    cli.run(*words, sabotage="last.ckpt|2|0|kill", status=KILLED)
    run = only_run(tmp_path, stage)
    assert torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 4
    labels = times(run, "*.png")  # pseudo-labels of adapt
    assert "goes on from" in cli.run(*words)
    assert only_run(tmp_path, stage) == run
    assert torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 8
    assert all(path.stat().st_mtime_ns == time for path, time in labels.items()) and (stage == "decoder" or labels)
    validated = [[row["step"] for row in metrics(run / f"metrics{k}.csv") if row["val/miou"]] for k in (".1", "")]
    assert validated == [["1", "3", "5"], ["5", "7"]]


# --- signals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("stage", "sent", "status", "ranks"), [
    ("encoder", signal.SIGINT, 130, ()), ("segment", signal.SIGTERM, 143, ()),
    ("encoder", signal.SIGTERM, 143, TWO_RANKS), ("segment", signal.SIGINT, 130, TWO_RANKS),
])
def test_a_signal_stops_a_run_with_one_line(toy, cli, tmp_path, stage, sent, status, ranks):
    """Ctrl-C reaches all processes of a terminal, SIGTERM here the first one alone."""
    inputs = toy.inputs("encoder", "relevance") if stage == "segment" else []
    process = cli.start(
        f"stage={stage}", *toy.words(), *ranks, "name=n", f"out={tmp_path}", "encoder.epochs=500", *inputs
    )
    cli.wait_for(process, tmp_path, "n/*/*/checkpoints/last.ckpt" if stage == "encoder" else "n/*/*/done/*/*.json")
    (os.killpg if sent == signal.SIGINT else os.kill)(process.pid, sent)
    said = cli.finish(process, status)
    assert said.count("stopped; the same command goes on from here") >= 1
    assert "Traceback" not in said
    assert not alive(process.pid)
    assert not (only_run(tmp_path, stage) / "summary.json").exists()


# --- broken videos --------------------------------------------------------------------------------------------------


def write_video(path: Path, frames: np.ndarray, pix_fmt: str) -> None:
    """(T, H, W, 3) uint8, without loss."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", rate=10)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pix_fmt
        for frame in frames:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        out.mux(stream.encode(None))


def test_bad_videos_among_good_ones(toy, cli, tmp_path):
    """From retrieval to the masks: each bad one is named once, odd ones work, a class may have none at all."""
    videos = tmp_path / "videos"
    (videos / "polar bear").mkdir(parents=True)
    (videos / "it's a=zebra").mkdir()
    shown = sorted((toy.data / "videos").iterdir())[:2]
    shutil.copy(shown[0], videos / "it's a=zebra" / "good.mp4")
    content = shown[1].read_bytes()
    noise = np.random.default_rng(0).integers(0, 255, (7, 67, 91, 3), np.uint8)
    bears = videos / "polar bear"
    (bears / "cut.mp4").write_bytes(content[: len(content) * 2 // 3])
    (bears / "empty.mp4").write_bytes(b"")
    (bears / "text.mp4").write_text("no video\n" * 100)
    write_video(bears / "grey.mkv", np.repeat(noise[..., :1], 3, axis=3), "gray")
    write_video(bears / "odd.mkv", noise, "bgr0")
    write_video(bears / "single.mkv", noise[:1], "bgr0")
    words = [*toy.words(), "name=n", f"out={tmp_path / 'out'}", f"retrieve.root={videos}", "retrieve.labels=null",
             "relevance.min_frames=1"]
    said = cli.run("stage=retrieve", *words, status=3)
    retrieved = only_run(tmp_path / "out", "retrieve")
    assert set(skipped(retrieved)) == {"polar bear/cut", "polar bear/empty", "polar bear/text"}
    assert all(f"passed over {name}: failed: " in said for name in skipped(retrieved))
    counts = summary(retrieved)["counts"]
    assert (counts["retrieved"], counts["failed"], counts["passed over"]) == (4, 3, 3)
    assert counts["classes_without_video"] == ["Pfau (grün)"]
    cli.run("stage=relevance", *words, *toy.inputs("encoder"))
    counts = summary(only_run(tmp_path / "out", "relevance"))["counts"]
    assert (counts["clips"], counts["clips with a shot"], counts["classes without a shot"]) == (4, 4, 1)
    cli.run("stage=segment", *words, *toy.inputs("encoder"))
    run = only_run(tmp_path / "out", "segment")
    masks = {path: Image.open(run / "masks" / path).size for path in files(run / "masks")}
    # seven frames make a shot of six and one of one, as the single frame does
    assert sorted(size for path, size in masks.items() if "good" not in path) == [(91, 67)] * 15
    assert summary(run)["counts"]["passed over"] == 0


def test_clips_that_break_after_they_were_retrieved(toy, cli, tmp_path):
    retrieved = tmp_path / "retrieved"
    shutil.copytree(toy.run("retrieve"), retrieved)
    first, second, third, *_ = (row["clips"][0] for row in lines(retrieved / "manifest.jsonl"))
    (retrieved / first["path"]).write_bytes(b"")
    (retrieved / second["path"]).unlink()
    whole = (retrieved / third["path"]).read_bytes()
    frames = np.stack([np.full((64, 96, 3), 20 * t, np.uint8) for t in range(third["stop"])])
    write_video(retrieved / "long.mkv", frames, "bgr0")
    content = (retrieved / "long.mkv").read_bytes()
    (retrieved / third["path"]).write_bytes(content[: len(content) // 2])
    words = [*toy.words(), "name=n", f"out={tmp_path / 'out'}", *toy.inputs("encoder")]
    cli.run("stage=relevance", *words, f"inputs.retrieve={retrieved}", status=3)
    run = only_run(tmp_path / "out", "relevance")
    reasons = skipped(run)
    assert set(reasons) == {first["clip"], second["clip"], third["clip"]}
    assert "empty" in reasons[first["clip"]] and "not found" in reasons[second["clip"]]
    assert "only its first " in reasons[third["clip"]]
    shots = {shot["clip"]: shot for shot in lines(run / "shots.jsonl")}
    others = {shot["clip"]: shot["score"] for shot in lines(toy.run("relevance") / "shots.jsonl")}
    assert set(shots) == set(others) - {first["clip"], second["clip"]}
    assert 6 <= shots[third["clip"]]["stop"] < third["stop"]  # what came before the break is used
    assert all(shots[clip]["score"] == others[clip] for clip in shots if clip != third["clip"])
    # and before they are segmented
    (retrieved / third["path"]).write_bytes(whole[: len(whole) // 2])
    cli.run("stage=segment", *words, status=3)
    run = only_run(tmp_path / "out", "segment")
    assert {name.rpartition("_")[0] for name in skipped(run)} == {third["clip"]}
    masks, good = files(run / "masks"), files(toy.run("segment") / "masks")
    assert masks == {path: mask for path, mask in good.items() if path.startswith(tuple(set(shots) - {third["clip"]}))}
    shown = [line["shot"] for line in lines(run / "shots.jsonl")]
    assert {path.rpartition("/")[0] for path in masks} == set(shown)


# --- broken images and masks ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bad_images(toy, tmp_path_factory) -> tuple[Path, set[str]]:
    root = tmp_path_factory.mktemp("bad") / "images"
    shutil.copytree(toy.data / "images", root)
    empty, cut, text = sorted(root.iterdir())[:3]
    empty.write_bytes(b"")
    cut.write_bytes(cut.read_bytes()[:400])
    text.write_text("no picture")
    return root, {path.stem for path in (empty, cut, text)}


def test_bad_images_in_training(toy, cli, bad_images, tmp_path):
    root, broken = bad_images
    words = [*toy.words(), f"data.root={quoted(root)}", "name=n", f"out={tmp_path}"]
    cli.run("stage=encoder", *words, "encoder.batch_size=1", "model.batch_norm=false", status=3)
    run = only_run(tmp_path, "encoder")
    assert set(skipped(run)) == broken and (run / "checkpoints" / "best.ckpt").is_file()
    cli.run("stage=adapt", *words, *toy.inputs("decoder"), status=3)
    run = only_run(tmp_path, "adapt")
    assert set(skipped(run)) <= broken  # images without a tag have no part in it
    assert set(skipped(run)) == {name for name in broken if tags(toy)[name]}
    made = files(run / "masks")
    assert set(made) == {f"{name}.png" for name, given in tags(toy).items() if given and name not in broken}


def tags(toy) -> dict[str, str]:
    rows = [line.split("\t") for line in (toy.data / "labels.tsv").read_text().splitlines()[1:]]
    return dict(rows)


def test_bad_images_in_prediction(toy, cli, bad_images, tmp_path):
    root, broken = bad_images
    said = cli.run(
        "stage=predict", *toy.words(), "name=n", f"out={tmp_path}", f"input={quoted(root)}",
        f"labels={quoted(toy.data / 'labels.tsv')}", *toy.inputs("adapt"), *TWO_RANKS, status=3,
    )
    run = only_run(tmp_path, "predict")
    assert set(skipped(run)) == broken
    assert files(run) == {
        path: mask for path, mask in files(toy.run("predict")).items() if path.removesuffix(".png") not in broken
    }
    assert summary(run)["counts"]["masks"] == 21 and "passed over" in said


def test_bad_masks_in_evaluation(toy, cli, tmp_path):
    """Of another size, with a label of no class, unreadable, missing: named and left out; the others are scored."""
    predictions = tmp_path / "predictions"
    shutil.copytree(toy.run("predict"), predictions)
    size, label, text, missing, *good = sorted(predictions.glob("*.png"))
    Image.new("L", (5, 7)).save(size)
    Image.fromarray(np.full(np.asarray(Image.open(label)).shape, 77, np.uint8)).save(label)
    text.write_text("no mask")
    missing.unlink()
    words = ["stage=evaluate", *toy.words(), "name=n", f"out={tmp_path / 'out'}", f"predictions={predictions}"]
    truth = f"truth={quoted(toy.data / 'masks')}"
    cli.run(*words, truth, status=3)
    run = only_run(tmp_path / "out", "evaluate")
    assert {Path(name).name for name in skipped(run)} == {path.name for path in (size, label, text, missing)}
    assert summary(run)["counts"]["images"] == len(good) == 20
    reasons = {Path(name).name: reason for name, reason in skipped(run).items()}
    assert "5 x 7" in reasons[size.name] and "77" in reasons[label.name]
    for path in good:
        path.unlink()
    said = cli.run(*words, truth, status=2)
    assert "error: nothing could be scored" in said and "Traceback" not in said


# --- the disk -------------------------------------------------------------------------------------------------------


def test_a_folder_that_cannot_be_written(toy, cli, tmp_path):
    (tmp_path / "file").write_text("in the way")
    for stage in ("encoder", "retrieve"):
        said = cli.run(f"stage={stage}", *toy.words(), "name=n", f"out={tmp_path / 'file'}", status=2)
        assert said.startswith("error: cannot write here") and str(tmp_path / "file") in said
        assert "out=DIR" in said and "Traceback" not in said


@pytest.mark.parametrize(("stage", "place"), [
    ("encoder", "last.ckpt|1"), ("segment", "/masks/|20"), ("predict", ".png|3"), ("retrieve", "/manifest.jsonl|0"),
    ("relevance", "/scores/|2"), ("evaluate", "/confusion.csv|0"),
])
def test_a_disk_that_is_full_for_a_while(toy, cli, tmp_path, stage, place):
    """The space ends at a known file; with space again the same command completes what it began."""
    words = [
        f"stage={stage}", *toy.words(), "name=n", f"out={tmp_path}", "encoder.epochs=3",
        *toy.inputs("encoder", "retrieve", "relevance", "adapt"), f"input={quoted(toy.data / 'images')}",
        f"labels={quoted(toy.data / 'labels.tsv')}", f"predictions={quoted(toy.run('predict'))}",
        f"truth={quoted(toy.data / 'masks')}",
    ]
    said = cli.run(*words, sabotage=f"{place}|0|full", status=2)
    assert said.count("error: ") == 1 and "error: no space left on the disk" in said and str(tmp_path) in said
    assert "run the same command again" in said and "Traceback" not in said
    run = only_run(tmp_path, stage)
    assert not (run / "summary.json").exists() and not list(run.rglob(".tmp-*"))
    cli.run(*words)
    assert only_run(tmp_path, stage) == run and (run / "summary.json").is_file()
    if stage != "encoder":
        assert files(run) == files(toy.run(stage))


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own and a function that gives it a size in KiB."""
    mounted = tmp_path / "disk"
    mounted.mkdir()

    def mount(*options: str) -> bool:
        command = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(mounted)]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    if shutil.which("mount") is None or not mount("size=16k"):
        pytest.skip("may not mount a file system")
    yield mounted, lambda kib: mount("remount", f"size={kib}k")
    subprocess.run(["umount", str(mounted)], check=True)


def test_a_real_full_disk(toy, cli, small_disk):
    """Full before the run begins, then in its middle, then with room."""
    disk, resize = small_disk
    words = ["stage=segment", *toy.words(), "name=n", f"out={disk}", *toy.inputs("encoder", "relevance")]
    for kib in (16, 300):
        assert resize(kib)
        said = cli.run(*words, status=2)
        assert "error: no space left on the disk" in said and "Traceback" not in said
    [run] = [path.parent for path in (disk / "n" / "segment").glob("*/inputs.json")]
    done = times(run / "done", "*.json")
    assert resize(20000)
    cli.run(*words)
    check_went_on(run, done, files(toy.run("segment") / "masks"))
