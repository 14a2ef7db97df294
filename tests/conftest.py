"""Fixtures shared by all tests."""

from __future__ import annotations

import fcntl
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import pytest

from tests.processes import Cli, Toy, make_own_data

os.environ["WANDB_MODE"] = "offline"  # of tests that say nothing else, and of the processes that they start
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # by nohup, cron, or in the background of a shell: inherited
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--shuffle", type=int, metavar="SEED", help="files, and tests within them, in a random order")


def pytest_report_header(config: pytest.Config) -> str | None:
    seed = config.getoption("shuffle")
    return None if seed is None else f"random order: --shuffle={seed}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The same order for a seed, and so in every process of pytest-xdist; fixtures of a file are made once."""
    seed = config.getoption("shuffle")
    if seed is None:
        return
    chance = random.Random(seed)
    files = [list(group) for _, group in groupby(items, key=lambda item: item.path)]
    chance.shuffle(files)
    for file in files:
        chance.shuffle(file)
    items[:] = [item for file in files for item in file]


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


@pytest.fixture(scope="session")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    made = Cli(tmp_path_factory.mktemp("cli"))
    yield made
    for process in made.started:
        if process.poll() is None:
            made.end(process)


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory, cli: Cli) -> Toy:
    """Made once a session, by whichever test process comes first."""
    base = tmp_path_factory.getbasetemp()
    made = Toy((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "toy")
    made.folder.mkdir(exist_ok=True)
    with (made.folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (made.folder / "log.txt").exists():
            shutil.rmtree(made.data, ignore_errors=True)  # of a test process that failed
            make_own_data(made.data)
            said = cli.run("stage=pipeline", *made.command(), cwd=made.folder)
            (made.folder / "log.txt").write_text(said)
    return made
