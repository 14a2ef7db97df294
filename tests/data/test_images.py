"""Still images of every kind become RGB, upright, and bad ones name their file."""

from __future__ import annotations

import pickle
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from wsvs.core.errors import BadItem
from wsvs.data.image_files import inspect_image
from wsvs.data.images import (
    EXTENSIONS,
    UNREAD,
    find_image,
    images_in,
    limit_images,
    mask_name,
    read_image,
    unread,
)

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
CORNERS = np.array([[RED, GREEN, BLUE], [WHITE, (0, 0, 0), (128, 128, 128)]], np.uint8)  # 2 rows, 3 columns


@pytest.mark.parametrize(
    ("orientation", "upright"),
    [  # the EXIF standard: where row 0 and column 0 of the stored image belong
        (1, CORNERS),
        (2, CORNERS[:, ::-1]),  # mirrored
        (3, CORNERS[::-1, ::-1]),  # upside down
        (4, CORNERS[::-1]),
        (5, CORNERS.transpose(1, 0, 2)),
        (6, np.rot90(CORNERS, -1)),  # to be turned clockwise
        (7, np.rot90(CORNERS, 2).transpose(1, 0, 2)),
        (8, np.rot90(CORNERS)),  # to be turned counter-clockwise
    ],
)
def test_exif_orientation(tmp_path, orientation, upright):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(CORNERS).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(read_image(tmp_path / "a.png"), upright)


def save(tmp_path, image: Image.Image, name: str, **options):
    image.save(tmp_path / name, **options)
    found = read_image(tmp_path / name)
    assert found.dtype == np.uint8 and found.flags.c_contiguous
    return found


def test_rgb_is_taken_as_it_is(tmp_path):
    assert np.array_equal(save(tmp_path, Image.fromarray(CORNERS), "a.png"), CORNERS)
    assert np.array_equal(save(tmp_path, Image.fromarray(CORNERS), "a.bmp"), CORNERS)
    assert np.array_equal(save(tmp_path, Image.fromarray(CORNERS), "a.webp", lossless=True), CORNERS)


def test_cmyk(tmp_path):
    cyan, yellow = (255, 0, 0, 0), (0, 0, 255, 0)
    image = Image.fromarray(np.array([[cyan, yellow]], np.uint8), "CMYK").resize((32, 16), Image.Resampling.NEAREST)
    found = save(tmp_path, image, "a.jpg", quality=95)
    assert found.shape == (16, 32, 3)
    assert np.abs(found[8, 4].astype(int) - (0, 255, 255)).max() < 6
    assert np.abs(found[8, 27].astype(int) - (255, 255, 0)).max() < 6


def test_grey_and_one_bit(tmp_path):
    grey = save(tmp_path, Image.fromarray(np.array([[0, 100, 255]], np.uint8)), "a.png")
    assert grey.tolist() == [[[0] * 3, [100] * 3, [255] * 3]]
    bits = save(tmp_path, Image.fromarray(np.array([[True, False]])), "b.png")
    assert bits.tolist() == [[[255] * 3, [0] * 3]]


def test_sixteen_bit_grey(tmp_path):
    values = np.array([[0, 257, 100 * 257, 65535]], np.uint16)  # 257 = 65535 / 255
    for name in ("a.png", "a.tif"):
        assert save(tmp_path, Image.fromarray(values), name)[0, :, 1].tolist() == [0, 1, 100, 255]


def test_float_grey_is_between_0_and_1(tmp_path):
    values = np.array([[0, 0.5, 1, 2, -1, np.nan]], np.float32)
    assert save(tmp_path, Image.fromarray(values), "a.tif")[0, :, 2].tolist() == [0, 128, 255, 255, 0, 0]


