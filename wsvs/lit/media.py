"""Images for the trackers: of trainings (attention, crops with target and prediction), and of the masks of a run."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import lightning.pytorch as pl
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from wsvs.core.classes import BACKGROUND, IGNORE
from wsvs.core.errors import BadItem
from wsvs.core.masks import read_mask
from wsvs.core.visualize import heat
from wsvs.data.images import read_image
from wsvs.data.loading import Batch, scaled
from wsvs.lit.decoder import DecoderModule
from wsvs.lit.encoder import EncoderModule
from wsvs.nets.decoder import foreground
from wsvs.records.masks import MaskSet, frame_name
from wsvs.records.predicted import PredictedFile, Wanted
from wsvs.video.reader import probe, read_frames


@dataclass(frozen=True)
class LoggedImage:
    """An image to be logged, with label masks that a viewer can overlay.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        caption: A line below it.
        masks: {name: (H, W) uint8 labels}; 0 = background, 255 = ignored.
    """

    image: np.ndarray
    caption: str
    masks: Mapping[str, np.ndarray] = field(default_factory=dict)

    def within(self, longest: int) -> LoggedImage:
        """The image with no side longer than `longest` px, its masks at the same size."""
        height, width = self.image.shape[:2]
        share = min(1.0, longest / max(height, width))
        size = (max(1, round(width * share)), max(1, round(height * share)))
        masks = {name: cv2.resize(one, size, interpolation=cv2.INTER_NEAREST_EXACT) for name, one in self.masks.items()}
        image = self.image if share == 1 else cv2.resize(self.image, size, interpolation=cv2.INTER_AREA)
        return LoggedImage(image, self.caption, masks)

    def padded(self, height: int, width: int) -> LoggedImage:
        """The image padded with white below and to the right; its masks are background there."""
        below, right = height - self.image.shape[0], width - self.image.shape[1]
        image = np.pad(self.image, ((0, below), (0, right), (0, 0)), constant_values=255)
        masks = {name: np.pad(one, ((0, below), (0, right))) for name, one in self.masks.items()}
        return LoggedImage(image, self.caption, masks)


Show = Callable[[str, Sequence[LoggedImage], Sequence[str], int], None]  # key, images, names of the labels, step
Attend = Callable[[np.ndarray, Sequence[str]], np.ndarray]  # (1, H, W, 3) uint8 and classes -> (1, H, W) in [0, 1]


class ShowValidation(pl.Callback):
    """Passes some items of every validation to `show`: always the same ones, spread over the validation set.

    val/attention are images under their attention, val/masks crops with the masks "target" and "prediction". They are
    computed on one rank, without collective operations.

    Args:
        number: Number of items, at least 1.
        show: Called with them at the end of the validation.
    """

    def __init__(self, number: int, show: Show) -> None:
        if number < 1:
            raise ValueError(f"number must be at least 1, got {number}")
        self.number = number
        self.show = show
        self._images: list[LoggedImage] = []

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        batches = int(trainer.num_val_batches[dataloader_idx])
        if trainer.sanity_checking or "image" not in batch or batch_idx not in spread(self.number, batches):
            return
        own = -(-self.number // min(self.number, batches))  # of each of these batches
        items = spread(min(own, self.number - len(self._images)), len(batch["image"]))
        with trainer.precision_plugin.val_step_context():
            if isinstance(pl_module, EncoderModule):
                self._images += [attended(pl_module, batch, item) for item in items]
            elif isinstance(pl_module, DecoderModule):
                self._images += crops(pl_module, batch, items)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        images, self._images = self._images, []
        if images and isinstance(pl_module, EncoderModule | DecoderModule):
            key = "val/attention" if isinstance(pl_module, EncoderModule) else "val/masks"
            self.show(key, images, (BACKGROUND, *pl_module.net.classes), trainer.global_step)


def alike(images: Iterable[LoggedImage], longest: int) -> list[LoggedImage]:
    """Images of equal size, as viewers need them: not larger than `longest` px, smaller ones padded."""
    small = [logged.within(longest) for logged in images]
    height, width = (max((one.image.shape[axis] for one in small), default=0) for axis in (0, 1))
    return [logged.padded(height, width) for logged in small]


def animated(path: str | Path, longest: int = 320, frames: int = 40) -> bytes:
    """A video as a GIF of its own speed: none of its sides longer than `longest` px, some frames spread over it."""
    facts = probe(path)
    kept = {*spread(frames, facts.frames)}
    all_frames = enumerate(read_frames(path, longest_edge=longest))
    images = [Image.fromarray(frame) for number, frame in all_frames if number in kept]
    stream = io.BytesIO()
    pause = max(20, round(1000 * facts.frames / facts.fps / len(images)))  # ms
    images[0].save(stream, "GIF", save_all=True, append_images=images[1:], duration=pause, loop=0)
    return stream.getvalue()


def spread(number: int, total: int) -> list[int]:
    """At most `number` of 0 ... total - 1, evenly spread."""
    number = min(number, total)
    return [place * total // number for place in range(number)]


def glow(image: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 image under its attention (h, w) in [0, 1], (H, W, 3) uint8."""
    size = (image.shape[1], image.shape[0])
    alpha = cv2.resize(alpha.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
    return np.rint(0.4 * image + 0.6 * heat(alpha)).astype(np.uint8)


def attended(module: EncoderModule, batch: Batch, item: int) -> LoggedImage:
    """One image under the attention of its tags (their maximum), or of the predicted classes without tags."""
    tags = torch.nonzero(batch["y"][item])[:, 0].tolist()
    image = batch["image"][item]
    numbers, alpha, scores = module.net.probabilities(scaled(image), tags or None, method="attention")
    caption = ", ".join(f"{module.net.classes[number]} {scores[number]:.2f}" for number in numbers)
    return LoggedImage(glow(_array(image), alpha.amax(0).float().cpu().numpy()), caption)


@torch.no_grad()
def crops(module: DecoderModule, batch: Batch, items: Sequence[int]) -> Iterator[LoggedImage]:
    """Validation crops with target and prediction, in the label of the crop's class."""
    here = list(items)
    chosen: Batch = {"image": batch["image"][here], "target": batch["target"][here], "class": batch["class"][here]}
    predicted = foreground(module.score(chosen)) > 0.5
    for image, target, found, number in zip(
        chosen["image"], chosen["target"], predicted, chosen["class"].tolist(), strict=True
    ):
        label = number + 1
        true = torch.where(target == IGNORE, IGNORE, target * label)
        masks = {"target": true, "prediction": found * label}
        yield LoggedImage(
            _array(image),
            module.net.classes[number],
            {name: mask.cpu().numpy().astype(np.uint8) for name, mask in masks.items()},
        )


def _array(image: Tensor) -> np.ndarray:
    """(3, H, W) to (H, W, 3) uint8."""
    return image.permute(1, 2, 0).cpu().numpy()


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
