"""One job of a sweep: in a process of its own where the launcher's would not do, and what came of it on disk.

A worker of joblib is no place for a job: it is used again and keeps its memory on the GPU, starts the workers of data
loaders in joblib's way, which torch does not know, and like one of submitit cannot start ranks. So these start a
process for each job, which is the command of the job alone.

    outputs/<name>/<stage>/<run id>/<number>/job.json     the figure of a finished job, or why it failed
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from wsvs.core.errors import UserError
from wsvs.core.files import read_json, write_json
from wsvs.core.processes import end_with, rank
from wsvs.core.sweeps import RECORD
from wsvs.engine import status

STARTED = "WSVS_JOB"  # of a process that was started for a job: the process that did it, the sweeper, its direction
WAITS = "WSVS_WAITS"  # of a step of such a job
APART = ("joblib", "submitit_local")


def launcher() -> str:
    """What starts the jobs of this sweep."""
    return str(HydraConfig.get().runtime.choices.get("hydra/launcher", "basic"))


def is_sweep(words: Sequence[str]) -> bool:
    """Does a command line ask for a sweep?"""
    return bool({"-m", "--multirun"} & set(words))


def swept() -> bool:
    """Is this process's job one of a sweep? The steps of a pipeline are not."""
    return HydraConfig.get().mode == RunMode.MULTIRUN or STARTED in os.environ


def sweeper() -> str:
    """What chooses the settings of the jobs: basic, or the name of a search."""
    if STARTED in os.environ:
        return os.environ[STARTED].split(" ")[1]
    return str(HydraConfig.get().runtime.choices.get("hydra/sweeper", "basic"))


def searches() -> bool:
    """Is this process's job one of a search? Its ranks and the steps of a pipeline are not."""
    return swept() and sweeper() != "basic"


def _direction() -> str | None:
    """Of a search: maximize or minimize."""
    if STARTED in os.environ:
        return os.environ[STARTED].split(" ")[2] or None
    asked = HydraConfig.get().sweeper.get("direction")
    return None if asked is None else str(getattr(asked, "name", asked))


def waits() -> bool:
    """Is this a job beside others, which waits for a GPU of its own?"""
    return any(name in os.environ for name in (STARTED, WAITS, "WANDB_SWEEP_ID"))


def begin() -> None:
    """End this process with the one that started it for a job; nothing in others."""
    if STARTED in os.environ and rank() == 0:
        end_with(int(os.environ[STARTED].split(" ")[0]))


def is_apart() -> bool:
    """Is this the process of a launcher that must not run the job itself?"""
    return HydraConfig.get().mode == RunMode.MULTIRUN and launcher() in APART


def run_apart(options: list[str]) -> float | None:
    """Run the job of this process in another one, and return its figure.

    Args:
        options: Those that say where the configuration comes from.

    Raises:
        UserError: A job of a search failed, which the search has to hear. Others are told at the end of the sweep.
    """
    if launcher() == "joblib" and not status.counts_here():
        _end_with_the_command()
    hydra = HydraConfig.get()
    folder = Path(hydra.runtime.output_dir)
    command = [
        sys.executable,
        "-m",
        "wsvs",
        *options,
        *hydra.overrides.task,
        "hydra.run.dir=${run_dir:}",
        "hydra.output_subdir=null",
    ]
    own = {"WSVS_RUN_DIR": str(folder), STARTED: f"{os.getpid()} {sweeper()} {_direction() or ''}"}
    ended = subprocess.call(command, env=os.environ | own)
    record = read_json(folder / RECORD) if (folder / RECORD).is_file() else {}
    if ended in (status.OK, status.PASSED_OVER):
        return record.get("value")
    if "failed" not in record:
        record = {"failed": _ended(ended), "status": status.UNEXPECTED}
        write_json(folder / RECORD, record)
    if searches():
        raise UserError(
            f"job {hydra.job.num} failed: {str(record['failed']).splitlines()[0]}",
            where=folder,
            remedy="the job has said more above, and in its wsvs.log",
        )
    return None


@cache
def _end_with_the_command() -> None:
    end_with(os.getppid())


def _ended(code: int) -> str:
    if code >= 0:
        return f"ended with exit status {code}"
    name = signal.Signals(-code).name
    return f"killed by {name}" + (" (for lack of memory, perhaps)" if name == "SIGKILL" else "")


@contextmanager
def recorded() -> Iterator[dict[str, Any]]:
    """Write down what comes of a sweep's job; what the block puts into the dict is of one that is finished."""
    outcome: dict[str, Any] = {}
    if not swept() or rank() != 0:
        yield outcome
        return
    path = Path(HydraConfig.get().runtime.output_dir) / RECORD
    path.unlink(missing_ok=True)
    try:
        yield outcome
    except Exception as error:
        mistake = isinstance(error, UserError)
        text = error.message if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        write_json(path, {"failed": text, "status": status.MISTAKE if mistake else status.UNEXPECTED})
        raise
    write_json(path, outcome | {"direction": _direction()})
