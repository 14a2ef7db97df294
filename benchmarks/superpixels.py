"""The superpixels compiled here and OpenCV's, side by side on real frames: how well do they keep to true borders?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from rich.table import Table

from benchmarks.clips import real_clip
from benchmarks.options import Options
from benchmarks.segment import SIZES, timed
from wsvs.config.stages import SlicMethod
from wsvs.core.console import show
from wsvs.video.superpixels import slic

EVERY = 20  # frames
TOLERANCE = 2  # px
COUNT = 1500
MEASURES = ("boundary_recall", "undersegmentation_error", "count", "ms")
DIGITS = (4, 4, 0, 2)


def borders(labels: np.ndarray) -> np.ndarray:
    """(H, W) bool: pixels with another label beside, above or below them."""
    found = np.zeros(labels.shape, bool)
    across, down = labels[:, 1:] != labels[:, :-1], labels[1:] != labels[:-1]
    for part, differs in ((np.s_[:, 1:], across), (np.s_[:, :-1], across), (np.s_[1:], down), (np.s_[:-1], down)):
        found[part] |= differs
    return found


def boundary_recall(labels: np.ndarray, truth: np.ndarray) -> float:
    """Share of the true border within 2 px (of a square) of a superpixel's border; NaN without a true border."""
    near = cv2.dilate(borders(labels).astype(np.uint8), np.ones((2 * TOLERANCE + 1,) * 2, np.uint8)) > 0
    true = borders(truth)
    return float(near[true].mean()) if true.any() else np.nan


def undersegmentation_error(labels: np.ndarray, truth: np.ndarray) -> float:
    """Of object and ground, what superpixels that straddle their border spill: 1/N sum min(inside, outside).

    Neubert & Protzel, "Superpixel benchmark and comparison", 2012.
    """
    size, inside = np.bincount(labels.ravel()), np.bincount(labels.ravel(), truth.ravel())
    return float(2 * np.minimum(inside, size - inside).sum() / labels.size)


def images(real: Path, longest_edge: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Every 20th frame of each video, (H, W, 3) uint8 RGB, and its mask, (H, W) bool."""
    for file in sorted(real.glob("*.mp4")):
        if (real / "masks" / file.stem).is_dir():
            clip = real_clip(file, None)
            frames = clip.frames(longest_edge)[::EVERY]
            for frame, mask in zip(frames, clip.truth[::EVERY], strict=True):
                size = (frame.shape[1], frame.shape[0])
                yield frame, cv2.resize(mask.view(np.uint8), size, interpolation=cv2.INTER_NEAREST_EXACT).view(bool)


def bench(options: Options) -> dict[str, float]:
    """superpixels.<measure>_<method>_<size>: means over the frames, the time a median."""
    if options.real is None:
        print("superpixels: skipped, for they are compared on real videos (--real DIR)")
        return {}
    figures: dict[str, float] = {}
    table = Table("", "size", "boundary recall", "undersegmentation", "superpixels", "ms")
    for size, edge in SIZES.items():
        shown = list(images(options.real, edge))
        opencv = compare(shown, "opencv", COUNT)
        # once as called by default, once with as many superpixels as OpenCV's whole-pixel cells come to
        rows = {"opencv": opencv, "numba": compare(shown, "numba", COUNT)}
        rows["numba, as many"] = compare(shown, "numba", round(COUNT * opencv[2] / rows["numba"][2]))
        for name, values in rows.items():
            table.add_row(name, size, *(f"{value:.{digits}f}" for value, digits in zip(values, DIGITS, strict=True)))
            for measure, value in zip(MEASURES, values, strict=True):
                figures[f"superpixels.{measure}_{name.replace(', ', '_').replace(' ', '_')}_{size}"] = value
        table.title = f"Superpixels against the masks of {len(shown)} frames, every {EVERY}th of {options.real.name}"
    show(table)
    return figures


def compare(shown: list[tuple[np.ndarray, np.ndarray]], method: SlicMethod, count: int) -> tuple[float, ...]:
    """The four MEASURES of one method."""
    slic(shown[0][0], method=method)  # the first call compiles
    found = []
    for frame, mask in shown:
        labels, seconds, _ = timed(lambda frame=frame: slic(frame, count=count, method=method))  # type: ignore[misc]
        scores = boundary_recall(labels, mask), undersegmentation_error(labels, mask)
        found.append((*scores, labels.max() + 1, 1e3 * seconds))
    values = np.array(found)
    return (*np.nanmean(values[:, :3], axis=0).tolist(), float(np.median(values[:, 3])))
