"""Crops against a slow obvious version, and images that stay on their masks."""

from __future__ import annotations

import numpy as np
import pytest

from wsvs.core.classes import IGNORE
from wsvs.data.transforms import FILL, ImageAugmentation, crop_or_pad, jitter_factors, resize_image


def slow_crop(array, top, left, size, fill):
    rows = []
    for y in range(top, top + size):
        inside = [0 <= y < array.shape[0] and 0 <= x < array.shape[1] for x in range(left, left + size)]
        rows.append([array[y, left + k] if good else fill for k, good in enumerate(inside)])
    return np.array(rows, array.dtype)


@pytest.mark.parametrize("depth", [(), (3,)])
def test_crop_or_pad_against_a_slow_version(depth):
    rng = np.random.default_rng(0)
    fill = 255 if depth == () else FILL
    cases = [(-30, 0, 5), (0, -30, 5), (40, 2, 3), (2, 40, 3), (-3, -4, 40)]  # far outside, and all around
    cases += [tuple(rng.integers((-12, -12, 1), (14, 16, 16))) for _ in range(60)]
    for top, left, size in cases:
        array = rng.integers(0, 200, (rng.integers(1, 12), rng.integers(1, 14), *depth), np.uint8)
        found = crop_or_pad(array, top, left, size, fill)
        assert found.dtype == np.uint8 and np.array_equal(found, slow_crop(array, top, left, size, fill))


def test_resize():
    image = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    assert resize_image(image, 4, 4) is image
    halves = image.astype(float).reshape(2, 2, 2, 2, 3).mean((1, 3))  # shrinking averages, so nothing aliases
    assert np.abs(resize_image(image, 2, 2) - halves).max() <= 0.5
    assert resize_image(image, 7, 9).shape == (7, 9, 3)


def test_jitter_factors_fill_their_range():
    found = np.stack([jitter_factors(0.3, np.random.default_rng(k)) for k in range(400)])
    assert found.dtype == np.float32 and found.shape == (400, 3)
    assert (found >= 0.7).all() and (found <= 1.3).all()
    assert np.abs(found.mean(0) - 1).max() < 0.03 and (np.ptp(found, axis=0) > 0.58).all()
    assert np.abs(np.corrcoef(found.T) - np.eye(3)).max() < 0.2  # each by itself


# An image whose colour is its label: blocks of 1 px a label would lose their colour where sizes change.
LABELS = np.kron(np.array([[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]], np.uint8), np.ones((40, 30), np.uint8))
PICTURE = np.repeat(LABELS[..., None] * 20, 3, 2).astype(np.uint8)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("scale", [(0.5, 0.9), (1, 1), (1.1, 2.0)])
def test_image_and_mask_stay_aligned(seed, scale):
    augmentation = ImageAugmentation(96, scale, jitter=0)
    image, mask = augmentation.with_mask(PICTURE, LABELS, np.random.default_rng(seed))
    assert image.shape == (96, 96, 3) and mask.shape == (96, 96)
    outside = mask == IGNORE
    assert (image[outside] == FILL).all()
    inner = ~outside  # away from the borders of blocks, where colours blend
    for dy in (-2, 0, 2):
        for dx in (-2, 0, 2):
            inner &= np.roll(mask, (dy, dx), (0, 1)) == mask
    inner[:2] = inner[-2:] = inner[:, :2] = inner[:, -2:] = False
    assert inner.sum() > 500
    assert (np.abs(image[inner].astype(int) - mask[inner][:, None].astype(int) * 20) <= 1).all()
    longest = scale[0] * 96, scale[1] * 96  # 120 x 120 px stay a square
    rows, columns = (~outside).any(1).sum(), (~outside).any(0).sum()
    assert rows == columns and min(96, longest[0]) - 1 <= rows <= min(96, longest[1]) + 1
    assert np.array_equal(augmentation(PICTURE, np.random.default_rng(seed)), image)


@pytest.fixture(scope="module")
def turned() -> list[np.ndarray]:
    """Masks of 300 seeds: columns numbered from 0, 16 rows in a window of 32."""
    augmentation = ImageAugmentation(32, (1, 1), jitter=0)
    wide = np.repeat(np.arange(64, dtype=np.uint8)[None], 32, 0)
    image = np.repeat(wide[..., None] * 3, 3, 2)
    return [augmentation.with_mask(image, wide, np.random.default_rng(k))[1] for k in range(300)]


def test_mirrors_half_of_the_time(turned):
    rows = [mask[np.flatnonzero((mask != IGNORE).any(1))[0]] for mask in turned]
    assert 0.4 < np.mean([row[0] > row[-1] for row in rows]) < 0.6


def test_the_image_is_put_at_every_place_of_the_window(turned):
    assert {int(np.flatnonzero((mask != IGNORE).any(1))[0]) for mask in turned} == set(range(17))


def test_one_pixel_and_long_images():
    augmentation = ImageAugmentation(16, (0.8, 1.6), jitter=0.3)
    for shape in ((1, 1), (1, 500), (500, 1), (3000, 2)):
        image, mask = augmentation.with_mask(
            np.zeros((*shape, 3), np.uint8), np.ones(shape, np.uint8), np.random.default_rng(0)
        )
        assert image.shape == (16, 16, 3) and (mask == 1).any()


def test_bad_settings():
    with pytest.raises(ValueError, match="size must be a whole number >= 16, got 15"):
        ImageAugmentation(15)
