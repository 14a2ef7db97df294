"""Finished items of a long job: one small JSON file per item, written after its results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from wsvs.core.files import read_json, write_json


class Ledger:
    """done/<item>.json under a run directory. Items are relative paths without '..', such as 'cat/video7_0'."""

    def __init__(self, run: str | Path) -> None:
        self.folder = Path(run, "done")

    def path(self, item: str) -> Path:
        return self.folder / f"{item}.json"

    def has(self, item: str) -> bool:
        return self.path(item).is_file()

    def write(self, item: str, record: dict[str, Any]) -> None:
        """Record that an item is finished."""
        write_json(self.path(item), record)

    def fail(self, item: str, reason: str) -> None:
        """Record that an item failed, so that it is not tried again and can be counted."""
        self.write(item, {"failed": reason})

    def read(self, item: str) -> dict[str, Any]:
        record: dict[str, Any] = read_json(self.path(item))
        return record
