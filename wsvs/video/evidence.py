"""How sure it is that something in a video moves by itself, and not only the camera, the light or the noise.

The motion of a pixel is measured twice: by the optical flow, and by the camera's motion alone. Where nothing moves by
itself, both predict the next frame equally well; flow that merely follows noise, or is wrong where there is no texture,
does not predict it better. So a superpixel counts by how much better its flow predicts the next frame (the log of the
ratio of the two squared errors, with the noise added to both), and by how far its motion is from the camera's.
"""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np

from wsvs.video.camera import camera_flow, camera_plane, plane_motion
from wsvs.video.superpixels import superpixel_means

_BLUR, _BAND = 1.0, 8.0  # px: finer detail is noise, coarser brightness is light
_NOISE = 1.0  # grey levels, least standard deviation: coding errors below it are in every video
_FEW = 8  # every eighth pixel tells the noise
_FAR = 1.0  # px of a frame 400 px long: a motion farther from the camera's counts no more
_SEEN = 0.5  # a superpixel counts if the frame shows this share of it before and after
_OUTSIDE = 1e9  # value outside the frame, far from any grey level
_AREA = 0.003  # share of a frame's area that must move: smaller objects are not found
_MANY = 0.8  # quantile over frames: an object may rest for four fifths of a shot, and one odd frame is no motion
_REACH = 12  # frames on each side that speak for a frame
_FAINT = 0.02  # less evidence than this is all the same
_OFFSET, _SLOPE = 1.32, 3.34  # of the logistic, from `python -m benchmarks.evidence`


def detail(frame: np.ndarray) -> np.ndarray:
    """What is compared between frames: grey levels between 1 and 8 px in size, (H, W) float32.

    A change of brightness or a slow gradient of it is no detail.
    """
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32)
    grey = cv2.GaussianBlur(grey, (0, 0), _BLUR)
    return grey - cv2.GaussianBlur(grey, (0, 0), _BAND)


def own_motion(
    before: np.ndarray, after: np.ndarray, flow: np.ndarray, labels: np.ndarray, centres: np.ndarray
) -> np.ndarray:
    """Evidence that a superpixel moves otherwise than the camera, (K,) float32 >= 0.

    log((e_camera + s^2) / (e_flow + s^2)) times the distance of the two motions (at most 1 px): e are mean squared
    errors of predicting `after`, s is the standard deviation of the noise. 0 where the frame does not show where it
    went.

    Args:
        before, after: `detail` of two frames.
        flow: (H, W, 2) float32 px from one to the other.
        labels: (H, W) superpixels 0..K-1 of the first.
        centres: (K, 2) of them, (row, column).
    """
    shape, count = labels.shape, len(centres)
    motion = np.stack([superpixel_means(labels, flow[..., axis], count) for axis in (0, 1)], axis=1)
    plane = camera_plane(motion, centres, shape)
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
    share = superpixel_means(labels, shown, count)
    camera_error, flow_error = (superpixel_means(labels, np.where(shown, error * error, 0), count) for error in errors)
    better = np.log((camera_error + noise * share + 1e-12) / (flow_error + noise * share + 1e-12))
    apart = np.hypot(*(motion - plane_motion(plane, centres, shape)).T) * (400 / max(shape))
    found = np.maximum(better, 0) * np.minimum(apart, _FAR)
    return np.where(share >= _SEEN, found, 0).astype(np.float32)


def frame_evidence(own: np.ndarray, sizes: np.ndarray, spatial: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Evidence of own motion in each frame, (T,) float64: what 0.3 % of its area exceeds, after averaging.

    A superpixel is averaged with those that touch it: noise is in single ones, an object in several.

    Args:
        own: (N,) `own_motion` of all superpixels.
        sizes: (N,) their pixels.
        spatial: (E, 2) pairs that touch.
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
    """Probability that something moves by itself in a stretch of frames, from the `frame_evidence` of their pairs.

    A logistic function of the logarithm of the 0.8 quantile; 0 without any pair.
    """
    if len(evidence) == 0:
        return 0.0
    odds = _OFFSET + _SLOPE * np.log(np.quantile(evidence, _MANY) + _FAINT)
    return float(1 / (1 + np.exp(-odds)))


def confidences(evidence: np.ndarray) -> np.ndarray:
    """`confidence` of each of T frames from the T - 1 pairs up to half a second around it, (T,) float64."""
    frames = len(evidence) + 1
    return np.array([confidence(evidence[max(t - _REACH, 0) : t + _REACH]) for t in range(frames)])
