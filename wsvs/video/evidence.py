"""Confidence that something in a video moves by itself, rather than only the camera, the light or noise.

Each superpixel has two motions: the optical flow, and that of the camera. Without object motion both predict the next
frame equally well; flow that follows noise, or is wrong without texture, does not predict it better. The evidence of a
superpixel is how much better its flow predicts the next frame (the log ratio of the two squared errors, with the noise
added to both), times the distance of the two motions.
"""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np

from wsvs.video.camera import camera_flow, plane_motion
from wsvs.video.superpixels import superpixel_means

_BLUR, _BAND = 1.0, 8.0  # px: finer detail is noise, coarser brightness is light
_NOISE = 1.0  # grey levels, minimum standard deviation: every video has coding errors of this size
_FEW = 8  # the noise is estimated from every eighth pixel
_FAR = 1.0  # px for a frame of 400 px: larger distances from the camera's motion are clipped
_SEEN = 0.5  # superpixels with a smaller visible fraction before and after are ignored
_OUTSIDE = 1e9  # value outside the frame, far from any grey level
_AREA = 0.003  # minimum fraction of a frame's area that must move
_MANY = 0.8  # quantile over frames: an object may rest for 80 % of a shot, and a single odd frame is ignored
_REACH = 12  # neighbouring frames on each side that are used for a frame
_FAINT = 0.02  # minimum evidence
_OFFSET, _SLOPE = 1.32, 3.34  # of the logistic function, from `python -m benchmarks.evidence`


def detail(frame: np.ndarray) -> np.ndarray:
    """Band-pass filtered grey levels (1 to 8 px) for comparison between frames, (H, W) float32.

    Invariant to brightness changes and slow gradients.
    """
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32)
    grey = cv2.GaussianBlur(grey, (0, 0), _BLUR)
    return grey - cv2.GaussianBlur(grey, (0, 0), _BAND)


def own_motion(
    before: np.ndarray,
    after: np.ndarray,
    flow: np.ndarray,
    motion: np.ndarray,
    plane: np.ndarray,
    labels: np.ndarray,
    centres: np.ndarray,
) -> np.ndarray:
    """Evidence that a superpixel moves differently from the camera, (K,) float32 >= 0.

    log((e_camera + s^2) / (e_flow + s^2)) times the distance of the two motions (at most 1 px): e are mean squared
    errors of predicting `after`, s is the standard deviation of the noise. 0 for superpixels that leave the frame.

    Args:
        before, after: `detail` of two frames.
        flow: (H, W, 2) float32 px from one to the other.
        motion: (K, 2) its means over the superpixels.
        plane: The camera's motion, from their `camera_plane`.
        labels: (H, W) superpixels 0..K-1 of the first frame.
        centres: (K, 2) their centres, (row, column).
    """
    shape, count = labels.shape, len(centres)
    camera = camera_flow(plane, shape)
    there = np.empty((*shape, 2), np.float32)
    there[..., 0], there[..., 1] = np.arange(shape[1]), np.arange(shape[0])[:, None]
    errors, shown = [], np.ones(shape, bool)
    for one in (camera, flow):
        came = cv2.remap(after, there + one, None, cv2.INTER_LINEAR, borderValue=(_OUTSIDE,))
        shown &= came < _OUTSIDE / 1e3
        errors.append(came - before)
    if not shown.any():
        return np.zeros(count, np.float32)
    noise = max(_NOISE, 1.4826 * float(np.median(np.abs(errors[1][shown][::_FEW])))) ** 2
    squares = [np.where(shown, error * error, np.float32(0)) for error in errors]
    maps = np.stack([*squares, shown.astype(np.float32)], axis=2)
    camera_error, flow_error, share = superpixel_means(labels, maps, count).T
    better = np.log((camera_error + noise * share + 1e-12) / (flow_error + noise * share + 1e-12))
    apart = np.hypot(*(motion - plane_motion(plane, centres, shape)).T) * (400 / max(shape))
    found = np.maximum(better, 0) * np.minimum(apart, _FAR)
    return np.where(share >= _SEEN, found, 0).astype(np.float32)


def frame_evidence(own: np.ndarray, sizes: np.ndarray, spatial: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Evidence of object motion in each frame, (T,) float64: the value that 0.3 % of its area exceed, after smoothing.

    Superpixels are averaged with adjacent ones, since noise affects single superpixels, but objects have several.

    Args:
        own: (N,) `own_motion` of all superpixels.
        sizes: (N,) their pixels.
        spatial: (E, 2) adjacent pairs.
        offsets: (T+1,) first superpixel of each frame.
    """
    weight = sizes.astype(np.float64)
    one, other = spatial[:, 0], spatial[:, 1]
    total, around = own * weight, weight.copy()
    for here, there in ((one, other), (other, one)):
        total = total + np.bincount(here, (own * weight)[there], len(own))
        around += np.bincount(here, weight[there], len(own))
    mean = total / around
    found = np.zeros(len(offsets) - 1)
    for t, (first, end) in enumerate(pairwise(offsets)):
        order = np.argsort(-mean[first:end], kind="stable")
        area = np.cumsum(weight[first:end][order])
        found[t] = mean[first:end][order][np.searchsorted(area, _AREA * area[-1])]
    return found


def confidence(evidence: np.ndarray) -> float:
    """Probability that something moves by itself in a sequence of frames, from the `frame_evidence` of their pairs.

    A logistic function of the logarithm of the 0.8 quantile; 0 without pairs.
    """
    if len(evidence) == 0:
        return 0.0
    odds = _OFFSET + _SLOPE * np.log(np.quantile(evidence, _MANY) + _FAINT)
    return float(1 / (1 + np.exp(-odds)))


def confidences(evidence: np.ndarray) -> np.ndarray:
    """`confidence` of each of T frames from the T - 1 pairs up to half a second around it, (T,) float64."""
    frames = len(evidence) + 1
    return np.array([confidence(evidence[max(t - _REACH, 0) : t + _REACH]) for t in range(frames)])
