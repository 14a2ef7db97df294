"""Object segmentation of one relevant video: the energy of Eq. (3)-(5) and its minimum."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter

import numpy as np

from wsvs.video.appearance import colour_log_ratio, colour_samples
from wsvs.video.contrast import contrast_term
from wsvs.video.evidence import confidence, confidences, frame_evidence
from wsvs.video.frame_graph import FrameGraph, describe_frames, working_size
from wsvs.video.graph import graph_cut, spatial_weights, temporal_weights
from wsvs.video.inside_outside import accumulate, motion_term
from wsvs.video.refine import enlarged, guided
from wsvs.video.settings import SegmentSettings
from wsvs.video.superpixels import superpixel_means

__all__ = [
    "FrameGraph",
    "SegmentSettings",
    "Segmentation",
    "describe_frames",
    "segment",
    "superpixel_means",
    "unary_costs",
    "working_size",
]

# Without attention the colour models start from the motion (Papazoglou & Ferrari, ICCV 2013, and their
# release):
_INSIDE, _OUTSIDE = 0.2, 0.05  # thresholds of the inside ratio for samples of the foreground and the background
_ROUNDS = 4  # rounds in which the colour models are re-estimated from the labels


@dataclass(frozen=True)
class Segmentation:
    """The labels l_i^t of a video's superpixels, with their terms.

    labels (N,) bool; attention, motion, appearance (N,) float64: A, M, C of the label 1, before weights, A
    before clipping and 0 everywhere if there was none; energies: "attention", "motion", "appearance",
    "spatial", "temporal", "total"; rounds: graph cuts made; seconds: time of each step, those of `graph`
    included.

    confidence: Confidence that something moves by itself or has attention, [0, 1] (`wsvs.video.evidence`);
    confidences (T,) float64 the same for each frame and its neighbours. The labels do not depend on them.
    """

    graph: FrameGraph
    labels: np.ndarray
    attention: np.ndarray
    motion: np.ndarray
    appearance: np.ndarray
    energies: dict[str, float]
    rounds: int
    confidence: float
    confidences: np.ndarray
    seconds: dict[str, float]

    def masks(self, size: tuple[int, int] | None = None, frames: np.ndarray | None = None) -> np.ndarray:
        """The object in every frame, (T, H, W) bool, resized to `size` (height, width).

        `frames`, (T, H, W, 3) uint8 RGB at working size, refine the borders (`wsvs.video.refine`).
        """
        masks = self.graph.paint(self.labels)
        size = size or masks.shape[1:]
        if frames is not None:
            return np.stack([guided(mask, frame, size) for mask, frame in zip(masks, frames, strict=True)])
        return masks if size == masks.shape[1:] else np.stack([enlarged(mask, size) for mask in masks])


def segment(
    graph: FrameGraph,
    attention: np.ndarray | None = None,
    settings: SegmentSettings | None = None,
    *,
    attended: np.ndarray | None = None,
) -> Segmentation:
    """Find the labels that minimise E(L) = E_u(L) + E_p(L), Eq. (3).

    Args:
        graph: From `describe_frames`.
        attention: Multi-scale attention in [0, 1], (T, h, w) maps of any size or (N,) means over superpixels.
            None: lambda_a counts as 0, and colour models are initialised from motion, as by Papazoglou & Ferrari, and
            re-estimated from the labels at least 4 times; with motion="contrast" they are initialised from M.
        settings: Defaults if None.
        attended: (T,) in [0, 1], confidence that a frame shows the class of the attention, which justifies a mask as
            motion does. None for 0.

    Raises:
        ValueError: Attention with a wrong shape or outside [0, 1], or no term at all.
    """
    settings = settings or SegmentSettings()
    if attention is None:
        settings = settings.replaced(lambda_a=0.0)
    seconds = dict(graph.seconds)
    start = perf_counter()
    a = _attention_term(graph, attention)
    m = _motion(graph, settings)
    edges = np.concatenate([graph.spatial, graph.temporal])
    spatial = settings.alpha_s * spatial_weights(graph.colours, graph.centres, graph.spatial)
    temporal = settings.alpha_t * temporal_weights(graph.colours, graph.temporal, graph.phi_t)
    weights = np.concatenate([spatial, temporal])
    seconds["terms"] = perf_counter() - start

    samples, again = _first_samples(graph, a, m, settings)
    seconds["appearance"] = seconds["cut"] = 0.0
    labels, rounds = np.zeros(graph.nodes, bool), 0
    while rounds <= again:
        rounds += 1
        start = perf_counter()
        log_ratio = _colours(graph, samples, settings)
        costs = unary_costs(a, m, log_ratio, settings)
        middle = perf_counter()
        before, labels = labels, graph_cut(*_total(costs), edges, weights, settings.solver)
        seconds["appearance"] += middle - start
        seconds["cut"] += perf_counter() - middle
        if labels.all() or not labels.any() or (labels == before).all():
            break
        samples = labels.astype(np.float64), (~labels).astype(np.float64)
    start = perf_counter()
    moving = frame_evidence(graph.own, graph.sizes, graph.spatial, graph.offsets)[:-1]
    seen = np.zeros(graph.frames) if attended is None else np.asarray(attended, np.float64)
    seconds["evidence"] += perf_counter() - start
    return Segmentation(
        graph=graph,
        labels=labels,
        attention=a,
        motion=m,
        appearance=1 / (1 + np.exp(-np.clip(log_ratio, -700, 700))),
        energies=_energies(labels, costs, graph, spatial, temporal),
        rounds=rounds,
        confidence=max(confidence(moving), float(seen.mean())),
        confidences=np.maximum(confidences(moving), seen),
        seconds=seconds,
    )


def _motion(graph: FrameGraph, settings: SegmentSettings) -> np.ndarray:
    """M_i^t of the label 1, (N,) float64."""
    if settings.motion == "inside_outside":
        if not len(graph.inside):
            raise ValueError('motion="inside_outside" needs a graph of describe_frames with the same setting')
        rho = accumulate(graph.inside, graph.psi, graph.temporal, graph.links, graph.offsets)
        return motion_term(rho, graph.offsets, settings.floor_m)
    return contrast_term(graph, saliency=settings.saliency, floor=settings.floor_m)


def _attention_term(graph: FrameGraph, attention: np.ndarray | None) -> np.ndarray:
    """A_i^t: the attention "aggregat[ed] ... within the superpixel", (N,) float64."""
    if attention is None:
        return np.zeros(graph.nodes)
    attention = np.asarray(attention)
    a = attention.astype(np.float64) if attention.shape == (graph.nodes,) else graph.means(attention)
    if not ((a >= 0) & (a <= 1 + 1e-6)).all():
        raise ValueError(f"attention must be in [0, 1], got {a.min():g} to {a.max():g}")
    return np.minimum(a, 1.0)


def _first_samples(
    graph: FrameGraph, a: np.ndarray, m: np.ndarray, settings: SegmentSettings
) -> tuple[tuple[np.ndarray, np.ndarray], int]:
    """Weights of the colour samples, and the number of rounds that re-estimate the colours from the labels.

    Samples come from M for motion="contrast", otherwise from attention, or without attention from motion.
    """
    again = settings.reestimate if settings.lambda_c else 0
    if settings.motion == "contrast":
        return colour_samples(m, 0.5, 0.5), again
    if settings.lambda_a > 0:
        peak = a.max()
        return colour_samples(a, settings.fg_threshold * peak, settings.bg_threshold * peak), again
    samples = colour_samples(graph.inside.astype(np.float64), _INSIDE, _OUTSIDE)
    return samples, max(again, _ROUNDS) if settings.lambda_c else 0


def _colours(graph: FrameGraph, samples: tuple[np.ndarray, np.ndarray], settings: SegmentSettings) -> np.ndarray:
    if settings.lambda_c == 0:
        return np.zeros(graph.nodes)
    components = (settings.fg_components, settings.bg_components)
    return colour_log_ratio(graph.colours, *samples, components=components, seed=settings.seed)


def unary_costs(
    a: np.ndarray, m: np.ndarray, log_ratio: np.ndarray, settings: SegmentSettings
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The three parts of Eq. (4) for the labels 1 and 0: name -> (cost_fg, cost_bg), (N,) each.

    Args:
        a, m: (N,) A and M of the label 1.
        log_ratio: (N,) log of C(1) / C(0), since C itself rounds to 0 or 1 far from both models.
        settings: Weights, and the clip of A.
    """
    a = np.clip(a, max(settings.floor_a, settings.clip_a), 1 - settings.clip_a)
    with np.errstate(divide="ignore"):
        parts = {
            "attention": (settings.lambda_a, -np.log(a), -np.log1p(-a)),
            "motion": (settings.lambda_m, -np.log(m), -np.log1p(-m)),
            "appearance": (settings.lambda_c, np.logaddexp(0, -log_ratio), np.logaddexp(0, log_ratio)),
        }
    nothing = np.zeros(len(m))
    return {
        name: (weight * fg, weight * bg) if weight else (nothing, nothing) for name, (weight, fg, bg) in parts.items()
    }


def _total(costs: dict[str, tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    foreground, background = zip(*costs.values(), strict=True)
    return np.sum(foreground, axis=0), np.sum(background, axis=0)


def _energies(
    labels: np.ndarray,
    costs: dict[str, tuple[np.ndarray, np.ndarray]],
    graph: FrameGraph,
    spatial: np.ndarray,
    temporal: np.ndarray,
) -> dict[str, float]:
    """The parts of Eq. (4) and (5) under the labels, and their sum."""
    parts = {name: float(np.where(labels, fg, bg).sum()) for name, (fg, bg) in costs.items()}
    for name, edges, weights in (("spatial", graph.spatial, spatial), ("temporal", graph.temporal, temporal)):
        parts[name] = float(weights[labels[edges[:, 0]] != labels[edges[:, 1]]].sum())
    return parts | {"total": sum(parts.values())}
