"""Masks that a person has corrected: which image each is of, from every form, and how often they come up."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from wsvs.core.errors import UserError
from wsvs.core.export import WRITE
from wsvs.core.masks import write_mask
from wsvs.core.reviews import content_of
from wsvs.data.corrected import read_corrected, repeats
from wsvs.data.tagged import TaggedImages

NAMES = ("background", "cat", "dog")


@pytest.fixture
def data(tmp_path) -> TaggedImages:
    for name in ("cats/a.jpg", "b.png"):
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (6, 4)).save(path)
    (tmp_path / "labels.tsv").write_text("id\ttags\ncats/a.jpg\tcat\nb\tdog\n")
    return TaggedImages(str(tmp_path / "images"), labels=str(tmp_path / "labels.tsv"))


def masks() -> dict[str, np.ndarray]:
    first, second = np.zeros((2, 4, 6), np.uint8)
    first[1:3, 2:5], second[:2] = 2, 1
    return {"cats/a": first, "b": second}


def read(data: TaggedImages, source: Path, form: str) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    bad: dict[str, str] = {}
    return dict(read_corrected(data, source, form, bad.__setitem__)), bad


@pytest.mark.parametrize("form", ["masks", *(form for form in WRITE if form != "davis")])
def test_every_form_gives_the_same_masks(data, tmp_path, form):
    """The ids are those of the table, here one with its extension."""
    if form == "masks":
        for name, mask in masks().items():
            write_mask(tmp_path / "made" / f"{name}.png", mask)
    else:
        WRITE[form](tmp_path / "made", masks().items(), NAMES)
    found, bad = read(data, tmp_path / "made", form)
    assert bad == {} and sorted(found) == ["b", "cats/a.jpg"]
    assert np.array_equal(found["b"], masks()["b"]) and np.array_equal(found["cats/a.jpg"], masks()["cats/a"])


def test_what_is_of_no_image_is_reported(data, tmp_path):
    write_mask(tmp_path / "made" / "b.png", np.zeros((6, 4), np.uint8))
    write_mask(tmp_path / "made" / "c.png", np.zeros((4, 6), np.uint8))
    found, bad = read(data, tmp_path / "made", "masks")
    assert found == {} and "no tagged image" in bad["c"] and "4 x 6 and 6 x 4 px" in bad["b"]


def test_a_label_without_a_class_stops(data, tmp_path):
    write_mask(tmp_path / "made" / "b.png", np.full((4, 6), 3, np.uint8))
    with pytest.raises(UserError, match="label 3, but there are 2 classes"):
        read(data, tmp_path / "made", "masks")


@pytest.mark.parametrize("others", [0, 1, 30, 490])
@pytest.mark.parametrize("corrected", [1, 10, 500])
@pytest.mark.parametrize("share", [0.0, 0.25, 0.9])
def test_corrected_images_are_at_least_their_share(others, corrected, share):
    times = repeats(others, corrected, share)

    def part(times: int) -> Fraction:
        return Fraction(times * corrected, times * corrected + others)

    exact = Fraction(str(share))
    assert part(times) >= exact and (times == 1 or part(times - 1) < exact)  # and no oftener
    assert repeats(others, 0, share) == 0


def test_another_correction_is_another_content(tmp_path):
    write_mask(tmp_path / "made" / "a.png", np.zeros((4, 6), np.uint8))
    first = content_of(tmp_path / "made")
    assert content_of(tmp_path / "made") == first
    write_mask(tmp_path / "made" / "a.png", np.ones((4, 6), np.uint8))
    second = content_of(tmp_path / "made")
    (tmp_path / "made" / "a.png").rename(tmp_path / "made" / "b.png")
    assert len({first, second, content_of(tmp_path / "made"), content_of(tmp_path / "made" / "b.png")}) == 4
