"""Finished items of a long job: one small JSON file per item, written after its results."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from wsvs.core.files import read_json, write_json, write_text
from wsvs.records.row import Row

R = TypeVar("R", bound=Row)


class Ledger:
    """done/<item>.json under a run directory. Items are relative paths without '..', such as 'cat/video7_0'."""

    def __init__(self, run: str | Path) -> None:
        self.folder = Path(run, "done")

    def path(self, item: str) -> Path:
        return self.folder / f"{item}.json"

    def has(self, item: str) -> bool:
        return self.path(item).is_file()

    def write(self, item: str, record: Row) -> None:
        """Record that an item is finished."""
        write_json(self.path(item), record.to_json())

    def fail(self, item: str, reason: str) -> None:
        """Record that an item cannot be done, so that it is not tried again and can be counted.

        done/<item>.failed is empty: listing the folder is enough to count failures.
        """
        write_text(self.folder / f"{item}.failed", "")
        write_json(self.path(item), {"failed": reason})

    def refresh(self) -> None:
        """Take in what other processes have recorded since; files are looked up when they are asked for."""

    def read(self, item: str) -> dict[str, Any]:
        """What is on disk: a record, or {"failed": reason}."""
        record: dict[str, Any] = read_json(self.path(item))
        return record

    def get(self, item: str, kind: type[R], skip: Callable[[str, str], None] | None = None) -> R | None:
        """The record of an item; None if there is none, or if it failed: then `skip` is called with the reason."""
        record = self.read(item) if self.has(item) else {"failed": None}
        if "failed" not in record:
            return kind.from_json(record)
        if skip is not None and record["failed"] is not None:
            skip(item, record["failed"])
        return None
