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
from wsvs.core.pictures import over, shrunk
from wsvs.data.images import pictures_in, read_image
from wsvs.data.loading import scaled
from wsvs.data.tagged import to_tensor
from wsvs.lit.film import open_film
from wsvs.lit.progress import Progress
from wsvs.nets.model import SegmentationNet, label_map
from wsvs.video.reader import glance, read_frames
from wsvs.video.still import cut_image

_DEFAULT = PredictSettings()
log = logging.getLogger("wsvs")


FILM_LOOKS = 16  # frames whose mean scores give the classes of a video
OVERLAY_SIDE = 2000  # px, longest side of an image's overlay: for the eye; a JPEG holds no more than 65,500

FilmFrame = tuple[np.ndarray, Callable[[], np.ndarray], list[int]]
"""(H, W, 3) uint8 RGB, a function that segments it into (H, W) uint8, and the numbers of the video's classes."""


@dataclass(frozen=True)
class Segmented:
    """Result of one image.

    Attributes:
        mask: (H, W) uint8, class number + 1, or 0.
        classes: Class numbers that were looked for.
        probabilities: (K, h, w) in [0, 1] at the network's size, of these classes.
        scores: (C,) in [0, 1], of every class.
    """

    mask: np.ndarray
    classes: list[int]
    probabilities: Tensor
    scores: Tensor


