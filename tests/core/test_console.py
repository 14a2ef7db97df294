from __future__ import annotations

import re
from pathlib import Path

from rich.table import Table

from wsvs.core.console import plain_console

PACKAGE = Path(__file__).parents[2] / "wsvs"


def test_names_are_shown_as_they_are(capsys):
    name = "dog [old] :cat: [/x]"
    table = Table(name, title=name)
    table.add_row(name)
    plain_console().print(table)
    plain_console().print(name)
    assert capsys.readouterr().out.count(name) == 4


def test_nothing_else_writes_to_the_screen_through_rich():
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text("utf-8")
        assert path.name == "console.py" or not re.search(r"\bConsole\(|rich import print", text), path
        assert len(re.findall(r"TextColumn\((?!.*?markup=False)", text)) == 0, path
