"""Record locks on open files. They end with their process, even after kill -9, and child processes do not inherit them.

Closing any handle of a locked file releases the lock. Windows has no such locks: there `lock` raises `OSError`.
"""

from __future__ import annotations

import errno
import os
from types import ModuleType
from typing import IO


def lock(stream: IO[str], *, block: bool = False, start: int = 0, length: int = 0) -> bool:
    """Lock some bytes of a file that is open for writing; False if another process has locked one of them.

    Args:
        stream: The open file.
        block: Wait until the bytes are free.
        start: First byte.
        length: Number of bytes; 0 for all, including bytes beyond the end of the file.

    Raises:
        OSError: The file system or the operating system does not support locks.
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
    """Whether this operating system has record locks."""
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
