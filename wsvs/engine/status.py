"""What the jobs of a command came to, and the exit status that tells it."""

from __future__ import annotations

import os
import sys

from wsvs.core.errors import UserError
from wsvs.core.processes import rank

OK, UNEXPECTED, MISTAKE, PASSED_OVER = 0, 1, 2, 3

_process: list[int] = []
_statuses: list[int] = []
_part: list[int] = []


def begin() -> None:
    """Count the jobs of this process."""
    _process[:] = [os.getpid()]
    _statuses.clear()


def counts_here() -> bool:
    """Is this the command's own process, not that of a launcher's worker?"""
    return _process == [os.getpid()]


def begin_part() -> None:
    """This process runs a step of another command, which goes on by itself."""
    _part[:] = [os.getpid()]


def is_part() -> bool:
    return _part == [os.getpid()]


def complain(error: UserError) -> None:
    number = rank()
    print(f"error{f' (rank {number})' if number else ''}: {error.message}", file=sys.stderr, flush=True)
    add(MISTAKE)


def add(status: int) -> None:
    _statuses.append(status)


def overall() -> int:
    """The exit status of all jobs together; an unexpected error outweighs a mistake, and that skipped items.

    A rank that is not the first says 0 where the work is done: whoever started it would take all else for a crash and
    kill the first one. torchrun would do so to the first as well: there the summary alone tells what was passed over.
    """
    for status in (UNEXPECTED, MISTAKE):
        if status in _statuses:
            return status
    if PASSED_OVER in _statuses and rank() == 0 and "TORCHELASTIC_RUN_ID" not in os.environ:
        return PASSED_OVER
    return OK
