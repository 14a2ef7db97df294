"""Semantic segmentation of still images, and of videos frame by frame, as a predict loop (section 3.4)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.callbacks import BasePredictionWriter
from PIL import Image
from torch import Tensor

from wsvs.core.errors import BadItem, UserError
from wsvs.core.files import write_bytes
from wsvs.core.legend import with_legend
from wsvs.core.masks import read_mask, write_mask
from wsvs.core.memory import keep_freed_memory
from wsvs.core.visualize import over, shrunk
from wsvs.data.images import images_in, read_image
from wsvs.data.tagged import to_tensor
from wsvs.lit.image_segmenter import ImageSegmenter, VideoFrame
from wsvs.lit.overlay import open_writer
from wsvs.lit.progress import Progress
from wsvs.records.ledger import Ledger
from wsvs.records.masks import frame_name
from wsvs.records.predicted import Bad, PredictedFile, Wanted
from wsvs.video.reader import glance

log = logging.getLogger("wsvs")


OVERLAY_SIDE = 2000  # px, longest side of an image's overlay


@dataclass(frozen=True)
class Loaded:
    """An image that was read, (3, H, W) uint8."""

    item: Wanted
    image: Tensor


@dataclass(frozen=True)
class PredictedImage:
    """Result of an image on its way to the writer.

    Attributes:
        mask: (H, W) uint8.
        labels: The segmented labels.
        probabilities: (K, h, w) float16 of them.
        image: (3, H, W) uint8.
    """

    id: str
    mask: np.ndarray
    labels: list[int]
    probabilities: np.ndarray
    image: Tensor


@dataclass(frozen=True)
class PredictedVideo:
    """A video whose frames are segmented when they are asked for."""

    item: Wanted
    frames: Iterator[VideoFrame]


class PredictorModule(ImageSegmenter, pl.LightningModule):
    """`ImageSegmenter` as a predict loop over what `load_image` gives."""

    def on_predict_start(self) -> None:
        keep_freed_memory()

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        return batch  # `segment` takes an image there

    def predict_step(self, batch: Loaded | Wanted | Bad, batch_idx: int) -> PredictedImage | PredictedVideo | Bad:
        if isinstance(batch, Bad):
            return batch
        if isinstance(batch, Wanted):
            return PredictedVideo(batch, self.video(batch.file, batch.classes))
        try:
            found = self.segment(batch.image, batch.item.classes)
        except BadItem as error:
            return Bad(batch.item.id, error.message)
        labels = [number + 1 for number in found.classes]
        probabilities = found.probabilities.half().cpu().numpy()
        return PredictedImage(batch.item.id, found.mask, labels, probabilities, batch.image)


class PredictionWriter(BasePredictionWriter):
    """Writes <folder>/<id>.png for each image; for a video <folder>/<id>/00000.png, 00001.png, ...

    Existing masks of an interrupted video are kept: only the other frames are segmented. With `scores` also
    <folder>/scores/<id>.npz (images only). With `names`, the names of the labels 0, 1, ..., also overlay/<id>.jpg or
    .mp4: the mask over the image (at most `OVERLAY_SIDE`) with a legend below. The ledger records failures, the number
    of frames of a video, the "confidence" of an image (see `confidences`), and "unshown" if only the overlay failed;
    the mask of an image is written last and marks it as finished.
    """

    def __init__(
        self, folder: Path, ledger: Ledger, *, scores: bool = False, names: Sequence[str] | None = None
    ) -> None:
        super().__init__(write_interval="batch")
        self.folder = folder
        self.ledger = ledger
        self.scores = scores
        self.names = names

    def write_on_batch_end(
        self,
        trainer: pl.Trainer,
        module: pl.LightningModule,
        prediction: PredictedImage | PredictedVideo | Bad,
        batch_indices: Sequence[int] | None,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        if isinstance(prediction, Bad):
            self.ledger.fail(prediction.id, prediction.reason)
        elif isinstance(prediction, PredictedVideo):
            meters = [one for one in trainer.callbacks if isinstance(one, Progress)]  # type: ignore[attr-defined]

            def tell(done: int) -> None:
                for meter in meters:
                    meter.within(trainer, batch_idx, done)

            self._write_video(prediction.item, prediction.frames, tell)
        else:
            self._write_image(prediction)

    def _write_image(self, prediction: PredictedImage) -> None:
        name = prediction.id
        if self.scores:
            buffer = BytesIO()
            labels = np.array(prediction.labels, np.uint8)
            np.savez_compressed(buffer, labels=labels, probabilities=prediction.probabilities)
            write_bytes(self.folder / "scores" / f"{name}.npz", buffer.getvalue())
        mask = prediction.mask
        failed = None
        if self.names is not None:
            try:
                self._write_overlay(name, prediction.image.permute(1, 2, 0).cpu().numpy(), mask, self.names)
            except UserError:  # such as a full disk, which would fail for the next image too
                raise
            except Exception as error:  # from image libraries; the mask is more important
                failed = f"its mask is written, but not its overlay: {error}"
        found = confidences(mask, prediction.labels, prediction.probabilities)
        self.ledger.write(name, PredictedFile({str(label): value for label, value in found.items()}, failed))
        write_mask(self.folder / f"{name}.png", mask)  # last: it marks the image as finished

    def _write_overlay(self, name: str, image: np.ndarray, mask: np.ndarray, names: Sequence[str]) -> None:
        small = over(shrunk(image, OVERLAY_SIDE), mask)
        shown = with_legend(small, [int(label) for label in np.unique(mask) if label], names)
        buffer = BytesIO()
        Image.fromarray(shown).save(buffer, "JPEG", quality=90)
        write_bytes(self.folder / "overlay" / f"{name}.jpg", buffer.getvalue())

    def _write_video(self, item: Wanted, frames: Iterator[VideoFrame], tell: Callable[[int], None]) -> None:
        name = item.id
        try:
            frames = chain([next(frames)], frames)
        except BadItem as error:  # not even one frame
            self.ledger.fail(name, error.message)
            return
        overlay = self.folder / "overlay" / f"{name}.mp4"
        count, broken = 0, None
        with nullcontext() if self.names is None else open_writer(overlay, glance(item.file).fps) as add:
            try:
                for number, (frame, segment, classes) in enumerate(frames):
                    path = self.folder / f"{frame_name(name, number)}.png"
                    mask = _kept(path, frame)
                    if mask is None:
                        mask = segment()
                        write_mask(path, mask)
                    count = number + 1
                    if add is not None and self.names is not None:
                        add(with_legend(over(frame, mask), [one + 1 for one in classes], self.names))
                    tell(count)
            except BadItem as error:  # the frames before the break are kept
                broken = error.message
        self.ledger.write(name, PredictedFile(frames=count, broken=broken))


def confidences(mask: np.ndarray, labels: Sequence[int], probabilities: np.ndarray) -> dict[int, float | None]:
    """{label: mean probability of its class over the pixels with this label; None if there are none}.

    Args:
        mask: (H, W) uint8 labels.
        labels: The segmented labels.
        probabilities: (K, h, w), one map per label; a pixel of the mask has the nearest value.
    """
    sizes = zip(mask.shape, probabilities.shape[1:], strict=True)
    rows, columns = (np.arange(size) * few // size for size, few in sizes)
    found: dict[int, float | None] = {}
    for label, values in zip(labels, probabilities, strict=True):
        inside = mask == label
        shown = values[rows[:, None], columns][inside]
        found[label] = round(float(shown.mean(dtype=np.float64)), 4) if shown.size else None
    return found


def _kept(path: Path, frame: np.ndarray) -> np.ndarray | None:
    """The mask of a frame from an interrupted run; None if it is missing or has another size."""
    try:
        mask = read_mask(path)
    except BadItem:  # missing, or truncated as after a power cut
        return None
    return mask if mask.shape == frame.shape[:2] else None


def load_image(item: Wanted | Bad) -> Loaded | Wanted | Bad:
    """Read the file of an item in a loader's worker. Videos are streamed later."""
    if isinstance(item, Bad) or item.video:
        return item
    try:
        image = to_tensor(read_image(item.file))
    except BadItem as error:
        return Bad(item.id, error.message)
    several = images_in(item.file)
    if several > 1:
        log.warning("%s has %d images: only the first is used", item.file, several)
    return Loaded(item, image)
