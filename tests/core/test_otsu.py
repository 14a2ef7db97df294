"""Otsu's threshold against all splits, tried one by one."""

from __future__ import annotations

import numpy as np
import pytest

from wsvs.core.otsu import otsu


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("limits", [None, (0, 1)])
def test_it_is_the_best_of_all_splits(weighted, limits):
    random = np.random.default_rng(1)
    values = np.concatenate([random.normal(0.2, 0.08, 300), random.normal(0.7, 0.08, 100)]).clip(0, 1)
    weights = random.uniform(1, 5, 400) / 100 if weighted else np.ones(400)

    def between(cut: float) -> float:
        low = values <= cut
        a, b = weights[low].sum(), weights[~low].sum()
        means = np.average(values[low], weights=weights[low]), np.average(values[~low], weights=weights[~low])
        return a * b * (means[0] - means[1]) ** 2

    best = max(between(cut) for cut in np.unique(values)[:-1])
    found = otsu(values.reshape(20, 20), weights.reshape(20, 20) if weighted else None, limits=limits, flat=0)
    assert 0.3 < found < 0.6 and between(found) == pytest.approx(best, rel=0.01)


def test_by_hand():
    assert otsu(np.array([0.1, 0.9]), limits=(0, 1), flat=9) == 26 / 256  # the first edge above 0.1
    assert otsu(np.array([0.0, 1, 10]), np.array([1.0, 1, 0]), flat=9) == 10 / 256  # what weighs nothing is not there
    assert otsu(np.array([-256.0, 0]), flat=9) == -255


def test_nothing_to_split():
    assert otsu(np.full((4, 4), 0.3, np.float32), limits=(0, 1), flat=0.5) == 0.5
    assert otsu(np.full(4, 7.0), np.array([0.5, 1, 2, 3]), flat=0) == 0
