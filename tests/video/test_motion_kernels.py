"""The compiled loops of the motion term against numpy and plain loops."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from wsvs.video.inside_outside import (
    critical_rate,
    gradient_magnitude,
    inside_map,
    open_curves_removed,
    quality,
    turning,
    votes,
)


def slow_turning(flow: np.ndarray, angle: str) -> np.ndarray:
    theta = np.arctan2(flow[..., 0], flow[..., 1]).astype(np.float64)
    theta[~flow.any(axis=2)] = 10
    delta = np.zeros(theta.shape)
    for row, column in np.ndindex(theta.shape):
        for other in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
            if 0 <= other[0] < theta.shape[0] and 0 <= other[1] < theta.shape[1]:
                a, b = theta[row, column], theta[other]
                apart = abs(a - b)
                if angle == "sum":
                    apart = min(apart, abs(a + b))
                elif apart <= 2 * np.pi:
                    apart = min(apart, 2 * np.pi - apart)
                delta[row, column] = max(delta[row, column], apart)
    return np.minimum(delta, np.pi)


def some_flow(height: int, width: int) -> np.ndarray:
    flow = np.random.default_rng(5).normal(0, 1.5, (height, width, 2)).astype(np.float32)
    flow[: height // 3, : width // 2] = 0
    return flow


@pytest.mark.parametrize("size", [(2, 2), (2, 9), (13, 3), (30, 41)])
def test_gradient_is_numpys(size: tuple[int, int]) -> None:
    flow = some_flow(*size)
    u, v = flow[..., 0], flow[..., 1]
    square = np.gradient(u, axis=0) ** 2 + np.gradient(v, axis=1) ** 2
    np.testing.assert_allclose(gradient_magnitude(flow, "cross"), np.sqrt(square), rtol=1e-5)
    square += np.gradient(u, axis=1) ** 2 + np.gradient(v, axis=0) ** 2
    np.testing.assert_allclose(gradient_magnitude(flow), np.sqrt(square), rtol=1e-5)


@pytest.mark.parametrize("angle", ["circular", "sum"])
def test_turning_against_loops(angle: str) -> None:
    flow = some_flow(17, 23)
    expected = slow_turning(flow, angle)
    np.testing.assert_allclose(turning(flow, angle), expected, atol=1e-5)  # type: ignore[arg-type]
    where = np.random.default_rng(6).random((17, 23)) < 0.5
    some = turning(flow, angle, where)  # type: ignore[arg-type]
    np.testing.assert_allclose(some, np.where(where, expected, 0), atol=1e-5)


def test_critical_rate_is_the_formula() -> None:
    m, delta = np.array([[0.0, 1, 1, 2]], np.float32), np.array([[3.0, 0, 3, 1.2]], np.float32)
    tau = np.minimum(0.6, 0.5 / (1 - np.exp(-(np.array([3, 0, 3, 1.2]) ** 2)) + 1e-12))
    np.testing.assert_allclose(critical_rate(m, delta)[0, 1:], -np.log(1 - tau[1:]) / [1, 1, 2], rtol=1e-6)
    assert critical_rate(m, delta)[0, 0] == np.inf


@pytest.mark.parametrize("size", [(3, 3), (9, 40), (60, 80), (120, 90)])
def test_flood_drops_whole_components(size: tuple[int, int]) -> None:
    boundary = np.random.default_rng(7).random(size) < 0.25
    strip = round(0.05 * max(size))
    border = np.ones(size, bool)
    border[strip : -strip - 1, strip : -strip - 1] = False
    _, component = cv2.connectedComponents(boundary.view(np.uint8), connectivity=8)
    expected = boundary & ~np.isin(component, component[border & boundary])
    assert np.array_equal(open_curves_removed(boundary), expected)


def slow_sweeps(boundary: np.ndarray) -> np.ndarray:
    strip = round(0.05 * max(boundary.shape))
    reached = np.ones(boundary.shape, bool)
    reached[strip : -strip - 1, strip : -strip - 1] = False
    for marks, edge in (
        (reached.T, boundary.T),
        (reached.T[::-1], boundary.T[::-1]),
        (reached, boundary),
        (reached[::-1], boundary[::-1]),
    ):
        for line in range(1, len(marks)):
            before = np.pad(marks[line - 1], 1)
            marks[line] |= edge[line] & (before[:-2] | before[1:-1] | before[2:])
    return boundary & ~reached


@pytest.mark.parametrize("size", [(3, 3), (9, 40), (60, 80), (120, 90)])
@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
def test_sweeps_line_by_line(size: tuple[int, int], share: float) -> None:
    boundary = np.random.default_rng(8).random(size) < share
    assert np.array_equal(open_curves_removed(boundary, "sweep"), slow_sweeps(boundary))


def slow_strength(magnitude: np.ndarray, delta: np.ndarray, rate: float) -> np.ndarray:
    """b of a motion boundary: three parts, by how strong the change is."""
    b_m = 1 - np.exp(-rate * magnitude)
    b_theta = 1 - np.exp(-(delta**2))
    return np.where(b_m > 0.6, b_m, np.where(b_m > 0.25, b_m * b_theta, 0.1 * b_m))


@pytest.mark.parametrize("angle", ["circular", "sum"])
@pytest.mark.parametrize("rate", [0.7, 0.91, 1.41])
def test_critical_rate_is_the_rate_of_the_boundary(angle: str, rate: float) -> None:
    flow = np.random.default_rng(2).normal(0, 1.5, (50, 60, 2)).astype(np.float32)
    m, delta = gradient_magnitude(flow), turning(flow, angle)  # type: ignore[arg-type]
    b = slow_strength(m, delta, rate)
    clear = np.abs(b - 0.5) > 1e-4
    assert np.array_equal((b > 0.5)[clear], (critical_rate(m, delta) < rate)[clear])


@pytest.mark.parametrize("grad", ["full", "cross"])
@pytest.mark.parametrize("cleanup", ["flood", "sweep"])
def test_the_search_takes_the_most_compact_region(grad: str, cleanup: str) -> None:
    flow = cv2.GaussianBlur(some_flow(100, 140) * 12, (0, 0), 2)
    m, delta = gradient_magnitude(flow, grad), slow_turning(flow, "circular")  # type: ignore[arg-type]
    regions = []
    for rate in (0.7, *(0.71 + 0.1 * step for step in range(8))):
        boundary = slow_strength(m, delta, rate) > 0.5
        regions.append(votes(open_curves_removed(boundary, cleanup)) >= 5)  # type: ignore[arg-type]
        if len(regions) == 1 and quality(regions[0]) >= 0.2:
            break
    best = max(regions, key=quality)
    inside, _ = inside_map(flow, grad=grad, cleanup=cleanup)  # type: ignore[arg-type]
    assert best.any() and np.array_equal(inside, best)
