"""A stronger motion term M: contrast, in motion and in colour, to the regions connected with the border.

The inside-outside map needs a closed curve of strong motion boundaries in a single frame. Here instead the superpixels
themselves are compared: the camera's motion is taken off, the way from the frame's border to a superpixel is as long
as the changes that it crosses (Wei et al., "Geodesic saliency", ECCV 2012; Wang et al., CVPR 2015), and superpixels
that look alike and lie close in other frames vote together (Faktor & Irani, "Non-local consensus voting", BMVC 2014).
"""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components, dijkstra
from scipy.spatial import cKDTree

from wsvs.core.otsu import otsu
from wsvs.video.camera import residual_motion
from wsvs.video.frame_graph import FrameGraph

_SLOW = 0.15  # px of a frame 400 px long: less is no motion of a slow object
_TOUCHES = 0.1  # share of the border's superpixels: where more of them move, the ground does
_PART = 0.002  # share of a frame's area: less is no object of its own
_SHARE = 1 / 3  # of its peak: the level of a slow object; a fast one that fills its frame gets about the same
_RIM = 1e-4  # every step costs something, so that equal superpixels are ordered by their distance from the border
_BLEND = 0.5  # weight that motion carried over from the neighbouring frame loses from frame to frame
_LAB, _PLACE = 8.0, 60.0  # units in which superpixels are alike: of Lab, and px of a frame 400 px long
_NEIGHBOURS = 2  # alike superpixels taken from each of the frames t -+ _REACH
_REACH = (1, 4, 12)
_TOP = 0.99  # quantile of the evidence that counts as "surely the object" ...
_LEVEL = 0.65  # ... M = 0.5 at this share of it ...
_SLOPE = 6  # ... and log(M / (1 - M)) grows with this power
_NOTHING = 1e-9  # less at that quantile comes from likes that are hardly alike


def border_distance(
    features: np.ndarray, edges: np.ndarray, border: np.ndarray, start: np.ndarray | None = None
) -> np.ndarray:
    """Length of the shortest path from the border: the sum of the feature changes that it crosses.

    Args:
        features: (K, d) of the superpixels of one frame.
        edges: (E, 2) pairs of them that touch.
        border: Numbers of those at the frame's border.
        start: Length at which a path begins in each of these; None: 0.

    Returns:
        (K,) float64 >= 0; at the border at most `start`.
    """
    change = np.linalg.norm(features[edges[:, 0]] - features[edges[:, 1]], axis=1) + _RIM
    if start is None:
        start = np.zeros(len(border))
    outside = len(features)  # one node more, where all paths begin
    one = np.concatenate([edges[:, 0], np.full(len(border), outside)])
    other = np.concatenate([edges[:, 1], border])
    length = np.concatenate([change, start + 1e-12])  # an edge of length 0 would be none
    graph = csr_array((length, (one, other)), shape=(outside + 1, outside + 1))
    return dijkstra(graph, directed=False, indices=outside)[:-1]


def evidence(
    features: np.ndarray, edges: np.ndarray, labels: np.ndarray, sizes: np.ndarray, *, moving: bool = False
) -> np.ndarray:
    """`border_distance` of the superpixels of one frame, d / (d + level): (K,) in [0, 1).

    The level is Otsu's threshold; of motions (`moving`) that of `own_levels`.
    """
    border = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    start = None
    if moving:  # an object may touch the border: a short piece of it that moves is no ground
        moves = np.linalg.norm(features[border], axis=1)
        if (moves > _SLOW * max(labels.shape) / 400).mean() <= _TOUCHES:
            start = moves
    distance = border_distance(features, edges, border, start)
    level = max(otsu(distance, sizes, flat=0), 1e-3)
    if moving:
        return distance / (distance + own_levels(distance, edges, sizes, level, _SLOW * max(labels.shape) / 400))
    return distance / (distance + level)


def own_levels(distance: np.ndarray, edges: np.ndarray, sizes: np.ndarray, level: float, slowest: float) -> np.ndarray:
    """Level of every superpixel of a frame: `level`, but that of a slower object is a third of its own peak.

    One level for the whole frame splits the fastest object from all else, and a slow one beside it counts as ground. A
    second threshold by Otsu, of what is below the first, finds the regions that move, too.

    Args:
        distance: (K,) `border_distance` of the motions.
        edges: (E, 2) pairs of superpixels that touch.
        sizes: (K,) px.
        level: Threshold of the frame.
        slowest: px; smaller distances are no motion.
    """
    levels = np.full(len(distance), level)
    below = distance < level
    below[edges[~below[edges].all(axis=1)]] = False  # neighbours of the fast object are mixtures of it and the ground
    if not below.any():
        return levels
    up = distance > max(otsu(distance[below], sizes[below], flat=level), slowest)
    inner = edges[up[edges].all(axis=1)]
    shape = (len(distance), len(distance))
    links = csr_array((np.ones(len(inner)), (inner[:, 0], inner[:, 1])), shape=shape)
    regions, region = connected_components(links, directed=False)
    peaks = np.zeros(regions)
    np.maximum.at(peaks, region, distance)
    large = np.bincount(region, sizes * up, regions) >= _PART * sizes.sum()
    slow = up & large[region] & (peaks[region] < level)
    levels[slow] = _SHARE * peaks[region[slow]]
    return levels


