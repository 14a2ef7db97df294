"""The camera's part of the optical flow, as a plane seen by a moving camera, and what is left without it."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

_ROUNDS = 15  # of reweighting
_RIM = 0.12  # of the half longer side: superpixels so close to the border are believed to be background at first
_NOISE = 0.1  # px, least scale of the residuals: the flow is no better than that


def residual_motion(
    motion: np.ndarray, centres: np.ndarray, offsets: np.ndarray, shape: tuple[int, int]
) -> np.ndarray:
    """(N, 2) mean motion of superpixels, px, less the camera's, frame by frame.

    Args:
        motion: (N, 2) px.
        centres: (N, 2) mean (row, column).
        offsets: (T+1,) first superpixel of each frame.
        shape: (H, W) of the frames.
    """
    left = np.empty(motion.shape)
    for first, end in pairwise(offsets):
        left[first:end] = motion[first:end] - camera_motion(motion[first:end], centres[first:end], shape)
    return left


def camera_motion(motion: np.ndarray, centres: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The eight-parameter motion of a plane, quadratic in the position, that most superpixels follow.

    Least squares, reweighted by Geman and McClure's function of the residuals, starting from the border.

    Args:
        motion: (K, 2) px, (right, down).
        centres: (K, 2) mean (row, column), px.
        shape: (H, W).

    Returns:
        (K, 2) px.
    """
    half = max(shape) / 2
    y, x = (centres - np.array(shape) / 2).T / half
    one, nothing = np.ones_like(x), np.zeros_like(x)
    across = np.stack([one, x, y, nothing, nothing, nothing, x * x, x * y], axis=1)
    down = np.stack([nothing, nothing, nothing, one, x, y, x * y, y * y], axis=1)
    inset = np.minimum(shape[1] / 2 / half - np.abs(x), shape[0] / 2 / half - np.abs(y))
    rim = inset < _RIM
    weight, trust = np.where(rim, 1.0, 0.1), np.where(rim, 1.0, 0.5)
    u, v = motion.T.astype(np.float64)
    fitted = np.zeros(motion.shape)
    for step in range(_ROUNDS):
        weighted = weight[:, None] * across, weight[:, None] * down
        normal = np.einsum("ni,nj->ij", weighted[0], across) + np.einsum("ni,nj->ij", weighted[1], down)
        right = np.einsum("ni,n->i", weighted[0], u) + np.einsum("ni,n->i", weighted[1], v)
        model = np.linalg.solve(normal + 1e-9 * np.eye(8), right)
        fitted = np.stack([np.einsum("ni,i->n", across, model), np.einsum("ni,i->n", down, model)], axis=1)
        residual = np.hypot(*(motion - fitted).T)
        scale = max(_NOISE, 1.48 * float(np.median(residual)) * max(1.0, 3 - 0.4 * step))
        weight = trust / (1 + (residual / scale) ** 2) ** 2
    return fitted
