"""logger=tensorboard and logger=mlflow: the event files and the store are read back. W&B: test_wandb.py."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from omegaconf import OmegaConf

from wsvs.core.masks import write_mask
from wsvs.engine.mlflow import Mlflow
from wsvs.engine.tensorboard import TensorBoard
from wsvs.lit.media import LoggedImage, animated
from wsvs.lit.overlay import write_overlay

EVALUATE = ["stage=evaluate", "name=n", "predictions=masks", "truth=truth", "evaluate.names=[background,cat]"]


def events(folder: Path):
    """What TensorBoard shows of a run."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    found = accumulator.EventAccumulator(str(folder / "tensorboard"), size_guidance={"images": 0, "scalars": 0})
    return found.Reload()


def store(folder: Path):
    """The MLflow client and the id of a run."""
    mlflow = pytest.importorskip("mlflow")
    record = json.loads((folder / "mlflow.json").read_text())
    return mlflow.MlflowClient(record["tracking_uri"]), record["id"]


def images_below(client, run: str, path: str = "") -> set[str]:
    found = set()
    for one in client.list_artifacts(run, path or None):
        found |= images_below(client, run, one.path) if one.is_dir else {one.path}
    return found


@pytest.fixture
def masks(tmp_path):
    for name, rows in (("a", 4), ("b", 6)):
        truth = np.zeros((8, 8), np.uint8)
        truth[:4] = 1
        write_mask(tmp_path / "truth" / f"{name}.png", truth)
        predicted = np.zeros((8, 8), np.uint8)
        predicted[:rows] = 1
        write_mask(tmp_path / "masks" / f"{name}.png", predicted)


def test_scores_go_to_all_loggers_at_once(wsvs, masks, tmp_path):
    pytest.importorskip("tensorboard")
    pytest.importorskip("mlflow")
    status, _, err = wsvs(*EVALUATE, "logger=[csv,tensorboard,mlflow]", run_id="one")
    assert status == 0, err
    folder = tmp_path / "outputs" / "n" / "evaluate" / "one"
    cat = 64 / 80  # of two images: 32 + 32 pixels are right, 16 too many
    shown = events(folder)
    assert shown.Scalars("eval/iou/cat")[0].value == pytest.approx(cat)
    texts = {tag: shown.Tensors(tag)[0].tensor_proto.string_val[0].decode() for tag in shown.Tags()["tensors"]}
    assert "stage: evaluate" in texts["config/text_summary"]
    assert "| cat |" in texts["eval/per_class/text_summary"] and "eval/confusion/text_summary" in texts
    client, run = store(folder)
    kept = client.get_run(run)
    assert kept.data.metrics["eval/iou/cat"] == pytest.approx(cat)
    assert (kept.info.status, kept.data.tags["stage"]) == ("FINISHED", "evaluate")
    assert kept.data.tags["override.truth"] == "truth"
    assert {"metrics.json", "per_class.csv", "confusion.csv", "config.yaml"} <= images_below(client, run)
    assert (tmp_path / "outputs" / "mlruns").is_dir()
    assert client.get_experiment(kept.info.experiment_id).name == "n"


def test_a_mistake_ends_the_mlflow_run_as_failed(wsvs, masks, tmp_path):
    pytest.importorskip("mlflow")
    assert wsvs(*EVALUATE, "logger=mlflow", "evaluate.classes=[zebra]", run_id="one")[0] == 2
    client, run = store(tmp_path / "outputs" / "n" / "evaluate" / "one")
    assert client.get_run(run).info.status == "FAILED"


def test_a_store_that_cannot_be_opened_is_a_mistake(wsvs, masks):
    pytest.importorskip("mlflow")
    status, _, err = wsvs(*EVALUATE, "logger=mlflow", "logger.mlflow.tracking_uri=nothing://x", run_id="one")
    assert status == 2 and "MLflow does not open a run" in err and "logger.mlflow.tracking_uri=" in err


@pytest.fixture
def training(tmp_path):
    """A run of stage decoder, as trackers see it."""
    cfg = OmegaConf.create({"stage": "decoder", "out": str(tmp_path)})
    home = SimpleNamespace(name="n")
    return SimpleNamespace(dir=tmp_path / "run", stage="decoder", id="r", home=home, cfg=cfg, overrides=["a.b=1"])


SETTINGS = {"tensorboard": TensorBoard(media=2), "mlflow": Mlflow(experiment="n", folder="mlruns", media=2)}


@pytest.mark.parametrize("name", list(SETTINGS))
def test_a_resumed_training_has_every_step_once(training, monkeypatch, tmp_path, name):
    """Killed after step 7, it resumes from a checkpoint of step 5, with the same values."""
    pytest.importorskip(name)
    monkeypatch.chdir(tmp_path)
    training.dir.mkdir()
    image = LoggedImage(np.full((20, 30, 3), 90, np.uint8), "cat", {"target": np.eye(20, 30, dtype=np.uint8)})
    for steps in (range(8), range(5, 10)):
        tracker = SETTINGS[name].tracker(training, ())
        tracker.open()
        for step in steps:
            tracker.log({"train/loss": 1 / (1 + step)}, step)
            if step in (4, 6):
                tracker.show("val/masks", [image] * 2, ["background", "cat"], step)
    tracker.finished({"items": 3, "split": "all"}, {"val/miou": 0.5})
    tracker.close(0)
    if name == "tensorboard":
        shown = events(training.dir)
        found = [(one.step, one.value) for one in shown.Scalars("train/loss")]
        images = {tag: [one.step for one in shown.Images(tag)] for tag in shown.Tags()["images"]}
        assert images == {f"val/masks/target/{number}": [4, 6] for number in (0, 1)}
        assert shown.Scalars("results/val/miou")[0].value == 0.5
    else:
        client, run = store(training.dir)
        found = [(one.step, one.value) for one in client.get_metric_history(run, "train/loss")]
        images = {f"val/masks/target/{step:06d}-{number}.png" for step in (4, 6) for number in (0, 1)}
        assert images <= images_below(client, run)
        assert client.get_run(run).data.metrics["results/val/miou"] == 0.5
        assert len(client.search_runs([client.get_run(run).info.experiment_id])) == 1
    assert [step for step, _ in found] == list(range(10))
    assert [value for _, value in found] == pytest.approx([1 / (1 + step) for step in range(10)])


@pytest.mark.parametrize("name", list(SETTINGS))
def test_videos_with_their_masks_are_logged(training, monkeypatch, tmp_path, name):
    pytest.importorskip(name)
    monkeypatch.chdir(tmp_path)
    frames = np.random.default_rng(0).integers(0, 255, (6, 32, 48, 3), dtype=np.uint8)
    for clip in "abc":
        path = training.dir / "overlay" / "cat" / f"{clip}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_overlay(path, frames, np.ones((6, 32, 48), bool), 1, 10.0)
    assert animated(path)[:3] == b"GIF"
    tracker = SETTINGS[name].tracker(training, ())
    tracker.open()
    tracker.finished({}, {})
    tracker.close(0)
    if name == "tensorboard":  # two of three, as media says
        shown = events(training.dir)
        assert shown.Tags()["images"] == ["overlay/cat/a", "overlay/cat/b"]
        assert shown.Images("overlay/cat/a")[0].encoded_image_string[:3] == b"GIF"
    else:
        assert {"overlay/cat/a.mp4", "overlay/cat/b.mp4"} <= images_below(*store(training.dir))
