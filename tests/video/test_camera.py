import numpy as np
import pytest

from wsvs.video.camera import camera_motion, residual_motion

SHAPE = (225, 400)


def grid(step: int = 9) -> np.ndarray:
    row, column = np.mgrid[4 : SHAPE[0] : step, 4 : SHAPE[1] : step]
    return np.stack([row.ravel(), column.ravel()], axis=1).astype(np.float32)


def plane(centres: np.ndarray) -> np.ndarray:
    """Motion of a tilted plane seen by a camera that turns, zooms and pans, from its own formula."""
    x, y = centres[:, 1] - 200.0, centres[:, 0] - 112.5
    shift = np.stack([3 + 0.02 * x - 0.01 * y, -2 + 0.01 * x + 0.02 * y], axis=1)
    return shift + np.stack([1e-5 * x * x + 2e-5 * x * y, 1e-5 * x * y + 2e-5 * y * y], axis=1)


def test_a_plane_is_found_exactly():
    centres = grid()
    assert np.abs(camera_motion(plane(centres), centres, SHAPE) - plane(centres)).max() < 1e-5


def test_a_moving_object_does_not_bend_the_camera():
    centres = grid()
    motion = plane(centres)
    inside = (np.abs(centres[:, 0] - 110) < 50) & (np.abs(centres[:, 1] - 180) < 80)  # a fifth of the frame
    motion[inside] += (6.0, -3.0)
    left = residual_motion(motion, centres, np.array([0, len(centres)]), SHAPE)
    assert np.abs(left[~inside]).max() < 0.05
    assert np.abs(left[inside] - (6.0, -3.0)).max() < 0.05


def test_frames_are_fitted_on_their_own():
    centres = grid()
    motion = np.concatenate([plane(centres), -2 * plane(centres)])
    both = np.concatenate([centres, centres])
    left = residual_motion(motion, both, np.array([0, len(centres), 2 * len(centres)]), SHAPE)
    assert np.abs(left).max() < 1e-4


@pytest.mark.parametrize("count", [1, 2, 5])
def test_few_superpixels_do_no_harm(count):
    motion = np.full((count, 2), 3.0)
    assert np.isfinite(camera_motion(motion, grid()[:count], SHAPE)).all()
