"""The graph G = (S, E) over the superpixels of a video, its weights, Eq. (5), and its minimum cut."""

from __future__ import annotations

from typing import Literal

import numpy as np

Solver = Literal["auto", "maxflow", "scipy"]


def spatial_edges(labels: np.ndarray) -> np.ndarray:
    """Pairs of superpixels that touch, corners included: (E, 2) int32, i < j, each pair once, sorted.

    Args:
        labels: (H, W) integers from 0.
    """
    count = int(labels.max()) + 1
    keys = []
    for one, other in (
        (np.s_[:, :-1], np.s_[:, 1:]),
        (np.s_[:-1, :], np.s_[1:, :]),
        (np.s_[:-1, :-1], np.s_[1:, 1:]),
        (np.s_[:-1, 1:], np.s_[1:, :-1]),
    ):
        a, b = labels[one], labels[other]
        differ = a != b
        a, b = a[differ].astype(np.int64), b[differ].astype(np.int64)
        keys.append(np.minimum(a, b) * count + np.maximum(a, b))
    # return_counts makes numpy sort; otherwise it hashes, which is slower here
    key, _ = np.unique(np.concatenate(keys), return_counts=True)
    return np.stack([key // count, key % count], axis=1).astype(np.int32)


def temporal_links(
    labels: np.ndarray, next_labels: np.ndarray, flow: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Superpixels of two consecutive frames that "are connected by at least one optical flow" (footnote 1).

    Args:
        labels, next_labels: (H, W) integers from 0.
        flow: (H, W, 2) from the first frame to the second, px; rounded to whole pixels. Pixels that leave the
            frame connect nothing.

    Returns:
        (E, 2) int32 pairs (i, j), sorted, and (E,) int32 pixels of i that land in j.
    """
    height, width = labels.shape
    moved = np.rint(flow).astype(np.int32)
    column = moved[..., 0] + np.arange(width, dtype=np.int32)
    row = moved[..., 1] + np.arange(height, dtype=np.int32)[:, None]
    # as unsigned numbers, negative positions are beyond the far border
    lands = (column.view(np.uint32) < width) & (row.view(np.uint32) < height)
    target = next_labels.ravel()[(row * width + column)[lands]]
    count = int(next_labels.max()) + 1
    key, pixels = np.unique(labels[lands].astype(np.int64) * count + target, return_counts=True)
    return np.stack([key // count, key % count], axis=1).astype(np.int32), pixels.astype(np.int32)


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
    phi_s = 1 / np.sqrt(_square(centres, edges))
    return phi_s * _contrast(_square(colours, edges), phi_s)


def temporal_weights(colours: np.ndarray, edges: np.ndarray, phi_t: np.ndarray) -> np.ndarray:
    """phi_t phi_c of Eq. (5), with beta = 0.5 / mean(c^2 phi_t) in phi_c. (E,) >= 0."""
    return phi_t * _contrast(_square(colours, edges), phi_t)


def _square(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Squared distance across each edge."""
    difference = values[edges[:, 0]].astype(np.float64) - values[edges[:, 1]]
    return (difference**2).sum(axis=1)


def _contrast(square: np.ndarray, phi: np.ndarray) -> np.ndarray:
    """phi_c. A video of one colour has no contrast to speak of: 1."""
    mean = float((square * phi).mean()) if len(square) else 0.0
    return np.exp(-0.5 / mean * square) if mean > 0 else np.ones(len(square))


def energy(
    labels: np.ndarray, cost_fg: np.ndarray, cost_bg: np.ndarray, edges: np.ndarray, weights: np.ndarray
) -> float:
    """E(L) = E_u(L) + E_p(L), Eq. (3), of a (N,) bool labelling."""
    cut = labels[edges[:, 0]] != labels[edges[:, 1]]
    return float(np.where(labels, cost_fg, cost_bg).sum() + weights[cut].sum())


def graph_cut(
    cost_fg: np.ndarray,
    cost_bg: np.ndarray,
    edges: np.ndarray,
    weights: np.ndarray,
    solver: Solver = "auto",
) -> np.ndarray:
    """The labelling of least energy, Eq. (3); of several, the one with the smallest foreground.

    Args:
        cost_fg, cost_bg: (N,) unary cost of the labels 1 and 0; inf forbids a label, but not both.
        edges: (E, 2) node numbers.
        weights: (E,) >= 0, cost of different labels across an edge.
        solver: "maxflow" (PyMaxflow, about 7 times faster), "scipy", or "auto": the first if it is installed.
            Both give the same energy; scipy rounds each cost to about 1e-9 of the largest.

    Returns:
        (N,) bool, True where foreground.

    Raises:
        ValueError: Negative or NaN weights, NaN costs, unknown solver.
        ModuleNotFoundError: solver="maxflow" and PyMaxflow is not installed.
    """
    if solver not in ("auto", "maxflow", "scipy"):
        raise ValueError(f"solver must be auto, maxflow or scipy, got {solver!r}")
    if not (weights >= 0).all():
        raise ValueError("edge weights must not be negative or NaN: no cut would find the least energy")
    gain = np.asarray(cost_bg, np.float64) - cost_fg  # of calling a node foreground
    if np.isnan(gain).any():
        raise ValueError("unary costs must not be NaN, nor both infinite")
    # A node whose gain exceeds the weight of all its edges keeps its label whatever the others do. Without
    # the excess the answer is the same, infinite costs become finite and the solver has less flow to push.
    reach = np.bincount(edges.ravel(), np.repeat(weights, 2), len(gain)) + 1.0
    gain = np.clip(gain, -reach, reach)
    if solver == "auto":
        try:
            return _maxflow_cut(gain, edges, weights)
        except ModuleNotFoundError:
            return _scipy_cut(gain, edges, weights)
    return (_maxflow_cut if solver == "maxflow" else _scipy_cut)(gain, edges, weights)


def _maxflow_cut(gain: np.ndarray, edges: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Boykov & Kolmogorov's algorithm (TPAMI 2004)."""
    import maxflow

    solver = maxflow.Graph[float](len(gain), len(edges))
    nodes = solver.add_nodes(len(gain))
    solver.add_grid_tedges(nodes, np.maximum(-gain, 0), np.maximum(gain, 0))
    solver.add_edges(edges[:, 0], edges[:, 1], weights, weights)
    solver.maxflow()
    return np.asarray(solver.get_grid_segments(nodes))  # True: on the sink's side, pays the source's arc


def _scipy_cut(gain: np.ndarray, edges: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Dinic's algorithm on whole-number capacities."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import breadth_first_order, maximum_flow

    count, source, sink = len(gain), len(gain), len(gain) + 1
    # twice the largest arc, a full residual, still fits 32 bits
    scale = 2.0**30 / max(np.abs(gain).max(initial=1.0), weights.max(initial=0.0))
    whole = np.rint(gain * scale).astype(np.int32)
    link = np.rint(weights * scale).astype(np.int32)
    background, foreground = np.flatnonzero(whole < 0), np.flatnonzero(whole > 0)
    tail = np.concatenate([edges[:, 0], edges[:, 1], np.full(len(background), source), foreground])
    head = np.concatenate([edges[:, 1], edges[:, 0], background, np.full(len(foreground), sink)])
    capacity = np.concatenate([link, link, -whole[background], whole[foreground]])
    network = csr_array((capacity, (tail, head)), shape=(count + 2, count + 2))
    residual = network - maximum_flow(network, source, sink, method="dinic").flow
    residual.eliminate_zeros()
    reaches_sink = breadth_first_order(residual.T.tocsr(), sink, return_predecessors=False)
    labels = np.zeros(count + 2, bool)
    labels[reaches_sink] = True
    return labels[:count]
