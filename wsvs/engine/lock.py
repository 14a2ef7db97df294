"""The lock on a run directory: one command works in it at a time."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import IO

from wsvs.core.errors import UserError
from wsvs.core.locks import lock

log = logging.getLogger("wsvs")

LOCK = ".lock"


def take_lock(directory: Path) -> IO[str]:
    """Take a record lock: it ends with its process, even after kill -9, and loader workers do not inherit it."""
    stream = (directory / LOCK).open("w", encoding="utf-8")
    try:
        free = lock(stream)
    except OSError as error:
        log.warning("no locks on this file system (%s): start this run only once", error.strerror)
        return stream
    if not free:
        stream.close()
        raise UserError(
            "another process is using this run directory",
            where=directory,
            remedy="wait for it, or start with another name=... or WSVS_RUN_ID",
        )
    return stream


def is_locked(directory: Path) -> bool:
    try:
        take_lock(directory).close()
    except UserError:
        return True
    except OSError:
        return True  # not writable, so not to be resumed
    return False
