"""One job of a sweep: run it in a separate process where the launcher's is unsuitable, and record its outcome on disk.

joblib's workers are reused and keep their GPU memory, they start data loader workers by joblib's method, which torch
does not support, and like submitit's they cannot start ranks. They therefore start a process for each job, with the
command of that job alone.

    outputs/<name>/<stage>/<run id>/<number>/job.json     the objective of a finished job, or why it failed
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

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from wsvs.core.errors import UserError
from wsvs.core.processes import end_with, rank
from wsvs.core.sweeps import RECORD, Outcome
from wsvs.engine import status

STARTED = "WSVS_JOB"  # in a process started for a job: the parent's process id, the sweeper, its direction
WAITS = "WSVS_WAITS"  # in a step of such a job
APART = ("joblib", "submitit_local")


def launcher() -> str:
    """The Hydra launcher of this sweep."""
    return str(HydraConfig.get().runtime.choices.get("hydra/launcher", "basic"))


def is_sweep(words: Sequence[str]) -> bool:
    """Whether a command line asks for a sweep."""
    return bool({"-m", "--multirun"} & set(words))


def swept() -> bool:
    """Whether this process's job is one of a sweep. Steps of a pipeline are not."""
    return HydraConfig.get().mode == RunMode.MULTIRUN or STARTED in os.environ


def sweeper() -> str:
    """The Hydra sweeper, which chooses the settings of the jobs: basic, or the name of a search."""
    if STARTED in os.environ:
        return os.environ[STARTED].split(" ")[1]
    return str(HydraConfig.get().runtime.choices.get("hydra/sweeper", "basic"))


def searches() -> bool:
    """Whether this process's job is one of a search. Its ranks and the steps of a pipeline are not."""
    return swept() and sweeper() != "basic"


def _direction() -> str | None:
    """Direction of a search: maximize or minimize."""
    if STARTED in os.environ:
        return os.environ[STARTED].split(" ")[2] or None
    asked = HydraConfig.get().sweeper.get("direction")
    return None if asked is None else str(getattr(asked, "name", asked))


def waits() -> bool:
    """Whether this job runs in parallel with others and waits for a GPU of its own."""
    return any(name in os.environ for name in (STARTED, WAITS, "WANDB_SWEEP_ID"))


def begin() -> None:
    """If this process was started for a job, end it when its parent ends."""
    if STARTED in os.environ and rank() == 0:
        end_with(int(os.environ[STARTED].split(" ")[0]))


def is_apart() -> bool:
    """Whether this is a launcher's process that must not run the job itself."""
    return HydraConfig.get().mode == RunMode.MULTIRUN and launcher() in APART


def run_apart(options: list[str]) -> float | None:
    """Run the job of this process in another one, and return its objective.

    Args:
        options: The options that locate the configuration.

    Raises:
        UserError: A job of a search failed. Failures of other sweeps are reported when the sweep ends.
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
    outcome = Outcome.read(folder) or Outcome()
    if ended in (status.OK, status.SKIPPED):
        return outcome.value
    if outcome.failed is None:
        outcome = Outcome(failed=_ended(ended), status=status.UNEXPECTED)
        outcome.write(folder)
    if searches():
        raise UserError(
            f"job {hydra.job.num} failed: {str(outcome.failed).splitlines()[0]}",
            where=folder,
            remedy="see the job's messages above, or its wsvs.log",
        )
    return None


@cache
def _end_with_the_command() -> None:
    end_with(os.getppid())


def _ended(code: int) -> str:
    if code >= 0:
        return f"ended with exit status {code}"
    name = signal.Signals(-code).name
    return f"killed by {name}" + (" (possibly out of memory)" if name == "SIGKILL" else "")


@contextmanager
def recorded() -> Iterator[Outcome]:
    """Record the outcome of a sweep's job; the block adds the objective of a finished job."""
    outcome = Outcome()
    if not swept() or rank() != 0:
        yield outcome
        return
    folder = Path(HydraConfig.get().runtime.output_dir)
    (folder / RECORD).unlink(missing_ok=True)
    try:
        yield outcome
    except Exception as error:
        mistake = isinstance(error, UserError)
        text = error.message if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        Outcome(failed=text, status=status.MISTAKE if mistake else status.UNEXPECTED).write(folder)
        raise
    outcome.direction = _direction()
    outcome.write(folder)
