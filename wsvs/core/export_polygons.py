"""Exact conversion between masks and polygons: the polygons follow the pixel borders."""

from __future__ import annotations

import cv2
import numpy as np

_TURNS = {
    (1, 0): ((0, 1), (1, 0), (0, -1)),
    (0, 1): ((-1, 0), (0, 1), (1, 0)),
    (-1, 0): ((0, -1), (-1, 0), (0, 1)),
    (0, -1): ((1, 0), (0, -1), (-1, 0)),
}  # right, straight on, left


def outlines(mask: np.ndarray) -> list[np.ndarray]:
    """A polygon for each 4-connected part of an (H, W) mask; holes are connected by slits of zero width.

    Returns:
        (N, 2) int64 pixel corners (x, y), 0..W and 0..H; `fill` restores the part.
    """
    count, parts, boxes, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    found = []
    for part in range(1, count):
        left, top, width, height = boxes[part, :4]
        inside = parts[top : top + height, left : left + width] == part
        found.append(_corners(_joined(_loops(inside))) + np.array([left, top]))
    return found


def fill(mask: np.ndarray, points: np.ndarray, value: int) -> None:
    """Set the pixels of an (H, W) mask whose centre is inside a polygon, by the even-odd rule.

    The cost depends on the polygon's edges and bounding box, not on the size of the mask.

    Args:
        points: (N, 2) corners (x, y) in px.

    Raises:
        ValueError: A coordinate is not a finite number.
    """
    if not np.isfinite(np.asarray(points, np.float64)).all():
        raise ValueError("a coordinate is not a finite number")
    height, width = mask.shape
    x0, y0 = np.asarray(points, np.float64).T
    x1, y1 = np.roll(x0, -1), np.roll(y0, -1)
    low, high = (np.clip(np.ceil(pick(y0, y1) - 0.5), 0, height).astype(np.int64) for pick in (np.minimum, np.maximum))
    counts = high - low  # rows whose centre an edge crosses
    edge = np.repeat(np.arange(len(counts)), counts)
    if not len(edge):
        return
    rows = low[edge] + np.arange(len(edge)) - np.repeat(counts.cumsum() - counts, counts)
    crossings = x0[edge] + (rows + 0.5 - y0[edge]) * (x1 - x0)[edge] / (y1 - y0)[edge]
    columns = np.clip(np.ceil(crossings - 0.5), 0, width).astype(np.int64)
    (top, bottom), (left, right) = ((places.min(), places.max()) for places in (rows, columns))
    flips = np.zeros((bottom + 1 - top, right + 1 - left), bool)
    np.logical_xor.at(flips, (rows - top, columns - left), True)
    inside = np.logical_xor.accumulate(flips, axis=1)[:, :-1]  # in each row the last crossing ends what is inside
    mask[top : bottom + 1, left:right][inside] = value


def _loops(inside: np.ndarray) -> list[np.ndarray]:
    """Closed loops along the pixel borders, with the mask on the right: each (N, 2) points (x, y), one px apart."""
    padded = np.pad(inside, 1)
    steps: dict[tuple[int, int], list[tuple[int, int]]] = {}
    above, below = padded[:-1, 1:-1], padded[1:, 1:-1]  # of the horizontal borders
    before, after = padded[1:-1, :-1], padded[1:-1, 1:]  # of the vertical ones
    for borders, (dx, dy), (ox, oy) in (
        (below & ~above, (1, 0), (0, 0)),
        (above & ~below, (-1, 0), (1, 0)),
        (before & ~after, (0, 1), (0, 0)),
        (after & ~before, (0, -1), (0, 1)),
    ):
        for y, x in np.argwhere(borders).tolist():
            steps.setdefault((x + ox, y + oy), []).append((dx, dy))
    loops = []
    for start in list(steps):
        while start in steps:
            loops.append(np.array(_walk(steps, start), np.int64))
    return loops


def _walk(steps: dict[tuple[int, int], list[tuple[int, int]]], start: tuple[int, int]) -> list[tuple[int, int]]:
    """The points of a loop; its steps are removed from `steps`."""
    place, step = start, steps[start][0]
    points: list[tuple[int, int]] = []
    while place in steps:
        ways = steps[place]
        step = next(way for way in _TURNS[step] if way in ways) if points else ways[0]
        ways.remove(step)
        if not ways:
            del steps[place]
        points.append(place)
        place = (place[0] + step[0], place[1] + step[1])
    return points


def _joined(loops: list[np.ndarray]) -> np.ndarray:
    """Join the loops of a part's border and its holes.

    From the leftmost point of each hole a slit goes left through the part to the next border, and back.
    """
    if len(loops) == 1:
        return loops[0]
    first = [np.lexsort((loop[:, 1], loop[:, 0]))[0] for loop in loops]
    turned = [np.roll(loop, -at, axis=0) for loop, at in zip(loops, first, strict=True)]
    turned.sort(key=lambda loop: (loop[0, 0], loop[0, 1]))  # a slit's end is on a loop before: the border is the first
    points = np.concatenate(turned)
    stops = np.cumsum([len(loop) for loop in turned])
    starts = stops - [len(loop) for loop in turned]
    places = points[:, 1] * (points[:, 0].max() + 1) + points[:, 0]
    order = np.argsort(places)
    ends = order[np.searchsorted(places[order], places[starts[1:]]) - 1]
    after = np.arange(1, len(points) + 1)
    after[stops - 1] = starts
    following, which = after.tolist(), list(range(len(points)))
    for start, stop, end in zip(starts[1:].tolist(), stops[1:].tolist(), ends.tolist(), strict=True):
        following[stop - 1] = len(which)  # the start again, then the slit's end again, and then its successor
        following += [len(which) + 1, following[end]]
        which += [start, end]
        following[end] = start
    walk = [0]
    while following[walk[-1]] != 0:
        walk.append(following[walk[-1]])
    return points[np.array(which)[walk]]


def _corners(loop: np.ndarray) -> np.ndarray:
    """The loop without collinear points."""
    steps = np.sign(np.roll(loop, -1, axis=0) - loop)
    return loop[(steps != np.roll(steps, 1, axis=0)).any(1)]
