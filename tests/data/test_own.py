"""The check of the user's own images, and of single image files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from wsvs.core.errors import BadItem, UserError
from wsvs.data.image_files import inspect_image
from wsvs.data.own import check_tagged
from wsvs.data.tagged import TaggedImages


def save(path: Path, size=(12, 8)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), np.uint8)).save(path)


SUFFIXES = pytest.mark.parametrize("suffix", ["jpg", "JPG", "png", "webp", "bmp"])


@SUFFIXES
def test_size_of_an_image(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    save(path, (300, 200))
    assert inspect_image(path) == (300, 200)
    path.write_bytes(path.read_bytes() + b"\0" * 7)
    assert inspect_image(path) == (300, 200)


@SUFFIXES
def test_damaged_images_are_bad_items(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    save(path, (300, 200))
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", b"text"):
        path.write_bytes(damaged)
        with pytest.raises(BadItem):
            inspect_image(path)
    with pytest.raises(BadItem):
        inspect_image(tmp_path / f"none.{suffix}")


def test_a_jpeg_with_something_after_its_end_is_decoded(tmp_path):
    path = tmp_path / "a.jpg"
    save(path)
    path.write_bytes(path.read_bytes() + b"camera")
    assert inspect_image(path) == (12, 8)


def test_folders_named_by_class(tmp_path):
    for name in ("cat/1.jpg", "cat/2.jpg", "dog/1.png"):
        save(tmp_path / name)
    (tmp_path / "dog" / "2.jpg").write_bytes(b"\xff\xd8")
    report = check_tagged(TaggedImages(root=str(tmp_path)))
    assert report.counts == {"ids": 4, "images": 3, "usable images": 3, "classes": 2}
    assert report.by_class == {"cat": {"images": 2}, "dog": {"images": 1}}
    assert report.fatal == [] and len(report.problems) == 1
    assert report.problems[0].text.startswith("images that cannot be read (1): dog/2 (")


def test_a_table_with_everything_that_can_be_wrong(tmp_path):
    for name in ("a", "b", "c", "untold"):
        save(tmp_path / "images" / f"{name}.jpg")
    (tmp_path / "labels.tsv").write_text("id\ttags\na\tcat,dgo\nb\t\nc\tcat\nmissing\tcat\n")
    (tmp_path / "val.txt").write_text("a\nz\n")
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "a.png").touch()
    data = TaggedImages(
        root=str(tmp_path / "images"),
        labels=str(tmp_path / "labels.tsv"),
        classes=("cat", "dog"),
        val=str(tmp_path / "val.txt"),
        masks=str(tmp_path / "masks"),
    )
    report = check_tagged(data)
    assert {problem.text: problem.fatal for problem in report.problems} == {
        "ids without an image file (1): missing": True,
        "tags that are not classes (1): dgo (images: 1)": True,
        "classes without an image (1): dog": False,
        "ids of a list without tags (1): z": True,
    }
    assert report.counts == {"ids": 4, "images": 3, "usable images": 2, "classes": 2}
    untagged, few, masks, untold = report.notes
    assert few == "classes with fewer than 20 images, attention will be rough: cat (2)"
    assert untagged == "images without a tag of a class, used as negative examples: 1"
    assert masks.startswith("images with a true mask in ") and masks.endswith(": 1 of 3")
    assert untold.startswith("images that are not in the table, not used: 1")


@pytest.mark.parametrize("name", ["background", "cat/dog"])
def test_a_class_that_training_refuses_is_reported(tmp_path, name):
    save(tmp_path / "images" / "cat" / "a.jpg")
    save(tmp_path / "images" / "background" / "b.jpg")
    labels = tmp_path / "labels.json"
    labels.write_text(json.dumps({"cat/a": [name], "background/b": []}))
    root = str(tmp_path / "images")
    problem = f"{name!r} cannot be a class name"
    for data, where in (
        (TaggedImages(root, str(labels)), str(labels)),
        (TaggedImages(root, classes=(name,), unknown_tags="drop"), "data.classes"),
    ):
        first = check_tagged(data).fatal[0]
        assert (first.text, first.where) == (problem, where)
        with pytest.raises(UserError, match=problem):
            _ = data.class_list
    [folder] = check_tagged(TaggedImages(root)).fatal
    assert folder.text == "'background' cannot be a class name" and folder.where == root


def test_a_dead_link_in_a_folder_of_a_class(tmp_path):
    save(tmp_path / "cat" / "a.jpg")
    (tmp_path / "cat" / "gone.jpg").symlink_to(tmp_path / "nothing.jpg")
    report = check_tagged(TaggedImages(str(tmp_path)))
    [dead] = report.fatal
    assert dead.text == "ids without an image file (1): cat/gone.jpg"
    assert dead.remedy == "replace these broken links, or remove them: training stops at them"
    assert not any("outside the class folders" in note for note in report.notes)


def test_nothing_usable(tmp_path):
    save(tmp_path / "images" / "a.jpg")
    (tmp_path / "labels.tsv").write_text("id\ttags\na\tfox\n")
    data = TaggedImages(
        root=str(tmp_path / "images"), labels=str(tmp_path / "labels.tsv"), classes=("cat",), unknown_tags="drop"
    )
    assert [problem.text for problem in check_tagged(data).fatal] == ["no image can be used"]


def test_what_makes_classes_hard_to_learn(tmp_path):
    for name in ("1", "2", "3"):
        save(tmp_path / "images" / f"{name}.jpg")
    table = tmp_path / "labels.tsv"
    table.write_text("id\ttags\n1\tPolar_Bear,dog\n2\tpolar bear,dog\n3\tcaf\u00e9,cafe\u0301,dog\n")
    notes = check_tagged(TaggedImages(str(tmp_path / "images"), str(table))).notes
    assert [note.split(":")[0] for note in notes] == [
        "'Polar_Bear' and 'polar bear' count as different classes",
        "'cafe\u0301' and 'caf\u00e9' count as different classes",
        "classes with fewer than 20 images, attention will be rough",
        "every image shows 'dog'",
    ]
    table.write_text("id\ttags\n" + "1\tdog\n2\t\n3\tdog\n")
    notes = check_tagged(TaggedImages(str(tmp_path / "images"), str(table))).notes
    assert not any("every image" in note for note in notes)


def test_images_that_would_share_a_mask_are_refused(tmp_path):
    for name in ("tiger/a.jpg", "tiger/a.png", "panda/a.jpg"):
        save(tmp_path / name)
    told = [problem.text for problem in check_tagged(TaggedImages(str(tmp_path))).fatal]
    assert told == ["masks shared by two images (1): tiger/a.png (a.jpg and a.png)"]
    table = tmp_path / "labels.tsv"
    table.write_text("id\ttags\ntiger/a.jpg\tcat\ntiger/a.png\tcat\npanda/a\tdog\npanda/a.jpg\tdog\n")
    [problem] = check_tagged(TaggedImages(str(tmp_path), str(table))).fatal
    assert problem.text.startswith("masks shared by two images (2): tiger/a.png") and "rename" in problem.remedy


def test_an_image_beside_that_of_the_table_is_no_fault(tmp_path):
    for name in ("a.jpg", "a.png", "b.jpg"):
        save(tmp_path / "images" / name)
    table = tmp_path / "labels.tsv"
    table.write_text("id\ttags\na\tcat\nb\t\n")
    report = check_tagged(TaggedImages(str(tmp_path / "images"), str(table)))
    assert report.problems == []
    assert "images with the name of another, which is used instead: 1 (a.png)" in report.notes


def test_files_that_are_not_read_are_reported(tmp_path):
    for name in ("cat/1.jpg", "loose.jpg", "loose too.JPG"):
        save(tmp_path / name)
    for name in ("cat/a.HEIC", "dog/b.jxl", "dog/c.heic", "dog/notes.txt", "dog/._d.heic"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    notes = check_tagged(TaggedImages(str(tmp_path))).notes
    assert f"images outside the class folders, not used: 2 below {tmp_path}" in notes
    assert "files in formats that are not supported: 3 (.heic, .jxl)" in notes


def test_true_masks_of_ids_with_an_extension(tmp_path):
    save(tmp_path / "images" / "img 2.jpg")
    save(tmp_path / "masks" / "img 2.png")
    (tmp_path / "labels.tsv").write_text("id\ttags\nimg 2.jpg\tcat\n")
    data = TaggedImages(str(tmp_path / "images"), str(tmp_path / "labels.tsv"), masks=str(tmp_path / "masks"))
    assert any("with a true mask" in note and note.endswith("1 of 1") for note in check_tagged(data).notes)