class PredictorModule(pl.LightningModule):
    """One image at a time, at its own shape; a video frame by frame.

    A batch is {"id", "image" (3, H, W) uint8, "classes": class numbers or None to predict them},
    {"id", "film": file, "classes"}, or {"id", "bad"}.

    Args:
        net: Trained networks.
        method: What gives the probabilities.
        class_threshold: A class is predicted where its score reaches this, or, with 'auto', the threshold that the
            encoder's training has chosen for it; the best one always is.
        background: Pixels whose best probability does not exceed this are background; 'otsu' finds it per image.
        flip: Average with the mirrored image.
        zooms: Average over the image at these multiples of the network's size.
        refine: 'cut' lets the borders follow the image's colours (`wsvs.video.still`).
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
        if "film" in batch:
            return {"id": batch["id"], "film": batch["film"], "frames": self.film(batch["film"], batch["classes"])}
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
            BadItem: The networks give NaN or infinity.
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
            picture = image.permute(1, 2, 0).cpu().numpy()
            labels = [number + 1 for number in numbers]
            mask = cut_image(picture, probabilities.float().cpu().numpy(), labels, background=threshold)
        else:
            mask = label_map(probabilities, numbers, size, threshold).numpy()
        return Segmented(mask, numbers, probabilities, scores)

    def film(self, path: str | Path, classes: Sequence[int] | None = None) -> Iterator[FilmFrame]:
        """Yield the frames of a video, one at a time.

        The classes are those of the whole video, from at most `FILM_LOOKS` frames: otherwise they would flicker.

        Raises:
            BadItem: On iteration, if the video cannot be read or breaks off.
        """
        numbers = self.classes_of_film(path) if classes is None else list(classes)
        for frame in read_frames(path):
            yield frame, partial(self._mask, frame, numbers), numbers

    def _mask(self, frame: np.ndarray, numbers: Sequence[int]) -> np.ndarray:
        return self.segment(self._tensor(frame), numbers).mask

    def classes_of_film(self, path: str | Path) -> list[int]:
        """Classes whose mean score over evenly spaced frames reaches the threshold, else the best one."""
        step = max(1, -(-glance(path).frames // FILM_LOOKS))
        looks = []
        for number, frame in enumerate(read_frames(path, partial_ok=True)):
            if number % step == 0:
                looks.append(self.net.probabilities(scaled(self._tensor(frame)), [])[2])
        scores = torch.stack(looks).mean(0)
        return self.net.classes_shown(scores, self.class_threshold)

    def _tensor(self, frame: np.ndarray) -> Tensor:
        return to_tensor(frame).to(self.device)


class PredictionWriter(BasePredictionWriter):
    """<folder>/<id>.png for each image; for a video <folder>/<id>/00000.png, 00001.png, ...

    Existing masks of an interrupted video are kept: only its other frames are segmented.
    With `scores` also <folder>/scores/<id>.npz (of images only). With `names`, those of the labels 0, 1, ..., pictures
    for people: overlay/<id>.jpg or .mp4, the mask over the image (at most `OVERLAY_SIDE`) and a legend below. The
    ledger keeps failures, how many frames a film has, and of an image its "confidence" (see `confidences`) and
    "unshown" where its overlay alone has failed; its mask, written last, says that it is finished.
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
        elif "film" in prediction:
            meters = [one for one in trainer.callbacks if isinstance(one, Progress)]  # type: ignore[attr-defined]

            def tell(done: int) -> None:
                for meter in meters:
                    meter.within(trainer, batch_idx, done)

            self._write_film(name, prediction["film"], prediction["frames"], tell)
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
            except UserError:  # a full disk, say: it would be as full for the next image
                raise
            except Exception as error:  # of image libraries: the mask is the result that matters
                failed = f"its mask is written, but not its overlay: {error}"
        found = confidences(mask, prediction["labels"], prediction["probabilities"])
        record = {"confidence": {str(label): value for label, value in found.items()}}
        self.ledger.write(name, record if failed is None else {**record, "unshown": failed})
        write_mask(self.folder / f"{name}.png", mask)  # after all else: it says that the image is finished

    def _write_overlay(self, name: str, image: np.ndarray, mask: np.ndarray, names: Sequence[str]) -> None:
        small = over(shrunk(image, OVERLAY_SIDE), mask)
        shown = with_legend(small, [int(label) for label in np.unique(mask) if label], names)
        buffer = BytesIO()
        Image.fromarray(shown).save(buffer, "JPEG", quality=90)
        write_bytes(self.folder / "overlay" / f"{name}.jpg", buffer.getvalue())

    def _write_film(
        self,
        name: str,
        file: str,
        frames: Iterator[FilmFrame],
        tell: Callable[[int], None],
    ) -> None:
        try:
            frames = chain([next(frames)], frames)
        except BadItem as error:  # not even one frame
            self.ledger.fail(name, error.message)
            return
        film = self.folder / "overlay" / f"{name}.mp4"
        record: dict[str, Any] = {"frames": 0}
        with nullcontext() if self.names is None else open_film(film, glance(file).fps) as add:
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
            except BadItem as error:  # the frames before the break count
                record["broken"] = error.message
        self.ledger.write(name, record)


def confidences(mask: np.ndarray, labels: Sequence[int], probabilities: np.ndarray) -> dict[int, float | None]:
    """{label: mean probability of its class over the pixels of the mask that have it; None where none has}.

    Args:
        mask: (H, W) uint8 labels.
        labels: Those that were looked for.
        probabilities: (K, h, w), one map for each of them; a pixel of the mask has the value at its place.
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
    """The mask of a frame that an interrupted run has left; None where there is none, or none that fits."""
    try:
        mask = read_mask(path)
    except BadItem:  # not there; or a stump, as a power cut may leave one
        return None
    return mask if mask.shape == frame.shape[:2] else None


def load_image(item: dict[str, Any]) -> dict[str, Any]:
    """Read the file of an item {"id", "file", "classes"} (in a loader's worker). A "film" is left to be streamed."""
    if "bad" in item or "film" in item:
        return item
    try:
        image = to_tensor(read_image(item["file"]))
    except BadItem as error:
        return {"id": item["id"], "bad": error.message}
    several = pictures_in(item["file"])
    if several > 1:
        log.warning("%s has %d images: only the first is used", item["file"], several)
    return {"id": item["id"], "image": image, "classes": item["classes"]}
