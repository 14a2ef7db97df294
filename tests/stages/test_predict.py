"""Which images stage predict works on, and what it says of the others."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf
from PIL import Image

from wsvs.core.classes import Classes
from wsvs.core.errors import UserError
from wsvs.core.files import write_json
from wsvs.stages.predict import list_images, needs

CLASSES = Classes(["cat", "dog"])


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "images"
    for name in ("b.png", "a.jpg", "deep/c.JPEG", "deep/d.Jpg", "notes.txt", "._a.jpg", ".thumbs/e.jpg", "f.v1.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (2, 2)).save(folder / name, "PNG")
    return folder


def listed(root, tmp_path, table=None, ids=None):
    cfg = {"input": str(root), "labels": None, "predict": {"ids": None}}
    if table is not None:
        (tmp_path / "labels.tsv").write_text("id\ttags\n" + "".join(f"{k}\t{v}\n" for k, v in table.items()))
        cfg["labels"] = str(tmp_path / "labels.tsv")
    if ids is not None:
        (tmp_path / "ids.txt").write_text("\n".join(ids))
        cfg["predict"]["ids"] = str(tmp_path / "ids.txt")
    return list_images(OmegaConf.create(cfg), CLASSES)


def test_every_image_below_the_folder(root, tmp_path):
    items = listed(root, tmp_path)
    assert [(item["id"], item["classes"]) for item in items] == [
        ("a", None), ("b", None), ("deep/c", None), ("deep/d", None), ("f.v1", None),
    ]  # sorted, no text, nothing hidden
    assert [Path(item["file"]).relative_to(root).as_posix() for item in items] == [
        "a.jpg", "b.png", "deep/c.JPEG", "deep/d.Jpg", "f.v1.png",
    ]


def test_two_images_of_one_stem(root, tmp_path):
    Image.new("RGB", (2, 2)).save(root / "deep/c.png")
    with pytest.raises(UserError, match=r"two images would both give deep/c\.png") as caught:
        listed(root, tmp_path)
    assert "c.JPEG" in caught.value.where and "c.png" in caught.value.where and caught.value.remedy
    assert len(listed(root, tmp_path, ids=["deep/c"])) == 1  # the user may choose


def test_tags(root, tmp_path):
    table = {"a": "dog", "b": "dog,cat", "deep/c": "", "deep/d": "cat", "f.v1": "cat", "z": "cat"}
    items = listed(root, tmp_path, table)
    assert [item.get("classes") for item in items] == [[1], [1, 0], [], [0], [0], None]
    assert items[-1] == {"id": "z", "bad": f"no image file for id 'z' in {root}"}


def test_image_without_tags_is_passed_over(root, tmp_path):
    items = listed(root, tmp_path, {"a": "dog"})
    assert items[0]["classes"] == [1]
    assert {item["id"] for item in items if "bad" in item} == {"b", "deep/c", "deep/d", "f.v1"}
    assert items[1]["bad"] == f"no tags for image 'b' in {tmp_path / 'labels.tsv'}"


def test_ids_with_their_extension(root, tmp_path):
    table = {"a.jpg": "dog", "b.png": "cat", "deep/c.JPEG": "", "deep/d.Jpg": "", "f.v1.png": ""}
    items = listed(root, tmp_path, table)
    assert [(item["id"], item["classes"]) for item in items] == [
        ("a.jpg", [1]), ("b.png", [0]), ("deep/c.JPEG", []), ("deep/d.Jpg", []), ("f.v1.png", []),
    ]


def test_given_ids_in_their_order(root, tmp_path):
    items = listed(root, tmp_path, ids=["f.v1", "missing", "a"])
    assert [item["id"] for item in items] == ["f.v1", "missing", "a"]
    assert "no image file for id 'missing'" in items[1]["bad"]
    assert [item["id"] for item in listed(root, tmp_path, {"a": "cat", "b": "dog"}, ids=["b"])] == ["b"]


def test_unknown_tag_stops_at_once(root, tmp_path):
    with pytest.raises(UserError, match="'dogs' is not a class") as caught:
        listed(root, tmp_path, {"a": "dogs"})
    assert "did you mean 'dog'?" in str(caught.value) and "tags of 'a'" in caught.value.where


def test_nothing_to_predict(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/notes.txt").touch()
    with pytest.raises(UserError, match="no image in this folder"):
        listed(tmp_path / "empty", tmp_path)
    with pytest.raises(UserError, match="folder of images not found") as caught:
        listed(tmp_path / "nowhere", tmp_path)
    assert caught.value.where == f"input={tmp_path / 'nowhere'}"
    with pytest.raises(UserError, match="nothing to predict") as caught:
        list_images(OmegaConf.create({"input": None}), CLASSES)
    assert "input=DIR" in str(caught.value)
    with pytest.raises(UserError, match="list of ids not found"):
        cfg = {"input": str(tmp_path), "labels": None, "predict": {"ids": "nowhere.txt"}}
        list_images(OmegaConf.create(cfg), CLASSES)


def asked(tmp_path, method="decoder", model="auto", checkpoint=None, **inputs):
    return needs(OmegaConf.create({
        "out": str(tmp_path), "name": "n", "debug": False, "inputs": {"adapt": None, "decoder": None, **inputs},
        "predict": {"method": method, "model": model, "checkpoint": checkpoint},
    }))


def test_which_checkpoint_is_used(tmp_path):
    def finish(stage, debug=False):
        write_json(tmp_path / "n" / stage / "r" / "summary.json", {"finished": 1.0, "debug": debug})

    assert asked(tmp_path) == ("decoder",) and asked(tmp_path, method="attention") == ("encoder",)
    finish("adapt", debug=True)
    finish("decoder")
    assert asked(tmp_path) == asked(tmp_path, method="attention") == ("decoder",)  # debug runs are never taken
    finish("adapt")
    assert asked(tmp_path) == ("adapt",)
    assert asked(tmp_path, model="encoder", method="attention") == ("encoder",)
    assert asked(tmp_path / "other", adapt="somewhere") == ("adapt",)
    assert asked(tmp_path, checkpoint="x.ckpt") == ()
    with pytest.raises(UserError, match="'segment' has no checkpoint") as caught:
        asked(tmp_path, model="segment")
    assert caught.value.where == "predict.model" and "auto, adapt, decoder, encoder" in str(caught.value)
