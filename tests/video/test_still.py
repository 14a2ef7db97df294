"""The cut of a single image."""

from __future__ import annotations

import numpy as np
import pytest

from wsvs.video.still import _shifted, cut_image

RED, GREEN, BLUE = (200, 40, 40), (40, 160, 60), (40, 60, 200)


def scene(rng, *rectangles, size=(120, 160)):
    """Green ground with coloured rectangles (top, bottom, left, right, colour) and a little noise."""
    image = np.empty((*size, 3), np.float64)
    image[:] = GREEN
    for top, bottom, left, right, colour in rectangles:
        image[top:bottom, left:right] = colour
    return np.clip(image + rng.normal(0, 6, image.shape), 0, 255).astype(np.uint8)


def iou(one, other):
    return (one & other).sum() / (one | other).sum()


def test_a_part_grows_to_the_whole_of_its_colour():
    image = scene(np.random.default_rng(0), (30, 90, 40, 120, RED))
    truth = np.zeros((120, 160), bool)
    truth[30:90, 40:120] = True
    probability = np.full((1, 30, 40), 0.05, np.float32)
    probability[0, 8:22, 10:20] = 0.9  # its left half
    probability[0, 8:22, 20:30] = 0.4  # unsure about the right one
    alone = np.kron(probability[0] > 0.5, np.ones((4, 4), bool))
    found = cut_image(image, probability, [7])
    assert set(np.unique(found)) == {0, 7}
    assert iou(found == 7, truth) > 0.9 > iou(alone, truth) + 0.3


def test_two_classes_are_disjoint_and_each_where_it_is_likelier():
    image = scene(np.random.default_rng(1), (30, 90, 20, 70, RED), (30, 90, 90, 140, BLUE))
    probabilities = np.full((2, 60, 80), 0.05, np.float32)
    probabilities[0, 15:45, 10:35] = 0.9
    probabilities[1, 15:45, 45:70] = 0.8
    probabilities[1, 15:45, 10:35] = 0.6  # spills over, but less likely than the first
    found = cut_image(image, probabilities, [3, 1])
    assert iou(found == 3, np.pad(np.ones((60, 50), bool), ((30, 30), (20, 90)))) > 0.9
    assert iou(found == 1, np.pad(np.ones((60, 50), bool), ((30, 30), (90, 20)))) > 0.9


def test_nothing_above_the_background_gives_nothing():
    image = scene(np.random.default_rng(2), (30, 90, 40, 120, RED))
    probability = np.full((1, 30, 40), 0.3, np.float32)
    assert not cut_image(image, probability, [1], background=0.5).any()
    assert cut_image(image, probability, [1], background=0.1).any()


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (17, 33)])
def test_odd_sizes_and_grey_images(size):
    image = np.full((*size, 3), 128, np.uint8)
    found = cut_image(image, np.full((1, *size), 0.9, np.float32), [5])
    assert found.shape == size and found.dtype == np.uint8 and set(np.unique(found)) <= {0, 5}


def test_the_background_becomes_a_half_and_order_stays():
    p = np.linspace(0, 1, 11)
    for background in (0.2, 0.5, 0.8):
        moved = _shifted(p, background)
        assert _shifted(np.array(background), background) == pytest.approx(0.5)
        assert (np.diff(moved) > 0).all() and moved[0] == 0 and moved[-1] == 1
        odds = moved[1:-1] / (1 - moved[1:-1])
        np.testing.assert_allclose(odds, p[1:-1] / (1 - p[1:-1]) * (1 - background) / background)


def test_labels_and_maps_belong_together():
    with pytest.raises(ValueError, match="one label per probability map"):
        cut_image(np.zeros((8, 8, 3), np.uint8), np.zeros((2, 4, 4)), [1])


def test_an_image_with_bars_is_cut_at_its_own_size():
    """A letterboxed image: bars are no ground, and the mask is where the object is in the whole image."""
    rng = np.random.default_rng(5)
    image = np.zeros((180, 160, 3), np.uint8)
    image[30:150] = scene(rng, (30, 90, 40, 120, RED))
    truth = np.zeros((180, 160), bool)
    truth[60:120, 40:120] = True
    probability = np.where(truth, np.float32(0.9), np.float32(0.05))[None]
    found = cut_image(image, probability, [2])
    assert found.shape == truth.shape and iou(found == 2, truth) > 0.9
