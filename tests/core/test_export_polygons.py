"""Polygons along the borders of pixels give the mask back, exactly."""

from __future__ import annotations

import tracemalloc

import cv2
import numpy as np
import pytest

from wsvs.core.export_polygons import fill, outlines


def back(mask: np.ndarray) -> np.ndarray:
    found = np.zeros(mask.shape, int)
    for points in outlines(mask):
        found += filled(points, *mask.shape)
    return found


def filled(points: np.ndarray, height: int, width: int) -> np.ndarray:
    mask = np.zeros((height, width), bool)
    fill(mask, points, True)
    return mask


def test_a_rectangle_by_hand():
    mask = np.zeros((5, 7), bool)
    mask[1:3, 2:6] = True
    [points] = outlines(mask)
    assert {tuple(point) for point in points.tolist()} == {(2, 1), (6, 1), (6, 3), (2, 3)} and len(points) == 4


def test_a_hole_hangs_on_a_slit():
    mask = np.ones((3, 3), bool)
    mask[1, 1] = False
    [points] = outlines(mask)
    assert len(points) == 4 + 4 + 2  # both loops, and the way there and back
    assert np.array_equal(back(mask), mask)


def test_random_masks_with_holes_islands_and_corners_that_touch():
    rng = np.random.default_rng(0)
    for size in [10] * 400 + [40] * 20:
        mask = rng.random(rng.integers(1, size, 2)) < rng.random()
        assert np.array_equal(back(mask), mask)  # and no part over another: the sum is 1 at most
        assert len(outlines(mask)) == cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)[0] - 1


def test_slits_run_through_the_part_alone():
    """Tools that draw a polygon's sides too would else paint over holes: OpenCV does."""
    rng = np.random.default_rng(2)
    mask = np.kron(rng.random((30, 30)) < 0.9, np.ones((4, 4), bool))
    for points in outlines(mask):
        for (x0, y0), (x1, y1) in zip(points, np.roll(points, -1, axis=0), strict=True):
            assert y0 == y1 or x0 == x1
            if y0 == y1:  # one of the two rows that it runs between
                xs = slice(min(x0, x1), max(x0, x1))
                assert mask[y0 - 1 : y0, xs].all() or mask[y0 : y0 + 1, xs].all()


def test_fill_agrees_with_the_test_of_each_pixels_centre():
    """By OpenCV's point-in-polygon test, for polygons with slanted sides, some beyond the image."""
    rng = np.random.default_rng(1)
    for _ in range(30):
        corners = rng.uniform(-5, 25, (3, 2))  # a triangle; no centre lies on a side
        found = filled(corners, 20, 18)
        expected = [
            [cv2.pointPolygonTest(corners.astype(np.float32), (x + 0.5, y + 0.5), False) > 0 for x in range(18)]
            for y in range(20)
        ]
        assert np.array_equal(found, np.array(expected))


@pytest.mark.parametrize("points", [np.zeros((0, 2)), np.array([[1, 1]]), np.array([[1, 1], [5, 4]])])
def test_what_has_no_area_fills_nothing(points):
    assert not filled(points, 6, 6).any()


def test_the_cost_is_that_of_the_polygon_and_not_of_the_image():
    mask = np.zeros((8000, 9000), np.uint8)
    tracemalloc.start()
    fill(mask, np.array([[8000, 7000], [8002, 7000], [8002, 7003], [8000, 7003]]), 7)
    used = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert used < 100_000 and mask.sum() == 6 * 7 and (mask[7000:7003, 8000:8002] == 7).all()
