"""Objects of a segmented video, each with an id that stays with it: two objects of one class stay two.

The graph cut says which superpixels are foreground. Here those of a frame that touch are a component; ids are carried
from frame to frame by the flow's links between superpixels. Where components merge, each superpixel keeps the id that
most of its linked pixels had; where one splits, the part that does not keep the id is a new track. Afterwards,
with the whole video known, tracks are joined across gaps, parts that split off for a moment go back, real splits are
carried backwards to when the objects still touched, and ids that were mistaken for each other behind one another are
exchanged (`crossings`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import cdist

from wsvs.video.crossings import uncrossed
from wsvs.video.nodes import Nodes, colour_bins

_LINKED = 0.05  # overlap (IoU along the flow) from which a component continues a track
_CLAIM = 0.2  # share of a track's pixels that lead to a component: the track is in it, merged with others
_FADED = 0.15  # share of a track's own area: one that is less within a merged component is hidden
_LEAST = 5  # frames in which a track is seen, and in which one that split off is apart
_PART = 0.25  # area of a part in the area of what it split off from: a smaller one is an object only if it goes away
_APART = 0.5  # how far it moves away, in square roots of its area
_ALIKE = 0.5  # overlap of two colour histograms that may be of one object
_RATIO = 3.0  # of two areas that may be of one object
_SOON = 10  # frames: after a shorter gap an object is near where its motion leads
_NEAR = 2.0  # how near, in square roots of its area
_BINS = 4  # of each colour


@dataclass
class _Track:
    number: int
    parent: int = 0  # the track that it split off from
    seen: dict[int, float] = field(default_factory=dict)  # frame -> area
    own: dict[int, float] = field(default_factory=dict)  # of these, where its component is its own
    places: dict[int, np.ndarray] = field(default_factory=dict)
    gap: float = 0.0  # px, the farthest that it was from its parent

    @property
    def first(self) -> int:
        return min(self.seen)

    @property
    def last(self) -> int:
        return max(self.seen)

    def area(self) -> float:
        """Median, where nothing merges with it if it ever is alone."""
        return float(np.median(list((self.own or self.seen).values())))

    def speed(self, frames: list[int]) -> np.ndarray:
        """(row, column) px a frame over some of its frames, in order."""
        if len(frames) < 2:
            return np.zeros(2)
        return (self.places[frames[-1]] - self.places[frames[0]]) / (frames[-1] - frames[0])


def track(nodes: Nodes) -> np.ndarray:
    """(N,) int32 ids of the superpixels, from 1 in the order of their first frames; 0 where none lasts."""
    offsets = np.searchsorted(nodes.frame, np.arange(nodes.frames + 1))
    components = components_of(nodes)
    ids, tracks = _forward(nodes, offsets, components)
    names = _joined(nodes, ids, tracks)
    ids = np.array([0, *(names[number] for number in range(1, len(tracks) + 1))], np.int32)[ids]
    _carry_back(nodes, offsets, ids, tracks, names)
    return _in_order(nodes, uncrossed(nodes, ids, components))


def components_of(nodes: Nodes) -> np.ndarray:
    """(N,) number of the component of each superpixel: those of a frame that touch, directly or through others."""
    count, (one, other) = len(nodes.frame), nodes.spatial.T
    graph = csr_array((np.ones(len(one), np.int8), (one, other)), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1])


def _forward(nodes: Nodes, offsets: np.ndarray, components: np.ndarray) -> tuple[np.ndarray, list[_Track]]:
    """Ids carried from the first frame to the last."""
    ids, tracks = np.zeros(len(nodes.frame), np.int32), list[_Track]()
    order = np.argsort(nodes.frame[nodes.temporal[:, 1]], kind="stable")
    temporal, links = nodes.temporal[order], nodes.links[order]
    starts = np.searchsorted(nodes.frame[temporal[:, 1]], np.arange(nodes.frames + 1))
    for t in range(nodes.frames):
        begin, end = int(offsets[t]), int(offsets[t + 1])
        if begin == end:
            continue
        edges, weights = temporal[starts[t] : starts[t + 1]], links[starts[t] : starts[t + 1]]
        known, votes = _votes(ids, edges, weights, begin, end)
        _, which = np.unique(components[begin:end], return_inverse=True)
        given = _assign(nodes, tracks, which, known, votes, t, begin)
        ids[begin:end] = given
        _note(nodes, tracks, which, given, t, begin)
    return ids, tracks


def _votes(
    ids: np.ndarray, edges: np.ndarray, weights: np.ndarray, begin: int, end: int
) -> tuple[np.ndarray, np.ndarray]:
    """The ids that lead to the nodes begin..end, (K,), and for each node the linked pixels that have them, (n, K)."""
    held = ids[edges[:, 0]]
    known, column = np.unique(held, return_inverse=True)
    votes = np.zeros((end - begin, len(known)))
    np.add.at(votes, (edges[:, 1] - begin, column), weights)
    return known[known > 0], votes[:, known > 0]


def _assign(
    nodes: Nodes, tracks: list[_Track], which: np.ndarray, known: np.ndarray, votes: np.ndarray, t: int, begin: int
) -> np.ndarray:
    """Ids of a frame's nodes; new tracks are added."""
    count, given = int(which.max()) + 1, np.zeros(len(which), np.int32)
    size = nodes.size[begin : begin + len(which)].astype(np.float64)
    areas = np.bincount(which, size)
    sums = np.zeros((count, len(known)))
    np.add.at(sums, which, votes)
    before = np.array([tracks[number - 1].seen[tracks[number - 1].last] for number in known])
    overlap = sums / np.maximum(areas[:, None] + before[None] - sums, 1e-9)
    rows, columns = linear_sum_assignment(-overlap)
    claims: list[list[int]] = [[] for _ in range(count)]
    placed = set()
    for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
        if overlap[row, column] >= _LINKED:
            claims[row].append(column)
            placed.add(column)
    for column in range(len(known)):
        row = int(sums[:, column].argmax())
        if column not in placed and sums[row, column] >= _CLAIM * before[column]:
            claims[row].append(column)
    for row in range(count):
        inside = which == row
        if not claims[row]:
            parent = int(sums[row].argmax()) if len(known) else 0
            leads = len(known) and sums[row, parent] >= _CLAIM * areas[row]
            tracks.append(_Track(len(tracks) + 1, int(known[parent]) if leads else 0))
            given[inside] = len(tracks)
        else:
            given[inside] = _shared(nodes, tracks, np.flatnonzero(inside) + begin, known, votes[inside], claims[row])
    return given


