from __future__ import annotations

import pytest

from wsvs.core.words import counted, fitting


@pytest.mark.parametrize(
    ("number", "said"),
    [(0, "0 images have no tag"), (1, "1 image has no tag"), (11, "11 images have no tag")],
)
def test_words_fit_their_number(number, said):
    assert counted(number, "image|images has|have no tag") == said


def test_only_pairs_of_words_are_chosen_from():
    assert fitting(1, "a | b, it|they reads|read: c") == "a | b, it reads: c"
