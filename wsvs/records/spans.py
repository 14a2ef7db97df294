"""Cut long shots into pieces that fit one graph."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from itertools import pairwise


def piece_name(of: str, first: int) -> str:
    """Name of the piece of a clip or a video that begins with a frame."""
    return f"{of}_{first:06d}"


def parse_piece(name: str) -> tuple[str, int]:
    """What `piece_name` was given."""
    of, _, first = name.rpartition("_")
    return of, int(first)


def pieces(start: int, stop: int, max_frames: int) -> list[tuple[int, int]]:
    """Cut [start, stop) into the fewest pieces of at most `max_frames`, of equal length up to one frame.

    Accumulated motion support is normalised by its maximum over the piece, so that in very long graphs slow passages
    would get too little; and memory use must not grow with a video's length.
    """
    if max_frames < 1 or stop <= start:
        raise ValueError(f"need max_frames >= 1 and start < stop, got {max_frames}, [{start}, {stop})")
    count = -(-(stop - start) // max_frames)
    edges = [start + (stop - start) * k // count for k in range(count + 1)]
    return list(pairwise(edges))


def sound_spans(start: int, stop: int, damaged: Sequence[Sequence[int]]) -> list[tuple[int, int]]:
    """The spans of [start, stop) without the damaged ones, which are ascending."""
    found, at = [], start
    for begin, end in [*damaged, (stop, stop)]:
        if min(begin, stop) > at:
            found.append((at, min(begin, stop)))
        at = max(at, end)
    return found


def middle(frames: int, damaged: Sequence[Sequence[int]] = ()) -> int:
    """The middle frame of a video, or of its longest undamaged span."""
    if not damaged:
        return frames // 2
    start, stop = max(sound_spans(0, frames, damaged), key=lambda span: span[1] - span[0], default=(0, frames))
    return (start + stop) // 2


def spans(frames: int, cuts: Sequence[int]) -> list[tuple[int, int]]:
    """The shots [start, stop) of a video; `cuts` are the first frames of all shots but the first."""
    return list(pairwise([0, *cuts, frames]))


def left_out(start: int, stop: int, odd: Sequence[int], blank: Sequence[int]) -> dict[str, list[int]]:
    """{"odd": ..., "blank": ...}: which frames of [start, stop) are to be left out of a graph; empty keys are missing.

    A graph needs at least one frame: if none would be left, all of them stay.

    Args:
        start, stop: The piece.
        odd, blank: Numbers of the video's or the clip's odd and blank frames, ascending.
    """
    found = {"odd": _within(odd, start, stop), "blank": _within(blank, start, stop)}
    if len(found["odd"]) + len(found["blank"]) == stop - start:
        return {}
    return {key: numbers for key, numbers in found.items() if numbers}


def _within(numbers: Sequence[int], start: int, stop: int) -> list[int]:
    return list(numbers[bisect.bisect_left(numbers, start) : bisect.bisect_left(numbers, stop)])
