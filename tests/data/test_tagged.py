"""Tagged images: tags from a table, folders or VOC XML; classes, splits, and items."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from wsvs.core.errors import BadItem, UserError
from wsvs.data.loading import collate
from wsvs.data.tagged import TaggedDataset, TaggedImages
from wsvs.data.transforms import ImageAugmentation
from wsvs.data.visits import Visit

TAGS = {"a": "cat", "b": "dog,cat", "c": "", "d": "bus"}


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for number, name in enumerate(TAGS):
        Image.new("RGB", (20 + number, 10), (number, 0, 0)).save(folder / f"{name}.png")
    (tmp_path / "labels.tsv").write_text("id\ttags\n" + "".join(f"{k}\t{v}\n" for k, v in TAGS.items()))
    return folder


def tagged(root, **more) -> TaggedImages:
    return TaggedImages(str(root), **{"labels": str(root.parent / "labels.tsv"), **more})


def test_table_gives_tags_and_sorted_classes(root):
    data = tagged(root)
    assert data.tags == {"a": ("cat",), "b": ("dog", "cat"), "c": (), "d": ("bus",)}
    assert data.class_list.names == ("bus", "cat", "dog")
    assert tagged(root, classes=["dog", "cat", "bus"]).class_list.names == ("dog", "cat", "bus")


def test_csv_and_json_say_the_same(root):
    with (root.parent / "labels.csv").open("w") as stream:
        csv.writer(stream).writerows([("image", "labels"), *TAGS.items()])
    (root.parent / "labels.json").write_text(json.dumps({k: v.split(",") for k, v in TAGS.items()}))
    for name in ("labels.csv", "labels.json"):
        assert tagged(root, labels=str(root.parent / name)).tags == tagged(root).tags


def test_folders(tmp_path):
    for name in (
        "cat/1.jpg",
        "cat/deep/2.PNG",
        "dog/1.jpg",
        "dog/1.png",
        "dog/._1.jpg",
        ".cache/3.jpg",
        "dog/notes.txt",
        "4.jpg",
        "dog/a.jpg.png",
        "dog/b 1.2.jpg",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(tmp_path / name, "JPEG")
    data = TaggedImages(str(tmp_path))
    files = {
        "cat/1": "cat/1.jpg",
        "cat/deep/2": "cat/deep/2.PNG",
        "dog/1": "dog/1.jpg",
        "dog/1.png": "dog/1.png",
        "dog/a.jpg": "dog/a.jpg.png",
        "dog/b 1.2": "dog/b 1.2.jpg",
    }
    assert data.tags == {name: (name[:3],) for name in files}
    assert data.class_list.names == ("cat", "dog")
    assert {name: data.path(name) for name in files} == {name: tmp_path / file for name, file in files.items()}


def test_a_table_within_the_folder_is_pointed_at(tmp_path):
    (tmp_path / "labels.tsv").touch()
    with pytest.raises(UserError, match=f"did you mean {tmp_path / 'labels.tsv'}"):
        _ = TaggedImages(str(tmp_path), "labels.tsv").tags


def test_no_folders(tmp_path):
    (tmp_path / "1.jpg").touch()
    with pytest.raises(UserError, match="no images in folders") as caught:
        _ = TaggedImages(str(tmp_path)).tags
    assert "data.labels=TABLE" in str(caught.value)


VOC = """<annotation><filename>a.jpg</filename>
<object><name>person</name><difficult>1</difficult>
  <part><name>head</name></part><part><name>hand</name></part></object>
