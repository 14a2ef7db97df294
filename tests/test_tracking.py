"""A whole pipeline with logger=wandb, offline: a run for each stage, its images, and its lineage."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.processes import CLASSES, TWO_RANKS, quoted, summary
from tests.wandb_file import Written, read

pytestmark = pytest.mark.slow
LABELS = {str(label): name for label, name in enumerate(("background", *CLASSES))} | {"255": "ignored"}
OFFLINE = {"WANDB_MODE": "offline", "WANDB_SILENT": "true"}


@pytest.fixture(scope="module")
def runs(toy, cli, tmp_path_factory) -> dict[str, Path]:
    """{stage: run} of one pipeline that is logged, with its masks as references."""
    out = tmp_path_factory.mktemp("tracked out=ü")
    cli.run(
        "stage=pipeline",
        *toy.words(),
        "name=n",
        f"out={quoted(out)}",
        "logger=wandb",
        "logger.wandb.media=2",
        "logger.wandb.masks=references",
        "trainer.log_every_n_steps=1",
        cwd=out,
        **OFFLINE,
    )
    assert [path.name for path in out.iterdir()] == ["n"]  # nothing beside the runs
    return {folder.name: next(folder.iterdir()) for folder in (out / "n").iterdir()}


@pytest.fixture(scope="module")
def written(runs) -> dict[str, Written]:
    return {stage: read(run) for stage, run in runs.items()}


def test_every_stage_is_a_run_of_its_own(toy, runs, written):
    assert set(written) == {folder.name for folder in (toy.out / "toy").iterdir()} > {"pipeline", "evaluate"}
    assert len({one.run.run_id for one in written.values()}) == len(written)
    for stage, one in written.items():
        assert (one.run.project, one.run.run_group, one.run.job_type) == ("wsvs", "n", stage)
        assert one.exit_code == 0 and one.config["stage"] == stage
        inputs = {name: path for name, path in one.config["inputs"].items() if path}
        assert inputs.items() >= summary(runs[stage])["inputs"].items()  # resolved, not null
        for key, value in summary(runs[stage])["counts"].items():
            if isinstance(value, int | float):
                assert one.summary[f"counts/{key}"] == value


def test_metrics_have_fixed_names(runs, written):
    for stage, names in {
        "encoder": {"train/loss", "val/loss", "val/map", *(f"val/ap/{name}" for name in CLASSES)},
        "decoder": {"train/loss", "val/miou", "val/iou/background", "val/iou/foreground"},
        "adapt": {"train/loss", "val/miou", "val/iou/background", "val/iou/foreground"},
    }.items():
        logged = {key for line in written[stage].history for key in line}
        assert names <= logged and "trainer/global_step" in logged
        best = "val/map" if stage == "encoder" else "val/miou"
        assert written[stage].summary[f"results/{best}"] == summary(runs[stage])["results"][best]
    metrics = json.loads((runs["evaluate"] / "metrics.json").read_text())
    assert written["evaluate"].summary["eval/miou"] == metrics["miou"]


@pytest.mark.parametrize(
    ("stage", "key", "masks"),
    [
        ("encoder", "val/attention", ()),
        ("segment", "segment/masks", ("mask",)),
        ("segment", "segment/attention", ()),
        ("decoder", "val/masks", ("prediction", "target")),
        ("adapt", "val/masks", ("prediction", "target")),
        ("predict", "predict/masks", ("prediction",)),
    ],
)
def test_media(written, stage, key, masks):
    one = written[stage]
    logged = one.logged(key)
    assert logged and all(media["count"] == 2 for media in logged)
    for name in logged[-1]["filenames"]:
        assert Image.open(one.file(name)).mode == "RGB"
    for mask in masks:
        assert one.labels[f"{key}_wandb_delimeter_{mask}"] == LABELS
        files = [one.file(picture[mask]["path"]) for picture in logged[-1]["all_masks"]]
        labels = {str(label) for file in files for label in np.unique(Image.open(file))}
        assert labels <= set(LABELS)
        # Something is on them; a decoder that saw four batches may find nothing.
        assert labels - {"0", "255"} or (mask == "prediction" and stage != "predict")
    assert masks or "all_masks" not in logged[-1]


def test_lineage(written):
    """What a stage uses is what an earlier one made: the same name and the same content."""
    made = {stage: {name: one.digest for name, one in run.made().items()} for stage, run in written.items()}
    used = {stage: {name: one.digest for name, one in run.used().items()} for stage, run in written.items()}
    assert {stage: sorted(found) for stage, found in made.items() if found} == {
        "encoder": ["n-encoder-model"],
        "retrieve": ["n-retrieve-clips"],
        "relevance": ["n-relevance-shots"],
        "segment": ["n-segment-masks"],
        "decoder": ["n-decoder-model"],
        "adapt": ["n-adapt-masks", "n-adapt-model"],
        "predict": ["n-predict-masks"],
    }
    sources = {
        "relevance": ("encoder", "retrieve"),
        "segment": ("encoder", "relevance"),
        "decoder": ("encoder", "segment"),
        "adapt": ("decoder",),
        "predict": ("adapt",),
        "evaluate": ("predict",),
    }
    for stage, found in used.items():
        available = {name: digest for source in sources.get(stage, ()) for name, digest in made[source].items()}
        if stage == "predict":
            del available["n-adapt-masks"]  # it reads the model only
        assert found == available, stage


def test_artifacts_are_not_copies(runs, written):
    model = written["decoder"].made()["n-decoder-model"]
    files = {entry.path: entry for entry in model.manifest.contents}
    assert files["checkpoints/best.ckpt"].local_path == str(runs["decoder"] / "checkpoints" / "best.ckpt")
    assert f"run-{runs['decoder'].name}" in model.aliases
    masks = written["segment"].made()["n-segment-masks"].manifest.contents
    count = sum(1 for _ in (runs["segment"] / "masks").rglob("*.png"))
    assert sum(bool(entry.ref) for entry in masks) == count > 0
    staged = sum(path.stat().st_size for path in (runs["decoder"] / "wandb" / "artifacts").rglob("*"))
    assert staged < files["checkpoints/best.ckpt"].size


def test_a_training_that_was_stopped_resumes_with_its_run(toy, cli, tmp_path):
    """On two ranks, of which one alone touches W&B."""
    words = [
        "stage=decoder",
        *toy.words(),
        *toy.inputs("encoder", "segment"),
        *TWO_RANKS,
        "name=n",
        "logger=wandb",
        f"out={quoted(tmp_path)}",
        "trainer.log_every_n_steps=1",
        "logger.wandb.media=0",
        "decoder.val_every=1",
        "callbacks.checkpoint.save_top_k=1",
    ]
    cli.finish(cli.start(*words, sabotage="last.ckpt|1|0|kill", cwd=tmp_path, **OFFLINE), status=-9)
    cli.run(*words, cwd=tmp_path, **OFFLINE)
    [run] = (tmp_path / "n" / "decoder").iterdir()
    paths = sorted((run / "wandb").glob("offline-run-*/run-*.wandb"))
    first, second = map(Written, paths)
    # The first was killed, and may have written no more than its name.
    assert [path.name for path in paths] == [f"run-{second.run.run_id}.wandb"] * 2
    assert first.summary.get("results/val/miou") is None
    assert second.summary["results/val/miou"] == summary(run)["results"]["val/miou"]
    steps = [line["trainer/global_step"] for line in second.history if "train/loss" in line]
    assert steps == sorted(steps) and steps[0] > 0  # it resumed, not from the start
    assert not any("val/masks" in line for line in second.history)  # media=0
