"""Which object is which after one has passed in front of another: their motion and colours decide, not the flow.

Where one object hides another, the flow follows the one in front, and an id can stay behind with the wrong object. For
two ids that were apart, were one component, and are apart again, the two ways to continue them are compared.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from wsvs.video.nodes import Nodes, colour_bins

_HIDDEN = 0.8  # area of both in that before: with less than this one is partly behind the other
_FRAMES = 5  # before and after, from which motion and colours are taken
_LONGEST = 30  # frames for which motion is extrapolated
_FARTHEST = 3.0  # cost of a distance at most, in square roots of the area
_COLOURS = 2.0  # cost of histograms without overlap
_MARGIN = 0.5  # by which the other way must be cheaper
_BINS = 6  # of each colour


class _Places:
    """Where each id is in each frame.

    Attributes:
        area: (T, K) px.
        centre: (T, K, 2) (row, column), 0 where the area is.
        alone: (T, K) bool, seen, and no other id in its components.
        together: pairs of ids, the smaller first -> (T,) bool, frames in which both are in one component.
    """

    def __init__(self, nodes: Nodes, ids: np.ndarray, components: np.ndarray) -> None:
        shape = nodes.frames, int(ids.max(initial=0)) + 1
        self.area, self.centre = np.zeros(shape), np.zeros((*shape, 2))
        np.add.at(self.area, (nodes.frame, ids), nodes.size)
        np.add.at(self.centre, (nodes.frame, ids), nodes.centre * nodes.size[:, None])
        self.centre /= np.maximum(self.area, 1)[..., None]
        held = np.unique(np.stack([components, ids, nodes.frame], 1)[ids > 0], axis=0)
        starts = np.flatnonzero(np.diff(held[:, 0], prepend=-1))
        self.alone = self.area > 0
        self.together: dict[tuple[int, int], np.ndarray] = {}
        for group in np.split(held, starts[1:]) if len(held) else ():
            if len(group) > 1:
                t, inside = group[0, 2], group[:, 1].tolist()
                self.alone[t, inside] = False
                for place, one in enumerate(inside):
                    for other in inside[place + 1 :]:
                        self.together.setdefault((one, other), np.zeros(nodes.frames, bool))[t] = True


def uncrossed(nodes: Nodes, ids: np.ndarray, components: np.ndarray) -> np.ndarray:
    """(N,) ids, exchanged from the frame on in which two objects were mistaken for each other.

    Args:
        ids: (N,) of the nodes; 0 is none.
        components: (N,) number of each node's component, different in each frame.
    """
    ids, places = ids.copy(), _Places(nodes, ids, components)
    events = [
        (stop, start, pair)
        for pair, shared in places.together.items()
        for start, stop in _meetings(places, nodes.shot, pair, shared)
    ]
    for stop, start, pair in sorted(events):
        kept, exchanged = (_cost(nodes, ids, places, pair, way, start, stop) for way in (pair, pair[::-1]))
        if exchanged < kept - _MARGIN:
            begin = _exchange(places, pair, start, stop)
            later, one, other = nodes.frame >= begin, ids == pair[0], ids == pair[1]
            ids[later & one], ids[later & other] = pair[1], pair[0]
            for table in (places.area, places.centre, places.alone):
                table[begin:, pair] = table[begin:, pair[::-1]]
    return ids


def _meetings(places: _Places, shot: np.ndarray, pair: tuple[int, int], shared: np.ndarray) -> list[tuple[int, int]]:
    """(last frame apart, first frame apart again) around the frames in which one is partly behind the other."""
    apart = np.flatnonzero(places.alone[:, pair].all(1))
    found = []
    for start, stop in pairwise(apart.tolist()):
        inside = slice(start + 1, stop)
        if shared[inside].any() and shot[start] == shot[stop]:
            whole = places.area[start, pair].sum()
            if places.area[inside][:, pair].sum(1).min() < _HIDDEN * whole:
                found.append((start, stop))
    return found


def _exchange(places: _Places, pair: tuple[int, int], start: int, stop: int) -> int:
    """The first frame with the ids exchanged: both are then nearest to straight ways from before to after."""
    share = np.linspace(0, 1, stop - start + 1)[1:-1, None]
    ways = [
        places.centre[start, before] * (1 - share) + places.centre[stop, after] * share
        for before, after in (pair, pair[::-1])
    ]
    inside = slice(start + 1, stop)
    seen, centre = places.area[inside][:, pair] > 0, places.centre[inside][:, pair]
    as_is, exchanged = (
        (np.hypot(*np.moveaxis(centre - np.stack(order, 1), 2, 0)) * seen).sum(1) for order in (ways, ways[::-1])
    )
    totals = np.append(0, np.cumsum(as_is)) + np.append(np.cumsum(exchanged[::-1])[::-1], 0)
    return start + 1 + int(totals.argmin())


def _cost(
    nodes: Nodes,
    ids: np.ndarray,
    places: _Places,
    pair: tuple[int, int],
    way: tuple[int, int],
    start: int,
    stop: int,
) -> float:
    """How unlike the two before are to the two that they become; `way` says which becomes which."""
    apart = places.alone[:, pair[0]] & places.alone[:, pair[1]]
    before = np.flatnonzero(apart[: start + 1])[-_FRAMES:]
    after = stop + np.flatnonzero(apart[stop:])[:_FRAMES]
    before, after = before[before > start - 2 * _FRAMES], after[after < stop + 2 * _FRAMES]
    total = 0.0
    for one, other in zip(pair, way, strict=True):
        if stop - start <= _LONGEST:
            side = places.area[start, one] ** 0.5
            at, then = places.centre[start, one], places.centre[stop, other]
            gap = stop - start
            ahead = at + gap * _speed(places.centre[:, one], before) - then
            back = then - gap * _speed(places.centre[:, other], after) - at
            total += min(float(np.hypot(*ahead) + np.hypot(*back)) / 2 / side, _FARTHEST)
        total += _COLOURS * (
            1 - float(np.minimum(_look(nodes, ids, one, before), _look(nodes, ids, other, after)).sum())
        )
    return total


def _speed(centre: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """(row, column) px a frame."""
    if len(frames) < 2:
        return np.zeros(2)
    speed: np.ndarray = (centre[frames[-1]] - centre[frames[0]]) / (frames[-1] - frames[0])
    return speed


def _look(nodes: Nodes, ids: np.ndarray, number: int, frames: np.ndarray) -> np.ndarray:
    """Shares of its pixels in bins of colour, in some frames."""
    mine = (ids == number) & np.isin(nodes.frame, frames)
    found = np.bincount(colour_bins(nodes.colour[mine], _BINS), nodes.size[mine], minlength=_BINS**3)
    return found / max(float(found.sum()), 1.0)
