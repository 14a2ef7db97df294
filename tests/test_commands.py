"""The commands of README and docs, run on the smallest data; those that cannot run here are named with the reason."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.core.global_hydra import GlobalHydra
from PIL import Image

from tests.imported import importer
from tests.pages import PAGES, commands, write_files
from tests.processes import TINY
from wsvs.cli import main
from wsvs.core.masks import write_mask
from wsvs.nets.backbones import build_backbone

# Part of a command -> why it is only composed (tests/test_readme.py), and which test runs the like of it.
NOT_RUN = {
    "make ": "makes an environment: tests/test_pipeline_toy.py is the demo",
    "stage=pipeline name=toy data=synthetic": "the demo",
    "python -m benchmarks": "real videos and minutes: tests/test_benchmarks.py",
    "retrieve=youtube": "the web: tests/stages/test_retrieve.py with canned answers",
    "retrieve=urls": "the web: tests/retrieve/test_web.py with a server of its own",
    "data=voc12": "gigabytes: tests/data/test_voc.py makes a small one",
    "data=youtube_objects": "gigabytes: tests/stages/test_data.py makes a small one",
    "data=davis": "gigabytes: tests/data/test_frame_folders.py makes a small one",
    "experiment=table": "the paper's data sets: tests/test_configs.py",
    "outputs/paper": "the paper's data sets: tests/stages/test_data.py packs a small result",
    "experiment=animals": "thousands of real images",
    "adapt.corrected=": "masks of the user's own: tests/data/test_corrected.py, tests/stages/test_adapt.py",
    "python docs/onnx_example.py": "no wsvs in it: tests/stages/test_export_model.py",
    "export.format=onnx": "a minute each: tests/stages/test_export_model.py",
    "export.format=torch_export": "a minute each: tests/stages/test_export_model.py",
    "name=many": "several shards of one set: tests/stages/test_shards.py",
    "stage=review": "a person: tests/stages/test_review_browser.py",
    "stage=reproduce": "whole pipelines: tests/stages/test_reproduce.py",
    "trainer=ddp": "several processes: tests/test_launch.py",
    "trainer=gpu": "a GPU",
    "model=timm": "an extra that the tests do without",
    "sbatch ": "a cluster: tests/test_slurm.py",
    "hydra/launcher=slurm": "a cluster: tests/test_slurm.py",
    "logger=tensorboard": "tests/stages/test_loggers.py",
    "logger=mlflow": "tests/stages/test_loggers.py",
    "logger=[csv": "tests/stages/test_loggers.py",
    "logger=wandb": "an account, or its files: the tests of tracking",
}
CLASSES = ("tiger", "panda")
NET = ("model=vgg_small", "model.image_size=48", "model.scales=[1.0]")
LITTLE = {  # settings of a stage that make it short; what the command itself says wins
    "encoder": (*NET, "model.hidden=8", "encoder.epochs=1", "encoder.batch_size=4", "encoder.workers=0"),
    "retrieve": ("retrieve.threshold=0",),
    "segment": ("debug=fast", "segment.superpixels=60", "segment.max_frames=6", "segment.workers=0"),
    "decoder": (*NET, "debug=fast", "decoder.batch_size=2", "decoder.val_items=2", "decoder.workers=0"),
    "predict": ("debug=fast", "predict.workers=0"),
    "pipeline": TINY[1:],
    "report": ("report.images=2",),
}
SHORT_SWEEPS = {  # one or two jobs instead of all; no sweep may be left with nothing to sweep
    "sweep=seeds": ("seed=0,1",),
    "sweep=learning_rate": ("decoder.lr=1e-4,1e-3", "decoder.crop=frame"),
    "sweep=search": ("hydra.sweeper.n_trials=1",),
    "sweep=terms": ("segment.lambda_a=0,2", "segment.lambda_c=0"),
    "sweep=smoothness": ("segment.alpha_s=50", "segment.alpha_t=40", "segment.clip_a=0.05,0.1"),
}


PLACES = {line: page for page in reversed(PAGES) for line in commands(page)}  # a command runs with its first page


def reason(line: str) -> str | None:
    return next((why for part, why in NOT_RUN.items() if part in line), None)


def to_run(page: Path) -> list[str]:
    return [line for line in dict.fromkeys(commands(page)) if PLACES[line] == page and reason(line) is None]


def test_every_reason_is_needed():
    lines = [line for page in PAGES for line in commands(page)]
    assert [part for part in NOT_RUN if not any(part in line for line in lines)] == []


@pytest.fixture
def world(tiny_runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the pages speak of: images, videos, tables, masks, weights, and finished runs of each name."""
    monkeypatch.chdir(tmp_path)
    toy = tiny_runs / "world"
    for name in ("toy", "mine", "voc", "tiny"):
        for stage in (path for path in tiny_runs.iterdir() if path.name != "world"):
            (tmp_path / "outputs" / name / stage.name).mkdir(parents=True)
            for run in stage.iterdir():
                (tmp_path / "outputs" / name / stage.name / run.name).symlink_to(run)
    for number in "01":  # the jobs of a sweep
        (tmp_path / "outputs/mine/segment/RUN").mkdir(exist_ok=True)
        segmented = max((tiny_runs / "segment").iterdir(), key=lambda run: -len(run.name))
        (tmp_path / "outputs/mine/segment/RUN" / number).symlink_to(segmented)
    _images(toy, tmp_path)
    _videos(toy, tmp_path)
    for name in ("some_masks", "true_masks"):
        write_mask(tmp_path / name / "a.png", np.repeat(np.arange(3, dtype=np.uint8), 4)[None].repeat(9, 0))
    for name in ("vgg16-397923af.pth", "tf_efficientnet_lite2-dcccb7df.pth"):
        torch.save(build_backbone("vgg_small").state_dict(), tmp_path / name)
    for name, stage in (("best.ckpt", "adapt"), ("encoder.ckpt", "encoder")):
        shutil.copy(next((tiny_runs / stage).glob("*/checkpoints/best.ckpt")), tmp_path / name)
    return tmp_path


