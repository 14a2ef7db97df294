"""Broken files and full disks: what is bad is named and counted and stops nothing else."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from tests.films import assert_same_films, make_film
from tests.processes import TWO_RANKS, files, only_run, quoted, rows, skipped, summary, times

pytestmark = pytest.mark.slow


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
    words = [
        *toy.words(),
        "name=n",
        f"out={tmp_path / 'out'}",
        f"retrieve.root={videos}",
        "retrieve.labels=null",
        "relevance.min_frames=1",
    ]
    said = cli.run("stage=retrieve", *words, status=3)
    retrieved = only_run(tmp_path / "out", "retrieve")
    assert set(skipped(retrieved)) == {"polar bear/cut", "polar bear/empty", "polar bear/text"}
    assert all(f"skipped {name}: failed: " in said for name in skipped(retrieved))
    counts = summary(retrieved)["counts"]
    assert (counts["retrieved"], counts["failed"], counts["skipped items"]) == (4, 3, 3)
    assert counts["classes_without_video"] == ["Pfau (grün)"]
    cli.run("stage=relevance", *words, *toy.inputs("encoder"))
    counts = summary(only_run(tmp_path / "out", "relevance"))["counts"]
    assert (counts["clips"], counts["clips with a shot"], counts["classes without a shot"]) == (4, 4, 1)
    cli.run("stage=segment", *words, *toy.inputs("encoder"))
    run = only_run(tmp_path / "out", "segment")
    masks = {path: Image.open(run / "masks" / path).size for path in files(run / "masks")}
    # seven frames make a shot of six and one of one, as the single frame does
    assert sorted(size for path, size in masks.items() if "good" not in path) == [(91, 67)] * 15
    assert summary(run)["counts"]["skipped items"] == 0


def test_clips_that_break_after_they_were_retrieved(toy, cli, tmp_path):
    retrieved = tmp_path / "retrieved"
    shutil.copytree(toy.run("retrieve"), retrieved)
    first, second, third, *_ = (row["clips"][0] for row in rows(retrieved / "manifest.jsonl"))
    (retrieved / first["path"]).write_bytes(b"")
    (retrieved / second["path"]).unlink()
    whole = (retrieved / third["path"]).read_bytes()
    frames = np.stack([np.full((64, 96, 3), (10 * t) % 256, np.uint8) for t in range(third["stop"])])
    write_video(retrieved / "long.mkv", frames, "bgr0")
    content = (retrieved / "long.mkv").read_bytes()
    (retrieved / third["path"]).write_bytes(content[: len(content) // 2])
    words = [*toy.words(), "name=n", f"out={tmp_path / 'out'}", *toy.inputs("encoder")]
    cli.run("stage=relevance", *words, f"inputs.retrieve={retrieved}", status=3)
    run = only_run(tmp_path / "out", "relevance")
    reasons = skipped(run)
    assert set(reasons) == {first["clip"], second["clip"], third["clip"]}
    assert "empty" in reasons[first["clip"]] and "not found" in reasons[second["clip"]]
    assert "only the first frames" in reasons[third["clip"]]
    shots = {shot["clip"]: shot for shot in rows(run / "shots.jsonl")}
    others = {shot["clip"]: shot["score"] for shot in rows(toy.run("relevance") / "shots.jsonl")}
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
    shown = [line["shot"] for line in rows(run / "shots.jsonl")]
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
    return dict(line.split("\t") for line in (toy.data / "labels.tsv").read_text().splitlines()[1:])


def test_bad_images_in_prediction(toy, cli, bad_images, tmp_path):
    root, broken = bad_images
    said = cli.run(
        "stage=predict",
        *toy.words(),
        "name=n",
        f"out={tmp_path}",
        f"input={quoted(root)}",
        f"labels={quoted(toy.data / 'labels.tsv')}",
        *toy.inputs("adapt"),
        *TWO_RANKS,
        status=3,
    )
    run = only_run(tmp_path, "predict")
    assert set(skipped(run)) == broken
    assert files(run) == {
        path: mask for path, mask in files(toy.run("predict")).items() if path.removesuffix(".png") not in broken
    }
    assert summary(run)["counts"]["masks"] == 21 and "skipped" in said


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
    assert "5x7" in reasons[size.name] and "77" in reasons[label.name]
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


@pytest.mark.parametrize(
    ("stage", "place"),
    [
        ("encoder", "last.ckpt|1"),
        ("segment", "/masks/|20"),
        ("predict", ".png|3"),
        ("retrieve", "/manifest.jsonl|0"),
        ("relevance", "/scores/|2"),
        ("evaluate", "/confusion.csv|0"),
    ],
)
def test_a_disk_that_is_full_for_a_while(toy, cli, tmp_path, stage, place):
    """The space ends at a known file; with space again the same command completes what it began."""
    words = [
        f"stage={stage}",
        *toy.words(),
        "name=n",
        f"out={tmp_path}",
        "encoder.epochs=3",
        *toy.inputs("encoder", "retrieve", "relevance", "adapt"),
        f"input={quoted(toy.data / 'images')}",
        f"labels={quoted(toy.data / 'labels.tsv')}",
        f"predictions={quoted(toy.run('predict'))}",
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
    assert done and all(path.stat().st_mtime_ns == time for path, time in done.items())
    assert files(run / "masks") == files(toy.run("segment") / "masks")


def test_whole_videos_on_a_full_disk(cli, small_disk, tmp_path):
    """Two ranks; the space ends while masks and overlays are written, and what was written is kept."""
    disk, resize = small_disk
    for number in range(3):
        make_film(tmp_path / "v" / f"{number}.mp4", 30, size=(192, 128), seed=number)
    words = [
        "stage=segment",
        "experiment=motion",
        f"videos={tmp_path / 'v'}",
        "name=n",
        *TWO_RANKS,
        "segment.max_frames=6",
        "segment.superpixels=60",
        "segment.flow=dis_ultrafast",
        "segment.overlay=true",
        "segment.workers=0",
    ]
    assert resize(250)
    said = cli.run(*words, f"out={disk}", status=2)
    assert "no space left on the disk" in said and "run the same command again" in said and "Traceback" not in said
    [run] = (disk / "n" / "segment").iterdir()
    done = times(run / "done", "*.json")
    assert done and not (run / "summary.json").exists()
    assert resize(20000)
    cli.run(*words, f"out={disk}")
    assert all(path.stat().st_mtime_ns == time for path, time in done.items())
    cli.run(*words, f"out={tmp_path}")
    again = only_run(tmp_path, "segment")
    assert files(run / "masks") == files(again / "masks") != {}
    assert_same_films(run / "overlay", again / "overlay")
    assert not list(run.rglob(".tmp-*"))
