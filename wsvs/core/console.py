"""The screen: tables that show names as they are, and the log."""

from __future__ import annotations

import logging
import os
import shlex
import sys
from typing import TextIO

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

WIDE = 10000  # without a terminal: one line per row, for programs that read the output


def plain_console() -> Console:
    """A console that takes nothing in a text for its own: in the class 'dog [old]' rich would see markup."""
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else WIDE
    return Console(markup=False, emoji=False, width=width)


def show(table: Table) -> None:
    """Print a table whole: where it is too wide for the terminal, each row becomes lines of a heading and a value."""
    console = plain_console()
    if Measurement.get(console, console.options.update(max_width=WIDE), table).maximum <= console.width:
        console.print(table)
        return
    if table.title:
        console.print(table.title, soft_wrap=True)
    names = [str(column.header) for column in table.columns]
    for cells in zip(*(column.cells for column in table.columns), strict=True):
        first, *others = zip(names, map(str, cells), strict=True)
        console.print(first[1], soft_wrap=True, highlight=False)
        for name, cell in others:
            console.print(f"  {name}  {cell}" if name else f"  {cell}", soft_wrap=True, highlight=False)


class _Stdout(logging.StreamHandler[TextIO]):
    """Where print() of this process goes, which is above a progress bar; a forked worker knows of no bar."""

    def __init__(self) -> None:
        super().__init__(sys.stdout)
        self._plain, self._process = sys.stdout, os.getpid()

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stdout if os.getpid() == self._process else self._plain
        super().emit(record)


def log_to_stdout() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[_Stdout()])
    logging.raiseExceptions = False  # a log that cannot be written must not bury the message that says why


def for_shell(word: str) -> str:
    """A word in quotes if it needs them; in double ones where it has single ones itself, which is easier to read."""
    return f'"{word}"' if "'" in word and not set(word) & set('"$`\\!') else shlex.quote(word)