def test_transparent_parts_become_white(tmp_path):
    pixels = np.array([[(255, 0, 0, 255), (255, 0, 0, 0), (0, 0, 0, 51)]], np.uint8)  # 51/255 = a fifth of black
    assert save(tmp_path, Image.fromarray(pixels), "a.png").tolist() == [[list(RED), list(WHITE), [204] * 3]]
    grey = np.array([[(10, 255), (10, 0)]], np.uint8)
    assert save(tmp_path, Image.fromarray(grey, "LA"), "b.png").tolist() == [[[10] * 3, [255] * 3]]


def test_palette(tmp_path):
    image = Image.fromarray(np.array([[0, 1, 2]], np.uint8), "P")
    image.putpalette([*RED, *GREEN, *BLUE])
    assert save(tmp_path, image, "a.png").tolist() == [[list(RED), list(GREEN), list(BLUE)]]
    assert save(tmp_path, image, "b.png", transparency=1).tolist() == [[list(RED), list(WHITE), list(BLUE)]]


def test_first_image_of_an_animation(tmp_path):
    first, second = (Image.new("RGB", (4, 3), colour) for colour in (RED, BLUE))
    first.save(tmp_path / "a.gif", save_all=True, append_images=[second])
    assert np.array_equal(read_image(tmp_path / "a.gif"), np.full((3, 4, 3), RED))


def test_sixteen_bit_colour(tmp_path):
    values = np.array([[[65535, 257 * 100, 0]]], np.uint16)  # blue, green, red, as OpenCV wants them
    for name in ("a.png", "a.tif"):
        cv2.imwrite(str(tmp_path / name), values)
        assert read_image(tmp_path / name).tolist() == [[[0, 100, 255]]]


def test_number_of_images(tmp_path):
    first, second = (Image.new("RGB", (4, 3), colour) for colour in (RED, BLUE))
    for name in ("a.gif", "a.webp", "a.png", "a.tif"):
        first.save(tmp_path / name, save_all=True, append_images=[second, first])
        assert images_in(tmp_path / name) == 3
        assert np.abs(read_image(tmp_path / name).astype(int) - RED).max() < 8
    first.save(tmp_path / "a.mpo", save_all=True, append_images=[second])  # a photograph with a second view
    first.save(tmp_path / "b.png")
    (tmp_path / "c.gif").write_text("no picture")
    assert [images_in(tmp_path / name) for name in ("a.mpo", "b.png", "c.gif", "nowhere.gif")] == [1, 1, 1, 1]


def jpeg(path):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(path, "JPEG")
    return path.read_bytes()


