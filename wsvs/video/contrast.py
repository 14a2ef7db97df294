"""A stronger motion term M: contrast, in motion and in colour, to the regions connected with the border.

The inside-outside map needs a closed curve of strong motion boundaries in a single frame. This term instead compares
superpixels: the camera's motion is subtracted, the distance from the frame's border to a superpixel is the sum of the
changes along the way (Wei et al., "Geodesic saliency", ECCV 2012; Wang et al., CVPR 2015), and similar, nearby
superpixels in other frames vote together (Faktor & Irani, "Non-local consensus voting", BMVC 2014).
"""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np

from wsvs.core.otsu import otsu
from wsvs.video.contrast_kernels import add_votes, by_cell, connected, path_lengths
from wsvs.video.frame_graph import FrameGraph

_SLOW = 0.15  # px for a frame of 400 px: minimum motion of a slow object
_TOUCHES = 0.1  # fraction of the border's superpixels: if more of them move, it is the background that moves
_PART = 0.002  # fraction of a frame's area: minimum area of a slow object
_SHARE = 1 / 3  # level of a slow object relative to its peak; about the same as for a fast one that fills the frame
_RIM = 1e-4  # minimum cost of a step, so that equal superpixels are ordered by their distance from the border
_BLEND = 0.5  # decay per frame of the weight of motion carried over from neighbouring frames
_LAB, _PLACE = 8.0, 60.0  # scales of similarity: in Lab, and in px for a frame of 400 px
_REACH = (1, 4, 12)  # frames before and after, of which the two nearest superpixels vote
_CELL = 0.15  # side of the cells in which neighbours are searched, in units of _PLACE; for speed only
_TOP = 0.99  # quantile of the evidence that is surely the object ...
_LEVEL = 0.65  # ... M = 0.5 at this fraction of it ...
_SLOPE = 6  # ... and log(M / (1 - M)) grows with this power
_NOTHING = 1e-9  # lower values at that quantile are from dissimilar neighbours


def border_distance(
    features: np.ndarray, edges: np.ndarray, border: np.ndarray, start: np.ndarray | None = None
) -> np.ndarray:
    """Length of the shortest path from the border: the sum of the feature changes that it crosses.

    Args:
        features: (K, d) features of the superpixels of one frame.
        edges: (E, 2) pairs of adjacent superpixels.
        border: Numbers of the superpixels at the frame's border.
        start: Initial length of paths at each of these; None for 0.

    Returns:
        (K,) float64 >= 0; at the border at most `start`.
    """
    change = np.linalg.norm(features[edges[:, 0]] - features[edges[:, 1]], axis=1) + _RIM
    begin = np.full(len(features), np.inf)
    begin[border] = 0.0 if start is None else start
    return path_lengths(begin, edges, change)


def evidence(
    features: np.ndarray, edges: np.ndarray, labels: np.ndarray, sizes: np.ndarray, *, moving: bool = False
) -> np.ndarray:
    """`border_distance` of the superpixels of one frame, d / (d + level): (K,) in [0, 1).

    The level is Otsu's threshold; for motions (`moving`) that of `own_levels`.
    """
    border = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    start = None
    if moving:  # an object may touch the border: a short moving part of the border is not background
        moves = np.linalg.norm(features[border], axis=1)
        if (moves > _SLOW * max(labels.shape) / 400).mean() <= _TOUCHES:
            start = moves
    distance = border_distance(features, edges, border, start)
    level = max(otsu(distance, sizes, flat=0), 1e-3)
    if moving:
        return distance / (distance + own_levels(distance, edges, sizes, level, _SLOW * max(labels.shape) / 400))
    return distance / (distance + level)


def own_levels(distance: np.ndarray, edges: np.ndarray, sizes: np.ndarray, level: float, slowest: float) -> np.ndarray:
    """Level of every superpixel of a frame: `level`, or for slower objects a third of their peak.

    A single level for the frame separates the fastest object from everything else, so that slower objects count as
    background. A second Otsu threshold, below the first, finds further moving regions.

    Args:
        distance: (K,) `border_distance` of the motions.
        edges: (E, 2) pairs of adjacent superpixels.
        sizes: (K,) px.
        level: Threshold of the frame.
        slowest: Minimum distance that counts as motion, px.
    """
    levels = np.full(len(distance), level)
    below = distance < level
    below[edges[~below[edges].all(axis=1)]] = False  # neighbours of the fast object are mixtures of it and the ground
    if not below.any():
        return levels
    up = distance > max(otsu(distance[below], sizes[below], flat=level), slowest)
    inner = edges[up[edges].all(axis=1)]
    regions, region = connected(len(distance), inner)
    peaks = np.zeros(regions)
    np.maximum.at(peaks, region, distance)
    large = np.bincount(region, sizes * up, regions) >= _PART * sizes.sum()
    slow = up & large[region] & (peaks[region] < level)
    levels[slow] = _SHARE * peaks[region[slow]]
    return levels


