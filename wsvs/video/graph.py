"""The graph G = (S, E) over the superpixels of a video, its weights, Eq. (5), and its minimum cut."""

from __future__ import annotations

import numpy as np

from wsvs.config.checked import checked
from wsvs.config.stages import Solver
from wsvs.video.jit import compiled


def spatial_edges(labels: np.ndarray) -> np.ndarray:
    """Pairs of adjacent superpixels (8 neighbours): (E, 2) int32, i < j, each pair once, sorted.

    Args:
        labels: (H, W) integers from 0.
    """
    labels = np.ascontiguousarray(labels, np.int32)
    count = int(labels.max()) + 1
    one, other = _touching(labels)
    return _distinct(one, other, np.ones(len(one), np.int32), count, count)[0]


def temporal_links(labels: np.ndarray, next_labels: np.ndarray, flow: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Superpixels of two consecutive frames that "are connected by at least one optical flow" (footnote 1).

    Args:
        labels, next_labels: (H, W) integers from 0.
        flow: (H, W, 2) from the first frame to the second, px; rounded to whole pixels. Pixels that leave the
            frame connect nothing.

    Returns:
        (E, 2) int32 pairs (i, j), sorted, and (E,) int32 pixels of i that land in j.
    """
    labels, next_labels = np.ascontiguousarray(labels, np.int32), np.ascontiguousarray(next_labels, np.int32)
    flow = np.ascontiguousarray(flow, np.float32)
    one, other, pixels = _landing(labels, next_labels, flow)
    return _distinct(one, other, pixels, int(labels.max()) + 1, int(next_labels.max()) + 1)


@compiled
def _touching(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Different labels of neighbouring pixels, two (P,) arrays, the smaller first; pairs may be repeated."""
    height, width = labels.shape
    one, other = np.empty(4 * labels.size + 1, np.int32), np.empty(4 * labels.size + 1, np.int32)
    found = 0
    for y in range(height):
        above, below = max(y - 1, 0), min(y + 1, height - 1)
        for x in range(width):
            left, right = max(x - 1, 0), min(x + 1, width - 1)
            a, b, c, d = labels[y, x], labels[y, right], labels[below, x], labels[below, right]
            # Always written, but kept only if it is new, to avoid mispredicted branches. New means: not seen at the
            # previous pixels along the border.
            one[found], other[found] = min(a, b), max(a, b)
            found += (a != b) & ((y == 0) | (labels[above, x] != a) | (labels[above, right] != b))
            one[found], other[found] = min(a, c), max(a, c)
            found += (a != c) & ((x == 0) | (labels[y, left] != a) | (labels[below, left] != c))
            # diagonals are needed if straight neighbours do not give the same pair
            if (a != d) & (a != b) & (b != d) & (a != c) & (c != d):
                one[found], other[found] = min(a, d), max(a, d)
                found += 1
            if (b != c) & (a != b) & (b != d) & (a != c) & (c != d):
                one[found], other[found] = min(b, c), max(b, c)
                found += 1
    return one[:found], other[:found]


@compiled
def _landing(
    labels: np.ndarray, next_labels: np.ndarray, flow: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Label of each pixel that stays in the frame, label at its target, and the length of the run of equal pairs."""
    height, width = labels.shape
    one, other = np.empty(labels.size + 1, np.int32), np.empty(labels.size + 1, np.int32)
    begin = np.empty(labels.size + 1, np.int32)
    found, staying = 0, 0
    before = np.int64(-1)
    for y in range(height):
        for x in range(width):
            right, down = np.rint(flow[y, x, 0]), np.rint(flow[y, x, 1])
            if -x <= right < width - x and -y <= down < height - y:
                a, b = labels[y, x], next_labels[y + int(down), x + int(right)]
                one[found], other[found], begin[found] = a, b, staying
                pair = np.int64(a) << 32 | np.int64(b)
                found += pair != before
                before = pair
                staying += 1
    begin[found] = staying
    return one[:found], other[:found], np.diff(begin[: found + 1])


@compiled
def _distinct(
    one: np.ndarray, other: np.ndarray, times: np.ndarray, ones: int, others: int
) -> tuple[np.ndarray, np.ndarray]:
    """Sorted distinct pairs (E, 2) int32 and the sums of their times (E,) int32."""
    begin = np.zeros(ones + 2, np.int64)  # sort by the first number: count, then place
    for a in one:
        begin[a + 2] += 1
    for a in range(ones):
        begin[a + 2] += begin[a + 1]
    order = np.empty(len(one), np.int32)
    for i in range(len(one)):
        order[begin[one[i] + 1]] = i
        begin[one[i] + 1] += 1
    pairs, sums = np.empty((len(one), 2), np.int32), np.empty(len(one), np.int32)
    total = np.zeros(others, np.int32)
    partners = np.empty(others, np.int32)
    found = 0
    for a in range(ones):
        many = 0
        for i in order[begin[a] : begin[a + 1]]:
            b = other[i]
            if total[b] == 0:
                at = many  # keep the partners sorted; they are few
                while at > 0 and partners[at - 1] > b:
                    partners[at] = partners[at - 1]
                    at -= 1
                partners[at] = b
                many += 1
            total[b] += times[i]
        for b in partners[:many]:
            pairs[found, 0], pairs[found, 1], sums[found] = a, b, total[b]
            total[b] = 0
            found += 1
    return pairs[:found].copy(), sums[:found].copy()


def flow_percentage(edges: np.ndarray, counts: np.ndarray, nodes: int) -> np.ndarray:
    """phi_t of Eq. (5): of the pixels of i that stay in the frame, the share landing in j. (E,) in (0, 1]."""
    leaving = np.bincount(edges[:, 0], counts, nodes)
    return counts / leaving[edges[:, 0]]


def spatial_weights(colours: np.ndarray, centres: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """phi_s phi_c of Eq. (5): inverse distance of the centres times similarity of the colours. (E,) >= 0.

    phi_s = 1 / d, phi_c = exp(-beta c^2) with beta = 0.5 / mean(c^2 / d) over the video's edges (Papazoglou &
    Ferrari, ICCV 2013, and their release), c the distance in RGB.

    Args:
        colours: (N, 3) mean RGB.
        centres: (N, 2) mean (row, column), px.
        edges: (E, 2) node numbers.
    """
    phi_s = 1 / np.sqrt(np.maximum(_square(centres, edges), 1.0))  # a superpixel can surround another's centre
    return phi_s * _contrast(_square(colours, edges), phi_s)


def temporal_weights(colours: np.ndarray, edges: np.ndarray, phi_t: np.ndarray) -> np.ndarray:
    """phi_t phi_c of Eq. (5), with beta = 0.5 / mean(c^2 phi_t) in phi_c. (E,) >= 0."""
    return phi_t * _contrast(_square(colours, edges), phi_t)


def _square(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Squared distance across each edge."""
    return _square_distance(np.ascontiguousarray(values, np.float64), np.ascontiguousarray(edges, np.int32))


@compiled
def _square_distance(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    square = np.zeros(len(edges))
    for e in range(len(edges)):
        for c in range(values.shape[1]):
            square[e] += (values[edges[e, 0], c] - values[edges[e, 1], c]) ** 2
    return square


def _contrast(square: np.ndarray, phi: np.ndarray) -> np.ndarray:
    """phi_c; 1 for a video of one colour, which has no contrast."""
    mean = float((square * phi).mean()) if len(square) else 0.0
    return np.exp(-0.5 / mean * square) if mean > 0 else np.ones(len(square))


def energy(
    labels: np.ndarray, cost_fg: np.ndarray, cost_bg: np.ndarray, edges: np.ndarray, weights: np.ndarray
) -> float:
    """E(L) = E_u(L) + E_p(L), Eq. (3), of a (N,) bool labelling."""
    cut = labels[edges[:, 0]] != labels[edges[:, 1]]
    return float(np.where(labels, cost_fg, cost_bg).sum() + weights[cut].sum())


@checked
def graph_cut(
    cost_fg: np.ndarray,
    cost_bg: np.ndarray,
    edges: np.ndarray,
    weights: np.ndarray,
    solver: Solver = "auto",
) -> np.ndarray:
    """The labelling with minimum energy, Eq. (3); among several, the one with the smallest foreground.

    Args:
        cost_fg, cost_bg: (N,) unary cost of the labels 1 and 0; inf forbids a label, but not both.
        edges: (E, 2) node numbers.
        weights: (E,) >= 0, cost of different labels across an edge.
        solver: "scipy", "maxflow" (PyMaxflow, faster, of the extra wsvs[maxflow]), or "auto": the second if it is
            installed. Both get the same whole numbers, about 1e-9 of the largest cost, and give the same labels.

    Returns:
        (N,) bool, True where foreground.

    Raises:
        ValueError: Negative or NaN weights, NaN costs, unknown solver.
        ModuleNotFoundError: solver="maxflow" and PyMaxflow is not installed.
    """
    if not (weights >= 0).all():
        raise ValueError("edge weights must not be negative or NaN: a cut would not minimise the energy")
    gain = np.asarray(cost_bg, np.float64) - cost_fg  # of labelling a node as foreground
    if np.isnan(gain).any():
        raise ValueError("unary costs must not be NaN, nor both infinite")
    # A node whose gain exceeds the weight of all its edges has a fixed label. Clipping the excess does not change the
    # result, makes infinite costs finite, and leaves less flow for the solver.
    reach = np.bincount(edges.ravel(), np.repeat(weights, 2), len(gain)) + 1.0
    gain = np.clip(gain, -reach, reach)
    gain, weights = _whole(gain, weights)
    if solver == "auto":
        try:
            return _maxflow_cut(gain, edges, weights)
        except ModuleNotFoundError:
            return _scipy_cut(gain, edges, weights)
    return (_maxflow_cut if solver == "maxflow" else _scipy_cut)(gain, edges, weights)


def _whole(gain: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both as int32 in one unit: sums of whole numbers are exact, so that every solver finds the same ties.

    Twice the largest arc, a full residual, still fits 32 bits, which is what scipy's arcs have.
    """
    scale = (2.0**30 - 1) / max(np.abs(gain).max(initial=1.0), weights.max(initial=0.0))
    return np.rint(gain * scale).astype(np.int32), np.rint(weights * scale).astype(np.int32)


def _maxflow_cut(gain: np.ndarray, edges: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Boykov & Kolmogorov's algorithm (TPAMI 2004)."""
    import maxflow

    solver = maxflow.Graph[int](len(gain), len(edges))
    nodes = solver.add_nodes(len(gain))
    solver.add_grid_tedges(nodes, np.maximum(-gain, 0), np.maximum(gain, 0))
    solver.add_edges(edges[:, 0], edges[:, 1], weights, weights)
    solver.maxflow()
    # True: in the sink's tree, which at the end has exactly the nodes with a path to the sink; cuts the source's arc
    return np.asarray(solver.get_grid_segments(nodes))


def _scipy_cut(gain: np.ndarray, edges: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Dinic's algorithm; the foreground is what still has a way to the sink."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import breadth_first_order, maximum_flow

    count, source, sink = len(gain), len(gain), len(gain) + 1
    background, foreground = np.flatnonzero(gain < 0), np.flatnonzero(gain > 0)
    tail = np.concatenate([edges[:, 0], edges[:, 1], np.full(len(background), source), foreground])
    head = np.concatenate([edges[:, 1], edges[:, 0], background, np.full(len(foreground), sink)])
    capacity = np.concatenate([weights, weights, -gain[background], gain[foreground]])
    network = csr_array((capacity, (tail, head)), shape=(count + 2, count + 2))
    residual = network - maximum_flow(network, source, sink, method="dinic").flow
    residual.eliminate_zeros()
    reaches_sink = breadth_first_order(residual.T.tocsr(), sink, return_predecessors=False)
    labels = np.zeros(count + 2, bool)
    labels[reaches_sink] = True
    return labels[:count]
