"""Run a stage as its own command line would, in a forked process: imports happen once, and memory is released."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Sequence

from hydra.core.global_hydra import GlobalHydra

from wsvs.core.processes import end_with
from wsvs.engine import command, job
from wsvs.engine.ranks import config_options
from wsvs.engine.status import begin_part

GOOD = (0, 3)  # exit status: done, or done with skipped items


def call(overrides: Sequence[str], run_id: str) -> int:
    """Run a command with these overrides and this run id, and return its exit status.

    It stops when this process is interrupted.
    """
    sys.stdout.flush()
    process = multiprocessing.get_context("fork").Process(target=_child, args=(overrides, run_id, os.getpid()))
    process.start()
    try:
        process.join()
    except KeyboardInterrupt:
        process.join(5)  # Ctrl-C reaches the child too; a signal sent to this process alone does not
        if process.is_alive():
            process.terminate()
        process.join()
        raise
    assert process.exitcode is not None
    return process.exitcode


def _child(overrides: Sequence[str], run_id: str, parent: int) -> None:
    os.environ["WSVS_RUN_ID"] = run_id
    if job.waits():
        os.environ[job.WAITS] = "1"
    for variable in ("WSVS_RUN_DIR", job.STARTED, "WANDB_RUN_ID", "WANDB_SWEEP_ID", "WANDB_SWEEP_PARAM_PATH"):
        os.environ.pop(variable, None)  # these belong to the parent's job
    sys.argv[1:] = [*config_options(sys.argv[1:]), *overrides]
    GlobalHydra.instance().clear()
    end_with(parent)
    begin_part()
    command.main()
