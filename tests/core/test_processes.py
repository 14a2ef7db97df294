"""Which process of a run this is, and a process that ends with the one that started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from wsvs.core.processes import RANK_VARIABLES, rank, world_size

CHILD = """
import os, sys, time
from wsvs.core.processes import end_with
end_with(int(sys.argv[1]), every=0.05)
print("watching", flush=True)
time.sleep(600)
"""
PARENT = """
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", sys.argv[1], str(os.getpid())])
child.wait()
"""


def test_it_ends_when_its_parent_is_killed():
    parent = subprocess.Popen([sys.executable, "-c", PARENT, CHILD], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None and parent.stdout.readline() == "watching\n"
    assert parent.poll() is None
    os.kill(parent.pid, signal.SIGKILL)
    parent.communicate(timeout=300)  # the pipe closes when the child has gone too


def test_it_ends_at_once_when_its_parent_is_gone_before():
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    done = subprocess.run([sys.executable, "-c", CHILD, gone.stdout.decode()], timeout=300, check=False)
    assert done.returncode == 1


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({}, 0),
        ({"SLURM_PROCID": "3"}, 3),
        (
            {"SLURM_PROCID": "0", "LOCAL_RANK": "1"},
            1,
        ),  # Lightning's own rank inside a batch script, which has SLURM's 0
        ({"SLURM_PROCID": "1", "LOCAL_RANK": "0", "RANK": "2"}, 2),  # of torchrun, started by srun on the second node
        ({"RANK": "", "LOCAL_RANK": "1"}, 1),
    ],
)
def test_rank_is_what_the_innermost_starter_says(monkeypatch, told, expected):
    for variable in RANK_VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    for variable, value in told.items():
        monkeypatch.setenv(variable, value)
    assert rank() == expected


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({}, 1),
        ({"SLURM_NTASKS": "8"}, 1),  # a batch script, no step of srun
        ({"SLURM_STEP_NUM_TASKS": "8"}, 8),
        ({"WORLD_SIZE": "2"}, 1),  # Lightning's
        ({"SLURM_STEP_NUM_TASKS": "2", "TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "8"}, 8),
        ({"SLURM_STEP_NUM_TASKS": "1", "TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "1"}, 1),
    ],
)
def test_world_is_what_was_started_from_outside(monkeypatch, told, expected):
    for variable in ("SLURM_NTASKS", "SLURM_STEP_NUM_TASKS", "WORLD_SIZE", "TORCHELASTIC_RUN_ID"):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in told.items():
        monkeypatch.setenv(variable, value)
    assert world_size() == expected
