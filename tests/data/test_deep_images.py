"""Images of more than 8 bits a channel are read by the range of their values."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from wsvs.data.images import deep_bits, read_image


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_fewer_bits_in_sixteen_are_read_by_their_range(tmp_path, bits, name):
    """White is white, and a fifth of it is 51 of 255, whether grey or in colour."""
    white = 2**bits - 1
    shades = np.array([[0, white / 5, white]])
    Image.fromarray(np.rint(shades).astype(np.uint16)).save(tmp_path / name)
    assert np.abs(read_image(tmp_path / name)[0, :, 0].astype(int) - [0, 51, 255]).max() <= 1
    assert deep_bits(tmp_path / name) == bits
    cv2.imwrite(str(tmp_path / name), np.rint(np.stack([shades, shades[:, ::-1], shades * 0], 2)).astype(np.uint16))
    found = read_image(tmp_path / name).astype(int)  # OpenCV's order is blue, green, red
    assert np.abs(found - [[[0, 255, 0], [0, 51, 51], [0, 0, 255]]]).max() <= 1
    assert deep_bits(tmp_path / name) == bits


@pytest.fixture
def twelve_bits(tmp_path) -> tuple[Path, np.ndarray]:
    """A file of twelve-bit colours with alpha, red in its upper left corner, and the image that it holds."""
    values = np.zeros((2, 3, 4), np.uint16)
    values[..., 3] = 65535
    values[0, 0, 2] = 4095
    cv2.imwrite(str(tmp_path / "a.png"), values)
    right = np.zeros((2, 3, 3), np.uint8)
    right[0, 0, 0] = 255
    return tmp_path / "a.png", right


def test_twelve_bits_of_colour_with_alpha(twelve_bits):
    path, right = twelve_bits
    assert np.array_equal(read_image(path), right)


def test_twelve_bits_of_colour_with_orientation(twelve_bits):
    path, right = twelve_bits
    whole = path.read_bytes()
    exif = Image.Exif()
    exif[0x0112] = 6
    data = exif.tobytes().removeprefix(b"Exif\0\0")
    chunk = b"eXIf" + data
    head = whole[:33]  # signature and IHDR
    path.write_bytes(head + struct.pack(">I", len(data)) + chunk + struct.pack(">I", zlib.crc32(chunk)) + whole[33:])
    assert np.array_equal(read_image(path), np.rot90(right, -1))


def test_floats_far_beyond_one_are_no_shares(tmp_path):
    Image.fromarray(np.array([[0, 51, 255]], np.float32)).save(tmp_path / "a.tif")
    assert read_image(tmp_path / "a.tif")[0, :, 0].tolist() == [0, 51, 255]
    Image.fromarray(np.array([[0, 13107, 65535]], np.float32)).save(tmp_path / "a.tif")
    assert read_image(tmp_path / "a.tif")[0, :, 0].tolist() == [0, 51, 255]
    assert deep_bits(tmp_path / "nothing.png") is None
