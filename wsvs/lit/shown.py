"""A few images of the masks that a run has written, read back from disk for W&B."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from wsvs.core.errors import BadItem
from wsvs.core.masks import read_mask
from wsvs.data.images import read_image
from wsvs.lit.media import LoggedImage, glow, spread
from wsvs.records.masks import MaskSet, frame_name
from wsvs.records.predicted import PredictedFile, Wanted
from wsvs.video.reader import read_frames

Attend = Callable[[np.ndarray, Sequence[str]], np.ndarray]  # (1, H, W, 3) uint8 and classes -> (1, H, W) in [0, 1]


def middle_frames(masks: MaskSet, number: int, longest: int) -> Iterator[tuple[LoggedImage, Sequence[str]]]:
    """Middle frames of evenly spread shots (or videos) of a segment run under their masks, and their known classes.

    Args:
        masks: Of the run.
        number: Shots, at most.
        longest: Longer side of a frame in px, where the run kept none.
    """
    chosen = set(spread(number, sum(1 for _ in masks.rows())))
    for place, row in enumerate(masks.rows()):
        if place not in chosen:
            continue
        kept = masks.frame(row.name, row.middle)
        try:
            mask = read_mask(masks.mask(row.name, row.middle))
            frame = read_image(kept) if kept.is_file() else _frame(row.file, row.middle, longest)
        except BadItem:
            continue
        caption = f"{masks.frame_name(row.name, row.middle)} {row.class_name}"
        yield LoggedImage(frame, caption, {"mask": mask}), row.classes


def attention_of(frames: Sequence[tuple[LoggedImage, Sequence[str]]], attend: Attend) -> Iterator[LoggedImage]:
    """The same frames under the attention of their classes."""
    for logged, classes in frames:
        if classes:
            yield LoggedImage(glow(logged.image, attend(logged.image[None], classes)[0]), logged.caption)


def predictions(items: Sequence[tuple[Wanted, PredictedFile]], folder: Path, number: int) -> Iterator[LoggedImage]:
    """Evenly spread images, and middle frames of videos, under their predicted masks."""
    for place in spread(number, len(items)):
        item, record = items[place]
        try:
            if record.frames is not None:
                t = record.frames // 2
                mask = read_mask(folder / f"{frame_name(item.id, t)}.png")
                yield LoggedImage(_frame(item.file, t), item.id, {"prediction": mask})
            else:
                mask = read_mask(folder / f"{item.id}.png")
                yield LoggedImage(read_image(item.file), item.id, {"prediction": mask})
        except BadItem:
            continue


def _frame(path: str, t: int, longest: int | None = None) -> np.ndarray:
    """Frame t of a video. Raises `BadItem` where there is none."""
    for frame in read_frames(path, t, t + 1, longest_edge=longest):
        return frame
    raise BadItem(f"the video has no frame {t}", where=path)