def _images(toy: Path, folder: Path) -> None:
    rows = [line.split("\t") for line in (toy / "labels.tsv").read_text().splitlines()[1:]]
    table = ["id\ttags"]
    for name in CLASSES:
        for image in [image for image, tags in rows if tags == name][:3]:
            (folder / "my_images" / name).mkdir(parents=True, exist_ok=True)
            shutil.copy(toy / "images" / f"{image}.jpg", folder / "my_images" / name)
            table.append(f"{name}/{image}\t{name}")
    (folder / "labels.tsv").write_text("\n".join(table) + "\n")
    shutil.copytree(folder / "my_images", folder / "images")
    picture = Image.open(next((toy / "images").glob("*.jpg")))
    for name in ("photo.jpg", "photos/a.jpg", "photos/deep/b.jpg", "my photos/cat, (1).jpg", "more_images/c.jpg"):
        (folder / name).parent.mkdir(exist_ok=True)
        picture.save(folder / name)


def _videos(toy: Path, folder: Path) -> None:
    table = ["id\ttags"]
    (folder / "more_videos").mkdir()
    for name in CLASSES:
        video = min((toy / "videos").glob(f"{name}_*.mp4"), key=lambda path: path.stat().st_size)
        (folder / "my_videos" / name).mkdir(parents=True)
        shutil.copy(video, folder / "my_videos" / name)
        shutil.copy(video, folder / "more_videos")
        table.append(f"{name}/{video.stem}\t{name}")
        (folder / "video_truth" / name).mkdir(parents=True)
        (folder / "video_truth" / name / video.stem).symlink_to(toy / "video_masks" / video.stem)
    for masks in (toy / "video_masks").iterdir():  # shots are named after their clip alone
        (folder / "video_truth" / masks.name).symlink_to(masks)
    (folder / "video_masks").symlink_to("video_truth")  # of any other tool
    (folder / "classes.tsv").write_text("\n".join(table) + "\n")
    shutil.copy(video, folder / "video.mp4")


def arguments(line: str) -> list[str]:
    """The words after `wsvs`, with settings in front that keep the stage short."""
    words = shlex.split(line)
    words = words[words.index("wsvs") + 1 :]
    stage = next(word.removeprefix("stage=") for word in words if word.startswith("stage="))
    groups = {word.partition("=")[0] for word in words}
    little = [word for word in LITTLE.get(stage, ()) if word.partition("=")[0] not in groups - {"experiment"}]
    sweep = next((extra for name, extra in SHORT_SWEEPS.items() if name in words), ())
    if any(word.startswith("hydra/launcher=") for word in words):  # with the default number of loader workers
        little = [word for word in little if not word.endswith(".workers=0")]
        sweep = ("hydra.sweeper.n_trials=3",) if "sweep=search" in words else sweep  # one is there
    toy = ("data.world.images=24", "data.world.clips_per_class=1") if "data=synthetic" in words else ()
    return ["trainer.accelerator=cpu", *little, *toy, *words, *sweep]


def run(words: Sequence[str], monkeypatch: pytest.MonkeyPatch, number: int) -> int:
    """Exit status. All in this process, which has imported torch, but for what starts processes of its own."""
    if {"stage=pipeline", "stage=reproduce"} & set(words) or any(word.startswith("hydra/launcher=") for word in words):
        process = importer.start(words, os.environ | {"OMP_NUM_THREADS": "1"}, Path.cwd())
        print(process.communicate(600)[0])
        return process.wait()
    monkeypatch.setattr(sys, "argv", ["wsvs", *words])
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    before, handlers = dict(os.environ), {stop: signal.getsignal(stop) for stop in (signal.SIGINT, signal.SIGTERM)}
    os.environ["WSVS_RUN_ID"] = f"r{number}"
    GlobalHydra.instance().clear()
    try:
        with pytest.raises(SystemExit) as ended:
            main()
    finally:
        os.environ.clear()
        os.environ.update(before)
        for stop, handler in handlers.items():
            signal.signal(stop, handler)
        GlobalHydra.instance().clear()
    return int(ended.value.code or 0)


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if to_run(page)], ids=lambda page: page.name)
def test_commands_run(page, world, monkeypatch, capfd):
    if write_files(page, world):
        monkeypatch.syspath_prepend(world)  # the page says PYTHONPATH=.
    for number, line in enumerate(to_run(page)):
        capfd.readouterr()
        status = run(arguments(line), monkeypatch, number)
        said = capfd.readouterr()
        # Not 3 either: nothing in this data set has to be skipped, so a command that does is wrong.
        assert status == 0, f"{line}\n{said.out[-2000:]}\n{said.err[-2000:]}"
