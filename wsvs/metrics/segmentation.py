"""The segmentation score of PASCAL VOC (one confusion matrix over a data set)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from wsvs.core.classes import IGNORE


class ConfusionMatrix:
    """Pixels counted by (true label, predicted label) over a whole data set, as in the PASCAL VOC development kit.

    The score of a data set is taken once, from the sums; it is not a mean of per-image scores.

    Attributes:
        names: Class names, background first; label k of a mask is names[k].
        counts: (K, K) int64, rows = truth, columns = prediction. Pixels whose truth is 255 (void) are not in it.

    Raises:
        ValueError: No class, more than 255, or a name twice.
    """

    def __init__(self, class_names: Sequence[str]) -> None:
        self.names = tuple(class_names)
        if not 1 <= len(self.names) <= IGNORE:
            raise ValueError(f"class_names must hold 1 to {IGNORE} names, got {len(self.names)}")
        if len(set(self.names)) < len(self.names):
            raise ValueError(f"class_names must differ from one another, got {self.names}")
        self.counts = np.zeros((len(self), len(self)), np.int64)

    def __len__(self) -> int:
        return len(self.names)

    def add(self, prediction: np.ndarray, truth: np.ndarray) -> None:
        """Count one image: prediction and truth (H, W) uint8 labels; 255 in the truth is void and ignored.

        Raises:
            ValueError: Not uint8 masks, two sizes, or a label without a class. A prediction must give every pixel
                a class, also where the truth is void: 255 is no valid prediction. Nothing is counted then.
        """
        for mask, what in ((prediction, "prediction"), (truth, "truth")):
            if mask.ndim != 2 or mask.dtype != np.uint8:
                raise ValueError(f"{what} must be (H, W) uint8 labels, got {mask.shape} {mask.dtype}")
        if prediction.shape != truth.shape:
            raise ValueError(f"prediction is {size_text(prediction)} but truth is {size_text(truth)} (width x height)")
        self._check_labels(prediction, "prediction")
        valid = truth != IGNORE
        true_labels = truth[valid]
        self._check_labels(true_labels, "truth")
        pairs = true_labels.astype(np.int64) * len(self) + prediction[valid]
        self.counts += np.bincount(pairs, minlength=len(self) ** 2).reshape(self.counts.shape)

    def _check_labels(self, labels: np.ndarray, what: str) -> None:
        if labels.size and labels.max() >= len(self):
            present = np.unique(labels)
            outside = ", ".join(str(label) for label in present[present >= len(self)])
            void = " (255 marks void in the truth only)" if what == "prediction" and present[-1] == IGNORE else ""
            raise ValueError(
                f"{what} has label {outside}, but the {len(self)} classes are labels 0 to {len(self) - 1}{void}"
            )

    def __iadd__(self, other: ConfusionMatrix) -> ConfusionMatrix:
        if self.names != other.names:
            raise ValueError(f"matrices of different classes cannot be added: {self.names} and {other.names}")
        self.counts += other.counts
        return self

    def __add__(self, other: ConfusionMatrix) -> ConfusionMatrix:
        total = ConfusionMatrix(self.names)
        total += self
        total += other
        return total

    @property
    def absent(self) -> np.ndarray:
        """(K,) bool: classes that are neither in the truth nor, outside void, in the predictions."""
        return self._union() == 0

    def iou(self) -> np.ndarray:
        """(K,) float64, tp / (truth + predicted - tp). A class that is `absent` counts 0, as in VOC; never NaN.

        Over a set in which a class cannot occur, name the others in `miou`.
        """
        return np.diag(self.counts) / np.maximum(self._union(), 1)

    def miou(self, names: Iterable[str] | None = None) -> float:
        """Mean IoU over all classes, or over the named ones.

        Naming classes changes which rows are averaged and nothing else: the counts stay over all labels, so a pixel
        of an unnamed true class is a false positive of the named class that it was predicted as.

        Raises:
            ValueError: A name that is no class, a name twice, or no name.
        """
        chosen = list(self.names if names is None else names)
        unknown = [name for name in chosen if name not in self.names]
        if unknown or not chosen or len(set(chosen)) < len(chosen):
            raise ValueError(f"names must be different ones of {self.names}, got {chosen}")
        return float(self.iou()[[self.names.index(name) for name in chosen]].mean())

    def pixel_accuracy(self) -> float:
        """Share of the counted pixels that have their true label; 0 where nothing was counted."""
        return float(np.trace(self.counts) / max(self.counts.sum(), 1))

    def rows(self) -> list[dict[str, str | int | float | bool]]:
        """One row a class: name, label, iou, true, predicted and correct pixels, and whether it is absent."""
        columns = zip(
            self.names,
            self.iou().tolist(),
            self.counts.sum(1).tolist(),
            self.counts.sum(0).tolist(),
            np.diag(self.counts).tolist(),
            self.absent.tolist(),
            strict=True,
        )
        return [
            {
                "class": name,
                "label": label,
                "iou": iou,
                "true_pixels": true,
                "predicted_pixels": predicted,
                "correct_pixels": correct,
                "absent": absent,
            }
            for label, (name, iou, true, predicted, correct, absent) in enumerate(columns)
        ]

    def _union(self) -> np.ndarray:
        return self.counts.sum(0) + self.counts.sum(1) - np.diag(self.counts)


def size_text(mask: np.ndarray) -> str:
    """'width x height' of an (H, W) mask, for messages."""
    return f"{mask.shape[1]}x{mask.shape[0]}"
