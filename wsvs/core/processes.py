"""The rank of this process, and processes that end with their parent."""

from __future__ import annotations

import os
import threading
import time
from datetime import timedelta

PATIENCE = timedelta(days=7)  # of a rank that has done its share of the items, and waits for the others

# torchrun sets the first, Lightning the second for the ranks that it starts itself. Those inherit SLURM's from a batch
# script, where it is 0 for all of them.
RANK_VARIABLES = ("RANK", "LOCAL_RANK", "SLURM_PROCID")


def rank() -> int:
    """Rank of this process among those of its run; 0 when it is alone."""
    for variable in RANK_VARIABLES:
        if os.environ.get(variable, "").isdigit():
            return int(os.environ[variable])
    return 0


def world_size() -> int:
    """How many processes torchrun or srun started for one command; 1 where Lightning starts the ranks."""
    variable = "WORLD_SIZE" if "TORCHELASTIC_RUN_ID" in os.environ else "SLURM_STEP_NUM_TASKS"
    return int(os.environ.get(variable, 1))


def end_with(parent: int, every: float = 1.0) -> None:
    """End this process when `parent`, which started it, is gone, for example killed.

    Args:
        parent: Process id. If it is gone already, this process ends at once.
        every: Seconds between two checks.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(every)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
