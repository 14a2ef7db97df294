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
