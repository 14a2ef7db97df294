"""An installation without extras: everything else works, and a missing extra is reported before any work."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.processes import WITHOUT_EXTRAS

ROOT = Path(__file__).parents[1]


def wsvs(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*WITHOUT_EXTRAS, "wsvs", *words],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("words", [["--help"], ["stage=segment", "--help"], ["stage=encoder", "--cfg", "job"]])
def test_help_and_configuration_need_no_extra(words, tmp_path):
    done = wsvs(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("words", "extra"),
    [
        (("stage=segment", "segment.solver=maxflow"), "maxflow"),
        (("stage=pipeline", "segment.solver=maxflow", "data.root=."), "maxflow"),
        (("stage=retrieve", "retrieve=youtube"), "web"),
        (("stage=retrieve", "retrieve=urls", "retrieve.yt_dlp.proxy=http://x"), "web"),
        (("stage=predict", "logger=wandb"), "wandb"),
        (("stage=predict", "logger=[csv,tensorboard]"), "tensorboard"),
        (("stage=predict", "logger=[mlflow]"), "mlflow"),
        (("stage=review", "name=n"), "review"),
        (("stage=export", "export.format=onnx"), "onnx"),
        (("-m", "stage=decoder", "sweep=search"), "sweeps"),
        (("stage=encoder", "model=timm", "model.backbone=timm/resnet18"), "timm"),
    ],
)
def test_what_needs_an_extra_is_refused_with_its_command(words, extra, tmp_path):
    done = wsvs(*words, cwd=tmp_path)
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    text = " ".join((done.stdout + done.stderr).split())
    assert f"pip install 'wsvs[{extra}]'" in text and "is not installed" in text
    assert not (tmp_path / "outputs").exists() or not list((tmp_path / "outputs").rglob("summary.json"))


def test_other_stages_do_not_mind_what_they_do_not_read(tmp_path):
    done = wsvs("stage=evaluate", "segment.solver=maxflow", "predictions=none", cwd=tmp_path)
    assert done.returncode == 2 and "predictions=none" in done.stdout + done.stderr
    assert "pip install" not in done.stdout + done.stderr


@pytest.mark.slow
def test_the_whole_toy_pipeline_needs_no_extra(tiny_runs):
    """It is made where none can be imported."""
    assert list((tiny_runs / "evaluate").rglob("metrics.json"))
