"""A sign of life of a running command: a file whose time is renewed, which other machines see without locks."""

from __future__ import annotations

import os
import platform
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wsvs.core.files import write_json

ALIVE = ".alive"
EVERY = 20.0  # seconds between two signs
SILENCE = 100.0  # seconds without one after which a command counts as killed


@contextmanager
def alive(folder: Path) -> Iterator[None]:
    """Give signs until the block ends, however it ends; a killed process leaves the file."""
    path, over = folder / ALIVE, threading.Event()
    write_json(path, {"host": platform.node(), "process": os.getpid()})

    def renew() -> None:
        while not over.wait(EVERY):
            try:
                os.utime(path)
            except OSError:  # the folder is gone, or the file system for now
                continue

    thread = threading.Thread(target=renew, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        path.unlink(missing_ok=True)


def silence(folder: Path) -> float | None:
    """Seconds since the last sign of the command in a run directory; None if it has ended by itself."""
    try:
        return max(0.0, time.time() - (folder / ALIVE).stat().st_mtime)
    except OSError:
        return None
