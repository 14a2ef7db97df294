"""What a review changes of the training data: shots that are left out, retagged or weighted, tags of images."""

from __future__ import annotations

import pytest
import torch
from PIL import Image

from tests.data.test_frames import shot, write_frames
from wsvs.core.errors import UserError
from wsvs.core.reviews import Answer
from wsvs.data.frames import FrameCrop, FrameDataset, FrameSet, PseudoLabelDataset, reviewed
from wsvs.data.loading import collate
from wsvs.data.tagged import TaggedImages
from wsvs.data.transforms import ImageAugmentation
from wsvs.data.visits import Visit

NAMES = ("cat/a", "cat/b", "dog/c", "dog/d")


@pytest.fixture
def shots(tmp_path):
    for name in NAMES:
        write_frames(tmp_path, name, range(4))
    return [shot(name, name[-1], [0.3] * 4, kind=name[:3]) for name in NAMES]


def drawn(folder, shots, **more) -> dict[str, int]:
    """{shot: class} of what 200 visits draw."""
    dataset = FrameDataset(FrameSet.select(folder, shots, 0, 1), ["cat", "dog"], FrameCrop(16), **more)
    items = [dataset[Visit(k, 0, 0)] for k in range(200)]
    return {item["id"].rpartition("/")[0]: int(item["class"]) for item in items}


def test_nothing_changes_without_answers(shots):
    assert reviewed(shots, {}) == shots and all(a is b for a, b in zip(reviewed(shots, {}), shots, strict=True))
    assert reviewed(shots, {"cat/a": Answer("accept"), "other": Answer("reject")}) == shots


def test_loader_has_exactly_what_the_review_left(shots, tmp_path):
    answers = {
        "cat/a": Answer("reject"),
        "cat/b": Answer("accept", ("dog",)),
        "dog/c": Answer(None, ("cat",)),
        "dog/d": Answer("accept"),
    }
    assert drawn(tmp_path, shots) == {"cat/a": 0, "cat/b": 0, "dog/c": 1, "dog/d": 1}
    assert drawn(tmp_path, reviewed(shots, answers)) == {"cat/b": 1, "dog/c": 0, "dog/d": 1}
    for tags in ((), ("cat", "dog")):  # no class to learn, or no telling which
        assert "cat/a" not in drawn(tmp_path, reviewed(shots, {"cat/a": Answer(None, tags)}))
    assert shots[2].class_name == "dog"  # what was given is as it was


def test_items_carry_weights_only_where_some_differ(shots, tmp_path):
    frames = FrameSet.select(tmp_path, shots, 0, 1)
    plain, weighted = (
        FrameDataset(frames, ["cat", "dog"], FrameCrop(16), weights=weights) for weights in (None, {"cat/a": 2.5})
    )
    for k in range(20):
        first, second = plain[Visit(k, 0, 0)], weighted[Visit(k, 0, 0)]
        assert "weight" not in first and torch.equal(first["image"], second["image"])
        assert second["weight"] == (2.5 if second["id"].startswith("cat/a") else 1)
    batch = collate([weighted[Visit(k, 0, 0)] for k in range(20)])
    assert batch["weight"].shape == (20,) and batch["weight"].dtype == torch.float32


def test_pseudo_labels_carry_weights(shots, tmp_path):
    dataset = PseudoLabelDataset(
        ["000000", "000001"],
        path=lambda name: tmp_path / f"frames/cat/a/{name}.jpg",
        mask=lambda name: tmp_path / f"masks/cat/a/{name}.png",
        numbers=lambda name: [4],
        augmentation=ImageAugmentation(32, (1, 1), jitter=0),
        weights={"000001": 0.5},
    )
    assert [float(dataset[k]["weight"]) for k in range(2)] == [1, 0.5]


@pytest.fixture
def data(tmp_path):
    for number, name in enumerate(("a", "b", "c")):
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.new("RGB", (20 + number, 10)).save(tmp_path / "images" / f"{name}.png")
    (tmp_path / "labels.tsv").write_text("id\ttags\na\tcat\nb\tdog\nc\tbus\n")
    return TaggedImages(str(tmp_path / "images"), labels=str(tmp_path / "labels.tsv"))


def test_corrected_tags_take_the_place_of_the_tables(data):
    """The classes stay, also one that no image has any more: labels keep their meaning."""
    other = data.with_tags({"a": ["dog"], "c": [], "not there": ["cat"]})
    assert other.tags == {"a": ("dog",), "b": ("dog",), "c": ()} and other.class_list.names == ("bus", "cat", "dog")
    assert data.tags == {"a": ("cat",), "b": ("dog",), "c": ("bus",)} and other.splits == data.splits
    assert data.with_tags({}) is data
    with pytest.raises(UserError, match="cow") as caught:
        data.with_tags({"a": ["cow"]})
    assert "corrected in stage review" in caught.value.where
