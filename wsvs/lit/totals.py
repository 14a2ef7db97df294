"""Totals of a segment run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from wsvs.records.ledger import Ledger
from wsvs.records.shots import SegmentedPiece


class Totals:
    """Sums over the ledger, one record at a time, since all records may not fit into memory.

    Args:
        ledger: Ledger of the run.
        skip: Called with a bad item and the reason.
    """

    def __init__(self, ledger: Ledger, skip: Callable[[str, str], None]) -> None:
        self.ledger = ledger
        self.skip = skip
        self.frames = 0
        self.uncertain: Counter[str] = Counter()  # shots and frames without object motion or attention
        self.seconds: Counter[str] = Counter()
        self.energies: Counter[str] = Counter()

    def take(self, item: str) -> SegmentedPiece | None:
        """Record of an item; None if it failed, which is passed on to the run, or was never tried (debug runs)."""
        record = self.ledger.get(item, SegmentedPiece, self.skip)
        if record is not None:
            self.frames += record.frames
            if record.uncertain:
                self.uncertain.update(shots=1, frames=record.frames)
            self.seconds.update(record.seconds)
            self.energies.update(record.energy)
        return record

    @property
    def without_motion(self) -> dict[str, int]:
        """Counts for the summary; empty if every shot has masks."""
        return {f"{unit} without own motion": count for unit, count in self.uncertain.items()}

    def results(self, loop: Mapping[str, float], skipped: Mapping[str, str]) -> dict[str, Any]:
        """Means per frame, and what this start's loop took.

        Args:
            loop: What `wsvs.engine.work.work_through` says of the loop.
            skipped: {item: reason} of all skipped items.
        """
        frames = max(self.frames, 1)
        failed = {"failed": dict(skipped)} if skipped else {}
        return {
            "ms per frame": {key: round(1000 * value / frames, 1) for key, value in self.seconds.items()},
            "energy per frame": {key: round(value / frames, 3) for key, value in self.energies.items()},
            **loop,
            **failed,
        }
