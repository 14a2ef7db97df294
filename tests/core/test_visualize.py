from __future__ import annotations

import numpy as np
import pytest

from wsvs.core.visualize import heat, over, row, shrunk, stack


def grey(height: int, width: int, value: int = 100) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def test_heat_grows_from_black_to_bright():
    ramp = heat(np.linspace(0, 1, 256)[None])[0].astype(int)
    luma = ramp @ [0.299, 0.587, 0.114]
    assert luma[0] < 5
    assert luma[-1] > 220
    assert (np.diff(luma) > -1).all()  # whole numbers of a rising curve
    assert ramp[140, 0] > ramp[140, 2]  # red before blue: the channels are RGB


def test_heat_clips():
    assert (heat(np.array([[-3.0, 7.0]])) == heat(np.array([[0.0, 1.0]]))).all()


def test_over_tints_outlines_and_pales():
    labels = np.zeros((9, 9), np.uint8)
    labels[2:7, 2:7] = 2
    shown = over(grey(9, 9), labels, strength=0.5)
    assert shown[4, 4].tolist() == [50, 114, 50]  # halfway from (100, 100, 100) to VOC's second colour, (0, 128, 0)
    assert shown[0, 0].tolist() == [139, 139, 139]  # a quarter of the way to white, 138.75
    assert (shown[2, 2:7] == 255).all()
    assert (shown == 255).all(2).sum() == 16  # the rim of a square of 5


def test_over_brings_labels_to_the_size_of_the_image():
    labels = np.array([[0, 1], [0, 1]], bool)
    shown = over(grey(8, 8), labels, strength=1.0)
    assert shown[4, 6].tolist() == [128, 0, 0]
    assert shown[4, 1].tolist() == [178, 178, 178]  # half white: 177.5


def test_over_is_the_mean_in_floats():
    image = np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)
    labels = np.repeat(np.arange(4, dtype=np.uint8), 10)[None]
    shown = over(image.transpose(1, 0, 2), labels, strength=0.3)  # whatever its order in memory
    for left, colour, share in ((2, (255, 255, 255), 0.15), (12, (128, 0, 0), 0.3), (32, (128, 128, 0), 0.3)):
        before = image[left : left + 6].transpose(1, 0, 2).astype(float)
        expected = before + share * (np.array(colour) - before)
        assert np.abs(shown[:, left : left + 6] - expected).max() <= 0.5


def test_shrunk_to_its_longest_side():
    assert shrunk(grey(66, 4, 7), 33).shape == (33, 2, 3) and (shrunk(grey(66, 4, 7), 33) == 7).all()
    assert shrunk(grey(4, 66000), 2000).shape == (1, 2000, 3)
    small = grey(20, 30)
    assert shrunk(small, 30) is small
    with_detail = np.tile(np.array([[[0] * 3, [200] * 3]], np.uint8), (2, 2, 1))
    assert (shrunk(with_detail, 2) == 100).all()  # a mean, not a sample


def test_row_and_stack_place_every_tile():
    first = row([("a", grey(10, 20, 10)), ("b", grey(40, 20, 200))], width=40, title="title")
    pixels = np.asarray(first)
    assert first.width == 8 + 2 * 48
    assert (pixels[32:52, 8:48] == 10).all()  # 20 px wide made 40, below a title of 24 px and a margin of 8
    assert (pixels[32:112, 56:96] == 200).all()
    assert (pixels[52:112, 8:48] == 255).all()
    assert (pixels[:32] != 255).any()
    assert (pixels[112:] != 255).any()
    second = row([("a\ntwo lines", grey(10, 10, 10))], width=40)
    both = np.asarray(stack([first, second]))
    assert both.shape == (first.height + second.height, first.width, 3)
    assert (both[: first.height] == pixels).all()
    assert (both[first.height :, second.width :] == 255).all()


def test_nothing_to_show_is_refused():
    with pytest.raises(ValueError, match="0 tiles"):
        row([])
    with pytest.raises(ValueError, match="got none"):
        stack([])
