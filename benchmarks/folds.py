"""Cross-validation over videos: what is chosen on most of them is judged on the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

Scores = Mapping[str, Mapping[str, float]]  # choice -> video -> score


@dataclass(frozen=True)
class Fold:
    """The choice with the best mean on the videos of the other folds, and its mean on those of this fold."""

    chosen: str
    score: float


def split(names: Sequence[str], count: int) -> list[list[str]]:
    """Videos in the order of their names, dealt out in turn."""
    ordered = sorted(names)
    return [ordered[k::count] for k in range(count)]


def cross_validate(scores: Scores, count: int) -> list[Fold]:
    """Choose on all folds but one and judge on that one, for each.

    Args:
        scores: The same videos for every choice; of equal means the first choice is taken.
        count: Number of folds.
    """
    names = list(next(iter(scores.values())))
    found = []
    for fold in split(names, count):
        others = [name for name in names if name not in fold]
        chosen = max(scores, key=lambda one: _mean(scores[one], others))
        found.append(Fold(chosen, _mean(scores[chosen], fold)))
    return found


def gains(scores: Scores, base: str, count: int) -> dict[str, np.ndarray]:
    """Choice -> (count,) mean difference from the choice `base` on each fold."""
    folds = split(list(scores[base]), count)
    return {
        one: np.array([_mean(values, fold) - _mean(scores[base], fold) for fold in folds])
        for one, values in scores.items()
    }


def _mean(scores: Mapping[str, float], names: Sequence[str]) -> float:
    return float(np.mean([scores[name] for name in names]))
