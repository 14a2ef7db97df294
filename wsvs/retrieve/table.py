"""Results of a retrieval by class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from wsvs.records.retrieved import FoundVideo
from wsvs.retrieve.manifest import RETRIEVED, failure_of

COLUMNS = (
    "class",
    "found",
    "thumbnails passed",
    "downloaded",
    "key frames passed",
    "clips",
    "frames",
    "GB",
    "lost",
)


@dataclass
class Tally:
    """Of one class. `lost` counts the videos that came to nothing, by reason; `failures` those of each kind that a
    further try may get, or that are gone; `size` is in bytes."""

    found: int = 0
    retrieved: int = 0
    thumbnails_passed: int = 0
    downloaded: int = 0
    key_frames_passed: int = 0
    clips: int = 0
    frames: int = 0
    size: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)

    def add(self, row: FoundVideo) -> None:
        self.found += 1
        self.thumbnails_passed += bool(row.thumbnail_passed)
        self.downloaded += row.sha256 is not None
        self.size += row.bytes or 0
        self.key_frames_passed += sum(key.chosen for key in row.key_frames)
        if row.status == RETRIEVED:
            self.retrieved += 1
            self.clips += len(row.clips)
            self.frames += sum(clip.stop - clip.start for clip in row.clips)
        else:
            self.lost[(row.status or "").partition(" (")[0]] += 1
            if failure := failure_of(row):
                self.failures[failure] += 1

    def cells(self) -> list[str]:
        lost = "; ".join(f"{count} {reason}" for reason, count in self.lost.most_common())
        numbers = (
            self.found,
            self.thumbnails_passed,
            self.downloaded,
            self.key_frames_passed,
            self.clips,
            self.frames,
        )
        return [*map(str, numbers), f"{self.size / 1e9:.2f}", lost]

    def asdict(self) -> dict[str, Any]:
        return {
            "found": self.found,
            "thumbnails_passed": self.thumbnails_passed,
            "downloaded": self.downloaded,
            "key_frames_passed": self.key_frames_passed,
            "retrieved": self.retrieved,
            "clips": self.clips,
            "frames": self.frames,
            "bytes": self.size,
            "lost": dict(self.lost.most_common()),
            "failures": dict(self.failures.most_common()),
        }


def tally(rows: Iterable[FoundVideo], classes: Sequence[str]) -> dict[str, Tally]:
    """{class: Tally} in the order of the classes, "all" at the end. Videos without a class count only there."""
    by_class = {name: Tally() for name in classes}
    total = Tally()
    seen: set[str] = set()
    for row in rows:
        video = row.identity or row.video
        again = video in seen and row.sha256 is not None  # downloaded once for several classes
        total.add(replace(row, bytes=None, sha256=None) if again else row)
        seen.add(video)
        if row.class_name is not None:
            by_class.setdefault(row.class_name, Tally()).add(row)
    return {**by_class, "all": total}
