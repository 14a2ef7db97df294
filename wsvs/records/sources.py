"""The state of every file that a run reads, by which a later run knows those that have not changed."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wsvs.records.row import Row

SOURCES = "sources.jsonl"


@dataclass(frozen=True)
class Source(Row):
    """A line of sources.jsonl.

    Attributes:
        id: Of the item.
        state: `state_of` its file, before it was read.
    """

    id: str
    state: str


def read_states(run: Path) -> dict[str, str]:
    """{item: state} of a run; empty for one of an earlier version."""
    path = run / SOURCES
    return {one.id: one.state for one in Source.read(path)} if path.is_file() else {}


def state_of(file: str | Path, *more: Any) -> str:
    """Digest of name, size and time of a file, or of those in a folder of images, and of `more`."""
    try:
        found = [(os.path.basename(file), own := os.stat(file))]
        if stat.S_ISDIR(own.st_mode):
            found = sorted((one.name, one.stat()) for one in os.scandir(file))
        states: Any = [(name, status.st_size, status.st_mtime_ns) for name, status in found]
    except OSError:
        states = os.urandom(8)  # what cannot be read now is not the same as at another time
    return hashlib.sha256(repr((states, more)).encode()).hexdigest()[:20]


def files_in(run: Path, *names: str) -> Iterator[str]:
    """The files of a run with these names, and those in folders with these names, as paths below the run."""
    for name in names:
        path = run / name
        if path.is_file():
            yield name
        elif path.is_dir():
            yield from (f"{name}/{one.name}" for one in sorted(path.iterdir()) if one.is_file())
