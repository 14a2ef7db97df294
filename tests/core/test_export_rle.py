"""Run lengths are those of the COCO API."""

from __future__ import annotations

import numpy as np
import pytest

from wsvs.core.export_rle import decode, encode


def masks():
    rng = np.random.default_rng(0)
    for _ in range(150):
        yield rng.random(rng.integers(1, 30, 2)) < rng.random()
    large = np.zeros((700, 900), bool)
    large[3:690, 5:890] = True
    yield from (large, ~large, np.zeros((9, 5), bool), np.ones((9, 5), bool))


def test_by_hand():
    """Columns first: 0 | 1 1 | 0 0 0 gives runs 1, 2, 3; each below 16 is one letter, its code 48 more."""
    mask = np.array([[0, 1, 0], [1, 0, 0]])
    assert encode(mask) == "123"
    assert decode("123", 2, 3).astype(int).tolist() == mask.tolist()
    assert decode([1, 2, 3], 2, 3).astype(int).tolist() == mask.tolist()
    assert encode(np.ones((2, 3))) == "06"  # runs of 0 come first
    assert encode(np.array([[1] * 40])) == "0X1"  # 40 = 8 + 1 * 32: 48 + 8 + 32 = 'X', then '1'
    assert encode(np.array([[0, 0, 0, 1, 0, 0, 0, 1]])) == "3130"  # the fourth is written as 1 - 1


def test_there_and_back():
    for mask in masks():
        assert np.array_equal(decode(encode(mask), *mask.shape), mask)


def test_as_the_coco_api_writes_and_reads_them():
    api = pytest.importorskip("pycocotools.mask", reason="pycocotools is not installed")
    for mask in masks():
        theirs = api.encode(np.asfortranarray(mask.astype(np.uint8)))
        assert theirs["counts"].decode() == encode(mask)
        assert np.array_equal(api.decode({"size": list(mask.shape), "counts": encode(mask)}), mask)


@pytest.mark.parametrize("counts", ["12", "1234", [7], [1, -1, 6], ""])
def test_what_does_not_fill_the_mask(counts):
    with pytest.raises(ValueError, match="not to 2 x 3 pixels"):
        decode(counts, 2, 3)
