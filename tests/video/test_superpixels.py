"""Superpixels and their statistics."""

from __future__ import annotations

from importlib.util import find_spec

import cv2
import numpy as np
import pytest

from wsvs.video.superpixels import means, slic, superpixel_means

METHODS = ["opencv", pytest.param("fast_slic", marks=pytest.mark.skipif(
    find_spec("fast_slic") is None, reason="fast_slic is not installed"))]


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 2)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", [(8, 8), (1, 1), (1, 50), (3, 40), (9, 11), (17, 31), (64, 64), (121, 97)])
def test_labels_are_contiguous_at_any_size(method: str, size: tuple[int, int]) -> None:
    labels = slic(picture(*size), method=method)  # type: ignore[arg-type]
    assert labels.shape == size and labels.dtype == np.int32
    assert np.array_equal(np.unique(labels), np.arange(labels.max() + 1))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("size", "count"), [((225, 400), 1500), ((300, 400), 1500), ((225, 400), 400)])
def test_about_as_many_as_asked(method: str, size: tuple[int, int], count: int) -> None:
    found = slic(picture(*size), count=count, method=method).max() + 1  # type: ignore[arg-type]
    assert 0.8 * count < found < 1.2 * count


@pytest.mark.parametrize("method", METHODS)
def test_superpixels_keep_to_the_border_of_two_colours(method: str) -> None:
    frame = np.full((120, 160, 3), (200, 40, 40), np.uint8)
    right = np.zeros((120, 160), bool)
    right[:, 83:] = True
    frame[right] = (30, 60, 200)
    labels = slic(frame, count=300, method=method)  # type: ignore[arg-type]
    share = superpixel_means(labels, right, labels.max() + 1)
    wrong = np.where(share[labels] > 0.5, ~right, right)
    assert wrong.sum() <= 2 * 120  # at most two pixels a row


def test_grey_and_flat_frames() -> None:
    grey = picture(60, 80)[..., 0]
    assert np.array_equal(slic(grey), slic(np.repeat(grey[..., None], 3, axis=2)))
    flat = slic(np.full((120, 160, 3), 128, np.uint8), count=300)
    assert flat.max() + 1 > 200


def test_same_labels_for_any_number_of_threads() -> None:
    frame, threads = picture(225, 400), cv2.getNumThreads()
    try:
        cv2.setNumThreads(1)
        one = slic(frame)
        cv2.setNumThreads(4)
        assert np.array_equal(one, slic(frame))
    finally:
        cv2.setNumThreads(threads)


def test_means_against_loops() -> None:
    frame = picture(23, 31, seed=3)
    labels = slic(frame, count=30)
    found = means(labels, frame)
    assert found.size.sum() == labels.size
    for k in range(labels.max() + 1):
        inside = labels == k
        rows, columns = np.nonzero(inside)
        assert found.size[k] == inside.sum()
        np.testing.assert_allclose(found.colour[k], frame[inside].astype(float).mean(axis=0), rtol=1e-6)
        np.testing.assert_allclose(found.centre[k], (rows.mean(), columns.mean()), rtol=1e-6)


def test_mean_of_a_map_by_hand() -> None:
    labels = np.array([[0, 0, 1], [0, 1, 1]])
    values = np.array([[1.0, 2.0, 5.0], [3.0, 7.0, 9.0]])
    assert superpixel_means(labels, values, 3).tolist() == [2.0, 7.0, 0.0]


@pytest.mark.parametrize(
    "wrong", [{"count": 0}, {"compactness": 0.0}, {"iterations": 0}, {"method": "seeds"}]
)
def test_bad_settings(wrong: dict) -> None:
    with pytest.raises(ValueError, match="must be"):
        slic(picture(20, 20), **wrong)


def test_bad_frame() -> None:
    with pytest.raises(ValueError, match="uint8"):
        slic(np.zeros((20, 20, 3)))


@pytest.mark.skipif(find_spec("fast_slic") is not None, reason="fast_slic is installed")
def test_missing_library_is_named() -> None:
    with pytest.raises(ModuleNotFoundError, match="fast_slic"):
        slic(picture(60, 60), method="fast_slic")
