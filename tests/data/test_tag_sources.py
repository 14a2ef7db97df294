"""Ids of tables that come from elsewhere, and folders of splits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from wsvs.core.errors import UserError
from wsvs.data.own import check_tagged
from wsvs.data.report import TaggedFile
from wsvs.data.tag_sources import read_image_tags
from wsvs.data.tagged import TaggedImages
from wsvs.retrieve.folder import FolderSource


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(root / name, "PNG")
    return root


@pytest.mark.parametrize(
    "written",
    [
        "train2017/a 1.jpg",
        "./a 1.jpg",
        "images/train/a 1.jpg",
        r"C:\Users\me\images\a 1.jpg",
        "/home/me/a 1.jpg",
        "/data/upload/3/0a1b2c3d-a 1.jpg",
        "0a1b2c3d-a 1.jpg",
        "/data/local-files/?d=images/a%201.jpg",
        "https://example.org/images/a%201.jpg?size=l",
        "s3://bucket/images/a 1.jpg",
        "a 1.jpg",
    ],
)
def test_ids_that_were_made_elsewhere_find_their_image(tmp_path, written):
    touch(tmp_path / "images", "a 1.jpg")
    (tmp_path / "t.json").write_text(json.dumps({written: ["cat"]}))
    found = read_image_tags(tmp_path / "images", str(tmp_path / "t.json"))
    assert list(found.tags.values()) == [("cat",)]
    [name] = found.tags
    assert (tmp_path / "images" / name).is_file()
    assert name == written or "found under another path" in found.notes[0]


def test_ids_that_would_become_one_are_refused(tmp_path):
    touch(tmp_path / "images", "1.jpg", "cat/2.jpg")
    table = tmp_path / "t.csv"
    table.write_text("image,tag\nx/1.jpg,cat\ny/1.jpg,dog\n")
    with pytest.raises(UserError, match=r"is in the table twice \(as 'y/1.jpg' and 'x/1.jpg'\)"):
        read_image_tags(tmp_path / "images", str(table))
    table.write_text("image,tag\n../1.jpg,cat\n")
    with pytest.raises(UserError, match="is outside its folder"):
        read_image_tags(tmp_path / "images", str(table))
    table.write_text("image,tag\ncat/2.jpg,cat\n/none/3.jpg,cat\n")
    with pytest.raises(UserError, match="is outside its folder"):
        read_image_tags(tmp_path / "images", str(table))


def test_folders_of_splits(tmp_path):
    root = touch(
        tmp_path,
        *(
            f"{split}/{name}/{k}.png"
            for split, name, k in (
                ("train", "cat", 1),
                ("train", "dog", 2),
                ("valid", "cat", 3),
                ("test", "dog", 4),
            )
        ),
    )
    data = TaggedImages(str(root))
    assert data.class_list.names == ("cat", "dog")
    assert data.splits == {"train": ["train/cat/1", "train/dog/2"], "val": ["valid/cat/3"]}
    report = check_tagged(data)
    assert report.format == "folders <split>/<class>/<image> (test and train and valid)"
    assert report.notes[0] == "train images, trained on: 2, val images, held out: 1, test images, not used: 1"
    assert report.by_class == {"cat": {"images": 2}, "dog": {"images": 2}}


def test_train_can_be_a_class(tmp_path):
    both = TaggedImages(str(touch(tmp_path / "a", "train/1.png", "bus/2.png")))
    assert both.tags == {"bus/2": ("bus",), "train/1": ("train",)} and both.table.splits is None
    assert TaggedImages(str(touch(tmp_path / "b", "train/1.png"))).tags == {"train/1": ("train",)}
    assert TaggedImages(str(touch(tmp_path / "c", "train/cat/1.png"))).tags == {"train/cat/1": ("cat",)}


@pytest.mark.parametrize(
    "files", [("train/1.png", "val/2.png"), ("train/cat/1.png", "val/cat/2.png", "dog/3.png")], ids=["flat", "mixed"]
)
def test_folders_of_splits_without_certain_classes_are_refused(tmp_path, files):
    with pytest.raises(UserError, match=r"folders of splits \(train, val\) with unclear classes"):
        _ = TaggedImages(str(touch(tmp_path / "a", *files))).tags


def test_videos_in_folders_of_splits(tmp_path):
    touch(tmp_path, "train/cat/a.mp4", "val/dog/b.mp4")
    assert [(v.id, v.tags, v.short) for v in FolderSource(tmp_path).videos] == [
        ("train/cat/a", ("cat",), "a"),
        ("val/dog/b", ("dog",), "b"),
    ]


def test_the_check_shows_ten_rows_as_understood(tmp_path):
    names = [f"{k}.png" for k in range(12)]
    touch(tmp_path / "images", *names)
    (tmp_path / "t.csv").write_text("image,labels\n" + "".join(f"{name},cat;dog\n" for name in names))
    report = check_tagged(TaggedImages(str(tmp_path / "images"), str(tmp_path / "t.csv")))
    assert report.format == "tags in 'labels', split by a semicolon"
    assert report.rows == [TaggedFile(name, ["cat", "dog"]) for name in names[:10]]
    assert report.by_class == {"cat": {"images": 12}, "dog": {"images": 12}}
