"""Superpixels, the nodes s_i^t of the graph, and their statistics."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from wsvs.config.base import Above0, Positive
from wsvs.config.checked import checked
from wsvs.config.stages import Energy, SlicMethod
from wsvs.video.jit import compiled, njit
from wsvs.video.slic_kernel import slic_labels

_DEFAULT = Energy()
_SMALLEST_SIDE = 4  # px; the mean colour of fewer than about 16 pixels is unreliable
_ABSORB = 0.25  # pieces smaller than this fraction of a mean superpixel join a neighbour
_ROUNDS = 3  # further rounds hardly improve the result


@checked
def slic(
    frame_rgb: np.ndarray,
    *,
    count: Positive = _DEFAULT.superpixels,
    compactness: Above0 = _DEFAULT.compactness,
    method: SlicMethod = _DEFAULT.superpixel_method,
) -> np.ndarray:
    """Divide a frame into superpixels with SLIC (Achanta et al., TPAMI 2012) in Lab colours.

    Args:
        frame_rgb: (H, W, 3) or grey (H, W) uint8.
        count: Approximate number of superpixels; with OpenCV, whose cells have whole-pixel sides, within 15 % for cells
            of 8 px. Sides are at least 4 px, so that small frames get fewer.
        compactness: SLIC's m: the weight of a distance of one cell side relative to a colour difference.
        method: "numba" (compiled, 4 times faster and slightly better), "opencv", or "auto": the first if numba is
            installed.

    Returns:
        (H, W) int32 labels 0..K-1, all of them in use.

    Raises:
        ValueError: Wrong array, or a setting out of range.
        ModuleNotFoundError: method="numba" and numba is not installed.
    """
    if frame_rgb.dtype != np.uint8 or frame_rgb.ndim not in (2, 3) or frame_rgb.size == 0:
        raise ValueError(f"a frame is (H, W, 3) uint8, got {frame_rgb.shape} {frame_rgb.dtype}")
    if method == "numba" and njit is None:
        raise ModuleNotFoundError("superpixels by numba need the package numba", name="numba")
    if frame_rgb.ndim == 2:
        frame_rgb = cv2.cvtColor(frame_rgb, cv2.COLOR_GRAY2RGB)
    height, width = frame_rgb.shape[:2]
    side = max(_SMALLEST_SIDE, (height * width / count) ** 0.5)
    if min(height, width) < 2 * round(side):  # too small for clusters: a plain grid
        return _grid(height, width, round(side))
    lab = cv2.cvtColor(np.ascontiguousarray(frame_rgb), cv2.COLOR_RGB2LAB)
    if method == "opencv" or njit is None:
        engine = cv2.ximgproc.createSuperpixelSLIC(lab, cv2.ximgproc.SLIC, round(side), float(compactness))
        engine.iterate(_ROUNDS)
        engine.enforceLabelConnectivity(round(100 * _ABSORB))
        return _contiguous(engine.getLabels())
    return slic_labels(
        lab,
        rows=round(height / side),
        columns=round(width / side),
        weight=(compactness / side) ** 2,
        rounds=_ROUNDS,
        smallest=round(_ABSORB * side * side),
    )


def _grid(height: int, width: int, side: int) -> np.ndarray:
    """Square cells of about `side` pixels, numbered row by row."""
    rows, columns = max(1, height // side), max(1, width // side)
    row = np.arange(height) * rows // height
    column = np.arange(width) * columns // width
    return (row[:, None] * columns + column[None, :]).astype(np.int32)


def _contiguous(labels: np.ndarray) -> np.ndarray:
    """Renumber so that no label is unused; the order stays."""
    labels = labels.astype(np.int32)
    labels -= labels.min()
    used = np.bincount(labels.ravel()) > 0
    if used.all():
        return labels
    return (np.cumsum(used) - 1).astype(np.int32)[labels]


@dataclass(frozen=True)
class Means:
    """Statistics of K superpixels for the graph.

    size (K,) int32 pixels; colour (K, 3) float32 mean RGB, 0-255; centre (K, 2) float32 mean (row, column).
    """

    size: np.ndarray
    colour: np.ndarray
    centre: np.ndarray


def means(labels: np.ndarray, frame_rgb: np.ndarray) -> Means:
    """Size, mean RGB and mean (row, column) of every superpixel of a (H, W) label map 0..K-1, all in use."""
    if frame_rgb.ndim == 2:
        frame_rgb = cv2.cvtColor(frame_rgb, cv2.COLOR_GRAY2RGB)
    sums = _sums(_plain(labels), np.ascontiguousarray(frame_rgb), int(labels.max()) + 1)
    mean = sums[:, :5] / np.maximum(sums[:, 5:], 1)
    return Means(
        size=sums[:, 5].astype(np.int32), colour=mean[:, :3].astype(np.float32), centre=mean[:, 3:].astype(np.float32)
    )


def superpixel_means(labels: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    """Means of maps over each superpixel; A_i^t is aggregated in this way (section 3.2).

    Args:
        labels: (H, W) integers 0..count-1.
        values: A map (H, W), or several (H, W, C).
        count: Number of superpixels K; one without pixels gets 0.

    Returns:
        (K,) float64, or (K, C).
    """
    single = values.dtype in (np.float32, np.uint8, np.bool_)  # exact as float32, and half the memory
    maps = np.ascontiguousarray(values, np.float32 if single else np.float64)
    found = _means(_plain(labels), maps.reshape(*labels.shape, -1), count)
    return found[:, 0] if values.ndim == 2 else found


def _plain(labels: np.ndarray) -> np.ndarray:
    """Convert to one memory layout and type, so that each loop is compiled only once."""
    return np.ascontiguousarray(labels, np.int32)


@compiled
def _sums(labels: np.ndarray, frame: np.ndarray, count: int) -> np.ndarray:
    """(K, 6) int64: sums of R, G, B, row, column and 1 over the pixels of each label."""
    sums = np.zeros((count, 6), np.int64)
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            total = sums[labels[y, x]]
            total[0] += frame[y, x, 0]
            total[1] += frame[y, x, 1]
            total[2] += frame[y, x, 2]
            total[3] += y
            total[4] += x
            total[5] += 1
    return sums


@compiled
def _means(labels: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    total, size = np.zeros((count, values.shape[2]), np.float64), np.zeros(count, np.int64)
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            for c in range(values.shape[2]):
                total[labels[y, x], c] += values[y, x, c]
            size[labels[y, x]] += 1
    for k in range(count):
        for c in range(values.shape[2]):
            total[k, c] /= max(size[k], 1)
    return total
