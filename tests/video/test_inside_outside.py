"""The motion term: boundaries and votes."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from wsvs.video.inside_outside import (
    adaptive_gain,
    critical_rate,
    gradient_magnitude,
    inside_map,
    open_curves_removed,
    quality,
    turning,
    votes,
)


def slow_votes(boundary: np.ndarray) -> np.ndarray:
    """Walk the eight rays of every pixel and count the entries, in one sense along each line."""
    height, width = boundary.shape
    total = np.zeros(boundary.shape, int)
    for row in range(height):
        for column in range(width):
            if boundary[row, column]:
                continue
            for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
                line = [(row, column)]
                while 0 <= line[0][0] - down < height and 0 <= line[0][1] - right < width:
                    line.insert(0, (line[0][0] - down, line[0][1] - right))
                here = len(line) - 1
                while 0 <= line[-1][0] + down < height and 0 <= line[-1][1] + right < width:
                    line.append((line[-1][0] + down, line[-1][1] + right))
                on = [bool(boundary[p]) for p in line]
                entry = [False] + [b and not a for a, b in pairwise(on)]
                total[row, column] += sum(entry[: here + 1]) % 2 + sum(entry[here + 1 :]) % 2
    return total


def ring(size: int, outer: int, thick: int = 1) -> np.ndarray:
    """Square outline of `outer` pixels a side in the middle of a square image."""
    mask, first = np.zeros((size, size), bool), (size - outer) // 2
    mask[first : first + outer, first : first + outer] = True
    mask[first + thick : first + outer - thick, first + thick : first + outer - thick] = False
    return mask


def circle(size: int, radius: float, width: float = 1.5) -> tuple[np.ndarray, np.ndarray]:
    row, column = np.indices((size, size)) - size // 2
    distance = np.hypot(row, column)
    return np.abs(distance - radius) < width, distance


def test_votes_of_a_thin_square() -> None:
    boundary = ring(61, 21)
    found = votes(boundary)
    inner = np.zeros_like(boundary)
    inner[21:40, 21:40] = True
    assert (found[inner] == 8).all() and inner.sum() == 361
    outside = found[~inner & ~boundary]
    assert np.bincount(outside).tolist() == [2824, 432, 24]
    assert (found[boundary] == 0).all()


def test_votes_of_a_thick_square() -> None:
    boundary = ring(61, 21, thick=2)
    found = votes(boundary)
    assert (found[22:39, 22:39] == 8).all()
    outside = np.ones_like(boundary)
    outside[20:41, 20:41] = False
    assert found[outside].max() <= 2


@pytest.mark.parametrize("side", range(4))
def test_a_missing_side_does_not_open_the_square(side: int) -> None:
    boundary = np.rot90(ring(61, 21), side).copy()
    boundary[20, 21:40] = False
    assert (votes(np.rot90(boundary, -side))[21:40, 21:40] >= 5).all()


def test_votes_of_circles() -> None:
    boundary, distance = circle(61, 15)
    found = votes(boundary)
    assert (found[distance < 13.5] == 8).all()
    assert found[distance > 17].max() <= 2
    inner, _ = circle(61, 7)
    both = votes(boundary | inner)
    assert both[30, 30] == 0
    band = both[(distance > 9) & (distance < 13)]
    assert band.min() >= 6


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (9, 13), (14, 10)])
def test_votes_against_walks(shape: tuple[int, int]) -> None:
    random = np.random.default_rng(0)
    for share in (0.1, 0.3, 0.6):
        boundary = random.random(shape) < share
        assert np.array_equal(votes(boundary), slow_votes(boundary))


def test_votes_turn_with_the_image() -> None:
    boundary = np.zeros((40, 52), bool)
    boundary[1:-1, 1:-1] = np.random.default_rng(1).random((38, 50)) < 0.15
    found = votes(boundary)
    for turn in range(4):
        for flip in (False, True):

            def moved(x: np.ndarray, turn: int = turn, flip: bool = flip) -> np.ndarray:
                x = np.rot90(x, turn)
                return np.ascontiguousarray(x[:, ::-1] if flip else x)

            assert np.array_equal(votes(moved(boundary)), moved(found))


def rectangle(v: float, u: float) -> np.ndarray:
    flow = np.zeros((120, 160, 2), np.float32)
    flow[45:75, 60:100] = (u, v)
    return flow


@pytest.mark.parametrize(("v", "u"), [(0, 2), (0, 3), (3, 0), (3, 3)])
def test_a_moving_rectangle_is_inside(v: float, u: float) -> None:
    flow = rectangle(v, u)
    boundary = critical_rate(gradient_magnitude(flow), turning(flow)) < 0.7
    assert boundary.sum() == 276
    inside, magnitude = inside_map(flow)
    assert inside[46:74, 61:99].all()
    inside[45:75, 60:100] = False
    assert not inside.any()
    assert magnitude.dtype == np.float32 and magnitude.max() == pytest.approx(np.hypot(u, v) / 2 * 2**0.5)


def test_cross_gradient_is_blind_to_one_axis() -> None:
    core = np.s_[46:74, 61:99]
    assert not inside_map(rectangle(3, 0), grad="cross")[0].any()  # two sides too far apart for the diagonal rays
    assert 0.5 < inside_map(rectangle(0, 3), grad="cross")[0][core].mean() < 0.6
    assert inside_map(rectangle(3, 3), grad="cross")[0][core].all()


def test_slow_and_constant_flow_have_no_boundary() -> None:
    slow = rectangle(0, 1)
    assert not (critical_rate(gradient_magnitude(slow), turning(slow)) < 0.7).any()
    constant = np.full((40, 50, 2), 3.7, np.float32)
    inside, magnitude = inside_map(constant)
    assert not inside.any() and not magnitude.any()
    assert not inside_map(np.zeros((1, 1, 2), np.float32))[0].any()


@pytest.mark.parametrize(("m", "turns"), [(0.990, np.pi), (1.309, 1.0), (1.309, 0.0)])
def test_thresholds_in_px_per_px(m: float, turns: float) -> None:
    """b_m = 0.5 is enough where the flow turns round, and b_m = 0.6 without a turn, or with too small a one."""
    beside = np.array([[m - 0.001, m + 0.001]], np.float32)
    delta = np.full((1, 2), turns, np.float32)
    assert (critical_rate(beside, delta) < 0.7).tolist() == [[False, True]]


def test_turning_by_hand() -> None:
    right, left, down, still = (1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, 0.0)
    flow = np.array([[right, right, down, left, still, still]], np.float32)
    half = np.pi / 2
    np.testing.assert_allclose(turning(flow), [[0, half, half, np.pi, np.pi, 0]], atol=1e-6)
    # directions just left and right of straight up are near each other although their angles differ by 2 pi
    up = np.array([[(0.01, -1.0), (-0.01, -1.0)]], np.float32)
    np.testing.assert_allclose(turning(up), [[0.02, 0.02]], atol=1e-3)
    np.testing.assert_allclose(turning(up, "sum"), [[0, 0]], atol=1e-3)


def test_clean_up_drops_what_reaches_the_strip() -> None:
    boundary = np.zeros((200, 400), bool)
    boundary[60:90, 100] = True  # apart
    boundary[100, 30:15:-1] = True  # into the strip of 20 px
    boundary[101:110, 31] = True  # corner to corner with that
    boundary[150:178, 200] = True  # the strip begins at row 179
    boundary[150:180, 220] = True
    kept = np.zeros_like(boundary)
    kept[60:90, 100] = kept[150:178, 200] = True
    for cleanup in ("flood", "sweep"):
        assert np.array_equal(open_curves_removed(boundary, cleanup), kept)  # type: ignore[arg-type]


def test_sweeps_lose_a_winding_curve() -> None:
    boundary = np.zeros((200, 400), bool)
    boundary[100, :60] = True
    boundary[60:101, 60] = True
    boundary[60, 40:61] = True
    boundary[60:90, 40] = True
    boundary[90, 40:50] = True
    boundary[80:91, 50] = True
    assert not open_curves_removed(boundary, "flood").any()
    assert open_curves_removed(boundary, "sweep").any()


def test_quality_by_hand() -> None:
    mask = np.zeros((20, 20), bool)
    assert quality(mask) == 0
    mask[5:8, 4:9] = True  # variances 2/3 and 2
    assert quality(mask) == pytest.approx(15 / ((2 / 3) ** 2 + 2**2))


def test_adaptive_gain_brings_the_95th_percentile_to_a_half():
    flat = np.full((10, 10), 0.1, np.float32)
    assert adaptive_gain(flat) == pytest.approx(5)
    assert adaptive_gain(np.zeros((4, 4), np.float32)) == 10  # nothing moves: bounded
    assert adaptive_gain(flat * 30) == 1  # fast objects are left as they are


CORE = np.s_[47:73, 62:98]


def moving_rectangle(speed: float) -> np.ndarray:
    flow = np.zeros((120, 160, 2), np.float32)
    flow[45:75, 60:100, 0] = speed
    return flow


def test_adaptive_gain_finds_a_slow_rectangle():
    assert not inside_map(moving_rectangle(0.4))[0].any()
    slow = inside_map(moving_rectangle(0.4), gain="adaptive")[0]
    assert slow[CORE].all() and slow.sum() < 1.5 * 30 * 40


def test_a_fast_rectangle_is_found_with_either_gain():
    assert inside_map(moving_rectangle(8.0), gain="adaptive")[0][CORE].all()
    assert inside_map(moving_rectangle(8.0))[0][CORE].all()
