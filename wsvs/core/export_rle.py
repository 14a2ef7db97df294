"""Run lengths of a binary mask as in the MS COCO API: column-major, differences in printable base-32."""

from __future__ import annotations

from itertools import pairwise

import numpy as np


def encode(mask: np.ndarray) -> str:
    """The compressed `counts` of an (H, W) mask: alternating runs of 0 and 1, starting with 0, down the columns.

    From the third run on, the difference to the run before the previous one is stored (COCO API: rleToString).
    """
    counts = runs_of(mask.ravel(order="F"))
    letters = bytearray()
    for number, count in enumerate(counts):
        rest, more = count - counts[number - 2] if number > 2 else count, True
        while more:
            bits = rest & 31
            rest >>= 5
            more = rest != (-1 if bits & 16 else 0)
            letters.append(48 + bits + (32 if more else 0))
    return letters.decode()


def runs_of(flat: np.ndarray) -> list[int]:
    """The runs of 0 and 1 in turn, beginning with 0, of a flat mask."""
    flat = flat.astype(bool)
    edges = np.flatnonzero(np.diff(flat)) + 1
    ends = [0, *edges.tolist(), flat.size] if not flat[:1].any() else [0, 0, *edges.tolist(), flat.size]
    return [stop - start for start, stop in pairwise(ends)]


def decode(counts: str | list[int], height: int, width: int) -> np.ndarray:
    """(H, W) bool mask of compressed or plain `counts`. Raises ValueError if they do not fill the mask exactly."""
    runs = _runs(counts) if isinstance(counts, str) else counts
    if min(runs, default=0) < 0 or sum(runs) != height * width:
        raise ValueError(f"run lengths add up to {sum(runs)}, not to {height} x {width} pixels")
    flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return flat.reshape((height, width), order="F")


def _runs(letters: str) -> list[int]:
    runs: list[int] = []
    value = shift = 0
    for letter in letters.encode():
        bits = letter - 48
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            if bits & 16:
                value -= 1 << shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    return runs
