"""Runs of relevant frames."""

from __future__ import annotations

import numpy as np
import pytest

from wsvs.video.relevance import relevant_runs


@pytest.mark.parametrize(
    ("scores", "runs"),
    [
        ([], []),
        ([0.9] * 5, []),
        ([0.9] * 6, [(0, 6)]),
        ([0.9] * 6 + [0.1] + [0.9] * 7, [(0, 6), (7, 14)]),
        ([0.9] * 3 + [0.1] + [0.9] * 3, []),
        ([0.8] * 9, []),  # "larger than a threshold"
        ([0.1] + [0.9] * 6 + [0.1], [(1, 7)]),
    ],
)
def test_runs(scores: list[float], runs: list[tuple[int, int]]) -> None:
    assert relevant_runs(np.array(scores)) == runs


def test_settings_count() -> None:
    scores = np.array([0.3, 0.6, 0.6, 0.1, 0.6])
    assert relevant_runs(scores, threshold=0.5, min_frames=1) == [(1, 3), (4, 5)]
    assert relevant_runs(scores, threshold=0.5, min_frames=2) == [(1, 3)]


@pytest.mark.parametrize("scores", [np.zeros((2, 2)), np.array([0.5, np.nan])])
def test_bad_scores(scores: np.ndarray) -> None:
    with pytest.raises(ValueError, match="scores must be a vector"):
        relevant_runs(scores)


def test_bad_length() -> None:
    with pytest.raises(ValueError, match="min_frames"):
        relevant_runs(np.zeros(3), min_frames=0)
