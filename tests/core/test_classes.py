"""The class list and the palette."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from wsvs.core.classes import Classes, suggest, voc_palette
from wsvs.core.errors import UserError

# As published with the PASCAL VOC development kit, label by label.
VOC_COLOURS = [
    (0, 0, 0),
    (128, 0, 0),
    (0, 128, 0),
    (128, 128, 0),
    (0, 0, 128),
    (128, 0, 128),
    (0, 128, 128),
    (128, 128, 128),
    (64, 0, 0),
    (192, 0, 0),
    (64, 128, 0),
    (192, 128, 0),
    (64, 0, 128),
    (192, 0, 128),
    (64, 128, 128),
    (192, 128, 128),
    (0, 64, 0),
    (128, 64, 0),
    (0, 192, 0),
    (128, 192, 0),
    (0, 64, 128),
]


def test_voc_palette():
    palette = voc_palette()
    assert palette.shape == (256, 3) and palette.dtype == np.uint8
    assert palette[:21].tolist() == [list(colour) for colour in VOC_COLOURS]
    assert palette[255].tolist() == [224, 224, 192]
    assert len({tuple(colour) for colour in palette.tolist()}) == 256


def test_numbers_and_labels():
    classes = Classes(["cat", "cow", "dog"])
    assert len(classes) == 3 and list(classes) == ["cat", "cow", "dog"] and "cow" in classes
    assert (classes.index("cat"), classes.label("cat")) == (0, 1)
    assert classes.with_background == ("background", "cat", "cow", "dog")
    assert classes.encode(["dog", "cat"]).tolist() == [1, 0, 1]
    assert classes.encode([]).tolist() == [0, 0, 0]
    assert classes.encode(["dog"]).dtype == np.float32
    again = pickle.loads(pickle.dumps(classes))
    assert again == classes and hash(again) == hash(classes)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "class list is empty"),
        (["cat", "cow", "cat"], "duplicate classes: cat"),
        (["background"], "'background' cannot be a class name"),
        (["a/b"], "cannot be a class name"),
        ([""], "cannot be a class name"),
        (["a,b"], "cannot be a class name"),
        ([".."], "cannot be a class name"),
        ([str(k) for k in range(255)], "255 classes, but an 8-bit mask holds at most 254"),
    ],
)
def test_refused_lists(names, message):
    with pytest.raises(UserError, match=message):
        Classes(names)


def test_254_classes_are_allowed():
    assert Classes([str(k) for k in range(254)]).label("253") == 254


def test_unknown_name_suggests_the_nearest():
    with pytest.raises(UserError, match=r"'catt' is not a class\n.*labels\.tsv:3\n.*did you mean 'cat'\?"):
        Classes(["cat", "cow"]).index("catt", "labels.tsv:3")
    assert suggest("zebra", ["cat", "cow"], "the classes are") == "the classes are: cat, cow"
    for other in ("Polar-Bear", " polar  bear", "POLAR_BEAR"):  # however it is written
        assert suggest(other, ["polaroid", "polar bear"], "the classes are") == "did you mean 'polar bear'?"
