"""Semantic segmentation of still images, and of videos frame by frame, as a predict loop (section 3.4)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
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

from wsvs.config.checked import checked
from wsvs.config.stages import ClassThreshold, Cut, Method, PredictSettings, Threshold, Zooms
from wsvs.core.errors import BadItem, UserError
from wsvs.core.files import write_bytes
from wsvs.core.ledger import Ledger
from wsvs.core.legend import with_legend
from wsvs.core.masks import read_mask, write_mask
from wsvs.core.memory import keep_freed_memory
from wsvs.core.otsu import otsu
from wsvs.core.visualize import over, shrunk
from wsvs.data.images import images_in, read_image
from wsvs.data.loading import scaled
from wsvs.data.tagged import to_tensor
from wsvs.lit.progress import Progress
from wsvs.lit.video_writer import open_writer
from wsvs.nets.model import SegmentationNet, label_map
from wsvs.video.reader import glance, read_frames
from wsvs.video.still import cut_image

_DEFAULT = PredictSettings()
log = logging.getLogger("wsvs")


CLASS_FRAMES = 16  # frames whose mean scores give the classes of a video
OVERLAY_SIDE = 2000  # px, longest side of an image's overlay

VideoFrame = tuple[np.ndarray, Callable[[], np.ndarray], list[int]]
"""(H, W, 3) uint8 RGB, a function that segments it into (H, W) uint8, and the numbers of the video's classes."""


@dataclass(frozen=True)
class Segmented:
    """Result of one image.

    Attributes:
        mask: (H, W) uint8, class number + 1, or 0.
        classes: Numbers of the segmented classes.
        probabilities: (K, h, w) in [0, 1] at the network's size, for these classes.
        scores: (C,) in [0, 1], of every class.
    """

    mask: np.ndarray
    classes: list[int]
    probabilities: Tensor
    scores: Tensor


