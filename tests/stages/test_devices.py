"""Every job has GPUs of its own, by a stand-in for the list of GPUs: jobs are processes that lease and tell when."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from tests.processes import Cli
from wsvs.core import leases
from wsvs.core.errors import UserError
from wsvs.engine import devices, job

JOB = """
import os, sys, time
from contextlib import ExitStack
from pathlib import Path
from wsvs.core import leases

names, folder, asked, seconds, place = sys.argv[1].split(","), sys.argv[2], sys.argv[3], sys.argv[4], Path(sys.argv[5])
leases.FOLDER, leases.EVERY = Path(folder), 0.05
import logging; logging.basicConfig(level=logging.INFO, format="%(message)s")
which = [int(n) for n in asked[1:-1].split(",")] if asked[0] == "[" else list(range(len(names)))
assert leases.can_lock()
with ExitStack() as held:
    mine = leases.take(names, which, len(which) if asked[0] == "[" else int(asked), held, wait=sys.argv[6] == "True")
    begin = time.monotonic()
    (place / f"{os.getpid()}.begun").write_text(",".join(map(str, mine)))
    time.sleep(float(seconds))
    end = time.monotonic()
    (place / f"{os.getpid()}.txt").write_text(f"{begin} {end} {','.join(map(str, mine))}")
"""


@pytest.fixture
def start(tmp_path):
    """Start a job that leases: how many, or which, and for how long."""
    (tmp_path / "told").mkdir()
    started = []

    def make(asked: object, seconds: float, names: str = "a,b", wait: bool = True) -> subprocess.Popen[str]:
        words = [names, str(tmp_path / "locks"), str(asked), str(seconds), str(tmp_path / "told"), str(wait)]
        process = subprocess.Popen(
            [sys.executable, "-c", JOB, *words],
            env=os.environ | {"PYTHONPATH": str(Cli.root)},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        started.append(process)
        return process

    yield make
    for process in started:
        process.kill()
        process.communicate()


def spans(folder: Path) -> list[tuple[float, float, set[int]]]:
    """(begin, end, GPUs) of every job that ended by itself."""
    words = [path.read_text().split() for path in folder.glob("*.txt")]
    return [(float(begin), float(end), {int(one) for one in mine.split(",")}) for begin, end, mine in words]


def begun(process: subprocess.Popen[str], folder: Path) -> str:
    """The GPUs of a job, as soon as it has them."""
    path, until = folder / f"{process.pid}.begun", time.monotonic() + 300
    while not path.is_file() or not path.read_text():
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.02)
    return path.read_text()


def test_no_two_jobs_have_the_same_gpu_at_a_time(start, tmp_path):
    """Five jobs of one, two of two and one of a given one, on two GPUs."""
    jobs = [start(asked, 0.3) for asked in (1, 2, 1, 1, 2, 1, 1, "[1]")]
    said = [job.communicate(timeout=600)[0] for job in jobs]
    assert [job.returncode for job in jobs] == [0] * 8, said
    found = spans(tmp_path / "told")
    assert sorted(len(mine) for _, _, mine in found) == [1, 1, 1, 1, 1, 1, 2, 2]
    for number, (begin, end, mine) in enumerate(found):
        for begin_2, end_2, theirs in found[number + 1 :]:
            assert not mine & theirs or end <= begin_2 or end_2 <= begin


def test_a_killed_job_frees_its_gpu(start, tmp_path):
    first = start(1, 600, names="a")
    assert begun(first, tmp_path / "told") == "0"
    second = start(1, 0, names="a")
    line = second.stdout.readline()
    assert line == f"waiting for a GPU: GPU 0 is in use by process {first.pid}\n"
    assert not (tmp_path / "told" / f"{second.pid}.begun").exists()
    first.kill()
    assert second.communicate(timeout=300) and second.returncode == 0


def test_a_command_by_hand_takes_a_free_gpu_and_else_shares(start, tmp_path):
    first = start(1, 600)
    assert begun(first, tmp_path / "told") == "0"
    second = start(1, 600, wait=False)
    assert begun(second, tmp_path / "told") == "1"
    said, _ = start(1, 0, wait=False).communicate(timeout=300)
    assert "not enough GPUs are free (GPU 0 is in use by process" in said and "this command shares GPU 0" in said


def config(devices: object) -> object:
    return OmegaConf.create({"trainer": {"devices": devices, "num_nodes": 1, "accelerator": "auto"}})


@pytest.fixture
def three(monkeypatch, tmp_path):
    monkeypatch.setattr(devices, "visible", lambda cfg: ["a", "b", "c"])
    monkeypatch.setattr(leases, "FOLDER", tmp_path / "locks")
    monkeypatch.setenv(devices.LEASED, "")
    monkeypatch.delenv(devices.LEASED)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (1, [0]),
        (2, [0, 1]),
        (-1, [0, 1, 2]),
        ("auto", [0, 1, 2]),
        ([2], [2]),
        ([2, 0], [0, 2]),
    ],
)
def test_as_many_as_the_trainer_asks_for(three, asked, expected):
    with ExitStack() as held:
        assert devices.lease(config(asked), held) == expected
        assert devices.lease(config(asked), held) == expected  # once for a job, whatever it asks
        assert os.environ[devices.LEASED] == ",".join(map(str, expected))


@pytest.mark.parametrize("asked", [4, [3]])
def test_more_than_there_are(three, asked):
    with ExitStack() as held, pytest.raises(UserError, match="visible GPUs: 3, but"):
        devices.lease(config(asked), held)


def test_a_rank_takes_what_its_job_has(three, monkeypatch):
    monkeypatch.setenv(devices.LEASED, "1,2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    with ExitStack() as held:
        assert devices.lease(config(2), held) == [1, 2]


def test_ranks_of_torchrun_keep_those_they_have(three, monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with ExitStack() as held:
        assert devices.lease(config(2), held) is None


def test_on_a_cpu_nothing_is_leased(monkeypatch, tmp_path):
    monkeypatch.setattr(leases, "FOLDER", tmp_path / "locks")
    cfg = config(2)
    cfg.trainer.accelerator = "cpu"
    with ExitStack() as held:
        assert devices.lease(cfg, held) is None
    assert not (tmp_path / "locks").exists()


def test_the_gpus_are_those_that_cuda_shows(monkeypatch):
    """In torch's order, by an id that does not depend on CUDA_VISIBLE_DEVICES."""
    monkeypatch.setattr(devices.CUDAAccelerator, "is_available", lambda: True)
    monkeypatch.setattr(devices.torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(
        devices.torch.cuda, "get_device_properties", lambda number: OmegaConf.create({"uuid": f"id-{number}"})
    )
    assert devices.visible(config(1)) == ["id-0", "id-1"]


@pytest.mark.parametrize(
    ("variable", "expected"),
    [
        ("WSVS_JOB", True),
        ("WSVS_WAITS", True),
        ("WANDB_SWEEP_ID", True),
        ("WSVS_RUN_ID", False),
    ],
)
def test_who_waits(monkeypatch, variable, expected):
    for name in ("WSVS_JOB", "WSVS_WAITS", "WANDB_SWEEP_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, "1 basic ")
    assert job.waits() == expected
