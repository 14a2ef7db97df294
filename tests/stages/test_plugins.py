"""Modules of the user's own."""

from __future__ import annotations

import sys

import pytest

from wsvs.core.errors import UserError
from wsvs.engine.registry import load_plugins


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_modules_are_imported_once_in_their_order(folder):
    (folder / "own").mkdir()
    (folder / "own" / "first.py").write_text("import sys\nsys.own_order = ['first']\n")
    (folder / "second.py").write_text("import sys\nsys.own_order.append('second')\n")
    try:
        load_plugins(["own.first", "second"])
        load_plugins("second")
        assert sys.own_order == ["first", "second"]
    finally:
        del sys.own_order


@pytest.mark.parametrize("name", ["no_such_module", "no_such_module.part", "own.nothing"])
def test_a_module_that_is_not_there(folder, name):
    (folder / "own").mkdir()
    with pytest.raises(UserError, match=f"there is no module '{name}'\n.*plugins\n.*PYTHONPATH"):
        load_plugins([name])


def test_a_module_that_needs_another(folder):
    (folder / "second.py").write_text("import no_such_library\n")
    with pytest.raises(UserError, match=r"'second' needs 'no_such_library'(.|\n)*pip install no_such_library"):
        load_plugins(["second"])


def test_an_error_of_its_own_code_keeps_its_trace(folder):
    (folder / "second.py").write_text("1 / 0\n")
    with pytest.raises(ZeroDivisionError):
        load_plugins(["second"])