class PredictorModule(pl.LightningModule):
    """One image at a time, at its own shape; a video frame by frame.

    A batch is {"id", "image" (3, H, W) uint8, "classes": class numbers or None to predict them},
    {"id", "video": file, "classes"}, or {"id", "bad"}.

    Args:
        net: Trained networks.
        method: Source of the probabilities.
        class_threshold: Classes whose score reaches this are predicted, or with 'auto' their own thresholds, chosen in
            the encoder's training. The best class is always predicted.
        background: Pixels whose highest probability does not exceed this are background; 'otsu' chooses it per image.
        flip: Average with the mirrored image.
        zooms: Multi-scale test-time augmentation: average over these multiples of the network's size.
        refine: 'cut' aligns borders with the image's colours (`wsvs.video.still`).
    """

    @checked
    def __init__(
        self,
        net: SegmentationNet,
        *,
        method: Method = _DEFAULT.method,
        class_threshold: ClassThreshold = _DEFAULT.class_threshold,
        background: Threshold = _DEFAULT.background,
        flip: bool = _DEFAULT.flip,
        zooms: Zooms = _DEFAULT.zooms,
        refine: Cut = _DEFAULT.refine,
    ) -> None:
        super().__init__()
        self.net = net
        self.method = method
        self.class_threshold = class_threshold
        self.background = background
        self.flip = flip
        self.zooms = tuple(zooms)
        self.refine = refine

    def on_predict_start(self) -> None:
        keep_freed_memory()

    def predict_step(self, batch: dict[str, Any], batch_idx: int) -> dict[str, Any]:
        if "bad" in batch:
            return batch
        if "video" in batch:
            return {"id": batch["id"], "video": batch["video"], "frames": self.video(batch["video"], batch["classes"])}
        try:
            found = self.segment(batch["image"], batch["classes"])
        except BadItem as error:
            return {"id": batch["id"], "bad": error.message}
        return {
            "id": batch["id"],
            "mask": found.mask,
            "labels": [number + 1 for number in found.classes],
            "probabilities": found.probabilities.half().cpu().numpy(),
            "image": batch["image"],
        }

    def segment(self, image: Tensor, classes: Sequence[int] | None = None) -> Segmented:
        """Segment an image (3, H, W) uint8; `classes` are class numbers, None predicts them.

        Raises:
            BadItem: The network's output is not finite.
        """
        numbers, probabilities, scores = self.net.probabilities(
            scaled(image),
            classes,
            class_threshold=self.class_threshold,
            method=self.method,
            flip=self.flip,
            zooms=self.zooms,
        )
        if self.background == "otsu":
            threshold = otsu(probabilities.amax(0).float().cpu().numpy(), limits=(0, 1), flat=0.5) if numbers else 0.5
        else:
            threshold = float(self.background)
        size = (image.shape[-2], image.shape[-1])
        if self.refine == "cut" and numbers:
            pixels = image.permute(1, 2, 0).cpu().numpy()
            labels = [number + 1 for number in numbers]
            mask = cut_image(pixels, probabilities.float().cpu().numpy(), labels, background=threshold)
        else:
            mask = label_map(probabilities, numbers, size, threshold).numpy()
        return Segmented(mask, numbers, probabilities, scores)

    def video(self, path: str | Path, classes: Sequence[int] | None = None) -> Iterator[VideoFrame]:
        """Yield the frames of a video, one at a time.

        The classes are predicted once for the video, from at most `CLASS_FRAMES` frames, so that they do not flicker.

        Raises:
            BadItem: On iteration, if the video cannot be read or breaks off.
        """
        numbers = self.classes_of_video(path) if classes is None else list(classes)
        for frame in read_frames(path):
            yield frame, partial(self._mask, frame, numbers), numbers

    def _mask(self, frame: np.ndarray, numbers: Sequence[int]) -> np.ndarray:
        return self.segment(self._tensor(frame), numbers).mask

    def classes_of_video(self, path: str | Path) -> list[int]:
        """Classes whose mean score over evenly spaced frames reaches the threshold, else the best one."""
        step = max(1, -(-glance(path).frames // CLASS_FRAMES))
        looks = []
        for number, frame in enumerate(read_frames(path, partial_ok=True)):
            if number % step == 0:
                looks.append(self.net.probabilities(scaled(self._tensor(frame)), [])[2])
        scores = torch.stack(looks).mean(0)
        return self.net.classes_shown(scores, self.class_threshold)

    def _tensor(self, frame: np.ndarray) -> Tensor:
        return to_tensor(frame).to(self.device)


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
        prediction: dict[str, Any],
        batch_indices: Sequence[int] | None,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        name = prediction["id"]
        if "bad" in prediction:
            self.ledger.fail(name, prediction["bad"])
        elif "video" in prediction:
            meters = [one for one in trainer.callbacks if isinstance(one, Progress)]  # type: ignore[attr-defined]

            def tell(done: int) -> None:
                for meter in meters:
                    meter.within(trainer, batch_idx, done)

            self._write_video(name, prediction["video"], prediction["frames"], tell)
        else:
            self._write_image(name, prediction)

    def _write_image(self, name: str, prediction: dict[str, Any]) -> None:
        if self.scores:
            buffer = BytesIO()
            labels = np.array(prediction["labels"], np.uint8)
            np.savez_compressed(buffer, labels=labels, probabilities=prediction["probabilities"])
            write_bytes(self.folder / "scores" / f"{name}.npz", buffer.getvalue())
        mask = prediction["mask"]
        failed = None
        if self.names is not None:
            try:
                self._write_overlay(name, prediction["image"].permute(1, 2, 0).cpu().numpy(), mask, self.names)
            except UserError:  # such as a full disk, which would fail for the next image too
                raise
            except Exception as error:  # from image libraries; the mask is more important
                failed = f"its mask is written, but not its overlay: {error}"
        found = confidences(mask, prediction["labels"], prediction["probabilities"])
        record = {"confidence": {str(label): value for label, value in found.items()}}
        self.ledger.write(name, record if failed is None else {**record, "unshown": failed})
        write_mask(self.folder / f"{name}.png", mask)  # last: it marks the image as finished

    def _write_overlay(self, name: str, image: np.ndarray, mask: np.ndarray, names: Sequence[str]) -> None:
        small = over(shrunk(image, OVERLAY_SIDE), mask)
        shown = with_legend(small, [int(label) for label in np.unique(mask) if label], names)
        buffer = BytesIO()
        Image.fromarray(shown).save(buffer, "JPEG", quality=90)
        write_bytes(self.folder / "overlay" / f"{name}.jpg", buffer.getvalue())

    def _write_video(
        self,
        name: str,
        file: str,
        frames: Iterator[VideoFrame],
        tell: Callable[[int], None],
    ) -> None:
        try:
            frames = chain([next(frames)], frames)
        except BadItem as error:  # not even one frame
            self.ledger.fail(name, error.message)
            return
        overlay = self.folder / "overlay" / f"{name}.mp4"
        record: dict[str, Any] = {"frames": 0}
        with nullcontext() if self.names is None else open_writer(overlay, glance(file).fps) as add:
            try:
                for number, (frame, segment, classes) in enumerate(frames):
                    path = self.folder / name / f"{number:05d}.png"
                    mask = _kept(path, frame)
                    if mask is None:
                        mask = segment()
                        write_mask(path, mask)
                    record["frames"] = number + 1
                    if add is not None and self.names is not None:
                        add(with_legend(over(frame, mask), [one + 1 for one in classes], self.names))
                    tell(number + 1)
            except BadItem as error:  # the frames before the break are kept
                record["broken"] = error.message
        self.ledger.write(name, record)


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


def load_image(item: dict[str, Any]) -> dict[str, Any]:
    """Read the file of an item {"id", "file", "classes"} in a loader's worker. Videos are streamed later."""
    if "bad" in item or "video" in item:
        return item
    try:
        image = to_tensor(read_image(item["file"]))
    except BadItem as error:
        return {"id": item["id"], "bad": error.message}
    several = images_in(item["file"])
    if several > 1:
        log.warning("%s has %d images: only the first is used", item["file"], several)
    return {"id": item["id"], "image": image, "classes": item["classes"]}
