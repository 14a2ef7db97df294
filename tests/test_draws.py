"""The draws of photographs that `experiment=small` is judged on."""

from __future__ import annotations

from benchmarks.draws import draw

TAGS = {f"{name}{number:02}": (name,) for name in ("cat", "dog") for number in range(30)}
TAGS |= {f"both{number}": ("cat", "dog") for number in range(9)}
TAGS |= {f"rider{number}": ("dog", "man") for number in range(9)}
JUDGED = {name for name in TAGS if name[-1] in "02468"}


def test_judged_photographs_are_never_trained_on():
    for seed in range(5):
        found = draw(TAGS, JUDGED, ("cat", "dog"), 8, seed)
        for one in ("cat", "dog"):
            assert len(set(found.train[one])) == len(set(found.judge[one])) == 8
            assert not set(found.train[one]) & JUDGED and set(found.judge[one]) <= JUDGED


def test_a_photograph_shows_one_of_the_classes():
    found = draw(TAGS, JUDGED, ("cat", "dog"), 10, 0)
    for part in found:
        for one, names in part.items():
            assert all([tag for tag in TAGS[name] if tag in ("cat", "dog")] == [one] for name in names)


def test_draws_differ_by_seed_and_by_nothing_else():
    first = draw(TAGS, JUDGED, ("cat", "dog"), 8, 1)
    assert first == draw(dict(reversed(TAGS.items())), JUDGED, ("cat", "dog"), 8, 1)
    assert first != draw(TAGS, JUDGED, ("cat", "dog"), 8, 2)
