"""Tar archives whose files are read by their place."""

from __future__ import annotations

import tarfile

import pytest
from PIL import Image

from wsvs.core.errors import BadItem
from wsvs.core.masks import read_mask
from wsvs.core.tars import Member, TarFile
from wsvs.data.images import read_image

NAMES = ("a.png", "dog/b.json", f"{'long ' * 15}/{'name ' * 30}.png", "Pfau (grün)/it's.jpg", f"{'ü' * 120}.jpg")


def written(folder, name="x.tar"):
    """{name: content} of sizes around the blocks of a tar, and their places."""
    contents = {one: bytes([number]) * size for number, (one, size) in enumerate(zip(NAMES, SIZES, strict=True))}
    archive = TarFile(folder)
    places = {one: archive.add(one, data) for one, data in contents.items()}
    archive.place(folder / name)
    return contents, {one: Member(folder / name, one, *place) for one, place in places.items()}


SIZES = (1, 511, 512, 513, 20_000)


def test_members_are_what_the_standard_library_extracts(tmp_path):
    contents, members = written(tmp_path)
    with tarfile.open(tmp_path / "x.tar") as archive:
        assert {one.name: archive.extractfile(one).read() for one in archive} == contents
        places = {one.name: (one.offset_data, one.size) for one in archive}
    assert {name: (one.offset, one.size) for name, one in members.items()} == places
    assert {name: one.read_bytes() for name, one in members.items()} == contents


def test_equal_contents_give_equal_archives(tmp_path):
    written(tmp_path)
    written(tmp_path, "deep/y.tar")
    assert (tmp_path / "x.tar").read_bytes() == (tmp_path / "deep/y.tar").read_bytes()
    assert not list(tmp_path.glob(".tmp-*"))


def test_an_archive_has_no_name_before_it_is_complete(tmp_path):
    TarFile(tmp_path).add("a", b"data")
    assert [path.name[:5] for path in tmp_path.iterdir()] == [".tmp-"]


@pytest.mark.parametrize("read", [read_mask, read_image])
def test_members_that_cannot_be_read_are_bad_items(tmp_path, read):
    _, members = written(tmp_path)
    with pytest.raises(BadItem, match=r"not found\n  where: .*x.tar/c.png"):
        read(Member(tmp_path / "x.tar", "c.png"))
    with pytest.raises(BadItem, match=r"cannot be read: .*'a.png'\n  where: .*x.tar/a.png"):
        read(members["a.png"])
    with (tmp_path / "x.tar").open("r+b") as stream:
        stream.truncate(members["dog/b.json"].offset + 100)
    with pytest.raises(BadItem, match=r"the archive is truncated\n  where: .*x.tar/dog/b.json"):
        read(members["dog/b.json"])
    (tmp_path / "x.tar").unlink()
    with pytest.raises(BadItem, match="not found"):
        read(members["a.png"])
    assert not members["a.png"].is_file()


def test_an_image_in_an_archive_is_read_as_a_file_is(tmp_path):
    image = Image.effect_noise((20, 10), 50).convert("RGB")
    image.save(tmp_path / "a.jpg")
    archive = TarFile(tmp_path)
    place = archive.add("a.jpg", (tmp_path / "a.jpg").read_bytes())
    archive.place(tmp_path / "x.tar")
    assert (read_image(Member(tmp_path / "x.tar", "a.jpg", *place)) == read_image(tmp_path / "a.jpg")).all()
