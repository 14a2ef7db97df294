"""The motion term M: superpixels inside a closed curve of motion boundaries.

Papazoglou & Ferrari, "Fast object segmentation in unconstrained video", ICCV 2013 (reference [27] of the
paper), with the constants of their release. The release differs from their text in a few places; both are
offered.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from wsvs.config.stages import Angle, Cleanup, Gain, Gradient
from wsvs.video.motion_kernels import critical, flooded, gradient, moments, ray_votes, swept, turn

_RATE = 0.7  # lambda_m of b_m = 1 - exp(-lambda_m m), m in px per px
_MORE_RATES = tuple(0.71 + 0.1 * step for step in range(8))  # tried where the first finds no compact region
_COMPACT = 0.2  # a region map below this quality starts the search
_SURE, _BOUNDARY = 0.6, 0.5  # b_m above the first is sufficient; b above the second is a boundary
_STRIP = 0.05  # of the longer side: boundaries that reach this strip along the border are not closed curves
_INSIDE_VOTES = 5  # of 8 rays
_FADE = 2.0  # of psi: evidence across a strong flow gradient is unreliable


def gradient_magnitude(flow: np.ndarray, grad: Gradient = "full") -> np.ndarray:
    """Strength m of the change of flow, (H, W) float32 in px per px.

    "full" is the norm of all four derivatives, as in the ICCV text. "cross" takes dv/dx and du/dy alone, as in the
    release: blind to an object that moves along one axis.
    """
    return gradient(np.ascontiguousarray(flow, np.float32), grad == "full")


def turning(flow: np.ndarray, angle: Angle = "circular", where: np.ndarray | None = None) -> np.ndarray:
    """Largest difference of direction delta between a pixel and its 4 neighbours, (H, W) float32 in [0, pi].

    Static pixels differ by pi from moving ones. "sum" is the release's cheap replacement for the circular
    difference: min(|a - b|, |a + b|). With `where`, (H, W) bool, the other pixels get 0.
    """
    if where is None:
        where = np.ones(flow.shape[:2], bool)
    return turn(np.ascontiguousarray(flow, np.float32), angle == "circular", where)


def critical_rate(magnitude: np.ndarray, delta: np.ndarray) -> np.ndarray:
    """The rate from which on a pixel is a motion boundary: b > 0.5 <=> rate > this. (H, W), inf where m = 0.

    b is b_m = 1 - exp(-rate m) where the change is strong (b_m > 0.6), b_m b_theta with b_theta = 1 - exp(-delta^2)
    where it is middling (b_m > 0.25) and needs a turn beside it, a tenth of b_m elsewhere. So b > 0.5 means b_m > tau
    with tau = min(0.6, 0.5 / b_theta), and b_m > tau means rate > -log(1 - tau) / m. One map thus serves all rates of
    the search.
    """
    return critical(magnitude, delta, _SURE, _BOUNDARY)


def open_curves_removed(boundary: np.ndarray, cleanup: Cleanup = "flood") -> np.ndarray:
    """Drop the boundary pixels that are connected (8 neighbours) to a strip along the frame's border.

    The strip is 5 % of the longer side: 20 px of the release's 400, one more below and to the right. "flood"
    drops whole components; "sweep" follows the release, which sweeps once right, left, down and up and so
    loses track of winding curves.
    """
    strip = round(_STRIP * max(boundary.shape))
    return (flooded if cleanup == "flood" else swept)(boundary, strip)


def votes(boundary: np.ndarray) -> np.ndarray:
    """Rays that say "inside" at each pixel, (H, W) uint8 0-8; boundary pixels get 0.

    A ray votes if it enters the boundary an odd number of times on its way to the border: along each of four lines
    through the pixel, the parity of the entries before it, and of those after it. Entries in a line's first pixel are
    not seen.
    """
    return ray_votes(np.ascontiguousarray(boundary))


def quality(inside: np.ndarray) -> float:
    """Compactness of a region: area / (var_row^2 + var_column^2); 0 if it is empty."""
    area, *sums = moments(np.ascontiguousarray(inside))
    if area == 0:
        return 0.0
    spread = sum(((area * square - total**2) / area**2) ** 2 for total, square in (sums[:2], sums[2:]))
    return area / spread if spread else np.inf


def inside_map(
    flow: np.ndarray,
    *,
    grad: Gradient = "full",
    angle: Angle = "circular",
    cleanup: Cleanup = "flood",
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
    # below this no rate makes a boundary, whatever the angle
    relevant = magnitude > 0.99 * -np.log1p(-_BOUNDARY) / _MORE_RATES[-1]
    critical = critical_rate(magnitude, turning(flow, angle, relevant))
    inside, best, tried = np.zeros(magnitude.shape, bool), -1.0, -1
    for rate in (_RATE, *_MORE_RATES):
        boundary = critical < rate
        pixels = int(np.count_nonzero(boundary))  # grows with the rate, so equal counts are equal maps
        if pixels == tried:
            continue
        tried = pixels
        closed = open_curves_removed(boundary, cleanup)
        box = _box(closed)
        region = votes(closed[box]) >= _INSIDE_VOTES
        found = quality(region)
        if found > best:
            best = found
            inside[:] = False
            inside[box] = region
        if rate == _RATE and found >= _COMPACT:
            break
    return inside, magnitude


def _box(boundary: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns that hold all boundaries, and one more on each side, so that no line but the frame's own
    begins on one. Outside, at most 3 rays meet a boundary.
    """
    first, last = [], []
    for axis in (1, 0):
        found = np.flatnonzero(boundary.any(axis=axis))
        first.append(max(found[0] - 1, 0) if len(found) else 0)
        last.append(found[-1] + 2 if len(found) else 0)
    return slice(first[0], last[0]), slice(first[1], last[1])


def adaptive_gain(magnitude: np.ndarray) -> np.float32:
    """Factor in [1, 10] that brings the 95th percentile of m to 0.5 px per px.

    The rates of b_m are made for objects that move fast: a boundary needs m of about 1 px per px. A slow object, or a
    high frame rate, stays below that everywhere, although its boundary stands out from the rest of the frame.
    """
    strong = np.percentile(magnitude, 95)
    return np.float32(np.clip(0.5 / max(strong, 1e-6), 1, 10))


def reliability(magnitude: np.ndarray) -> np.ndarray:
    """psi = exp(-2 m), m (K,) the mean gradient magnitude: reliability of the flow of a superpixel."""
    return np.exp(-_FADE * magnitude)


def accumulate(
    inside: np.ndarray, psi: np.ndarray, edges: np.ndarray, counts: np.ndarray, offsets: np.ndarray
) -> np.ndarray:
    """Carry the inside ratio along the flow, forwards and backwards: rho = r + g + h.

    Args:
        inside: (N,) inside ratio r of every superpixel of the video.
        psi: (N,) `reliability` of each superpixel.
        edges: (E, 2) temporal edges (i of frame t, j of frame t+1), ordered by i.
        counts: (E,) pixels of i that land in j.
        offsets: (T+1,) first superpixel of each frame.

    Returns:
        (N,) rho; 0 in the last frame, which has no flow.
    """
    r = np.array(inside, np.float64)
    r[offsets[-2] :] = 0.0
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
    L is at least 0.005. The last frame, and a video without any closed motion boundary, get 0.5.

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
    m[offsets[-2] :] = 0.5
    return np.clip(m, floor, 1 - floor)
