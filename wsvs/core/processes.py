"""The rank of this process, and processes that end with their parent."""

from __future__ import annotations

import os
import threading
import time
from datetime import timedelta

DDP_TIMEOUT = timedelta(days=7)  # of a rank that has finished its share of the items and waits for the others

# torchrun sets the first; Lightning sets the second for ranks that it starts. These inherit SLURM's variable from a
# batch script, where it is 0 for all of them.
RANK_VARIABLES = ("RANK", "LOCAL_RANK", "SLURM_PROCID")


def rank() -> int:
    """Rank of this process in its run; 0 for a single process."""
    for variable in RANK_VARIABLES:
        if os.environ.get(variable, "").isdigit():
            return int(os.environ[variable])
    return 0


def world_size() -> int:
    """Number of processes that torchrun or srun started for one command; 1 if Lightning starts the ranks."""
    variable = "WORLD_SIZE" if "TORCHELASTIC_RUN_ID" in os.environ else "SLURM_STEP_NUM_TASKS"
    return int(os.environ.get(variable, 1))


def end_with(parent: int, every: float = 1.0) -> None:
    """End this process when its parent is gone, for example killed.

    Args:
        parent: Process id of the parent. If it is already gone, this process ends at once.
        every: Seconds between two checks.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(every)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
