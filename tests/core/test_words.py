from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from wsvs.core.words import counted, fitting

ROOT = Path(__file__).parents[2] / "wsvs"


@pytest.mark.parametrize(
    ("number", "said"),
    [(0, "0 images have no tag"), (1, "1 image has no tag"), (11, "11 images have no tag")],
)
def test_words_fit_their_number(number, said):
    assert counted(number, "image|images has|have no tag") == said


def test_only_pairs_of_words_are_chosen_from():
    assert fitting(1, "a | b, it|they reads|read: c") == "a | b, it reads: c"


def test_lists_of_faults_have_words_for_one_and_for_several():
    """`add_items` puts a number before its words."""
    told = []
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "add_items":
                told.append(ast.unparse(node.args[1]))
    assert len(told) > 20
    assert [words for words in told if not re.search(r"\w\|\w", words)] == []
