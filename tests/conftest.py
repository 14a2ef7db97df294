"""Fixtures shared by all tests."""

from __future__ import annotations

import fcntl
import os
import random
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest

from tests.processes import WITHOUT_EXTRAS, Cli, Toy, make_own_data

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


@pytest.fixture(autouse=True)
def seeded() -> None:
    """The same random numbers in every order and number of processes: a failure can be repeated."""
    random.seed(0)
    np.random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the real images, videos and weights; tests that need it skip where it is not set."""
    place = os.environ.get("WSVS_REAL_DATA")
    if not place or not Path(place).is_dir():
        pytest.skip("WSVS_REAL_DATA is not set to a folder with the real data")
    return Path(place)


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of all test processes of a session."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@contextmanager
def made_once(folder: Path) -> Iterator[bool]:
    """Is a folder still to be made? The first test process makes it, the others wait; one that fails leaves it."""
    folder.parent.mkdir(exist_ok=True)
    with folder.with_name(folder.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = folder.with_name(folder.name + ".done")
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            yield True
            done.touch()
        else:
            yield False


@pytest.fixture(scope="session")
def tiny_runs(shared: Path, cli: Cli) -> Path:
    """Folder of the finished runs of one pipeline on the smallest world, <out>/<name>, for slow tests only.

    Nothing is learned in so few steps; every stage ran, without any extra, and left its files. Tests read them and
    never write there.
    """
    out = shared / "tiny"
    with made_once(out) as wanted:
        if wanted:
            pipeline = cli.start(
                "stage=pipeline",
                "name=tiny",
                "data=synthetic",
                f"out={out}",
                "data.world.images=24",
                "data.world.clips_per_class=2",
                "encoder.epochs=1",
                "relevance.threshold=0",
                "decoder.steps=4",
                "adapt.steps=4",
                "adapt.background=0.1",
                "pipeline.checks=null",
                launcher=WITHOUT_EXTRAS,
            )
            cli.finish(pipeline, seconds=3000)  # a dozen stages
    return out / "tiny"


@pytest.fixture(scope="session")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    made = Cli(tmp_path_factory.mktemp("cli"))
    yield made
    for process in made.started:
        if process.poll() is None:
            made.end(process)


@pytest.fixture(scope="session")
def toy(shared: Path, cli: Cli) -> Toy:
    made = Toy(shared / "toy")
    with made_once(made.folder) as wanted:
        if wanted:
            make_own_data(made.data)
            pipeline = cli.start("stage=pipeline", *made.command(), cwd=made.folder)
            (made.folder / "log.txt").write_text(cli.finish(pipeline, seconds=3000))
    return made
