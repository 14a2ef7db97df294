"""The motion term M: which superpixels lie inside a closed curve of motion boundaries.

Papazoglou & Ferrari, "Fast object segmentation in unconstrained video", ICCV 2013 (reference [27] of the
paper), with the constants of their release. The release differs from their text in a few places; both are
offered.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import cv2
import numpy as np

Gradient = Literal["full", "cross"]
Angle = Literal["circular", "sum"]
Cleanup = Literal["flood", "sweep"]
Gain = Literal["none", "adaptive"]

_RATE = 0.7  # lambda_m of b_m = 1 - exp(-lambda_m m), m in px per px
_MORE_RATES = tuple(0.71 + 0.1 * step for step in range(8))  # tried where the first finds no compact region
_COMPACT = 0.2  # a region map below this quality starts the search
# b_m above _SURE counts alone, below _WEAK hardly; b above _BOUNDARY is a boundary
_SURE, _WEAK, _BOUNDARY = 0.6, 0.25, 0.5
_STRIP = 0.05  # of the longer side: boundaries that reach this strip along the border are not closed curves
_INSIDE_VOTES = 5  # of 8 rays
_FADE = 2.0  # of psi: evidence that crosses a strong flow gradient is doubtful


def gradient_magnitude(flow: np.ndarray, grad: Gradient = "full") -> np.ndarray:
    """Strength m of the change of flow, (H, W) float32 in px per px.

    "full" is the norm of all four derivatives, as in the ICCV text. "cross" takes dv/dx and du/dy alone, as in the
    release: blind to an object that moves along one axis.
    """
    u, v = flow[..., 0], flow[..., 1]
    if min(u.shape) < 2:  # no neighbours, no gradient
        return np.zeros(u.shape, np.float32)
    du_dy, dv_dx = np.gradient(u, axis=0), np.gradient(v, axis=1)
    square = du_dy**2 + dv_dx**2
    if grad == "full":
        square += np.gradient(u, axis=1) ** 2
        square += np.gradient(v, axis=0) ** 2
    return np.sqrt(square)


def turning(flow: np.ndarray, angle: Angle = "circular") -> np.ndarray:
    """Largest difference of direction delta between a pixel and its 4 neighbours, (H, W) in [0, pi].

    Pixels that stand still differ by pi from those that move. "sum" is the release's cheap stand-in for the circular
    difference: min(|a - b|, |a + b|).
    """
    u, v = flow[..., 0], flow[..., 1]
    theta = np.arctan2(u, v)
    theta[(u == 0) & (v == 0)] = 10.0  # at least pi away from any direction, in both ways of counting
    delta = np.zeros_like(theta)
    for one, other in (
        (np.s_[1:, :], np.s_[:-1, :]),
        (np.s_[:, 1:], np.s_[:, :-1]),
    ):
        a, b = theta[one], theta[other]
        apart = np.abs(a - b)
        if angle == "sum":
            np.minimum(apart, np.abs(a + b), out=apart)
        else:
            np.minimum(apart, np.where(apart <= 2 * np.pi, 2 * np.pi - apart, np.pi), out=apart)
        for side in (one, other):
            np.maximum(delta[side], apart, out=delta[side])
    return np.minimum(delta, np.float32(np.pi))


def boundary_strength(magnitude: np.ndarray, delta: np.ndarray, rate: float = _RATE) -> np.ndarray:
    """Probability-like strength b of a motion boundary, (H, W) in [0, 1].

    b_m = 1 - exp(-rate m) where the change is strong, b_m b_theta with b_theta = 1 - exp(-delta^2) where it
    is middling and needs a turn beside it, a tenth of b_m elsewhere.
    """
    b_m = 1 - np.exp(-rate * magnitude)
    b_theta = 1 - np.exp(-(delta**2))
    return np.where(b_m > _SURE, b_m, np.where(b_m > _WEAK, b_m * b_theta, 0.1 * b_m))


def critical_rate(magnitude: np.ndarray, delta: np.ndarray) -> np.ndarray:
    """The rate from which on a pixel is a boundary: b > 0.5 <=> rate > this. (H, W), inf where m = 0.

    b > 0.5 means b_m > tau with tau = min(0.6, 0.5 / b_theta), and b_m > tau means rate > -log(1 - tau) / m.
    One map thus serves all rates of the search.
    """
    b_theta = 1 - np.exp(-(delta**2))
    tau = np.minimum(_SURE, _BOUNDARY / np.maximum(b_theta, _BOUNDARY))
    with np.errstate(divide="ignore"):
        return -np.log1p(-tau) / magnitude


def open_curves_removed(boundary: np.ndarray, cleanup: Cleanup = "flood") -> np.ndarray:
    """Drop the boundary pixels that are connected (8 neighbours) to a strip along the frame's border.

    The strip is 5 % of the longer side: 20 px of the release's 400, one more below and to the right. "flood"
    drops whole components; "sweep" follows the release, which sweeps once right, left, down and up and so
    loses track of winding curves.
    """
    strip = round(_STRIP * max(boundary.shape))
    border = np.ones(boundary.shape, bool)
    border[strip : -strip - 1, strip : -strip - 1] = False
    if cleanup == "flood":
        _, component = cv2.connectedComponents(boundary.view(np.uint8), connectivity=8)
        closed = np.ones(component.max() + 1, bool)
        closed[component[border]] = False
        closed[0] = False  # not a boundary
        return closed[component]
    reached = border
    for marks, edge in (
        (reached.T, boundary.T), (reached.T[::-1], boundary.T[::-1]),
        (reached, boundary), (reached[::-1], boundary[::-1]),
    ):
        for line in range(1, len(marks)):
            before = np.pad(marks[line - 1], 1)
            marks[line] |= edge[line] & (before[:-2] | before[1:-1] | before[2:])
    return boundary & ~reached


def votes(boundary: np.ndarray) -> np.ndarray:
    """Rays that say "inside" at each pixel, (H, W) uint8 0-8; boundary pixels get 0.

    A ray votes if it enters the boundary an odd number of times on its way to the border. All rays of one direction
    are followed at once: the parity of the entries along a line is a running xor, and a diagonal becomes a
    column in a buffer whose rows are shifted against each other.
    """
    total = _line_votes(boundary, 0)
    total += _line_votes(boundary, 1)
    total += _line_votes(boundary, -1)
    total += _line_votes(np.ascontiguousarray(boundary.T), 0).T
    total[boundary] = 0
    return total


def _line_votes(boundary: np.ndarray, lean: int) -> np.ndarray:
    """Votes of both rays along lines that go one row down and `lean` columns right. (H, W) uint8 0-2."""
    height, width = boundary.shape
    row = width + height - 1 if lean else width
    start = height - 1 if lean == 1 else 0
    lines = np.zeros((height, row), np.uint8)
    shape, strides = (height, width), (row - lean, 1)
    entries = np.lib.stride_tricks.as_strided(lines.ravel()[start:], shape, strides)
    here, above = _neighbours(lean)
    entries[here] = boundary[here] & ~boundary[above]  # entries in a line's first pixel are not seen
    for i in range(1, height):
        np.bitwise_xor(lines[i], lines[i - 1], out=lines[i])
    lines += lines ^ lines[-1]  # the ray back to the start + the ray on to the end
    return entries.copy()


def _neighbours(lean: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Index of the pixels that have a predecessor on their line, and of those predecessors."""
    if lean == 0:
        return np.s_[1:, :], np.s_[:-1, :]
    if lean == 1:
        return np.s_[1:, 1:], np.s_[:-1, :-1]
    return np.s_[1:, :-1], np.s_[:-1, 1:]


