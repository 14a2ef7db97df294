"""Shots for the segmenter: loader workers decode them and do all work that needs no network."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from wsvs.core.errors import BadItem
from wsvs.data.work import Item


class ShotDataset(Dataset[dict[str, Any]]):
    """Graphs of shots, with the frames if they are needed.

    An item is {"item", "graph", "decode" seconds, "frames" (T, h, w, 3) uint8 RGB at working size, or None}, and
    "broken", a reason, if a file that was to be read to its end breaks off; or {"item", "bad": reason}. Frames listed
    as "odd" or "blank" are not in the graph.

    Args:
        items: Shots with "file", "start", "stop" (None: to the end of the file), "total" (number of frames in the file,
            or None if unknown), and optionally "odd" and "blank", numbers of frames.
        describe: Frames -> graph (`wsvs.video.frame_graph.describe_frames` with its settings).
        read: (file, start, stop, total=...) -> frames (`wsvs.video.reader.read_frames` with the working size).
        keep: Whether the frames of a shot are needed later; otherwise they are released one by one.
    """

    def __init__(
        self, items: Sequence[Item], *, describe: Any, read: Any, keep: Callable[[Item], bool] | None = None
    ) -> None:
        self.items = items
        self.describe = describe
        self.read = read
        self.keep = keep

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> dict[str, Any]:
        item = self.items[index]
        frames = _Frames(item, self.read(item["file"], item["start"], item["stop"], total=item["total"]))
        kept: list[np.ndarray] | None = [] if self.keep is None or self.keep(item) else None
        sound = None if is_whole(item) else set(sound_frames(item))
        try:
            graph = self.describe(_sound(frames if kept is None else _kept(frames, kept), item["start"], sound))
        except BadItem as error:
            return {"item": item, "bad": error.message}
        made = {
            "item": item,
            "graph": graph,
            "decode": frames.seconds,
            "frames": None if kept is None else np.stack(kept),
        }
        return made if frames.broken is None else {**made, "broken": frames.broken}


class _Frames:
    """Passes on the frames of a shot, with count and time. Raises `BadItem` if there are too few."""

    def __init__(self, item: Item, source: Iterator[np.ndarray]) -> None:
        self.item = item
        self.source = source
        self.count = 0
        self.seconds = 0.0
        self.broken: str | None = None

    def __iter__(self) -> Iterator[np.ndarray]:
        while (frame := self._next()) is not None:
            self.count += 1
            yield frame
        whole = self.item["stop"] is None
        expected = 1 if whole else self.item["stop"] - self.item["start"]
        if self.count < expected:
            raise BadItem(
                f"this shot has only {self.count} of its {expected} frames",
                where=self.item["file"],
                remedy="the file has changed: start a new run",
            )

    def _next(self) -> np.ndarray | None:
        begun = time.perf_counter()
        try:
            return next(self.source, None)
        except BadItem as error:
            if self.item["stop"] is not None or not self.count:
                raise
            self.broken = error.message  # the frames before the break are usable
            return None
        finally:
            self.seconds += time.perf_counter() - begun


def is_whole(item: Item) -> bool:
    """Whether every frame of a shot is in its graph."""
    return not (item.get("odd") or item.get("blank"))


def sound_frames(item: Item) -> list[int]:
    """Numbers of the frames in the graph of a shot with a known end: neither odd nor blank."""
    left_out = {*item.get("odd", ()), *item.get("blank", ())}
    return [number for number in range(item["start"], item["stop"]) if number not in left_out]


def _sound(frames: Iterable[np.ndarray], start: int, sound: set[int] | None) -> Iterator[np.ndarray]:
    return (frame for number, frame in enumerate(frames, start) if sound is None or number in sound)


def _kept(frames: Iterable[np.ndarray], kept: list[np.ndarray]) -> Iterator[np.ndarray]:
    for frame in frames:
        kept.append(frame)
        yield frame