def carried(values: np.ndarray, edges: np.ndarray, counts: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Average (N, d) values along the optical flow in both directions, with decaying weights of distant frames.

    An object keeps its motion from frame to frame, while the glitter of water and flow errors do not.

    Args:
        values: Values of every superpixel of the video.
        edges, counts: Temporal edges, ordered by frame, and the number of pixels that each connects.
        offsets: (T+1,) first superpixel of each frame.
    """
    forward, forward_weight = _swept(values, edges, counts, offsets, range(len(offsets) - 2))
    backward, backward_weight = _swept(values, edges[:, ::-1], counts, offsets, range(len(offsets) - 3, -1, -1))
    total = forward_weight + backward_weight - 1
    return (forward * forward_weight + backward * backward_weight - values) / total


def _swept(
    values: np.ndarray, edges: np.ndarray, counts: np.ndarray, offsets: np.ndarray, steps: range
) -> tuple[np.ndarray, np.ndarray]:
    """One direction of `carried`: means, and (N, 1) their weights in units of frames."""
    values, weight = values.astype(np.float64), np.ones((len(values), 1))
    links = np.searchsorted(edges.min(axis=1), offsets)
    for t in steps:
        link = slice(links[t], links[t + 1])
        source, target, pixels = edges[link, 0], edges[link, 1], counts[link]
        first, end = (offsets[t + 1], offsets[t + 2]) if steps.step > 0 else (offsets[t], offsets[t + 1])

        def arriving(what: np.ndarray, to: np.ndarray = target - first, length: int = end - first) -> np.ndarray:
            columns = [np.bincount(to, column, length) for column in what.T]
            return np.stack(columns, axis=1)

        pixels = pixels[:, None].astype(np.float64)
        total = np.maximum(arriving(pixels), 1e-9)
        old = arriving(pixels * values[source]) / total
        share = _BLEND * arriving(pixels * weight[source]) / total
        values[first:end] = (values[first:end] + share * old) / (1 + share)
        weight[first:end] = 1 + share
    return values, weight


def consensus(values: np.ndarray, features: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Weighted mean of each superpixel's value and those of its nearest neighbours in the frames t -+ 1, 4 and 12.

    Args:
        values: (N,).
        features: (N, d), scaled so that a distance of 1 has the similarity exp(-0.5); the first two are the place.
        offsets: (T+1,) first superpixel of each frame.

    Returns:
        (N,) float64.
    """
    spans = list(pairwise(offsets))
    total, weight = values.astype(np.float64), np.ones(len(values))
    for other, (start, stop) in enumerate(spans):
        order, begin, corner = by_cell(features[start:stop, :2], _CELL)
        voters, votes = features[start:stop][order], values[start:stop][order].astype(np.float64)
        for t in (other + sign * step for step in _REACH for sign in (-1, 1)):
            if 0 <= t < len(spans):
                part = slice(*spans[t])
                add_votes(total[part], weight[part], features[part], voters, votes, begin, corner, _CELL)
    return total / weight


def contrast_term(graph: FrameGraph, *, saliency: float, floor: float) -> np.ndarray:
    """M_i^t(l = 1), Eq. (4), from contrast instead of closed curves.

    Args:
        graph: Computed with `motion="contrast"`.
        saliency: Exponent of the colour evidence relative to motion; 0 ignores colours.
        floor: M is within [floor, 1 - floor].

    Returns:
        (N,) float64; 0.5 everywhere if nothing stands out. For a single frame only colours are used.

    Raises:
        ValueError: The graph was made without the motions.
    """
    if graph.frames > 1 and not len(graph.moves):
        raise ValueError('motion="contrast" needs a graph of describe_frames with the same setting')
    ways = range(graph.moves.shape[1]) if graph.frames > 1 else ()
    motions = [carried(graph.moves[:, way], graph.temporal, graph.links, graph.offsets) for way in ways]
    lab = cv2.cvtColor(graph.colours[None] / np.float32(255), cv2.COLOR_RGB2LAB)[0].astype(np.float64)
    bounds = np.searchsorted(graph.spatial[:, 0], graph.offsets)
    found = np.ones(graph.nodes)
    power = saliency if motions else 1.0
    for t, (first, end) in enumerate(pairwise(graph.offsets)):
        edges, sizes = graph.spatial[bounds[t] : bounds[t + 1]] - first, graph.sizes[first:end]
        # The flows to the next and from the previous frame have errors at opposite sides of an object: use the smaller.
        for motion in motions:
            moves = evidence(motion[first:end], edges, graph.labels[t], sizes, moving=True)
            np.minimum(found[first:end], moves, out=found[first:end])
        if saliency:
            found[first:end] *= evidence(lab[first:end], edges, graph.labels[t], sizes) ** power
    place = graph.centres * (400 / max(graph.labels.shape[1:]) / _PLACE)
    x = consensus(found, np.concatenate([place, lab / _LAB], axis=1), graph.offsets)
    order = np.argsort(x, kind="stable")
    top = np.interp(_TOP, np.cumsum(graph.sizes[order]) / graph.sizes.sum(), x[order])
    if top < _NOTHING or (not motions and not saliency):
        return np.full(graph.nodes, 0.5)
    ratio = (x / (_LEVEL * top)) ** _SLOPE
    return np.clip(ratio / (1 + ratio), floor, 1 - floor)