def _shared(
    nodes: Nodes, tracks: list[_Track], inside: np.ndarray, known: np.ndarray, votes: np.ndarray, claims: list[int]
) -> np.ndarray:
    """Ids of the nodes of one component that some tracks lead to; those without a link take that of the nearest."""
    while len(claims) > 1:
        own = votes[:, claims]
        voted, choice = own.max(1) > 0, own.argmax(1)
        nearest = cdist(nodes.centre[inside], nodes.centre[inside[voted]]).argmin(1)
        choice = choice[voted][nearest]
        areas = np.bincount(choice, nodes.size[inside], minlength=len(claims))
        faded = [n for n, column in enumerate(claims) if areas[n] < _FADED * tracks[known[column] - 1].area()]
        if not faded or len(faded) == len(claims):
            return np.asarray(known[np.array(claims)[choice]])
        claims = [column for n, column in enumerate(claims) if n not in faded]
    return np.full(len(inside), known[claims[0]], np.int32)


def _note(nodes: Nodes, tracks: list[_Track], which: np.ndarray, given: np.ndarray, t: int, begin: int) -> None:
    """Write down where the tracks of a frame are."""
    size, centre = nodes.size[begin : begin + len(which)], nodes.centre[begin : begin + len(which)]
    for number in np.unique(given).tolist():
        one, mine = tracks[number - 1], given == number
        one.seen[t] = float(size[mine].sum())
        one.places[t] = (centre[mine] * size[mine][:, None]).sum(0) / size[mine].sum()
        if (given[np.isin(which, which[mine])] == number).all():
            one.own[t] = one.seen[t]
            if one.parent and (given == one.parent).any():
                one.gap = max(one.gap, float(cdist(centre[mine], centre[given == one.parent]).min()))


