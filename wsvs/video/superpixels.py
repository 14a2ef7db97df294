"""Superpixels, the nodes s_i^t of the graph, and their statistics."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal

import cv2
import numpy as np

SlicMethod = Literal["auto", "opencv", "fast_slic"]

_SMALLEST_SIDE = 4  # px; below about 16 pixels a mean colour means little
_ABSORB = 25  # pieces smaller than this percentage of a mean superpixel join a neighbour


def slic(
    frame_rgb: np.ndarray,
    *,
    count: int = 1500,
    compactness: float = 30.0,
    iterations: int = 3,
    method: SlicMethod = "auto",
) -> np.ndarray:
    """Divide a frame into superpixels with SLIC (Achanta et al., TPAMI 2012) in Lab colours.

    Args:
        frame_rgb: (H, W, 3) or grey (H, W) uint8.
        count: Superpixels wanted. OpenCV's cells have whole-pixel sides, so the true number is within about
            15 % for cells of 8 px; sides are never below 4 px, so that small frames get fewer.
        compactness: SLIC's m: how much a step of one cell side weighs against a colour difference.
        iterations: k-means rounds. More than 3 bring nothing measurable.
        method: "fast_slic" (about 4 times faster, an extra), "opencv", or "auto": the first if it is
            installed.

    Returns:
        (H, W) int32 labels 0..K-1, all of them in use.

    Raises:
        ValueError: Wrong array, or a setting out of range.
        ModuleNotFoundError: method="fast_slic" and the package is not installed.
    """
    if frame_rgb.dtype != np.uint8 or frame_rgb.ndim not in (2, 3) or frame_rgb.size == 0:
        raise ValueError(f"a frame is (H, W, 3) uint8, got {frame_rgb.shape} {frame_rgb.dtype}")
    if count < 1 or compactness <= 0 or iterations < 1:
        raise ValueError(
            f"count, compactness and iterations must be positive, got {count}, {compactness}, {iterations}"
        )
    if method not in ("auto", "opencv", "fast_slic"):
        raise ValueError(f"method must be auto, opencv or fast_slic, got {method!r}")
    if frame_rgb.ndim == 2:
        frame_rgb = cv2.cvtColor(frame_rgb, cv2.COLOR_GRAY2RGB)
    height, width = frame_rgb.shape[:2]
    side = max(_SMALLEST_SIDE, round((height * width / count) ** 0.5))
    if min(height, width) < 2 * side:  # too small for the libraries: a plain grid
        return _grid(height, width, side)
    if method == "auto":
        method = "fast_slic" if find_spec("fast_slic") else "opencv"
    lab = cv2.cvtColor(np.ascontiguousarray(frame_rgb), cv2.COLOR_RGB2LAB)
    if method == "fast_slic":
        labels = _fast_slic(lab, min(count, height * width // _SMALLEST_SIDE**2), compactness, iterations)
    else:
        engine = cv2.ximgproc.createSuperpixelSLIC(lab, cv2.ximgproc.SLIC, side, float(compactness))
        engine.iterate(iterations)
        engine.enforceLabelConnectivity(_ABSORB)
        labels = engine.getLabels()
    return _contiguous(labels)


def _fast_slic(lab: np.ndarray, count: int, compactness: float, iterations: int) -> np.ndarray:
    from fast_slic import Slic

    engine = Slic(
        num_components=count, compactness=compactness, min_size_factor=_ABSORB / 100, convert_to_lab=False,
        num_threads=1,
    )
    return engine.iterate(lab, max_iter=iterations)


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
    """What the graph needs to know of K superpixels.

    size (K,) int32 pixels; colour (K, 3) float32 mean RGB, 0-255; centre (K, 2) float32 mean (row, column).
    """

    size: np.ndarray
    colour: np.ndarray
    centre: np.ndarray


def means(labels: np.ndarray, frame_rgb: np.ndarray) -> Means:
    """Size, mean RGB and mean (row, column) of every superpixel of a (H, W) label map 0..K-1, all in use."""
    count = int(labels.max()) + 1
    if frame_rgb.ndim == 2:
        frame_rgb = np.repeat(frame_rgb[..., None], 3, axis=2)
    row, column = np.arange(labels.shape[0])[:, None], np.arange(labels.shape[1])[None, :]
    planes = [frame_rgb[..., 0], frame_rgb[..., 1], frame_rgb[..., 2], row, column]
    values = [superpixel_means(labels, plane, count) for plane in planes]
    return Means(
        size=np.bincount(labels.ravel(), minlength=count).astype(np.int32),
        colour=np.stack(values[:3], axis=1).astype(np.float32),
        centre=np.stack(values[3:], axis=1).astype(np.float32),
    )


def superpixel_means(labels: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    """Mean of a (H, W) map over each superpixel; A_i^t is aggregated in this way (section 3.2).

    Args:
        labels: (H, W) integers 0..count-1.
        values: Anything that broadcasts to (H, W).
        count: Number of superpixels K; one without pixels gets 0.

    Returns:
        (K,) float64.
    """
    flat = labels.ravel()
    weights = np.broadcast_to(values, labels.shape).ravel()
    total = np.bincount(flat, weights=weights, minlength=count)
    return total / np.maximum(np.bincount(flat, minlength=count), 1)
