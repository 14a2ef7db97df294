"""Devices of a machine, leased to one process at a time by a lock on a file for each, which ends with the process.

    /tmp/wsvs-<user id>/<name of the device>.lock     byte 0 is locked by the job, byte k by its rank k
    /tmp/wsvs-<user id>/queue.lock                    locked by the job that is next

Not below XDG_RUNTIME_DIR or TMPDIR: a job that does not have the same variable would look elsewhere.
"""

from __future__ import annotations

import logging
import os
import stat
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO

from wsvs.core.locks import available, lock, unlock

log = logging.getLogger("wsvs")

USER = os.getuid() if hasattr(os, "getuid") else 0  # Windows has no user ids, nor the locks
FOLDER = Path(f"/tmp/wsvs-{USER}")
EVERY = 1.0  # seconds between two looks


def take(names: Sequence[str], candidates: Sequence[int], count: int, held: ExitStack, *, wait: bool) -> list[int]:
    """Lock `count` of the candidates until `held` is closed; return their numbers.

    Without `wait` the first ones are returned, not locked, where too few are free.

    Only the first in the queue collects GPUs, so that no two jobs wait for each other, and one of many is not overtaken
    for ever by those of one.
    """
    with ExitStack() as queue, ExitStack() as taken:
        mine: list[int] = []
        told = False
        if wait and not _try(FOLDER / "queue.lock", queue, block=False):
            _say(names, candidates, mine)
            told = True
            _try(FOLDER / "queue.lock", queue, block=True)
        while True:
            for number in candidates:
                if len(mine) < count and number not in mine and _try(_file(names[number]), taken, block=False):
                    mine.append(number)
            if len(mine) == count:
                held.enter_context(taken.pop_all())
                return sorted(mine)
            if not wait:
                break
            if not told:
                _say(names, candidates, mine)
                told = True
            time.sleep(EVERY)
    first = list(candidates[:count])
    log.warning(
        "not enough GPUs are free (%s): this command shares GPU %s with them",
        _users(names, candidates, mine),
        ", ".join(map(str, first)),
    )
    return first


def _say(names: Sequence[str], candidates: Sequence[int], mine: Sequence[int]) -> None:
    log.info("waiting for a GPU: %s", _users(names, candidates, mine) or "other jobs are first in the queue")


def _users(names: Sequence[str], candidates: Sequence[int], mine: Sequence[int]) -> str:
    """The processes that have the other GPUs. Those of one's own are not opened: closing the file would unlock it."""
    found = []
    for number in candidates:
        with suppress(OSError):
            if number not in mine and (user := _file(names[number]).read_text(encoding="utf-8").strip()):
                found.append(f"GPU {number} is in use by process {user}")
    return ", ".join(found)


def _try(path: Path, held: ExitStack, *, block: bool) -> bool:
    """Lock a file, and keep byte 0 of it until `held` is closed. Does another process have any byte of it, it fails."""
    with ExitStack() as opened:
        stream = opened.enter_context(_open(path))
        if not lock(stream, block=block):
            return False
        stream.truncate(0)
        stream.write(f"{os.getpid()}\n")
        stream.flush()
        unlock(stream, start=1)  # the other bytes are for the ranks
        held.enter_context(opened.pop_all())
    return True


def share(name: str, rank: int, held: ExitStack) -> None:
    """A rank's share in a GPU of its job: it may live a moment longer than the job's own process."""
    stream = held.enter_context(_open(_file(name)))
    with suppress(OSError):
        lock(stream, start=rank, length=1)


def _open(path: Path) -> IO[str]:
    return path.open("a", encoding="utf-8")


def _file(name: str) -> Path:
    return FOLDER / f"{name}.lock"


def can_lock() -> bool:
    """Is there a folder for the locks that is this user's alone?"""
    if not available():
        log.warning("cannot lock GPUs on this system: jobs at the same time may take the same one")
        return False
    try:
        FOLDER.mkdir(mode=0o700, exist_ok=True)
        found = FOLDER.lstat()
    except OSError as error:
        log.warning("cannot lock GPUs (%s): jobs at the same time may take the same one", error)
        return False
    if found.st_uid != USER or not stat.S_ISDIR(found.st_mode):
        log.warning("cannot lock GPUs (%s is not ours): jobs at the same time may take the same one", FOLDER)
        return False
    return True
