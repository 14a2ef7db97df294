from __future__ import annotations

import re
from pathlib import Path

from rich.table import Table

from wsvs.core.console import plain_console, show

PACKAGE = Path(__file__).parents[2] / "wsvs"


def test_names_are_shown_as_they_are(capsys):
    name = "dog [old] :cat: [/x]"
    table = Table(name, title=name)
    table.add_row(name)
    plain_console().print(table)
    plain_console().print(name)
    assert capsys.readouterr().out.count(name) == 4


def wide() -> Table:
    table = Table("step", "seconds", "run", title="what was run")
    table.add_row("encoder", "12", "outputs/" + "a long name " * 12 + "/encoder/20260101-000000-0001")
    table.add_row("decoder", "3456789", "outputs/x")
    return table


def test_a_table_that_is_too_wide_is_reported_line_by_line(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    show(wide())
    long = "outputs/" + "a long name " * 12 + "/encoder/20260101-000000-0001"
    assert capsys.readouterr().out.splitlines() == [
        "what was run",
        "encoder",
        "  seconds  12",
        f"  run  {long}",
        "decoder",
        "  seconds  3456789",
        "  run  outputs/x",
    ]
    narrow = Table("class", "images")
    narrow.add_row("cat", "12")
    show(narrow)
    assert any(re.fullmatch(r"\W*cat\W+12\W*", line) for line in capsys.readouterr().out.splitlines())


def test_where_there_is_no_terminal_each_row_is_one_line(capsys, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    show(wide())
    lines = capsys.readouterr().out.splitlines()
    assert sum("a long name " * 12 + "/encoder/20260101-000000-0001" in line for line in lines) == 1
    assert any("decoder" in line and "3456789" in line and "outputs/x" in line for line in lines)


def test_nothing_else_writes_to_the_screen_through_rich():
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text("utf-8")
        assert path.name == "console.py" or not re.search(r"\bConsole\(|rich import print", text), path
        assert len(re.findall(r"TextColumn\((?!.*?markup=False)", text)) == 0, path
