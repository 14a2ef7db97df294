"""Camera motion in the optical flow, modelled as a plane seen by a moving camera, and the residual motion."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

_ROUNDS = 15  # iterations of reweighting
_RIM = 0.12  # of half the longer side: superpixels this close to the border are initially assumed to be background
_NOISE = 0.1  # px, minimum scale of the residuals, the accuracy of the flow


def residual_motion(motion: np.ndarray, centres: np.ndarray, offsets: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """(N, 2) mean motion of superpixels, px, minus the camera's motion, frame by frame.

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
    """The motion of the plane of `camera_plane` at the centres, (K, 2) px."""
    return plane_motion(camera_plane(motion, centres, shape), centres, shape)


def plane_motion(plane: np.ndarray, centres: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Motion of the points `centres` under a plane of `camera_plane`, (K, 2) px."""
    across, down = _basis(centres, shape)
    return np.stack([np.einsum("ni,i->n", across, plane), np.einsum("ni,i->n", down, plane)], axis=1)


def camera_plane(motion: np.ndarray, centres: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The eight-parameter motion of a plane, quadratic in the position, that most superpixels follow.

    Least squares, reweighted by Geman and McClure's function of the residuals, starting from the border.

    Args:
        motion: (K, 2) px, (right, down).
        centres: (K, 2) mean (row, column), px.
        shape: (H, W).

    Returns:
        (8,) for `plane_motion` and `camera_flow`.
    """
    across, down = _basis(centres, shape)
    y, x = across[:, 2], across[:, 1]
    half = max(shape) / 2
    inset = np.minimum(shape[1] / 2 / half - np.abs(x), shape[0] / 2 / half - np.abs(y))
    rim = inset < _RIM
    weight, trust = np.where(rim, 1.0, 0.1), np.where(rim, 1.0, 0.5)
    u, v = motion.T.astype(np.float64)
    upper = np.triu_indices(8)
    squares = across[:, upper[0]] * across[:, upper[1]] + down[:, upper[0]] * down[:, upper[1]]
    products = np.concatenate([squares, across * u[:, None] + down * v[:, None]], axis=1)
    plane, normal = np.zeros(8), np.empty((8, 8))
    for step in range(_ROUNDS):
        sums = np.einsum("n,nk->k", weight, products)  # unlike a matrix product, independent of the number of threads
        normal[upper] = normal.T[upper] = sums[:-8]
        plane = np.linalg.solve(normal + 1e-9 * np.eye(8), sums[-8:])
        apart = u - np.einsum("ni,i->n", across, plane), v - np.einsum("ni,i->n", down, plane)
        residual = np.hypot(*apart)
        scale = max(_NOISE, 1.48 * float(np.median(residual)) * max(1.0, 3 - 0.4 * step))
        weight = trust / (1 + (residual / scale) ** 2) ** 2
    return plane


def camera_flow(plane: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Motion of every pixel under a plane of `camera_plane`, (H, W, 2) float32 px."""
    half = max(shape) / 2
    y = ((np.arange(shape[0]) - shape[0] / 2) / half).astype(np.float32)[:, None]
    x = ((np.arange(shape[1]) - shape[1] / 2) / half).astype(np.float32)[None, :]
    a, b, c, d, e, f, g, h = plane.astype(np.float32)
    flow = np.empty((*shape, 2), np.float32)
    flow[..., 0] = a + b * x + c * y + (g * x + h * y) * x
    flow[..., 1] = d + e * x + f * y + (g * x + h * y) * y
    return flow


def _basis(centres: np.ndarray, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Factors of the eight parameters in the motion to the right and down, (K, 8) each."""
    y, x = (centres - np.array(shape) / 2).T / (max(shape) / 2)
    one, nothing = np.ones_like(x), np.zeros_like(x)
    across = np.stack([one, x, y, nothing, nothing, nothing, x * x, x * y], axis=1)
    down = np.stack([nothing, nothing, nothing, one, x, y, x * y, y * y], axis=1)
    return across, down
