"""Cut long shots into pieces that fit one graph."""

from __future__ import annotations

from itertools import pairwise


def pieces(start: int, stop: int, max_frames: int) -> list[tuple[int, int]]:
    """Cut [start, stop) into the fewest pieces of at most `max_frames`, of equal length up to one frame.

    Accumulated motion support is divided by its maximum over the piece, so very long graphs would starve still
    passages of it; and memory must not grow with a video's length.
    """
    if max_frames < 1 or stop <= start:
        raise ValueError(f"need max_frames >= 1 and start < stop, got {max_frames}, [{start}, {stop})")
    count = -(-(stop - start) // max_frames)
    edges = [start + (stop - start) * k // count for k in range(count + 1)]
    return list(pairwise(edges))
