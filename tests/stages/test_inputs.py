"""The files that a person names to stage predict, where their names or folders are unusual."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf
from PIL import Image

from wsvs.core.classes import Classes
from wsvs.core.errors import UserError
from wsvs.data.inputs import find_files
from wsvs.data.tag_sources import read_image_tags
from wsvs.stages.predict import list_images


@pytest.fixture
def folder(tmp_path, monkeypatch):
    folder = tmp_path / "br [1]" / "*"
    folder.mkdir(parents=True)
    for name in ("g.jpg", "h[1].jpg"):
        (folder / name).touch()
    monkeypatch.chdir(tmp_path)
    return folder


def test_a_pattern_in_a_folder_with_brackets_in_its_name(folder):
    for given in ("br [1]/*/*.jpg", str(folder / "?*.jpg")):
        root, found = find_files(given)
        assert root.resolve() == folder and found is not None and set(found) == {"g", "h[1]"}
    (folder.parent / "two").mkdir()
    (folder.parent / "two" / "i.jpg").touch()
    assert find_files("br [1]/t*/*.jpg") == (Path("br [1]"), {"two/i": Path("br [1]/two/i.jpg")})
    with pytest.raises(UserError, match="no such image, video or folder"):
        find_files("br [1]/none.jpg")


@pytest.mark.parametrize("given", ["x" * 5000, "x" * 5000 + "*.jpg", "x/" * 3000])
def test_an_overlong_name_is_reported(folder, given):
    with pytest.raises(UserError) as caught:
        find_files(given)
    assert caught.value.remedy and len(str(caught.value)) < 500


def test_linked_folders_are_looked_into(tmp_path):
    (tmp_path / "real").mkdir()
    Image.new("RGB", (2, 2)).save(tmp_path / "real" / "a.jpg")
    (tmp_path / "lnk").mkdir()
    (tmp_path / "lnk" / "1").symlink_to("../real")
    cfg = {"input": str(tmp_path / "lnk"), "labels": None, "predict": {"ids": None, "tags": None}}
    [item] = list_images(OmegaConf.create(cfg), Classes(["cat"]))
    assert item.id == "1/a"
    assert read_image_tags(tmp_path / "lnk", "folders").tags == {"1/a": ("1",)}