<object><name> dog </name></object><object><name>person</name></object></annotation>"""


def test_voc_xml_takes_objects_and_not_their_parts(tmp_path):
    (tmp_path / "a.xml").write_text(VOC)
    (tmp_path / "b.xml").write_text("<annotation/>")
    assert TaggedImages(str(tmp_path), labels=str(tmp_path)).tags == {"a": ("person", "dog"), "b": ()}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<annotation><object>", "annotation cannot be read"),
        ("<annotation><object><part><name>head</name></part></object></annotation>", "an <object> has no <name>"),
    ],
)
def test_bad_xml_names_the_file(tmp_path, text, message):
    (tmp_path / "a.xml").write_text(VOC)
    (tmp_path / "bad.xml").write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        _ = TaggedImages(str(tmp_path), labels=str(tmp_path)).tags
    assert caught.value.where == str(tmp_path / "bad.xml")


def test_folder_without_xml(tmp_path):
    with pytest.raises(UserError, match="no VOC annotation"):
        _ = TaggedImages(str(tmp_path), labels=str(tmp_path)).tags


def test_unknown_tag_names_the_nearest_class(root):
    with pytest.raises(UserError, match="'bus' is not a class") as caught:
        _ = tagged(root, classes=["cat", "dog", "buses"]).tags
    assert "did you mean 'buses'?" in str(caught.value)
    assert "'d'" in caught.value.where and "labels.tsv" in caught.value.where


def test_unknown_tags_are_dropped_on_request(root):
    data = tagged(root, classes=["cat"], unknown_tags="drop")
    assert data.tags == {"a": ("cat",), "b": ("cat",), "c": (), "d": ()}
    with pytest.raises(ValueError, match="unknown_tags must be error or drop, got 'warn'"):
        tagged(root, unknown_tags="warn")


def test_no_tag_at_all(root):
    (root.parent / "labels.tsv").write_text("id\ttags\na\t\nb\t\n")
    with pytest.raises(UserError, match="no image has a tag"):
        _ = tagged(root).class_list


def test_missing_root(root):
    with pytest.raises(UserError, match="folder of images not found") as caught:
        _ = tagged(root.parent / "nowhere" / "images", labels="x").tags
    assert caught.value.where.startswith("data.root=")


def test_id_without_file(root):
    (root / "b.png").unlink()
    with pytest.raises(UserError, match=r"ids without an image file: 1 of [34], first 'b'"):
        _ = tagged(root).splits
    with pytest.raises(BadItem, match="id 'b' has no image file"):
        tagged(root).path("b")


def test_id_without_tags(root):
    (root.parent / "train.txt").write_text("a\nzebra\nb\n")
    with pytest.raises(UserError, match="ids without tags: 1 of 3, first 'zebra'") as caught:
        _ = tagged(root, train=str(root.parent / "train.txt")).splits
    assert caught.value.where == f"data.train={root.parent / 'train.txt'}"
    with pytest.raises(UserError, match="list of ids not found"):
        _ = tagged(root, val=str(root.parent / "nowhere.txt")).splits


def test_given_splits(root):
    (root.parent / "val.txt").write_text("c\na\n")
    assert tagged(root, val=str(root.parent / "val.txt")).splits == {"train": ["b", "d"], "val": ["c", "a"]}
    (root.parent / "train.txt").write_text("d\na\n")
    both = tagged(root, val=str(root.parent / "val.txt"), train=str(root.parent / "train.txt"))
    assert both.splits == {"train": ["d", "a"], "val": ["c", "a"]}
    (root.parent / "val.txt").write_text("\n".join(TAGS))
    with pytest.raises(UserError, match="no image is left to train on"):
        _ = tagged(root, val=str(root.parent / "val.txt")).splits


@pytest.fixture
def split_of(root, monkeypatch):
    """The default split of a table with these ids."""
    monkeypatch.setattr(TaggedImages, "_check_files", lambda *_: None)

    def splits(ids):
        (root.parent / "labels.tsv").write_text("id\ttags\n" + "".join(f"{name}\tcat\n" for name in ids))
        return tagged(root).splits

    return splits


def test_default_split_is_disjoint_and_about_a_tenth(split_of):
    names = [f"video7/{k:05d}" for k in range(1000)]
    whole = split_of(names)
    assert sorted(whole["train"] + whole["val"]) == names
    assert 70 <= len(whole["val"]) <= 130


def test_default_split_of_an_id_does_not_depend_on_others(split_of):
    names = [f"video7/{k:05d}" for k in range(1000)]
    whole, half = split_of(names), split_of(names[:499:-1])
    assert sorted(half["val"]) == [name for name in whole["val"] if name in names[500:]]


def test_one_image_validates_on_itself(root):
    (root.parent / "labels.tsv").write_text("id\ttags\na\tcat\n")
    assert tagged(root).splits == {"train": ["a"], "val": ["a"]}


def test_items(root):
    dataset = TaggedDataset(tagged(root), ["b", "c"], None)
    item = dataset[0]
    assert item["id"] == "b" and item["y"].tolist() == [0, 1, 1] and item["y"].dtype == torch.float32
    assert item["image"].shape == (3, 10, 21) and item["image"].dtype == torch.uint8
    assert item["image"][0].unique().tolist() == [1] and not item["image"][1].any()
    assert dataset[1]["y"].tolist() == [0, 0, 0]  # an image without any of our classes is information, too


def test_bad_image_is_an_item_with_its_reason(root):
    (root / "b.png").write_bytes(b"no image")
    item = TaggedDataset(tagged(root), ["b"], None)[0]
    assert set(item) == {"id", "bad"} and str(root / "b.png") in item["bad"]


def test_random_crops_follow_the_visit(root):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 60, 3), np.uint8)).save(root / "a.png")
    dataset = TaggedDataset(tagged(root), ["a"], ImageAugmentation(32))
    first, again = dataset[Visit(0, 3, 7)], dataset[Visit(0, 3, 7)]
    assert torch.equal(first["image"], again["image"]) and torch.equal(first["jitter"], again["jitter"])
    assert first["jitter"].shape == (3,)
    for other in (Visit(0, 4, 7), Visit(0, 3, 8), 0):  # another pass, another seed; a plain number is one of its own
        assert not torch.equal(dataset[other]["image"], first["image"])
    assert torch.equal(dataset[0]["image"], dataset[0]["image"])
    assert "jitter" not in TaggedDataset(tagged(root), ["a"], ImageAugmentation(32, jitter=0))[0]


def test_workers_report_bad_items(root):
    (root / "b.png").write_bytes(b"")
    loader = DataLoader(TaggedDataset(tagged(root), ["b"], None), batch_size=1, collate_fn=collate, num_workers=1)
    (batch,) = loader
    assert set(batch) == {"bad"} and batch["bad"][0][0] == "b"
