"""Lease devices of a machine to one process at a time, by a file lock per device that ends with the process.

    /tmp/wsvs-<user id>/<name of the device>.lock     byte 0 is locked by the job, byte k by its rank k
    /tmp/wsvs-<user id>/queue.lock                    locked by the job that is next

Not below XDG_RUNTIME_DIR or TMPDIR, which may differ between jobs.
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

USER = os.getuid() if hasattr(os, "getuid") else 0  # Windows has neither user ids nor the locks
FOLDER = Path(f"/tmp/wsvs-{USER}")
EVERY = 1.0  # seconds between two attempts


def take(names: Sequence[str], candidates: Sequence[int], count: int, held: ExitStack, *, wait: bool) -> list[int]:
    """Lock `count` of the candidates until `held` is closed, and return their numbers.

    Without `wait`, the first candidates are returned unlocked if too few are free.

    Only the first job in the queue collects GPUs, so that two jobs cannot deadlock, and a job with several GPUs is not
    starved by jobs with one.
    """
    with ExitStack() as queue, ExitStack() as taken:
        mine: list[int] = []
        logged = False
        if wait and not _try(FOLDER / "queue.lock", queue, block=False):
            _say(names, candidates, mine)
            logged = True
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
            if not logged:
                _say(names, candidates, mine)
                logged = True
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
    """The processes that use the other GPUs. Own files are not opened, because closing them would release the lock."""
    found = []
    for number in candidates:
        with suppress(OSError):
            if number not in mine and (user := _file(names[number]).read_text(encoding="utf-8").strip()):
                found.append(f"GPU {number} is in use by process {user}")
    return ", ".join(found)


def _try(path: Path, held: ExitStack, *, block: bool) -> bool:
    """Lock a file, and keep its byte 0 until `held` is closed; fails if another process has locked any byte."""
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
    """Lock a rank's byte of a GPU of its job: the rank may outlive the job's main process for a moment."""
    stream = held.enter_context(_open(_file(name)))
    with suppress(OSError):
        lock(stream, start=rank, length=1)


def _open(path: Path) -> IO[str]:
    return path.open("a", encoding="utf-8")


def _file(name: str) -> Path:
    return FOLDER / f"{name}.lock"


def can_lock() -> bool:
    """Whether there is a folder for the locks that belongs to this user."""
    if not available():
        log.warning("cannot lock GPUs on this system: parallel jobs may use the same one")
        return False
    try:
        FOLDER.mkdir(mode=0o700, exist_ok=True)
        found = FOLDER.lstat()
    except OSError as error:
        log.warning("cannot lock GPUs (%s): parallel jobs may use the same one", error)
        return False
    if found.st_uid != USER or not stat.S_ISDIR(found.st_mode):
        log.warning("cannot lock GPUs (%s belongs to another user): parallel jobs may use the same one", FOLDER)
        return False
    return True
