"""Otsu's unsupervised threshold."""

from __future__ import annotations

import numpy as np

_BINS = 256


def otsu(
    values: np.ndarray, weights: np.ndarray | None = None, *, limits: tuple[float, float] | None = None, flat: float
) -> float:
    """Otsu's threshold (IEEE Trans. SMC 1979): the split with the largest between-class variance.

    Args:
        values: Numbers, any shape.
        weights: Weights >= 0 of the same shape; None for equal weights.
        limits: Range of the 256 bins, whose edges are the thresholds; None uses the range of the values.
        flat: Returned if all values are in one bin.
    """
    counts, edges = np.histogram(values, _BINS, limits, weights=weights)
    below, moment = np.cumsum(counts, dtype=float), np.cumsum(counts * (edges[:-1] + edges[1:]) / 2)
    above = below[-1] - below
    with np.errstate(divide="ignore", invalid="ignore"):
        between = np.nan_to_num(below * above * (moment / below - (moment[-1] - moment) / above) ** 2)
    return float(edges[1:][between.argmax()]) if between.any() else flat
