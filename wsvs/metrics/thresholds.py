"""How mIoU depends on the foreground threshold. The best threshold is an oracle: it is chosen with the true masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from wsvs.core.errors import BadItem
from wsvs.metrics.evaluate import Progress
from wsvs.metrics.mask_files import (
    bad_record,
    label_lookup,
    read_truth,
    require_folders,
    require_some,
    resolve_ids,
    translate,
)
from wsvs.metrics.reading import Reading, mask_file
from wsvs.metrics.segmentation import ConfusionMatrix

SCORES = "scores"


@dataclass
class ThresholdScan:
    """mIoU at each threshold.

    Attributes:
        thresholds: Rising, without doubles.
        matrices: One confusion matrix per threshold.
        named: Classes whose IoU is averaged.
        images: How many images were scored.
        bad: Images that could not be scored, each with its reason. They are *not* in the scores.
    """

    thresholds: tuple[float, ...]
    matrices: list[ConfusionMatrix]
    named: tuple[str, ...]
    images: int = 0
    bad: list[BadItem] = field(default_factory=list)

    @property
    def mious(self) -> list[float]:
        return [matrix.miou(self.named) for matrix in self.matrices]

    @property
    def oracle_threshold(self) -> float:
        """The threshold with the highest mIoU, the lowest of equals. It uses true masks: never a result by itself."""
        return self.thresholds[int(np.argmax(self.mious))]

    @property
    def oracle_miou(self) -> float:
        return max(self.mious)

    def metrics(self) -> dict[str, Any]:
        """The curve, to be put beside the metrics of the masks themselves."""
        return {
            "oracle_threshold": self.oracle_threshold,
            "oracle_miou": self.oracle_miou,
            "oracle_note": "chosen with the true masks of the scored images: an upper bound, not a result",
            "thresholds": list(self.thresholds),
            "miou": self.mious,
            "averaged_over": list(self.named),
            "images": self.images,
            "complete": not self.bad,
            "bad": [bad_record(item) for item in self.bad],
        }


def scan_thresholds(
    predictions: str | Path,
    truth: str | Path,
    classes: Sequence[str],
    thresholds: Sequence[float],
    *,
    ids: Sequence[str] | None = None,
    named: Sequence[str] | None = None,
    prediction_classes: Sequence[str] | None = None,
    reading: Reading | None = None,
    progress: Progress | None = None,
) -> ThresholdScan:
    """Score the masks that <predictions>/scores/<id>.npz would give at each threshold t.

    The file holds `labels` (K,) uint8 and `probabilities` (K, h, w), the foreground probability of each label at a
    reduced size. Probabilities are brought bilinearly to the size of the true mask; a pixel takes the label of the
    largest if that is above t, else background.

    Args:
        thresholds: Any order, each in [0, 1].
        ids, named, prediction_classes, reading, progress: As in `evaluate_images`.

    Raises:
        UserError: A folder is missing or empty, or not one image could be scored.
        ValueError: No threshold, one outside [0, 1], or a wrong class list.
    """
    cuts = tuple(sorted({float(t) for t in thresholds}))
    if not cuts or not 0 <= cuts[0] <= cuts[-1] <= 1:
        raise ValueError(f"thresholds must be at least one number in [0, 1], got {list(thresholds)}")
    scan = ThresholdScan(cuts, [ConfusionMatrix(classes) for _ in cuts], tuple(classes if named is None else named))
    scan.matrices[0].miou(scan.named)  # checks the names before the work
    lookup = label_lookup(prediction_classes, classes)
    folder, truth = Path(predictions, SCORES), Path(truth)
    require_folders(folder, truth)
    for image in (progress or iter)(resolve_ids(truth, ids)):
        path = folder / f"{image}.npz"
        try:
            true_labels = read_truth(mask_file(truth, image), scan.matrices[0].names, reading)
            labels, probabilities = read_scores(path)
            if lookup is None and labels.size and labels.max() >= len(classes):
                raise BadItem(f"label {labels.max()} has no class: there are {len(classes)}", where=path)
            best, highest = _best_label(translate(labels, lookup), probabilities, true_labels.shape)
        except ValueError as error:
            scan.bad.append(BadItem(str(error), where=path))
            continue
        except BadItem as item:
            scan.bad.append(item)
            continue
        for matrix, cut in zip(scan.matrices, cuts, strict=True):
            matrix.add(np.where(highest > cut, best, np.uint8(0)), true_labels)
        scan.images += 1
    require_some(scan.images, scan.bad)
    return scan


def read_scores(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """`labels` (K,) uint8 and `probabilities` (K, h, w) float32 in [0, 1] of one image; K may be 0.

    Raises:
        BadItem: Missing, unreadable, or holding something else.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            labels, probabilities = arrays["labels"], arrays["probabilities"]
    except FileNotFoundError:
        raise BadItem("scores not found", where=path, remedy="predict again with scores saved") from None
    except Exception as error:  # a damaged archive raises zlib.error, NotImplementedError, RuntimeError and more
        raise BadItem(f"scores cannot be read: {error}", where=path) from error
    shapes = f"labels {labels.shape} {labels.dtype} and probabilities {probabilities.shape} {probabilities.dtype}"
    if labels.dtype != np.uint8 or probabilities.dtype.kind != "f" or labels.ndim != 1 or probabilities.ndim != 3:
        raise BadItem(f"scores must be labels (K,) uint8 and probabilities (K, h, w) float, got {shapes}", where=path)
    if len(labels) != len(probabilities) or (len(labels) and not probabilities.size):
        raise BadItem(f"scores must hold one map per label, got {shapes}", where=path)
    if len(set(labels.tolist())) < len(labels) or 0 in labels:
        raise BadItem(f"labels must differ and none be 0, the background, got {labels.tolist()}", where=path)
    probabilities = probabilities.astype(np.float32)
    if not ((probabilities >= 0) & (probabilities <= 1)).all():
        raise BadItem("probabilities must be in [0, 1]", where=path)
    return labels, probabilities


def _best_label(labels: np.ndarray, probabilities: np.ndarray, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """(H, W) uint8 label of the largest probability, the first of equals, and (H, W) float32 that probability."""
    if not len(labels):
        return np.zeros(shape, np.uint8), np.zeros(shape, np.float32)
    size = (shape[1], shape[0])
    resized = np.stack([cv2.resize(plane, size, interpolation=cv2.INTER_LINEAR) for plane in probabilities])
    return labels[resized.argmax(0)], resized.max(0)
