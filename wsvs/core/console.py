"""Terminal output: tables that print names unchanged, and the log."""

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
    """A console without markup: rich would interpret the class 'dog [old]' as markup."""
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else WIDE
    return Console(markup=False, emoji=False, width=width)


def show(table: Table) -> None:
    """Print a whole table: if it is too wide for the terminal, each row becomes lines of a heading and a value."""
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
    """Writes to this process's sys.stdout, which a progress bar may replace; forked workers use the original."""

    def __init__(self) -> None:
        super().__init__(sys.stdout)
        self._plain, self._process = sys.stdout, os.getpid()

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stdout if os.getpid() == self._process else self._plain
        super().emit(record)


def log_to_stdout() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[_Stdout()])
    logging.raiseExceptions = False  # if the log cannot be written, do not hide the message about the cause


def for_shell(word: str) -> str:
    """A word in quotes if it needs them: double quotes if it contains single ones, for readability."""
    return f'"{word}"' if "'" in word and not set(word) & set('"$`\\!') else shlex.quote(word)
