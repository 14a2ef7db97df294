"""Fixtures shared by all tests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the real images, videos and weights; tests that need it skip where it is not set."""
    place = os.environ.get("WSVS_REAL_DATA")
    if not place or not Path(place).is_dir():
        pytest.skip("WSVS_REAL_DATA is not set to a folder with the real data")
    return Path(place)


@pytest.fixture(scope="session")
def tiny_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the finished runs of one pipeline on the smallest world, <out>/<name>: minutes, for slow tests only.

    Nothing is learned in so few steps; every stage ran and left its files.
    """
    out = tmp_path_factory.mktemp("tiny")
    words = [
        "stage=pipeline", "name=tiny", "data=synthetic", f"out={out}", "data.world.images=24",
        "data.world.clips_per_class=2", "encoder.epochs=1", "relevance.threshold=0", "decoder.steps=4",
        "adapt.steps=4", "adapt.background=0.1", "pipeline.checks=null",
    ]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("WSVS_RUN")}
    done = subprocess.run(
        [sys.executable, "-m", "wsvs", *words], env=environment | {"OMP_NUM_THREADS": "1"}, capture_output=True,
        text=True, check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return out / "tiny"
