"""Outcomes of a command's jobs, and the exit status of the command."""

from __future__ import annotations

import os
import sys

from wsvs.core.errors import UserError
from wsvs.core.processes import rank

OK, UNEXPECTED, MISTAKE, SKIPPED = 0, 1, 2, 3

_process: list[int] = []
_statuses: list[int] = []
_part: list[int] = []


def begin() -> None:
    """Start counting the jobs of this process."""
    _process[:] = [os.getpid()]
    _statuses.clear()


def counts_here() -> bool:
    """Whether this is the command's own process and not a launcher's worker."""
    return _process == [os.getpid()]


def begin_part() -> None:
    """Mark this process as a step of another command, which continues by itself."""
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
    """The exit status of all jobs together; unexpected errors come before mistakes, and these before skipped items.

    Ranks other than the first return 0 when the work is done, since their launcher would treat any other status as a
    crash and kill the first rank. torchrun does this to the first rank too: there only the summary reports skipped
    items.
    """
    for status in (UNEXPECTED, MISTAKE):
        if status in _statuses:
            return status
    if SKIPPED in _statuses and rank() == 0 and "TORCHELASTIC_RUN_ID" not in os.environ:
        return SKIPPED
    return OK
