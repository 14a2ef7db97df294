"""A few images of the masks that a run has written, read back from disk for W&B."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from wsvs.core.errors import BadItem
from wsvs.core.files import read_jsonl
from wsvs.core.masks import read_mask
from wsvs.core.runs import VIDEOS
from wsvs.data.images import read_image
from wsvs.data.work import Item
from wsvs.lit.media import LoggedImage, glow, spread
from wsvs.video.reader import read_frames
from wsvs.video.shots import middle

Attend = Callable[[np.ndarray, Sequence[str]], np.ndarray]  # (1, H, W, 3) uint8 and classes -> (1, H, W) in [0, 1]


def middle_frames(folder: Path, number: int, longest: int) -> Iterator[tuple[LoggedImage, list[str]]]:
    """Middle frames of evenly spread shots (or videos) of a segment run under their masks, and their known classes.

    Args:
        folder: The run.
        number: Shots, at most.
        longest: Longer side of a frame in px, where the run kept none.
    """
    whole = (folder / VIDEOS).is_file()
    listing = folder / (VIDEOS if whole else "shots.jsonl")
    chosen = set(spread(number, sum(1 for _ in read_jsonl(listing))))
    for place, row in enumerate(read_jsonl(listing)):
        if place not in chosen:
            continue
        t = middle(row["frames"], row.get("damaged", ())) if whole else (row["start"] + row["stop"]) // 2
        name = f"{row['video']}/{t:05d}" if whole else f"{row['shot']}/{t:06d}"
        kept = folder / "frames" / f"{name}.jpg"
        try:
            mask = read_mask(folder / "masks" / f"{name}.png")
            frame = read_image(kept) if kept.is_file() else _frame(row["file"], t, longest)
        except BadItem:
            continue
        yield LoggedImage(frame, f"{name} {row['class']}", {"mask": mask}), row["classes"] if whole else [row["class"]]


def attention_of(frames: Sequence[tuple[LoggedImage, list[str]]], attend: Attend) -> Iterator[LoggedImage]:
    """The same frames under the attention of their classes."""
    for logged, classes in frames:
        if classes:
            yield LoggedImage(glow(logged.image, attend(logged.image[None], classes)[0]), logged.caption)


def predictions(items: Sequence[Item], folder: Path, number: int) -> Iterator[LoggedImage]:
    """Evenly spread images, and middle frames of videos, under their predicted masks."""
    for place in spread(number, len(items)):
        item: dict[str, Any] = items[place]
        try:
            if "frames" in item:
                t = item["frames"] // 2
                mask = read_mask(folder / item["id"] / f"{t:05d}.png")
                yield LoggedImage(_frame(item["video"], t), item["id"], {"prediction": mask})
            else:
                mask = read_mask(folder / f"{item['id']}.png")
                yield LoggedImage(read_image(item["file"]), item["id"], {"prediction": mask})
        except BadItem:
            continue


def _frame(path: str, t: int, longest: int | None = None) -> np.ndarray:
    """Frame t of a video. Raises `BadItem` where there is none."""
    for frame in read_frames(path, t, t + 1, longest_edge=longest):
        return frame
    raise BadItem(f"the video has no frame {t}", where=path)
