"""Figures of the gallery's items against a reckoning pixel by pixel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from wsvs.metrics.mask_files import label_lookup
from wsvs.report.images import Truth, figures, ious, looks, root_of
from wsvs.report.records import Figures

NAMES = ("background", "cat", "dog", "cow")


def by_hand(ours: np.ndarray, other: np.ndarray, label: int) -> float:
    """IoU of one label by the pixels' places; NaN where neither has it."""
    one, two = ({place for place in np.ndindex(mask.shape) if mask[place] == label} for mask in (ours, other))
    return len(one & two) / len(one | two) if one | two else float("nan")


@pytest.mark.parametrize("seed", range(5))
def test_figures_are_those_of_sets_of_pixels(seed):
    draw = np.random.default_rng(seed)
    mask, before, true = draw.choice([0, 1, 2, 3, 255], (3, 9, 11), p=[0.5, 0.2, 0.2, 0.05, 0.05]).astype(np.uint8)
    mask[mask == 3] = 0  # our masks show no cow
    assert ious(mask, before) == pytest.approx([by_hand(mask, before, label) for label in range(256)], nan_ok=True)
    whole, classes = figures(
        mask, NAMES, {"cat": 0.8, "dog": 0.5, "cow": None}, before, Truth(Path("t"), NAMES, None), true
    )
    assert set(classes) == {"cat", "dog", "cow"}
    areas = {name: np.mean(mask == label) for label, name in enumerate(NAMES)}
    assert whole.area == pytest.approx(areas["cat"] + areas["dog"])
    weighted = (0.8 * areas["cat"] + 0.5 * areas["dog"]) / (areas["cat"] + areas["dog"])
    assert whole.confidence == pytest.approx(weighted) and classes["cow"].confidence is None
    known = np.where(true == 255, 255, mask)
    own = [by_hand(known, true, label) for label in range(4)]
    for label, name in enumerate(NAMES[1:], 1):
        assert classes[name].area == pytest.approx(areas[name]) and classes[name].iou == pytest.approx(own[label])
        assert classes[name].change == pytest.approx(1 - by_hand(mask, before, label))
    assert whole.iou == pytest.approx(np.mean(own))
    assert whole.change == pytest.approx(max(one.change for one in classes.values()))


def test_an_image_of_background_alone_has_no_iou():
    """It is right, and shows nothing; nothing has changed in it either."""
    nothing = np.zeros((2, 2), np.uint8)
    assert figures(nothing, NAMES, {}, nothing, Truth(Path("t"), NAMES, None), nothing) == (Figures(0.0, None, 0.0), {})


def test_masks_of_another_shape_say_nothing():
    mask, other = np.ones((2, 2), np.uint8), np.ones((2, 3), np.uint8)
    assert figures(mask, NAMES, {}, other, Truth(Path("t"), NAMES, None), other) == (
        Figures(1.0),
        {"cat": Figures(1.0)},
    )


def test_labels_of_the_prediction_become_those_of_the_truth():
    names = ("background", "dog", "cat")
    truth = Truth(Path("t"), names, label_lookup(("background", "cat"), names))
    mask, true = np.array([[1, 1, 0]], np.uint8), np.array([[2, 0, 0]], np.uint8)
    _, classes = figures(mask, ("background", "cat"), {}, None, truth, true)
    assert classes == {"cat": Figures(2 / 3, iou=0.5)}
    stray = np.array([[1, 7, 0]], np.uint8)  # a label without a class: no IoU, as in an evaluation
    assert figures(stray, ("background", "cat"), {}, None, truth, true)[0] == Figures(2 / 3)


@pytest.mark.parametrize(("frames", "expected"), [(1, [0]), (3, [0, 1, 2]), (160, list(range(0, 160, 10)))])
def test_looks_are_spread_over_a_video(frames, expected):
    assert looks(frames) == expected


def test_root_of_an_input(tmp_path):
    (tmp_path / "a [1]").mkdir()
    file = tmp_path / "a [1]/x.jpg"
    file.write_bytes(b"")
    for given in (tmp_path / "a [1]", file, tmp_path / "a [1]/*.jpg", tmp_path / "a [1]/**/x.jpg"):
        assert root_of(given) == tmp_path / "a [1]"
    assert root_of(tmp_path / "gone") == tmp_path / "gone"
