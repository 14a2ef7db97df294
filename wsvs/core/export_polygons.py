"""Convert masks to polygons and back: exactly, along the pixel borders, unless they are simplified."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

_TURNS = {
    (1, 0): ((0, 1), (1, 0), (0, -1)),
    (0, 1): ((-1, 0), (0, 1), (1, 0)),
    (-1, 0): ((0, -1), (-1, 0), (0, 1)),
    (0, -1): ((1, 0), (0, -1), (-1, 0)),
}  # right, straight on, left


def parts(mask: np.ndarray, least: int = 1) -> list[Part]:
    """The 4-connected parts of an (H, W) mask that have at least `least` pixels."""
    count, found, boxes, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    kept = []
    for number in range(1, count):
        left, top, width, height, area = boxes[number].tolist()
        if area >= least:
            kept.append(Part(left, top, found[top : top + height, left : left + width] == number, area))
    return kept


@dataclass(frozen=True)
class Part:
    """A connected part of a mask: its bounding box, its pixels in it and their number."""

    left: int
    top: int
    inside: np.ndarray  # (h, w) bool
    area: int

    def loops(self) -> list[np.ndarray]:
        """Its outline, then that of each hole: (N, 2) int64 corners (x, y) of pixels, 0..W and 0..H."""
        found = sorted((_corners(loop) for loop in _loops(self.inside)), key=lambda loop: tuple(loop[_first(loop)]))
        return [loop + np.array([self.left, self.top]) for loop in found]


def outlines(mask: np.ndarray, tolerance: float = 0.0) -> list[np.ndarray]:
    """A polygon for each 4-connected part of an (H, W) mask; holes are connected by slits of zero width.

    Returns:
        (N, 2) corners (x, y), int64 px for tolerance 0; then `fill` restores the part.
    """
    return [joined(simplified(part.loops(), tolerance)) for part in parts(mask)]


def simplified(loops: list[np.ndarray], tolerance: float) -> list[np.ndarray]:
    """Loops with fewer corners, none of the left out ones farther than `tolerance` px from the new sides.

    The rule of Douglas and Peucker (1973). A loop that would vanish stays as it is.
    """
    if not tolerance:
        return loops
    found = []
    for loop in loops:
        fewer = cv2.approxPolyDP(loop.astype(np.int32)[:, None], tolerance, True)[:, 0].astype(np.int64)
        found.append(fewer if len(fewer) > 2 and cv2.contourArea(fewer.astype(np.int32)) > 0 else loop)
    return found


def distances(points: np.ndarray, loop: np.ndarray) -> np.ndarray:
    """Distance in px of each of (N, 2) points to the nearest side of a loop, (N,) float64."""
    best = np.full(len(points), np.inf)
    for start, end in zip(loop, np.roll(loop, -1, axis=0), strict=True):
        side = (end - start).astype(np.float64)
        share = np.clip((points - start) @ side / max(side @ side, 1e-12), 0, 1)
        np.minimum(best, np.hypot(*(points - start - share[:, None] * side).T), out=best)
    return best


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


def joined(loops: list[np.ndarray]) -> np.ndarray:
    """Join the loops of a part's outline, which is the first, and of its holes.

    From the leftmost point of each hole a slit goes left through the part to the next side, and back.
    """
    ring = loops[0]
    for hole in sorted(loops[1:], key=lambda loop: tuple(loop[_first(loop)])):  # a slit ends on a loop before
        hole = np.roll(hole, -_first(hole), axis=0)
        x, y = hole[0]
        (x0, y0), (x1, y1) = ring.T, np.roll(ring, -1, axis=0).T
        steep = np.where(y0 == y1, 1, y1 - y0)
        crossing = np.where(y0 == y1, x0, x0 + (y - y0) * (x1 - x0) / steep)
        meets = (np.minimum(y0, y1) <= y) & (y <= np.maximum(y0, y1)) & (crossing <= x)
        side = int(np.where(meets, crossing, -np.inf).argmax())
        end = np.array([[np.round(crossing[side] if meets[side] else x0[side], 2), y]])
        ring = np.concatenate([ring[: side + 1], end, hole, hole[:1], end, ring[side + 1 :]])
    if len(loops) == 1:
        return ring
    whole = np.rint(ring).astype(np.int64)
    return _corners(whole if (whole == ring).all() else ring)


def _first(loop: np.ndarray) -> int:
    """Place of its leftmost point, of several of the upper one."""
    return int(np.lexsort((loop[:, 1], loop[:, 0]))[0])


def _corners(loop: np.ndarray) -> np.ndarray:
    """The loop without repeated and collinear points."""
    loop = loop[(loop != np.roll(loop, 1, axis=0)).any(1)]
    (x0, y0), (x1, y1) = (np.roll(loop, -1, axis=0) - loop).T, (loop - np.roll(loop, 1, axis=0)).T
    return loop[(x0 * y1 != y0 * x1) | (x0 * x1 + y0 * y1 < 0)]