def carried(values: np.ndarray, edges: np.ndarray, counts: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Average (N, d) values along the optical flow, both ways, older frames counting ever less.

    An object keeps its motion from frame to frame; the glitter of water and errors of the flow do not.

    Args:
        values: Of every superpixel of the video.
        edges, counts: Temporal edges, ordered by frame, and the pixels that each connects.
        offsets: (T+1,) first superpixel of each frame.
    """
    forward, forward_weight = _swept(values, edges, counts, offsets, range(len(offsets) - 2))
    backward, backward_weight = _swept(values, edges[:, ::-1], counts, offsets, range(len(offsets) - 3, -1, -1))
    total = forward_weight + backward_weight - 1
    return (forward * forward_weight + backward * backward_weight - values) / total


def _swept(
    values: np.ndarray, edges: np.ndarray, counts: np.ndarray, offsets: np.ndarray, steps: range
) -> tuple[np.ndarray, np.ndarray]:
    """One way of `carried`: means, and (N, 1) how many frames' worth of evidence is in each."""
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
    """Weighted mean of each superpixel's value and those of its likes in the frames t -+ 1, 4 and 12.

    Args:
        values: (N,).
        features: (N, d) in units of a likeness of exp(-0.5).
        offsets: (T+1,) first superpixel of each frame.

    Returns:
        (N,) float64.
    """
    spans = list(pairwise(offsets))
    trees = [cKDTree(features[first:end]) for first, end in spans]
    total, weight = values.astype(np.float64), np.ones(len(values))
    for t, (first, end) in enumerate(spans):
        for other in (t + sign * step for step in _REACH for sign in (-1, 1)):
            if not 0 <= other < len(spans):
                continue
            start, stop = spans[other]
            distance, nearest = trees[other].query(features[first:end], k=range(1, min(_NEIGHBOURS, stop - start) + 1))
            likeness = np.exp(-(distance**2) / 2)
            total[first:end] += (likeness * values[start + nearest]).sum(axis=1)
            weight[first:end] += likeness.sum(axis=1)
    return total / weight


def contrast_term(graph: FrameGraph, *, saliency: float, floor: float) -> np.ndarray:
    """M_i^t(l = 1), Eq. (4), from contrast instead of closed curves.

    Args:
        graph: Made with `motion="contrast"`.
        saliency: Power of the colours' evidence beside the motion's; 0 leaves colours out.
        floor: M stays within [floor, 1 - floor].

    Returns:
        (N,) float64; 0.5 everywhere if nothing stands out. A video of one frame has its colours only.

    Raises:
        ValueError: The graph was made without the motions.
    """
    if graph.frames > 1 and not len(graph.moves):
        raise ValueError('motion="contrast" needs a graph of describe_frames with the same setting')
    shape = graph.labels.shape[1:]
    motions = (
        []
        if graph.frames == 1
        else [
            carried(
                residual_motion(graph.moves[:, way], graph.centres, graph.offsets, shape),
                graph.temporal,
                graph.links,
                graph.offsets,
            )
            for way in (0, 1)
        ]
    )
    lab = cv2.cvtColor(graph.colours[None] / np.float32(255), cv2.COLOR_RGB2LAB)[0].astype(np.float64)
    bounds = np.searchsorted(graph.spatial[:, 0], graph.offsets)
    found = np.ones(graph.nodes)
    power = saliency if motions else 1.0
    for t, (first, end) in enumerate(pairwise(graph.offsets)):
        edges, sizes = graph.spatial[bounds[t] : bounds[t + 1]] - first, graph.sizes[first:end]
        # The flow to the next frame and the one from the last err at opposite sides of an object: the smaller counts.
        for motion in motions:
            moves = evidence(motion[first:end], edges, graph.labels[t], sizes, moving=True)
            np.minimum(found[first:end], moves, out=found[first:end])
        if saliency:
            found[first:end] *= evidence(lab[first:end], edges, graph.labels[t], sizes) ** power
    place = graph.centres * (400 / max(shape) / _PLACE)
    x = consensus(found, np.concatenate([lab / _LAB, place], axis=1), graph.offsets)
    order = np.argsort(x, kind="stable")
    top = np.interp(_TOP, np.cumsum(graph.sizes[order]) / graph.sizes.sum(), x[order])
    if top < _NOTHING or (not motions and not saliency):
        return np.full(graph.nodes, 0.5)
    ratio = (x / (_LEVEL * top)) ** _SLOPE
    return np.clip(ratio / (1 + ratio), floor, 1 - floor)
