"""Record locks on open files. They end with their process, even by kill -9, and child processes do not inherit them.

Closing any handle of a locked file unlocks it. Windows has no such locks: `lock` raises `OSError` there.
"""

from __future__ import annotations

import errno
import os
from types import ModuleType
from typing import IO


def lock(stream: IO[str], *, block: bool = False, start: int = 0, length: int = 0) -> bool:
    """Lock some bytes of a file that is open for writing; False where another process has one of them.

    Args:
        stream: The open file.
        block: Wait until the bytes are free.
        start: First byte.
        length: Number of bytes; 0 for all, also those that the file does not have yet.

    Raises:
        OSError: The file system, or the operating system, has no locks.
    """
    fcntl = _fcntl()
    try:
        fcntl.lockf(stream, fcntl.LOCK_EX | (0 if block else fcntl.LOCK_NB), length, start)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            return False
        raise
    return True


def unlock(stream: IO[str], *, start: int = 0, length: int = 0) -> None:
    fcntl = _fcntl()
    fcntl.lockf(stream, fcntl.LOCK_UN, length, start)


def available() -> bool:
    """Does this operating system have record locks?"""
    try:
        _fcntl()
    except OSError:
        return False
    return True


def _fcntl() -> ModuleType:
    try:
        import fcntl  # late: the rest of the package works without it
    except ImportError:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK)) from None
    return fcntl