def quality(inside: np.ndarray) -> float:
    """Compactness of a region: area / (var_row^2 + var_column^2); 0 if it is empty."""
    rows, columns = inside.sum(axis=1, dtype=np.int64), inside.sum(axis=0, dtype=np.int64)
    area = int(rows.sum())
    if area == 0:
        return 0.0
    spread = 0.0
    for counts in (rows, columns):
        position = np.arange(len(counts), dtype=np.float64)
        mean = counts @ position / area
        spread += (counts @ (position - mean) ** 2 / area) ** 2
    return area / spread if spread else np.inf


def inside_map(
    flow: np.ndarray, *, grad: Gradient = "full", angle: Angle = "circular", cleanup: Cleanup = "flood",
    gain: Gain = "none",
) -> tuple[np.ndarray, np.ndarray]:
    """Pixels inside closed motion boundaries of one frame.

    Where the region is not compact, other rates of b_m are tried and the most compact region is kept.

    Args:
        flow: (H, W, 2) float32 forward flow, px.
        grad, angle, cleanup: The variants described above; "cross", "sum", "sweep" is the release.
        gain: "adaptive" multiplies m by `adaptive_gain`; "none" is the release.

    Returns:
        inside (H, W) bool and the gradient magnitude m (H, W) float32.
    """
    magnitude = gradient_magnitude(flow, grad)
    if gain == "adaptive":
        magnitude = magnitude * adaptive_gain(magnitude)
    critical = critical_rate(magnitude, turning(flow, angle))
    best, best_quality, tried = np.zeros(magnitude.shape, bool), -1.0, -1
    for rate in (_RATE, *_MORE_RATES):
        boundary = critical < rate
        pixels = int(np.count_nonzero(boundary))  # grows with the rate, so equal counts are equal maps
        if pixels == tried:
            continue
        tried = pixels
        inside = votes(open_curves_removed(boundary, cleanup)) >= _INSIDE_VOTES
        found = quality(inside)
        if found > best_quality:
            best, best_quality = inside, found
        if rate == _RATE and found >= _COMPACT:
            break
    return best, magnitude


