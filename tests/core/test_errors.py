"""The user's error: its text, and that it survives the way from a worker process."""

from __future__ import annotations

import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from wsvs.core.errors import BadItem, UserError


def test_message_says_what_where_and_what_next():
    error = UserError("mask not found", where="a/b.png", remedy="run stage=segment first")
    assert str(error) == "mask not found\n  where: a/b.png\n  next:  run stage=segment first"
    assert str(UserError("mask not found")) == "mask not found"


@pytest.mark.parametrize("kind", [UserError, BadItem])
@pytest.mark.parametrize("keywords", [{}, {"where": "a.png"}, {"where": "a.png", "remedy": "fix it"}])
def test_pickle_keeps_kind_and_parts(kind, keywords):
    error = kind("broken", **keywords)
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert (again.problem, again.where, again.remedy) == (error.problem, error.where, error.remedy)
    assert str(again) == str(error)


def _fail() -> None:
    raise BadItem("broken", where="a.png", remedy="fix it")


def test_raised_in_another_process():
    with (
        ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool,
        pytest.raises(BadItem, match="next:  fix it") as caught,
    ):
        pool.submit(_fail).result()
    assert caught.value.where == "a.png"


def test_bad_item_is_a_user_error():
    with pytest.raises(UserError):
        _fail()
