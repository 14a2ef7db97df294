"""Edges, weights, cut."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import numpy as np
import pytest

from wsvs.video.graph import (
    energy,
    flow_percentage,
    graph_cut,
    spatial_edges,
    spatial_weights,
    temporal_links,
    temporal_weights,
)
from wsvs.video.reader import read_frames
from wsvs.video.segmentation import SegmentSettings, describe_frames, segment

SOLVERS = ["maxflow", "scipy"]


def cells(rows: int, columns: int, side: int = 5) -> np.ndarray:
    grid = np.arange(rows * columns, dtype=np.int32).reshape(rows, columns)
    return grid.repeat(side, axis=0).repeat(side, axis=1)


@pytest.mark.parametrize(("r", "c"), [(1, 1), (1, 6), (4, 3), (7, 9)])
def test_edges_of_a_grid(r: int, c: int) -> None:
    assert len(spatial_edges(cells(r, c))) == 2 * r * c - r - c + 2 * (r - 1) * (c - 1)


def test_adjacency_against_loops() -> None:
    labels = np.random.default_rng(0).integers(0, 12, (11, 14))
    pairs = set()
    for row, column in np.ndindex(labels.shape):
        for down, right in itertools.product((-1, 0, 1), repeat=2):
            other = row + down, column + right
            if 0 <= other[0] < 11 and 0 <= other[1] < 14 and labels[row, column] != labels[other]:
                pairs.add(tuple(sorted((int(labels[row, column]), int(labels[other])))))
    assert [tuple(edge) for edge in spatial_edges(labels).tolist()] == sorted(pairs)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("size", [(1, 9), (9, 1), (2, 2), (40, 51)])
def test_adjacency_of_pieces_with_borders(seed: int, size: tuple[int, int]) -> None:
    random = np.random.default_rng(seed)
    points = random.random((25, 2)) * size
    y, x = np.indices(size)
    labels = ((y[..., None] - points[:, 0]) ** 2 + (x[..., None] - points[:, 1]) ** 2).argmin(axis=2)
    labels[random.random(size) < 0.03] = 25
    pairs = set()
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        rows, columns = slice(0, size[0] - down), slice(max(-right, 0), size[1] - max(right, 0))
        shifted = slice(down, size[0]), slice(max(-right, 0) + right, size[1] - max(right, 0) + right)
        pairs |= set(zip(labels[rows, columns].ravel().tolist(), labels[shifted].ravel().tolist(), strict=True))
    expected = sorted({(min(pair), max(pair)) for pair in pairs if pair[0] != pair[1]})
    assert [tuple(edge) for edge in spatial_edges(labels).tolist()] == expected


def test_links_into_and_out_of_a_frame() -> None:
    labels = np.arange(12, dtype=np.int32).reshape(3, 4)
    flow = np.full((3, 4, 2), 1e9, np.float32)
    flow[0, 0], flow[0, 1], flow[2, 3] = (-0.5, 0.4), (-1.0, 2.5), (0.6, 0)  # halves round to even
    edges, counts = temporal_links(labels, labels, flow)
    assert edges.tolist() == [[0, 0], [1, 8]] and counts.tolist() == [1, 1]


def test_links_against_loops() -> None:
    random = np.random.default_rng(1)
    one, other = random.integers(0, 9, (13, 17)), random.integers(0, 7, (13, 17))
    flow = random.normal(0, 4, (13, 17, 2)).astype(np.float32)
    expected: dict[tuple[int, int], int] = {}
    for row, column in np.ndindex(one.shape):
        to = row + round(float(flow[row, column, 1])), column + round(float(flow[row, column, 0]))
        if 0 <= to[0] < 13 and 0 <= to[1] < 17:
            pair = int(one[row, column]), int(other[to])
            expected[pair] = expected.get(pair, 0) + 1
    edges, counts = temporal_links(one, other, flow)
    assert {tuple(e): c for e, c in zip(edges.tolist(), counts.tolist(), strict=True)} == expected
    phi = flow_percentage(edges, counts, 9)
    assert (phi > 0).all()
    np.testing.assert_allclose(np.bincount(edges[:, 0], phi)[np.unique(edges[:, 0])], 1)


def test_links_of_still_and_shifted_frames() -> None:
    labels = cells(4, 6)
    edges, counts = temporal_links(labels, labels, np.zeros((20, 30, 2), np.float32))
    assert edges.tolist() == [[k, k] for k in range(24)] and (counts == 25).all()
    assert (flow_percentage(edges, counts, 24) == 1).all()
    right = np.zeros((20, 30, 2), np.float32)
    right[..., 0] = 5  # one cell to the right; the last column leaves the frame
    edges, counts = temporal_links(labels, labels, right)
    assert edges.tolist() == [[k, k + 1] for k in range(24) if k % 6 < 5]
    edges, _ = temporal_links(labels, labels, right * 100)
    assert edges.shape == (0, 2)


def test_spatial_weights_by_hand() -> None:
    colours = np.array([[0, 0, 0], [10, 0, 0], [10, 20, 0]], np.float32)
    centres = np.array([[0, 0], [0, 1], [2, 1]], np.float32)
    edges = np.array([[0, 1], [1, 2]])
    c2, d = np.array([100.0, 400.0]), np.array([1.0, 2.0])
    beta = 0.5 / np.mean(c2 / d)
    np.testing.assert_allclose(spatial_weights(colours, centres, edges), np.exp(-beta * c2) / d)
    np.testing.assert_allclose(spatial_weights(colours * 3, centres, edges), np.exp(-beta * c2) / d)
    phi = np.array([0.25, 1.0])
    beta = 0.5 / np.mean(c2 * phi)
    np.testing.assert_allclose(temporal_weights(colours, edges, phi), phi * np.exp(-beta * c2))


def test_equal_contrast_and_no_contrast() -> None:
    centres = np.stack([np.zeros(6), np.arange(6)], axis=1)
    edges = np.stack([np.arange(5), np.arange(1, 6)], axis=1)
    steps = np.zeros((6, 3))
    steps[:, 0] = 7 * np.arange(6)
    np.testing.assert_allclose(spatial_weights(steps, centres, edges), np.exp(-0.5))
    np.testing.assert_allclose(spatial_weights(steps * 0, centres, edges), 1)
    np.testing.assert_allclose(temporal_weights(steps * 0, edges, np.full(5, 0.3)), 0.3)
    assert len(temporal_weights(steps, np.zeros((0, 2), int), np.zeros(0))) == 0


def test_weights_of_random_edges() -> None:
    """Never negative, the same in both directions; the contrast at which beta is set gives exp(-1/2)."""
    random = np.random.default_rng(6)
    colours, centres = random.uniform(0, 255, (40, 3)), random.uniform(0, 300, (40, 2))
    edges = np.array(list(itertools.combinations(range(40), 2)))[::3]
    d = np.linalg.norm(centres[edges[:, 0]] - centres[edges[:, 1]], axis=1)
    c2 = ((colours[edges[:, 0]] - colours[edges[:, 1]]) ** 2).sum(axis=1)
    phi = random.uniform(0.01, 1, len(edges))
    for weights, back, phi_place, mean in (
        (spatial_weights(colours, centres, edges), spatial_weights(colours, centres, edges[:, ::-1]), 1 / d, c2 / d),
        (temporal_weights(colours, edges, phi), temporal_weights(colours, edges[:, ::-1], phi), phi, c2 * phi),
    ):
        assert (weights >= 0).all()
        np.testing.assert_allclose(weights, back)
        np.testing.assert_allclose((weights / phi_place) ** (mean.mean() / c2), np.exp(-0.5))


def random_graph(nodes: int, edges: int, seed: int, strength: float = 1.0):
    random = np.random.default_rng(seed)
    pairs = np.array(list(itertools.combinations(range(nodes), 2))) if nodes < 50 else None
    if pairs is None:
        a = random.integers(0, nodes, 2 * edges)
        b = random.integers(0, nodes, 2 * edges)
        pairs = np.unique(np.sort(np.stack([a, b], axis=1)[a != b], axis=1), axis=0)
    pairs = random.permutation(pairs)[:edges]
    return random.random(nodes), random.random(nodes), pairs, strength * random.random(len(pairs))


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("seed", range(8))
def test_cut_against_all_labelings(solver: str, seed: int) -> None:
    problem = random_graph(8, 14, seed, strength=0.4)
    least = min(energy(np.array(labels), *problem) for labels in itertools.product((False, True), repeat=8))
    assert energy(graph_cut(*problem, solver), *problem) == pytest.approx(least, abs=1e-6)  # type: ignore[arg-type]


@pytest.mark.parametrize("solver", SOLVERS)
def test_cut_in_simple_cases(solver: str) -> None:
    fg, bg, edges, weights = random_graph(30, 60, 3)

    def cut(fg: np.ndarray, bg: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return graph_cut(fg, bg, edges, weights, solver)  # type: ignore[arg-type]

    assert np.array_equal(cut(fg, bg, weights * 0), fg < bg)
    assert np.array_equal(cut(bg, fg, weights), ~cut(fg, bg, weights))
    assert not cut(fg, fg, weights).any()  # undecided is background
    chain = np.stack([np.arange(29), np.arange(1, 30)], axis=1)
    for sign in (1, -1):
        strong = graph_cut(fg + 0.5 * sign, bg, chain, np.full(29, 1e4), solver)  # type: ignore[arg-type]
        assert strong.all() if (fg + 0.5 * sign - bg).sum() < 0 else not strong.any()


@pytest.mark.parametrize("solver", SOLVERS)
def test_infinite_costs_forbid_a_label(solver: str) -> None:
    fg, bg = np.array([np.inf, 0.0, 0.0]), np.array([0.0, 0.1, np.inf])
    edges = np.array([[0, 1], [1, 2]])
    labels = graph_cut(fg, bg, edges, np.array([5.0, 4.0]), solver)  # type: ignore[arg-type]
    assert labels.tolist() == [False, False, True]


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_solvers_give_the_same_labels(seed: int, whole: bool) -> None:
    """Costs of few whole numbers have many labellings of the same least energy."""
    problem = random_graph(2000, 8000, seed, strength=0.3)
    if whole:
        fg, bg, edges, weights = problem
        problem = np.rint(3 * fg), np.rint(3 * bg), edges, np.rint(4 * weights)
    one, other = (graph_cut(*problem, solver) for solver in SOLVERS)  # type: ignore[arg-type]
    assert 0 < one.sum() < 2000
    assert np.array_equal(one, other)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("seed", [0, 11, 14, 21, 28, 38])
def test_of_equal_cuts_the_smallest_foreground(solver: str, seed: int) -> None:
    """Costs of few whole numbers: several labellings have the same least energy."""
    fg, bg, edges, weights = random_graph(8, 14, seed)
    problem = np.zeros(8), np.rint(2 * (bg - fg)), edges, np.rint(weights)
    labellings = np.array(list(itertools.product((False, True), repeat=8)))
    energies = np.array([energy(labels, *problem) for labels in labellings])
    best = labellings[energies == energies.min()]
    assert len(best) > 1
    found = graph_cut(*problem, solver)  # type: ignore[arg-type]
    assert np.array_equal(found, best.all(axis=0))  # the intersection of minimum cuts is a minimum cut


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_largest_cost_does_not_overflow(solver: str) -> None:
    """One edge carries all: its residual is twice the largest whole number that a cost may become."""
    fg, bg = np.array([0.0, 9.0]), np.array([9.0, 0.0])
    for weight, expected in ((9.5, [False, False]), (8.5, [True, False])):
        labels = graph_cut(fg, bg, np.array([[0, 1]]), np.array([weight]), solver)  # type: ignore[arg-type]
        assert labels.tolist() == expected


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bear", "breakdance-flare", "hockey"])
def test_solvers_give_the_same_masks_of_real_videos(real_data: Path, name: str) -> None:
    clip = real_data / "data" / "davis_train" / f"{name}.mp4"
    frames = np.stack(list(read_frames(clip, 0, 8, longest_edge=320)))
    graph = describe_frames(frames, SegmentSettings())
    one, other = (segment(graph, None, SegmentSettings(solver=solver)) for solver in SOLVERS)  # type: ignore[arg-type]
    assert np.array_equal(one.labels, other.labels)


def test_without_pymaxflow_scipy_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = random_graph(30, 60, 5, strength=0.4)
    expected = graph_cut(*problem, "scipy")
    monkeypatch.setitem(sys.modules, "maxflow", None)
    assert np.array_equal(graph_cut(*problem, "auto"), expected)
    with pytest.raises(ModuleNotFoundError):
        graph_cut(*problem, "maxflow")


def test_errors() -> None:
    fg, bg, edges, weights = random_graph(8, 10, 0)
    with pytest.raises(ValueError, match="must not be negative"):
        graph_cut(fg, bg, edges, -weights)
    with pytest.raises(ValueError, match="NaN"):
        graph_cut(fg * np.nan, bg, edges, weights)
    with pytest.raises(ValueError, match=r"auto.*magic"):
        graph_cut(fg, bg, edges, weights, "magic")  # type: ignore[arg-type]


def test_superpixels_with_one_centre_have_a_finite_weight():
    """A ring around a disc: their mean positions are equal, and 1 / d would be infinite."""
    colours, centres = np.array([[0.0, 0, 0], [9, 9, 9], [40, 0, 0]]), np.array([[5.0, 5], [5, 5], [5, 9]])
    weights = spatial_weights(colours, centres, np.array([[0, 1], [1, 2]]))
    assert np.isfinite(weights).all() and (weights > 0).all()
