"""Masks on disk."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from wsvs.core.classes import voc_palette
from wsvs.core.errors import BadItem
from wsvs.core.masks import encode_mask, read_mask, write_mask


def test_round_trip_of_every_label(tmp_path):
    mask = np.arange(256, dtype=np.uint8).reshape(8, 32)
    write_mask(tmp_path / "x.png", mask)
    found = read_mask(tmp_path / "x.png")
    assert found.dtype == np.uint8 and np.array_equal(found, mask)


def test_file_is_indexed_with_the_voc_palette():
    with Image.open(BytesIO(encode_mask(np.arange(256, dtype=np.uint8).reshape(16, 16)))) as image:
        assert (image.format, image.mode, image.size) == ("PNG", "P", (16, 16))
        assert np.array_equal(np.asarray(image.convert("RGB")).reshape(256, 3), voc_palette())


def test_few_labels_of_a_strided_mask(tmp_path):
    mask = np.zeros((7, 10), np.uint8)
    mask[2:4, 3:9] = 20
    write_mask(tmp_path / "x.png", mask[:, ::2])
    assert np.array_equal(read_mask(tmp_path / "x.png"), mask[:, ::2])


def test_encoding_is_deterministic():
    mask = np.random.default_rng(0).integers(0, 21, (50, 60)).astype(np.uint8)
    assert encode_mask(mask) == encode_mask(mask.copy())


def test_grey_and_one_bit_files(tmp_path):
    mask = np.array([[0, 1], [1, 0]], np.uint8)
    Image.fromarray(mask * 7).save(tmp_path / "grey.png")
    assert read_mask(tmp_path / "grey.png").tolist() == [[0, 7], [7, 0]]
    Image.fromarray(mask.astype(bool)).save(tmp_path / "bits.png")
    assert Image.open(tmp_path / "bits.png").mode == "1"
    assert read_mask(tmp_path / "bits.png").tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize(
    "mask", [np.zeros((2, 2), int), np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2), bool), np.zeros(4, np.uint8)]
)
def test_only_uint8_planes_are_masks(mask):
    with pytest.raises(ValueError, match=r"a mask is \(H, W\) uint8, got"):
        encode_mask(mask)


def test_an_image_too_large_to_open(tmp_path, monkeypatch):
    write_mask(tmp_path / "x.png", np.zeros((9, 9), np.uint8))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40)
    with pytest.raises(BadItem, match="mask cannot be read"):
        read_mask(tmp_path / "x.png")


def test_bad_files(tmp_path):
    path = tmp_path / "x.png"
    with pytest.raises(BadItem, match="mask not found") as caught:
        read_mask(path)
    assert caught.value.where == str(path)
    path.write_bytes(b"")
    with pytest.raises(BadItem, match="mask cannot be read"):
        read_mask(path)
    write_mask(path, np.random.default_rng(0).integers(0, 99, (64, 64)).astype(np.uint8))
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(BadItem, match="mask cannot be read"):
        read_mask(path)
    for mode in ("RGB", "RGBA", "LA", "I;16"):
        Image.new(mode, (2, 2)).save(path)
        with pytest.raises(BadItem, match="not labels"):
            read_mask(path)
    with pytest.raises(BadItem, match="mask cannot be read"):
        read_mask(tmp_path)
