import numpy as np
import pytest

from wsvs.video.camera import camera_plane, plane_motion

SHAPE = (225, 400)


def grid(step: int = 9) -> np.ndarray:
    row, column = np.mgrid[4 : SHAPE[0] : step, 4 : SHAPE[1] : step]
    return np.stack([row.ravel(), column.ravel()], axis=1).astype(np.float32)


def plane(centres: np.ndarray) -> np.ndarray:
    """Motion of a tilted plane seen by a camera that turns, zooms and pans, from its own formula."""
    x, y = centres[:, 1] - 200.0, centres[:, 0] - 112.5
    shift = np.stack([3 + 0.02 * x - 0.01 * y, -2 + 0.01 * x + 0.02 * y], axis=1)
    return shift + np.stack([1e-5 * x * x + 2e-5 * x * y, 1e-5 * x * y + 2e-5 * y * y], axis=1)


def camera_motion(motion: np.ndarray, centres: np.ndarray) -> np.ndarray:
    return plane_motion(camera_plane(motion, centres, SHAPE), centres, SHAPE)


def test_a_plane_is_found_exactly():
    centres = grid()
    assert np.abs(camera_motion(plane(centres), centres) - plane(centres)).max() < 1e-5


def test_a_moving_object_does_not_bend_the_camera():
    centres = grid()
    motion = plane(centres)
    inside = (np.abs(centres[:, 0] - 110) < 50) & (np.abs(centres[:, 1] - 180) < 80)  # a fifth of the frame
    motion[inside] += (6.0, -3.0)
    left = motion - camera_motion(motion, centres)
    assert np.abs(left[~inside]).max() < 0.05
    assert np.abs(left[inside] - (6.0, -3.0)).max() < 0.05


def test_the_first_round_is_weighted_least_squares(monkeypatch):
    """Weight 1 at the border and 0.1 inside, against NumPy's solver on the stacked equations."""
    monkeypatch.setattr("wsvs.video.camera._ROUNDS", 1)
    centres = grid()
    motion = plane(centres) + np.random.default_rng(0).normal(size=(len(centres), 2))
    y, x = ((centres - (112.5, 200)) / 200).T
    one, nothing = np.ones_like(x), np.zeros_like(x)
    across = np.stack([one, x, y, nothing, nothing, nothing, x * x, x * y], axis=1)
    down = np.stack([nothing, nothing, nothing, one, x, y, x * y, y * y], axis=1)
    rim = np.minimum(1 - np.abs(x), 112.5 / 200 - np.abs(y)) < 0.12
    root = np.sqrt(np.where(rim, 1, 0.1))[:, None]
    equations, right = np.concatenate([root * across, root * down]), np.concatenate(list((root * motion).T))
    assert camera_plane(motion, centres, SHAPE) == pytest.approx(np.linalg.lstsq(equations, right)[0], abs=1e-6)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_few_superpixels_do_no_harm(count):
    motion = np.full((count, 2), 3.0)
    assert np.isfinite(camera_motion(motion, grid()[:count])).all()
