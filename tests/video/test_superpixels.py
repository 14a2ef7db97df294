"""Superpixels and their statistics."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from wsvs.video import superpixels
from wsvs.video.slic_kernel import slic_labels
from wsvs.video.superpixels import means, slic, superpixel_means

METHODS = ["numba", "opencv"]


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


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("frame", [picture(90, 130), noise(90, 130), noise(33, 50)], ids=["blobs", "noise", "small"])
def test_compiled_superpixels_are_in_one_piece(frame: np.ndarray) -> None:
    labels = slic(frame, count=200, method="numba")
    for k in range(labels.max() + 1):
        assert cv2.connectedComponents((labels == k).astype(np.uint8), connectivity=4)[0] == 2


def test_pieces_are_absorbed_but_not_all() -> None:
    labels = slic(noise(225, 400), method="numba")  # nearly every pixel is a piece of its own
    size = np.bincount(labels.ravel())
    assert 1200 < len(size) < 1800 and size.min() >= 15  # a quarter of the mean


def test_labels_are_numbered_by_their_first_pixel() -> None:
    labels = slic(picture(60, 80), count=100, method="numba")
    _, first = np.unique(labels, return_index=True)
    assert (np.diff(first) > 0).all()


def test_one_round_takes_the_nearest_of_the_centres_around() -> None:
    frame = picture(48, 64, seed=2)
    lab = cv2.cvtColor(frame, cv2.COLOR_RGB2LAB).astype(np.float64)
    found = slic_labels(lab.astype(np.uint8), rows=6, columns=8, weight=2.0, rounds=1, smallest=1)
    y, x = np.indices(found.shape)
    even = y % 2 == 0  # all cells are 8 x 8 and start in an even row: those rows make the first centres
    pixels = np.dstack([lab, x, y])
    expected = np.zeros(found.shape, int)
    for row, column in np.ndindex(found.shape):
        best = np.inf
        for i in range(max(row // 8 - 1, 0), min(row // 8 + 2, 6)):
            for j in range(max(column // 8 - 1, 0), min(column // 8 + 2, 8)):
                cell = even & (y // 8 == i) & (x // 8 == j)
                d = (pixels[row, column] - pixels[cell].mean(axis=0)) ** 2
                if d[:3].sum() + 2 * d[3:].sum() < best:
                    best, expected[row, column] = d[:3].sum() + 2 * d[3:].sum(), i * 8 + j
    # the same division, but for pieces that lie apart: each found label lies in one expected one
    pairs = np.unique(found * 48 + expected)
    assert len(pairs) <= 1.01 * (found.max() + 1)


def test_grey_and_flat_frames() -> None:
    grey = picture(60, 80)[..., 0]
    assert np.array_equal(slic(grey), slic(np.repeat(grey[..., None], 3, axis=2)))
    for method in METHODS:
        flat = slic(np.full((120, 160, 3), 128, np.uint8), count=300, method=method)  # type: ignore[arg-type]
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


@pytest.mark.parametrize("wrong", [{"count": 0}, {"compactness": 0.0}, {"method": "seeds"}])
def test_bad_settings(wrong: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        slic(picture(20, 20), **wrong)


def test_bad_frame() -> None:
    with pytest.raises(ValueError, match="uint8"):
        slic(np.zeros((20, 20, 3)))


def test_without_numba_opencv_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = picture(60, 60)
    monkeypatch.setattr(superpixels, "njit", None)
    assert np.array_equal(slic(frame), slic(frame, method="opencv"))
    with pytest.raises(ModuleNotFoundError, match="numba"):
        slic(frame, method="numba")