@pytest.mark.parametrize("kind", ["truncated", "empty", "text", "folder", "bomb", "missing", "bad exif"])
def test_bad_file_names_itself(tmp_path, kind, monkeypatch):
    path = tmp_path / "a.jpg"
    whole = jpeg(path)
    if kind == "truncated":
        path.write_bytes(whole[: len(whole) // 2])
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("<html>404 not found</html>")
    elif kind == "bomb":
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 64 * 64 // 3)
    elif kind == "bad exif":  # an orientation to be obeyed beside a field whose value is not of its type
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.new("RGB", (8, 8)).save(path, exif=exif)
        monkeypatch.setattr(Image.Exif, "tobytes", lambda *_: struct.pack("H", "x"))
    else:
        path.unlink()
        if kind == "folder":
            path.mkdir()
    with pytest.raises(BadItem) as caught:
        read_image(path)
    error = caught.value
    assert error.where == str(path) and error.remedy is not None and "\n" not in error.problem
    assert error.problem == "image not found" if kind == "missing" else "cannot be read" in error.problem
    assert str(pickle.loads(pickle.dumps(error))) == str(error)  # it must come out of a loader's worker


def test_find_image(tmp_path):
    for name in ("a.jpg", "B.JPG", "c.d.png", "cat/1.jpeg", "e.txt", "f.jpg.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    found = {name: find_image(tmp_path, name) for name in ("a", "a.jpg", "B", "c.d", "cat/1", "cat/1.jpeg", "f.jpg")}
    assert {name: path and path.relative_to(tmp_path).as_posix() for name, path in found.items()} == {
        "a": "a.jpg",
        "a.jpg": "a.jpg",
        "B": "B.JPG",
        "c.d": "c.d.png",
        "cat/1": "cat/1.jpeg",
        "cat/1.jpeg": "cat/1.jpeg",
        "f.jpg": "f.jpg.png",
    }
    for name in ("e", "e.txt", "c", "cat", "z", "a.png"):
        assert find_image(tmp_path, name) is None


@pytest.mark.parametrize(
    ("file", "name"), [("IMG_6.Jpg", "IMG_6"), ("v.1.jPEG", "v.1"), ("IMG_6.JPG", "IMG_6.jpg"), ("a.Png", "a.pNG")]
)
def test_find_image_in_any_case(tmp_path, file, name):
    (tmp_path / file).touch()
    assert find_image(tmp_path, name) == tmp_path / file


def test_find_image_prefers_what_is_written_plainly(tmp_path):
    (tmp_path / "a.Jpg").touch()
    (tmp_path / "a.png").touch()
    assert find_image(tmp_path, "a") == tmp_path / "a.png"


@pytest.mark.parametrize(
    ("name", "file", "mask"),
    [
        ("img 2", "img 2.jpg", "img 2"),
        ("img 2.jpg", "img 2.jpg", "img 2"),
        ("img 2.jpg", "img 2.JPG", "img 2"),
        ("v.1", "v.1.png", "v.1"),
        ("v.1.png", "v.1.png", "v.1"),
        ("f.jpg", "f.jpg.png", "f.jpg"),
        ("cat/1.png", "cat/1.png", "cat/1"),
    ],
)
def test_mask_is_named_after_its_image_without_extension(tmp_path, name, file, mask):
    assert mask_name(tmp_path, name, tmp_path / file) == mask


@pytest.mark.parametrize("suffix", [".jfif", ".jpe", ".avif", ".jp2"])
def test_kinds_that_pillow_reads_are_read(tmp_path, suffix):
    if suffix not in EXTENSIONS:
        assert suffix in UNREAD
        pytest.skip(f"this build of Pillow reads no {suffix}")
    pixels = np.zeros((16, 24, 3), np.uint8)
    pixels[:, :12] = 200
    kind = {".avif": "AVIF", ".jp2": "JPEG2000"}.get(suffix, "JPEG")
    Image.fromarray(pixels).save(tmp_path / f"a{suffix}", kind)
    path = find_image(tmp_path, "a")
    assert path == tmp_path / f"a{suffix}" and inspect_image(path) == (24, 16)
    assert np.abs(read_image(path).astype(int) - pixels).mean() < 8
    assert unread([path]) == ""


@pytest.mark.parametrize("name", ["a.heic", "a.HEIF", "a.jxl"])
def test_kinds_that_are_not_read_are_reported_by_name(tmp_path, name):
    (tmp_path / name).write_bytes(b"\0\0\0\x20ftypheic")
    with pytest.raises(BadItem, match=f"{Path(name).suffix.lower()} is not supported(.|\n)*convert it"):
        read_image(tmp_path / name)


def test_the_largest_image_can_be_chosen(tmp_path, monkeypatch, recwarn):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
    for suffix in ("png", "jpg"):
        Image.new("L", (1500, 1000)).save(tmp_path / f"a.{suffix}")
    limit_images(1.2)
    for suffix in ("png", "jpg"):
        for read in (read_image, inspect_image):
            with pytest.raises(BadItem, match=r"it has 1\.5 megapixels, the limit is 1\.2(.|\n)*max_megapixels=2 "):
                read(tmp_path / f"a.{suffix}")
    limit_images(2)
    assert read_image(tmp_path / "a.png").shape == (1000, 1500, 3) and inspect_image(tmp_path / "a.jpg") == (1500, 1000)
    assert not [one for one in recwarn if issubclass(one.category, Image.DecompressionBombWarning)]
