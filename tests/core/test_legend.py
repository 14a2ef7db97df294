"""Legends: the swatch has the label's colour, lines wrap, and the image above stays as it is."""

from __future__ import annotations

import numpy as np
import pytest

from wsvs.core.legend import with_legend

NAMES = ("background", "cat", "dog", "a rather long name of a class")


def picture(width: int = 200) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (30, width, 3), np.uint8)


def holds(strip: np.ndarray, colour: tuple[int, int, int]) -> bool:
    return bool((strip == np.array(colour)).all(-1).any())


def test_swatches_of_the_labels_and_of_no_others():
    image = picture()
    shown = with_legend(image, [2], NAMES)
    assert shown.dtype == np.uint8 and shown.shape[1] == 200
    assert np.array_equal(shown[:30], image)
    strip = shown[30:]
    assert holds(strip, (0, 128, 0)) and not holds(strip, (128, 0, 0))  # VOC: 1 is dark red, 2 is green
    assert strip.min() < 100  # letters


def test_lines_wrap_where_the_width_ends():
    one = with_legend(picture(), [1], NAMES).shape[0]
    assert with_legend(picture(), [1, 2], NAMES).shape[0] == one
    two = with_legend(picture(), [1, 3], NAMES)
    assert two.shape[0] > one and holds(two[30:], (128, 0, 0)) and holds(two[30:], (128, 128, 0))


@pytest.mark.parametrize("width", [1, 7, 3000])
def test_any_width(width):
    shown = with_legend(picture(width), [1, 2, 3], NAMES)
    assert shown.shape[1] == width and shown.shape[0] > 30


def test_nothing_found_is_reported():
    strip = with_legend(picture(), [], NAMES)[30:]
    assert strip.min() < 100 and (strip[..., 0] == strip[..., 1]).all()  # letters, no colour
