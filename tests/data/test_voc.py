"""Preparing VOC 2012 from a small fake copy, whole and with deliberate faults."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from wsvs.core.errors import UserError
from wsvs.core.masks import write_mask
from wsvs.core.tables import read_ids, read_tags
from wsvs.data.voc import VOC2012, Expected, VocImages, digest, prepare_voc, read_annotation

TAGS = {  # id: tags; a and b are train, c and d only train_aug, v and w val
    "a": ("cat",),
    "b": ("cat", "dog"),
    "c": ("dog",),
    "d": ("dog", "person"),
    "v": ("person",),
    "w": ("cat",),
}
LISTS = {"train": ["a", "b"], "val": ["v", "w"], "train_aug": ["a", "b", "c", "d"]}
EXPECTED = Expected(
    lists={name: (len(ids), digest(ids)) for name, ids in LISTS.items()} | {"test": (1, digest(["t"]))},
    tags={"cat": 2, "dog": 3, "person": 1},
)
PARTS = "<part><name>head</name></part>"


def annotation(tags, size=(20, 10)) -> str:
    objects = "".join(f"<object><name>{tag}</name>{PARTS}</object>" * 2 for tag in tags)
    return f"<annotation><size><width>{size[0]}</width><height>{size[1]}</height></size>{objects}</annotation>"


@pytest.fixture
def voc(tmp_path) -> Path:
    root = tmp_path / "VOC2012"
    lists = root / "ImageSets" / "Segmentation"
    for folder in (root / "JPEGImages", root / "Annotations", lists, root / "SegmentationClass"):
        folder.mkdir(parents=True)
    for name, ids in LISTS.items():
        (lists / f"{name}.txt").write_text("\n".join(ids) + "\n")
    noise = np.random.default_rng(0).integers(0, 255, (10, 20, 3), np.uint8)
    for name, tags in TAGS.items():
        Image.fromarray(noise).save(root / "JPEGImages" / f"{name}.jpg")
        (root / "Annotations" / f"{name}.xml").write_text(annotation(tags))
        if name in LISTS["train"] + LISTS["val"]:
            mask = np.zeros((10, 20), np.uint8)
            mask[:3], mask[3:5] = 255, 2
            write_mask(root / "SegmentationClass" / f"{name}.png", mask)
    return root


def prepare(voc: Path, **more):
    return prepare_voc(voc, voc / "prepared", expected=EXPECTED, **more)


def test_a_whole_copy_is_prepared(voc):
    report = prepare(voc)
    assert report.problems == []
    assert len(report.notes) == 1 and "missing test images" in report.notes[0] and "8080" in report.notes[0]
    assert report.counts == {
        "images": 6,
        "true masks": 4,
        "train ids": 2,
        "val ids": 2,
        "train_aug ids": 4,
    }
    assert report.by_class == {name: {"images of train_aug": n} for name, n in (("cat", 2), ("dog", 3), ("person", 1))}
    assert read_tags(voc / "prepared" / "labels.tsv") == TAGS
    assert read_ids(voc / "prepared" / "train_aug.txt") == LISTS["train_aug"]
    assert json.loads((voc / "prepared" / "prepared.json").read_text())["counts"]["images"] == 6


def test_it_serves_as_tagged_images_only_when_prepared(voc):
    made = VocImages(
        root=str(voc / "JPEGImages"),
        labels=str(voc / "prepared" / "labels.tsv"),
        classes=("cat", "dog", "person"),
        train=str(voc / "prepared" / "train_aug.txt"),
        folder=str(voc),
        prepared=str(voc / "prepared"),
    )
    with pytest.raises(UserError, match="stage=data data=voc12"):
        made.prepare()
    prepare(voc)
    assert sorted(made.splits["train"] + made.splits["val"]) == LISTS["train_aug"]
    assert made.tags["b"] == ("cat", "dog")


FAULTS = {
    "a missing folder": (lambda v: os.rename(v / "Annotations", v / "x"), "a folder is missing"),
    "a missing list": (lambda v: (v / "ImageSets/Segmentation/val.txt").unlink(), "list of ids not found"),
    "no train_aug": (lambda v: (v / "ImageSets/Segmentation/train_aug.txt").unlink(), "train_aug is missing"),
    "a short list": (lambda v: write_list(v, "train_aug", "abc"), "the list train_aug has 3 ids, expected 4"),
    "a stray id": (lambda v: write_list(v, "train_aug", "abcx"), "ids without an annotation, not of VOC 2012 (1)"),
    "a wrong checksum": (lambda v: write_list(v, "train", "ac"), "the list train has the right length but other ids"),
    "val in train_aug": (lambda v: write_list(v, "train_aug", "abcv"), "ids of train_aug that are in val (1): v"),
    "train not in train_aug": (
        lambda v: write_list(v, "train_aug", "acdw"),
        "ids of train that are not in train_aug (1): b",
    ),
    "a missing image": (lambda v: (v / "JPEGImages/c.jpg").unlink(), "files that cannot be read (1): c.jpg"),
    "a truncated image": (lambda v: cut(v / "JPEGImages/d.jpg"), "files that cannot be read (1): d.jpg"),
    "a broken annotation": (lambda v: cut(v / "Annotations/a.xml"), "files that cannot be read (1): a.xml"),
    "a missing mask": (lambda v: (v / "SegmentationClass/w.png").unlink(), "missing true masks (1): w"),
    "a mask of another size": (
        lambda v: write_mask(v / "SegmentationClass/a.png", np.zeros((20, 10), np.uint8)),
        "true masks of another size than their image (1): a",
    ),
    "a mask with a foreign label": (
        lambda v: write_mask(v / "SegmentationClass/a.png", np.full((10, 20), 4, np.uint8)),
        "true masks that are not indexed images of VOC's labels (1): a",
    ),
    "a colour mask": (
        lambda v: Image.new("RGB", (20, 10)).save(v / "SegmentationClass/b.png"),
        "true masks that are not indexed images of VOC's labels (1): b",
    ),
    "another tag": (
        lambda v: (v / "Annotations/c.xml").write_text(annotation(["cat"])),
        "classes with a wrong number of images in train_aug (2): cat 3 instead of 2, dog 2 instead of 3",
    ),
    "a tag of no class": (
        lambda v: (v / "Annotations/c.xml").write_text(annotation(["head"])),
        "names in annotations that are not VOC classes (1): head",
    ),
}


def write_list(voc: Path, name: str, ids: str) -> None:
    (voc / "ImageSets" / "Segmentation" / f"{name}.txt").write_text("\n".join(ids))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_found_and_nothing_counts_as_prepared(voc, fault):
    prepare(voc)
    damage, expected = FAULTS[fault]
    damage(voc)
    report = prepare(voc)
    assert any(expected in problem.text for problem in report.fatal), [problem.text for problem in report.fatal]
    assert all(problem.where and problem.remedy for problem in report.problems)
    assert not (voc / "prepared" / "prepared.json").exists()


def test_shrunk_images_are_only_remarked_on(voc):
    (voc / "Annotations" / "c.xml").write_text(annotation(["dog"], size=(500, 375)))
    report = prepare(voc)
    assert [problem.text for problem in report.problems] == ["images of another size than in their annotation (1): c"]
    assert report.fatal == [] and (voc / "prepared" / "prepared.json").is_file()


def test_train_aug_from_the_lists_of_sbd_or_a_list_of_files(voc, tmp_path):
    (voc / "ImageSets" / "Segmentation" / "train_aug.txt").unlink()
    sbd = tmp_path / "dataset"
    sbd.mkdir()
    (sbd / "train.txt").write_text("c\nv\n")  # SBD's lists hold images of VOC's val, and not all of its train
    (sbd / "val.txt").write_text("d\na\n")
    assert prepare(voc, augmented=str(sbd)).problems == []
    assert read_ids(voc / "prepared" / "train_aug.txt") == LISTS["train_aug"]
    files = tmp_path / "list.txt"
    files.write_text("".join(f"/JPEGImages/{name}.jpg /SegmentationClassAug/{name}.png\n" for name in "abcd"))
    assert prepare(voc, augmented=str(files)).problems == []


def test_the_test_images(voc):
    write_list(voc, "test", "t")
    assert "missing test images (1)" in prepare(voc).notes[0]
    (voc / "JPEGImages" / "t.jpg").touch()
    report = prepare(voc)
    assert report.notes == [] and report.counts["test ids"] == 1


def test_an_annotation_without_size_or_name_is_refused(tmp_path):
    path = tmp_path / "a.xml"
    path.write_text("<annotation><object><name> </name></object></annotation>")
    with pytest.raises(ValueError, match="no name"):
        read_annotation(path)
    path.write_text("<annotation><object><name>cat</name></object></annotation>")
    with pytest.raises(ValueError, match="no size"):
        read_annotation(path)


@pytest.mark.slow
def test_the_official_lists_and_tags(real_data, tmp_path):
    """Annotations and images are stand-ins; lists, checksums and frequencies of the classes are the real ones."""
    official = real_data / "data" / "voc_lists"
    root = tmp_path / "VOC2012"
    lists = root / "ImageSets" / "Segmentation"
    for folder in (root / "JPEGImages", root / "Annotations", lists, root / "SegmentationClass"):
        folder.mkdir(parents=True)
    for name in VOC2012.lists:
        (lists / f"{name}.txt").write_text((official / f"{name}.txt").read_text())
    Image.new("RGB", (20, 10)).save(tmp_path / "one.jpg")
    write_mask(tmp_path / "one.png", np.full((10, 20), 20, np.uint8))
    tags = read_tags(official / "labels.tsv")
    assert len(tags) == 12031
    for name, found in tags.items():
        (root / "Annotations" / f"{name}.xml").write_text(annotation(found))
        os.link(tmp_path / "one.jpg", root / "JPEGImages" / f"{name}.jpg")
        os.link(tmp_path / "one.png", root / "SegmentationClass" / f"{name}.png")
    report = prepare_voc(root, tmp_path / "prepared")
    assert [problem.text for problem in report.problems] == []
    assert report.counts["train_aug ids"] == 10582 and report.counts["true masks"] == 2913
    assert read_tags(tmp_path / "prepared" / "labels.tsv") == tags
