import cv2
import numpy as np

from wsvs.video.refine import enlarged, guided


def test_enlarging_by_whole_factors_repeats_pixels():
    mask = np.random.default_rng(0).random((6, 9)) > 0.5
    assert np.array_equal(enlarged(mask, (12, 27)), mask.repeat(2, axis=0).repeat(3, axis=1))


def test_a_border_moves_to_the_edge_of_the_frame():
    frame = np.full((80, 400, 3), 40, np.uint8)
    frame[:, 200:] = 200
    truth = np.zeros((80, 400), bool)
    truth[:, 200:] = True
    for off in (-3, 3):
        mask = np.zeros_like(truth)
        mask[:, 200 + off :] = True
        assert (guided(mask, frame, truth.shape) != truth).sum() < 0.2 * (mask != truth).sum()


def test_a_frame_without_edges_leaves_the_mask():
    mask = np.zeros((60, 90), bool)
    mask[20:40, 30:60] = True
    found = guided(mask, np.full((60, 90, 3), 100, np.uint8), (60, 90))
    assert (found != mask).mean() < 0.01
    assert guided(mask, np.full((60, 90, 3), 100, np.uint8), (121, 180)).shape == (121, 180)


def test_empty_and_full_masks_stay():
    frame = np.random.default_rng(1).integers(0, 255, (40, 50, 3), np.uint8)
    for value in (False, True):
        assert (guided(np.full((40, 50), value), frame, (80, 100)) == value).all()


def test_the_filter_is_that_of_the_publication():
    """He et al., equations 19 to 21, window by window; away from the border, which windows are cut off at."""
    rng = np.random.default_rng(2)
    frame = cv2.GaussianBlur(rng.integers(0, 256, (26, 30, 3), np.uint8), (0, 0), 1)
    mask = cv2.GaussianBlur(rng.random((26, 30)), (0, 0), 0.7) > 0.5
    radius = 1  # 8 px of 400
    guide, windows = frame.astype(np.float64), {}
    for row in range(radius, 26 - radius):
        for column in range(radius, 30 - radius):
            window = np.s_[row - radius : row + radius + 1, column - radius : column + radius + 1]
            x, p = guide[window].reshape(-1, 3), mask[window].ravel().astype(np.float64)
            a = np.linalg.solve(np.cov(x.T, ddof=0) + 20 * np.eye(3), (x * p[:, None]).mean(0) - x.mean(0) * p.mean())
            windows[row, column] = a, p.mean() - a @ x.mean(0)
    expected, found = np.zeros((26, 30)), guided(mask, frame, mask.shape)
    for row in range(2 * radius, 26 - 2 * radius):
        for column in range(2 * radius, 30 - 2 * radius):
            near = [windows[row + i, column + j] for i in (-1, 0, 1) for j in (-1, 0, 1)]
            expected[row, column] = np.mean([a @ guide[row, column] + b for a, b in near])
    inner = np.s_[2 * radius : -2 * radius, 2 * radius : -2 * radius]
    clear = np.abs(expected[inner] - 0.5) > 1e-3
    assert np.array_equal(found[inner][clear], expected[inner][clear] > 0.5)
    assert (found != mask)[inner].sum() > 20
