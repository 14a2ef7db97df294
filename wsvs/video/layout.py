"""The active area of a frame, without bars at its sides: black, plain, or a blurred copy of the video.

Bars end at a straight line through the whole frame, and they have no detail. The mean difference of neighbouring pixels
along that line shows both: it jumps from one column (row) to the next. A clear sky above a horizon is similar, so a bar
must have a counterpart at the opposite side, or be of one colour.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Area = tuple[slice, slice]  # rows and columns

_LEAST = 0.02  # fraction of a side: narrower bars are ignored
_MOST = 0.45  # a bar on one side is narrower than this
_BESIDE = 0.02  # fraction of a side: width on both sides of the line where the detail is compared
_JUMP = 3.0  # times more detail inside than in the bar
_PLAIN = 0.35  # no column of a bar has more than this share of the detail inside
_ALIKE = 0.25  # two bars differ in width by at most this share
_ONE_COLOUR = 1.5  # grey levels: the standard deviation in a plain bar is lower
_FAINT = 0.15  # grey levels: less detail is due to coding errors
_CLEAR = 0.6  # grey levels: minimum detail of the video


def active_area(frames: Sequence[np.ndarray]) -> Area:
    """Rows and columns of some frames of a shot, (H, W, 3) uint8, without bars at their sides."""
    height, width = frames[0].shape[:2]
    grey = np.stack([frame.mean(axis=2, dtype=np.float32) for frame in frames])
    columns = _inner(grey) if height > 1 else slice(0, width)
    inside = grey[:, :, columns].transpose(0, 2, 1)
    rows = _inner(inside) if inside.shape[1] > 1 else slice(0, height)
    return rows, columns


def _inner(grey: np.ndarray) -> slice:
    """The columns of (T, H, W) frames between the bars."""
    length = grey.shape[2]
    detail = np.abs(np.diff(grey, axis=1)).mean(axis=(0, 1))
    first, last = _bar(detail), _bar(detail[::-1])
    if abs(first - last) > _ALIKE * max(first, last):
        if first and grey[:, :, : first - 1].std(axis=(1, 2)).max() > _ONE_COLOUR:
            first = 0
        if last and grey[:, :, length - last + 1 :].std(axis=(1, 2)).max() > _ONE_COLOUR:
            last = 0
    return slice(first, length - last) if first + last <= 0.9 * length else slice(0, length)


def _bar(detail: np.ndarray) -> int:
    """Width of the bar at the low end; 0 if there is none."""
    length = len(detail)
    beside, least = max(3, round(_BESIDE * length)), max(4, round(_LEAST * length))
    sums = np.concatenate([[0], np.cumsum(detail + _FAINT, dtype=np.float64)])
    ends = np.arange(least, int(_MOST * length) - beside)
    if len(ends) == 0:
        return 0
    # one column on each side of the line is mixed of both
    outer = (sums[ends - 1] - sums[np.maximum(ends - 1 - beside, 0)]) / np.minimum(beside, ends - 1)
    inner = (sums[ends + 1 + beside] - sums[ends + 1]) / beside
    best = int(np.argmax(inner / outer))
    end = int(ends[best])
    bar, shown = detail[: end - 1], inner[best] - _FAINT
    if inner[best] < _JUMP * outer[best] or shown < _CLEAR or bar.max() > _PLAIN * shown:
        return 0
    return end