def adaptive_gain(magnitude: np.ndarray) -> np.float32:
    """Factor in [1, 10] that brings the 95th percentile of m to 0.5 px per px.

    The rates of b_m are made for objects that move fast: a boundary needs m of about 1 px per px. A slow object, or a
    high frame rate, stays below that everywhere, although its boundary stands out from the rest of the frame.
    """
    strong = np.percentile(magnitude, 95)
    return np.float32(np.clip(0.5 / max(strong, 1e-6), 1, 10))


def reliability(magnitude: np.ndarray) -> np.ndarray:
    """psi = exp(-2 m), m (K,) the mean gradient magnitude: how far to trust what a superpixel passes on."""
    return np.exp(-_FADE * magnitude)


def accumulate(
    inside: np.ndarray, psi: np.ndarray, edges: np.ndarray, counts: np.ndarray, offsets: np.ndarray
) -> np.ndarray:
    """Carry the inside ratio along the flow, forwards and backwards: rho = r + g + h.

    Args:
        inside: (N,) inside ratio r of every superpixel of the video.
        psi: (N,) `reliability` of what a superpixel passes on.
        edges: (E, 2) temporal edges (i of frame t, j of frame t+1), ordered by i.
        counts: (E,) pixels of i that land in j.
        offsets: (T+1,) first superpixel of each frame.

    Returns:
        (N,) rho; 0 in the last frame, which has no flow.
    """
    r = np.array(inside, np.float64)
    r[offsets[-2]:] = 0.0
    source, target = edges[:, 0], edges[:, 1]
    last = len(offsets) - 2
    links = np.searchsorted(source, offsets)
    leaving = np.bincount(source, counts, len(r))[source]
    arriving = np.bincount(target, counts, len(r))[target]
    forward_weight, backward_weight = psi[source] * counts / leaving, psi[source] * counts / arriving

    def mean(to: np.ndarray, value: np.ndarray, weight: np.ndarray, first: int, end: int) -> np.ndarray:
        total = np.bincount(to - first, weight * value, end - first)
        weights = np.bincount(to - first, weight, end - first)
        return np.divide(total, weights, out=np.zeros(end - first), where=weights > 0)

    rho = r.copy()
    seen = r.copy()  # o of the forward pass, then of the backward pass
    for t in range(last - 1):
        link = slice(links[t], links[t + 1])
        first, end = offsets[t + 1], offsets[t + 2]
        carried = mean(target[link], seen[source[link]], forward_weight[link], first, end)
        seen[first:end] += carried
        rho[first:end] += carried
    seen = r.copy()
    for t in range(last - 2, -1, -1):
        link = slice(links[t], links[t + 1])
        first, end = offsets[t], offsets[t + 1]
        carried = mean(source[link], seen[target[link]], backward_weight[link], first, end)
        seen[first:end] += carried
        rho[first:end] += carried
    return rho


def motion_term(rho: np.ndarray, offsets: np.ndarray, floor: float = 1e-3) -> np.ndarray:
    """M_i^t(l = 1), Eq. (4), from the accumulated inside ratio; M(0) = 1 - M(1).

    L = rho / (0.75 max rho) over the video, L > 0.95 counts as 0.999. In a frame with hardly anything inside,
    L is at least 0.005. The last frame, and a video without any closed motion boundary, know nothing: 0.5.

    Args:
        rho: (N,) from `accumulate`.
        offsets: (T+1,) first superpixel of each frame.
        floor: M stays within [floor, 1 - floor]; 0 lets M be exactly 0 as in the release, which forbids
            foreground.
    """
    peak = rho.max(initial=0.0)
    if peak == 0:
        return np.full(len(rho), 0.5)
    m = rho / (0.75 * peak)
    m[m > 0.95] = 0.999
    for first, end in pairwise(offsets):
        if np.count_nonzero(m[first:end] > 0.6) < 0.05 * (end - first):
            np.maximum(m[first:end], 0.005, out=m[first:end])
    m[offsets[-2]:] = 0.5
    return np.clip(m, floor, 1 - floor)
