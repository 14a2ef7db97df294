"""Shots for the segmenter: loader workers decode them and do all that needs no network."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from wsvs.core.errors import BadItem
from wsvs.data.work import Item


class ShotDataset(Dataset[dict[str, Any]]):
    """Graphs of shots, with the frames of those that need them.

    An item is {"item", "graph", "decode" seconds, "frames" (T, h, w, 3) uint8 RGB at working size, or None}, and
    "broken", a reason, where a file that was to be read to its end broke off; or {"item", "bad": reason}. Frames that
    the shot names as "odd" or "blank" are no part of the graph.

    Args:
        items: Shots with "file", "start", "stop" (None: to the end of the file) and "total", the number of frames in
            the file, or None where it is not known; and maybe "odd" and "blank", numbers of frames.
        describe: Frames -> graph (`wsvs.video.frame_graph.describe_frames` with its settings).
        read: (file, start, stop, total=...) -> frames (`wsvs.video.reader.read_frames` with the working size).
        keep: Says of a shot that its frames are needed after this; all others' are let go one by one.
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
    """The frames of a shot on their way through, counted and timed. Raises `BadItem` if there are too few."""

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
                f"only {self.count} of the {expected} frames of this shot are there",
                where=self.item["file"],
                remedy="the file has changed: begin a new run",
            )

    def _next(self) -> np.ndarray | None:
        begun = time.perf_counter()
        try:
            return next(self.source, None)
        except BadItem as error:
            if self.item["stop"] is not None or not self.count:
                raise
            self.broken = error.message  # what comes before the break is as good as any other video
            return None
        finally:
            self.seconds += time.perf_counter() - begun


def is_whole(item: Item) -> bool:
    """Is every frame of a shot part of its graph?"""
    return not (item.get("odd") or item.get("blank"))


def sound_frames(item: Item) -> list[int]:
    """Numbers of the frames of a shot that is known to its end that its graph is made of: neither odd nor blank."""
    left_out = {*item.get("odd", ()), *item.get("blank", ())}
    return [number for number in range(item["start"], item["stop"]) if number not in left_out]


def _sound(frames: Iterable[np.ndarray], start: int, sound: set[int] | None) -> Iterator[np.ndarray]:
    return (frame for number, frame in enumerate(frames, start) if sound is None or number in sound)


def _kept(frames: Iterable[np.ndarray], kept: list[np.ndarray]) -> Iterator[np.ndarray]:
    for frame in frames:
        kept.append(frame)
        yield frame
