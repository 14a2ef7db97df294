"""What ids are given to: the foreground superpixels of a video."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Nodes:
    """The foreground superpixels of a video, numbered through it in the order of their frames.

    Attributes:
        frames: Number of frames.
        frame: (N,) the frame of each, sorted.
        size: (N,) px.
        centre: (N, 2) (row, column).
        colour: (N, 3) mean RGB.
        spatial: (E, 2) pairs that touch.
        temporal: (E, 2) pairs of neighbouring frames that the flow links, the earlier first.
        links: (E,) number of its pixels.
        shot: (frames,) number of the shot of each; ids do not continue across a cut.
    """

    frames: int
    frame: np.ndarray
    size: np.ndarray
    centre: np.ndarray
    colour: np.ndarray
    spatial: np.ndarray
    temporal: np.ndarray
    links: np.ndarray
    shot: np.ndarray


def colour_bins(colour: np.ndarray, each: int) -> np.ndarray:
    """(N,) number below each**3 of the bin of each (N, 3) colour, with `each` bins of red, green and blue."""
    return np.clip(colour * each / 256, 0, each - 1).astype(np.int64) @ np.array([each**2, each, 1])
