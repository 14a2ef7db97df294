"""Camera motion in the optical flow, modelled as a plane seen by a moving camera."""

from __future__ import annotations

import numpy as np

from wsvs.video.jit import compiled

_ROUNDS = 15  # iterations of reweighting
_RIM = 0.12  # of half the longer side: superpixels this close to the border are initially assumed to be background
_NOISE = 0.1  # px, minimum scale of the residuals, the accuracy of the flow


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
    products, plane = _products(across, down, u, v), np.zeros(8)
    for step in range(_ROUNDS):
        plane = np.linalg.solve(*_normal_equations(weight, products))
        weight = trust * _agreement(across, down, u, v, plane, max(1.0, 3 - 0.4 * step))
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


@compiled
def _products(across: np.ndarray, down: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """What the normal equations sum over superpixels: (K, 36 + 8), the upper triangle and the right-hand side."""
    found = np.empty((len(u), 44))
    for k in range(len(u)):
        place = 0
        for i in range(8):
            for j in range(i, 8):
                found[k, place] = across[k, i] * across[k, j] + down[k, i] * down[k, j]
                place += 1
            found[k, 36 + i] = across[k, i] * u[k] + down[k, i] * v[k]
    return found


@compiled
def _normal_equations(weight: np.ndarray, products: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weighted sums of the products as a matrix (8, 8), with a small ridge, and the right-hand side (8,)."""
    sums = np.zeros(44)  # unlike a matrix product, independent of the number of threads
    for k in range(len(weight)):
        for place in range(44):
            sums[place] += weight[k] * products[k, place]
    matrix, place = np.empty((8, 8)), 0
    for i in range(8):
        for j in range(i, 8):
            matrix[i, j] = matrix[j, i] = sums[place] + (1e-9 if i == j else 0.0)
            place += 1
    return matrix, sums[36:].copy()


@compiled
def _agreement(
    across: np.ndarray, down: np.ndarray, u: np.ndarray, v: np.ndarray, plane: np.ndarray, patience: float
) -> np.ndarray:
    """Geman and McClure's weights of the motions (u, v) under a plane, (K,) in (0, 1].

    Their scale is `patience` times the robust standard deviation of the distances from the plane.
    """
    apart = np.empty(len(u))
    for k in range(len(u)):
        right, below = u[k], v[k]
        for i in range(8):
            right -= across[k, i] * plane[i]
            below -= down[k, i] * plane[i]
        apart[k] = np.sqrt(right * right + below * below)
    scale = max(_NOISE, 1.48 * np.median(apart) * patience)
    return 1 / (1 + (apart / scale) ** 2) ** 2


def _basis(centres: np.ndarray, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Factors of the eight parameters in the motion to the right and down, (K, 8) each."""
    y, x = (centres - np.array(shape) / 2).T / (max(shape) / 2)
    across, down = np.zeros((len(x), 8)), np.zeros((len(x), 8))
    across[:, 0] = down[:, 3] = 1
    across[:, 1] = down[:, 4] = x
    across[:, 2] = down[:, 5] = y
    across[:, 6], across[:, 7] = x * x, x * y
    down[:, 6], down[:, 7] = x * y, y * y
    return across, down