def _joined(nodes: Nodes, ids: np.ndarray, tracks: list[_Track]) -> dict[int, int]:
    """{track: what it is called}: the track that it continues after a gap, or is a part of; 0 for none."""
    names = {one.number: one.number for one in tracks}
    looks, areas = _histograms(nodes, ids), {one.number: one.area() for one in tracks}
    seen = [one for one in tracks if len(one.seen) >= _LEAST]
    costs = np.full((len(seen), len(seen)), np.inf)
    for column, after in enumerate(seen):
        for row, before in enumerate(seen[:column]):  # tracks are numbered by their first frames
            gap = after.first - before.last
            ratio = areas[after.number] / areas[before.number]
            if gap > 0 and 1 / _RATIO <= ratio <= _RATIO and nodes.shot[after.first] == nodes.shot[before.last]:
                alike = float(np.minimum(looks[before.number], looks[after.number]).sum())
                costs[row, column] = _cost(before, after, gap, alike, areas[before.number] ** 0.5)
    if np.isfinite(costs).any():
        for row, column in zip(*linear_sum_assignment(np.where(np.isfinite(costs), costs, 1e6)), strict=True):
            if np.isfinite(costs[row, column]):
                names[seen[column].number] = seen[row].number
    for one in tracks:
        if names[one.number] == one.number and not _is_object(one, areas, nodes.frames):
            names[one.number] = one.parent
    for one in tracks:  # in the order of their first frames: the track that one continues has its name already
        names[one.number] = names.get(names[one.number], 0)
    return names


def _is_object(one: _Track, areas: dict[int, float], frames: int) -> bool:
    if not one.parent:
        return len(one.seen) >= min(_LEAST, frames)
    apart = one.gap >= _APART * areas[one.number] ** 0.5
    return len(one.own) >= _LEAST and (apart or areas[one.number] >= _PART * areas[one.parent])


def _cost(before: _Track, after: _Track, gap: int, alike: float, side: float) -> float:
    """How unlike a track is what an earlier one would be after a gap; infinite if they cannot be one object."""
    speed = before.speed(sorted(before.own or before.seen)[-_LEAST:])
    far = float(np.hypot(*(before.places[before.last] + gap * speed - after.places[after.first]))) / side
    if alike < _ALIKE or (gap <= _SOON and far > _NEAR):
        return np.inf
    return (1 - alike) + 0.1 * min(far, 10.0) + 0.001 * gap


def _histograms(nodes: Nodes, ids: np.ndarray) -> np.ndarray:
    """For each id the shares of its pixels in bins of colour."""
    found = np.zeros((int(ids.max(initial=0)) + 1, _BINS**3))
    np.add.at(found, (ids, colour_bins(nodes.colour, _BINS)), nodes.size)
    return found / np.maximum(found.sum(1, keepdims=True), 1)


def _carry_back(
    nodes: Nodes, offsets: np.ndarray, ids: np.ndarray, tracks: list[_Track], names: dict[int, int]
) -> None:
    """Where a track split off from another, give it its share of the component that both were in before."""
    order = np.argsort(nodes.frame[nodes.temporal[:, 0]], kind="stable")
    temporal, links = nodes.temporal[order], nodes.links[order]
    starts = np.searchsorted(nodes.frame[temporal[:, 0]], np.arange(nodes.frames + 1))
    for one in reversed(tracks):
        if not one.parent or names[one.number] != one.number:  # one that continues an older track lacks nothing
            continue
        least, parent = _FADED * one.area(), names[one.parent]
        for t in range(one.first - 1, -1, -1):
            begin, end = int(offsets[t]), int(offsets[t + 1])
            edges, weights = temporal[starts[t] : starts[t + 1]], links[starts[t] : starts[t + 1]]
            known, votes = _votes(ids, edges[:, ::-1], weights, begin, end)
            shared = ids[begin:end] == parent
            mine = shared & (np.where(votes.any(1), known[votes.argmax(1)], 0) == one.number) if len(known) else shared
            size = nodes.size[begin:end]
            if not len(known) or min(size[mine].sum(), size[shared & ~mine].sum()) < least:
                break
            ids[begin:end][mine] = one.number


def _in_order(nodes: Nodes, ids: np.ndarray) -> np.ndarray:
    """Ids from 1, those that come first first, of these the largest first."""
    numbers = [number for number in np.unique(ids).tolist() if number]
    first = {number: int(nodes.frame[ids == number].min()) for number in numbers}
    area = {number: int(nodes.size[ids == number].sum()) for number in numbers}
    table = np.zeros(max(numbers, default=0) + 1, np.int32)
    for place, number in enumerate(sorted(numbers, key=lambda one: (first[one], -area[one], one)), 1):
        table[number] = place
    return table[ids]
