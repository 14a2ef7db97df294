"""Progress, rate and remaining time of a task: a progress bar in a terminal, else a log line at intervals."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

log = logging.getLogger("wsvs")

T = TypeVar("T")
WORK = "work.json"  # of a run: its number of items, and when the present start began, for stage status
EVERY = 30.0  # seconds between two lines without a terminal


class Meter:
    """Shows the progress of a task until `stop`, or as a context manager. Without a terminal short tasks log nothing.

    Args:
        total: Number of items; None if unknown.
        unit: The items, in the plural: frames.
        done: Items finished by earlier starts, which do not count for the rate.
        share: Text after the unit if this is only a part: "on this rank".
        every: Seconds between lines without a terminal.
    """

    def __init__(self, total: int | None, unit: str, *, done: int = 0, share: str = "", every: float = EVERY) -> None:
        self.total, self.unit, self.every = total, unit, every
        self.label = f"{unit} {share}".strip()
        self.about = ""
        self.done = self._first = done
        self._begun = self._said = time.monotonic()
        self._bar: Bar | None = None
        if sys.stdout.isatty():
            self._bar = Bar(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}", markup=False),
                redirect_stderr=False,
            )
            self._bar.start()
            self._task = self._bar.add_task(self.label, total=total, completed=done, note="")

    def expect(self, total: float) -> None:
        """The number of items is about `total`, as far as is known now."""
        self.total, self.about = round(total), "about "

    def tell(self, done: int, note: str = "") -> None:
        """Report the number of finished items; `note` is shown after it."""
        self.done, now = done, time.monotonic()
        if self._bar is None and now - self._said <= self.every:
            return
        rate = (done - self._first) / max(now - self._begun, 1e-9)
        if self._bar is not None:
            said = f"{rate_text(rate, self.unit)}  {note}"
            total = self.total and max(self.total, done)
            self._bar.update(self._task, completed=done, total=total, note=said.strip())
            return
        self._said = now
        left, counted = "", f"{done} of {self.about}{self.total or '?'} {self.label}"
        if self.total and done > self.total:  # a video has more frames than its header says
            counted = f"{done} {self.label} ({self.total} expected)"
        elif self.total and done < self.total and rate > 0:
            left = f"{duration((self.total - done) / rate)} left"
        parts = (counted, rate_text(rate, self.unit), left)
        log.info("%s", ", ".join(part for part in parts if part) + (f"  {note}" if note else ""))

    def stop(self) -> None:
        """Stop updating the bar."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def __enter__(self) -> Meter:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def follow(work: Iterable[T], unit: str, total: int | None = None) -> Iterator[T]:
    """Iterate over `work` and show the progress.

    Args:
        work: The items.
        unit: Their name, in the plural.
        total: Their number, if `work` has no length.
    """
    with Meter(len(work) if total is None and isinstance(work, Sized) else total, unit) as meter:
        for number, piece in enumerate(work, 1):
            yield piece
            meter.tell(number)


def duration(seconds: float) -> str:
    """A duration in its two largest units: 40 s, 12 min, 4 h 12 min, 3 days 5 h."""
    minutes = round(seconds / 60)
    if seconds < 59.5:
        return f"{max(round(seconds), 1)} s"
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 24 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    hours = round(seconds / 3600)
    return f"{hours // 24} {'day' if hours < 48 else 'days'} {hours % 24} h"


def rate_text(rate: float, unit: str) -> str:
    """A rate in a readable unit: 12.3 frames/s, but 4.5 videos/min; empty for 0."""
    if rate <= 0:
        return ""
    for factor, name in ((1, "s"), (60, "min")):
        if rate * factor >= 1:
            return f"{rate * factor:.1f} {unit}/{name}"
    return f"{rate * 3600:.1f} {unit}/h"
