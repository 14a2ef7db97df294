"""Sums over what a segment run has done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from wsvs.core.ledger import Ledger


class Totals:
    """Sums over the ledger, taken one record at a time: there may be more than memory holds.

    Args:
        ledger: Of the run.
        skip: Is told of a bad item, and why it is bad.
    """

    def __init__(self, ledger: Ledger, skip: Callable[[str, str], None]) -> None:
        self.ledger = ledger
        self.skip = skip
        self.frames = 0
        self.uncertain: Counter[str] = Counter()  # shots and frames in which nothing seems to move by itself
        self.seconds: Counter[str] = Counter()
        self.energies: Counter[str] = Counter()

    def take(self, item: str) -> dict[str, Any] | None:
        """Record of an item; None if it failed, which is passed on to the run, or was never tried (debug runs)."""
        if not self.ledger.has(item):
            return None
        record = self.ledger.read(item)
        if "failed" in record:
            self.skip(item, record["failed"])
            return None
        self.frames += record["frames"]
        if record.get("uncertain"):
            self.uncertain.update(shots=1, frames=record["frames"])
        self.seconds.update(record["seconds"])
        self.energies.update(record["energy"])
        return record

    @property
    def without_motion(self) -> dict[str, int]:
        """For the counts of a summary; nothing where every shot has its masks."""
        return {f"{unit} without own motion": count for unit, count in self.uncertain.items()}

    def results(self, seconds: float, skipped: Mapping[str, str]) -> dict[str, Any]:
        """Means per frame, and how long the loop of this start took (processes and networks started before it).

        Args:
            seconds: Of the loop.
            skipped: {item: reason} of all that was passed over.
        """
        frames = max(self.frames, 1)
        failed = {"failed": dict(skipped)} if skipped else {}
        return {
            "ms per frame": {key: round(1000 * value / frames, 1) for key, value in self.seconds.items()},
            "energy per frame": {key: round(value / frames, 3) for key, value in self.energies.items()},
            "seconds of the loop": round(seconds, 3),
            **failed,
        }
