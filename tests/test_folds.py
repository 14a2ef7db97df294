"""Cross-validation of benchmarks: by hand, and against a search over every choice."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from benchmarks.folds import cross_validate, gains, split


def test_videos_are_dealt_out_by_name() -> None:
    assert split(["d", "b", "a", "c", "e"], 2) == [["a", "c", "e"], ["b", "d"]]


def test_a_choice_that_fits_one_fold_alone_is_judged_elsewhere() -> None:
    plain = dict.fromkeys("abcd", 0.5)
    fitted = {"a": 1.0, "b": 0.4, "c": 0.9, "d": 0.4}  # good on the first fold, a and c
    held_out = cross_validate({"plain": plain, "fitted": fitted}, 2)
    assert [fold.chosen for fold in held_out] == ["plain", "fitted"]
    assert [fold.score for fold in held_out] == pytest.approx([0.5, 0.4])
    change = gains({"plain": plain, "fitted": fitted}, "plain", 2)
    assert change["fitted"] == pytest.approx([0.45, -0.1])
    assert not change["plain"].any()


@pytest.mark.parametrize("count", [2, 3, 5])
def test_each_fold_has_the_best_choice_of_the_others(count: int) -> None:
    random = np.random.default_rng(count)
    names = [f"{n:02d}" for n in range(11)]
    scores = {f"choice {c}": dict(zip(names, random.random(11).tolist(), strict=True)) for c in range(6)}
    for k, fold in enumerate(cross_validate(scores, count)):
        inside = [name for n, name in enumerate(names) if n % count == k]
        totals = dict.fromkeys(scores, 0.0)
        for one, name in product(scores, names):
            totals[one] += scores[one][name] * (name not in inside)
        assert totals[fold.chosen] == max(totals.values())
        assert fold.score == pytest.approx(sum(scores[fold.chosen][name] for name in inside) / len(inside))
