"""The archive for VOC's server."""

from __future__ import annotations

import io
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from wsvs.core.errors import UserError
from wsvs.core.masks import write_mask
from wsvs.data.voc_server import pack_results

IDS = ["2008_000006", "2008_000011"]


@pytest.fixture
def masks(tmp_path) -> Path:
    for k, name in enumerate(IDS):
        write_mask(tmp_path / "masks" / f"{name}.png", np.full((5, 7), 20 * k, np.uint8))
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.new("RGB", (7, 5)).save(tmp_path / "images" / f"{name}.jpg")
    write_mask(tmp_path / "masks" / "other.png", np.full((5, 7), 99, np.uint8))  # not asked for
    return tmp_path / "masks"


def test_the_layout_that_the_server_takes(masks, tmp_path):
    pack_results(masks, IDS[::-1], tmp_path / "a.tar.gz", images=tmp_path / "images")
    with tarfile.open(tmp_path / "a.tar.gz", "r:gz") as archive:
        assert archive.getnames() == [f"results/VOC2012/Segmentation/comp6_test_cls/{name}.png" for name in IDS]
        member = archive.extractfile(archive.getnames()[1])
        assert member is not None
        image = Image.open(io.BytesIO(member.read()))
        assert image.mode == "P" and np.all(np.asarray(image) == 20)
        assert image.convert("RGB").getpixel((0, 0)) == (0, 64, 128)  # tvmonitor's colour
    pack_results(masks, IDS, tmp_path / "b.tar.gz", competition="comp5", split="val")
    with tarfile.open(tmp_path / "b.tar.gz") as archive:
        assert archive.getnames()[0].startswith("results/VOC2012/Segmentation/comp5_val_cls/")


def test_the_same_masks_give_the_same_bytes(masks, tmp_path, monkeypatch):
    pack_results(masks, IDS, tmp_path / "a.tar.gz")
    monkeypatch.setattr(time, "time", lambda: 2e9)
    pack_results(masks, IDS[::-1], tmp_path / "other name.tar.gz")
    assert (tmp_path / "a.tar.gz").read_bytes() == (tmp_path / "other name.tar.gz").read_bytes()


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda m: (m / f"{IDS[1]}.png").unlink(), "mask not found"),
        (lambda m: write_mask(m / f"{IDS[0]}.png", np.full((5, 7), 255, np.uint8)), "it has label 255"),
        (lambda m: write_mask(m / f"{IDS[0]}.png", np.zeros((7, 5), np.uint8)), "it is 5x7, its image 7x5"),
        (lambda m: Image.new("RGB", (7, 5)).save(m / f"{IDS[0]}.png"), "not labels"),
        (lambda m: (m.parent / "images" / f"{IDS[0]}.jpg").unlink(), "has no image"),
    ],
)
def test_what_the_server_would_refuse(masks, tmp_path, damage, reason):
    damage(masks)
    with pytest.raises(UserError, match="masks that the server does not accept: 1 of 2") as error:
        pack_results(masks, IDS, tmp_path / "a.tar.gz", images=tmp_path / "images")
    assert reason in error.value.problem and error.value.where
    assert not list(tmp_path.glob("*.tar.gz"))


def test_another_competition_is_refused(masks, tmp_path):
    with pytest.raises(ValueError, match="comp5, comp6"):
        pack_results(masks, IDS, tmp_path / "a.tar.gz", competition="comp1")
