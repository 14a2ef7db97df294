"""Finished items of a long job in a few files: a line for each item or group of items, appended after its results."""

from __future__ import annotations

import copy
import errno
import json
import mmap
import os
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from wsvs.core.errors import UserError
from wsvs.core.files import explain_os_error
from wsvs.core.processes import rank
from wsvs.records.ledger import Ledger
from wsvs.records.row import Row

_RECORDS = b', "records": '  # JSON has no such bytes inside a text, where quotes are escaped


class JournalLedger(Ledger):
    """done/rank-<k>.jsonl under a run directory: each rank appends to its own file, and all read all of them.

    So does each loader worker that records something: done/rank-<k>-worker-<w>.jsonl. Items of an earlier version, with
    a file each, are found too.

    A line is {"items": ["cat/video7_0", ...], "records": {"cat/video7_0": {...}, ...}}, or {"items": ["cat/video7_0"],
    "failed": "<reason>"}; it is on the disk when the method that adds it returns. What a killed process has left of its
    last line is ignored, and removed when its rank appends again.
    """

    def __init__(self, run: str | Path) -> None:
        super().__init__(Path(run).absolute())
        self._name = f"rank-{rank()}.jsonl"
        self._places: dict[str, tuple[Path, int]] | None = None
        self._single = False  # whether there are items with a file each
        self._file: int | None = None

    def of_worker(self, number: int) -> JournalLedger:
        """The same for a loader worker of this rank: it knows what this one knows, and has a file of its own."""
        other = copy.copy(self)
        other._name, other._file = f"rank-{rank()}-worker-{number}.jsonl", None
        return other

    def has(self, item: str) -> bool:
        return item in self._known() or (self._single and super().has(item))

    def items(self) -> Iterator[str]:
        return iter(self._known())

    def groups(self) -> Iterator[str]:
        """The first item of every line."""
        first: dict[tuple[Path, int], str] = {}
        for item, place in self._known().items():
            first.setdefault(place, item)
        return iter(first.values())

    def write(self, item: str, record: Row) -> None:
        self.add({item: record.to_json()})

    def fail(self, item: str, reason: str) -> None:
        self._append({"items": [item], "failed": reason})

    def add(self, records: Mapping[str, Mapping[str, Any]]) -> None:
        """Record that several items are finished: all of them, or none if this process is killed meanwhile."""
        self._append({"items": [*records], "records": records})

    def read(self, item: str) -> dict[str, Any]:
        if item not in self._known():
            if self._single and super().has(item):
                return super().read(item)
            raise UserError("this item is not in the journal", where=f"{self.folder}: {item}")
        line = _line(*self._known()[item])
        return line["records"][item] if "records" in line else {"failed": line["failed"]}

    def refresh(self) -> None:
        self._places = None
        _line.cache_clear()

    def _known(self) -> dict[str, tuple[Path, int]]:
        """{item: (journal, offset of its line)}."""
        if self._places is None:
            found: dict[str, tuple[Path, int]] = {}
            paths = sorted(self.folder.iterdir()) if self.folder.is_dir() else []
            for path in paths:
                if path.suffix == ".jsonl":
                    found |= {item: (path, offset) for offset, line in _lines(path) for item in line["items"]}
            self._places, self._single = found, any(path.suffix != ".jsonl" for path in paths)
        return self._places

    def _append(self, line: dict[str, Any]) -> None:
        data = json.dumps(line, allow_nan=False).encode() + b"\n"
        path = self.folder / self._name
        try:
            if self._file is None:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._file = _open(path)
            if os.write(self._file, data) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._file)
            begin = os.lseek(self._file, 0, os.SEEK_CUR) - len(data)
        except OSError as error:
            raise explain_os_error(error, path) from error
        if self._places is not None:
            self._places |= dict.fromkeys(line["items"], (path, begin))


def _open(path: Path) -> int:
    """Descriptor to append to a journal, whose incomplete last line is removed."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o666)
    size = os.fstat(file).st_size
    if size:
        with mmap.mmap(file, size, access=mmap.ACCESS_READ) as content:
            whole = content.rfind(b"\n") + 1
        os.ftruncate(file, whole)
    return file


def _lines(path: Path, *, whole: bool = False) -> Iterator[tuple[int, dict[str, Any]]]:
    """(offset, complete line); its records are parsed only if `whole`, since there may be a million."""
    offset = 0
    with path.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            if not line.endswith(b"\n"):
                return
            head, records, _ = line.partition(_RECORDS)
            try:
                found = json.loads(head + b"}" if records and not whole else line)
                found["items"]
            except (ValueError, KeyError, TypeError) as error:
                raise UserError(
                    f"line {number} of the journal is damaged",
                    where=path,
                    remedy="remove this line, and run the same command again: its items are worked on once more",
                ) from error
            yield offset, found
            offset += len(line)


@lru_cache(maxsize=64)
def _line(path: Path, offset: int) -> dict[str, Any]:
    """The parsed line; callers do not change it."""
    with path.open("rb") as stream:
        stream.seek(offset)
        found: dict[str, Any] = json.loads(stream.readline())
    return found


def count_items(path: Path) -> tuple[int, int]:
    """Numbers of finished items and of failed ones in a journal."""
    counts = [(len(line["items"]), "failed" in line) for _, line in _lines(path)]
    return sum(count for count, _ in counts), sum(failed for _, failed in counts)


def records(path: Path) -> Iterator[Mapping[str, Any]]:
    """The record of every item of a journal; {"failed": reason} of one that failed."""
    for _, line in _lines(path, whole=True):
        yield from line["records"].values() if "records" in line else ({"failed": line["failed"]},)
