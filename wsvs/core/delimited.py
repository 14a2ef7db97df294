"""Delimited text (csv, tsv, ...): its delimiter, and rows with their line numbers."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path

from wsvs.core.errors import UserError

QUOTES = "a quoted cell begins and ends with a double quote, and quotes inside are doubled: remove stray quotes"
NAMES = {",": "a comma", "\t": "a tab", ";": "a semicolon", "|": "a vertical bar"}


def usual_delimiter(path: Path) -> str:
    return "," if path.suffix.lower() == ".csv" else "\t"


def delimiter_of(heading: str, path: Path) -> str:
    """The delimiter of the file's suffix if the heading contains it, else the first other one that it contains.

    In locales with decimal commas, spreadsheets write .csv with semicolons.
    """
    usual = usual_delimiter(path)
    for delimiter in (usual, *NAMES):
        if len(next(csv.reader([heading], delimiter=delimiter), ())) > 1:
            return delimiter
    return usual


def rows(lines: Iterable[str], path: Path, delimiter: str, line: int = 1) -> Iterator[tuple[int, list[str]]]:
    """(first line, cells) of every row that is not empty; `line` is the number of the first line.

    Cells may be quoted, as spreadsheets write them. Raises `UserError` for a row that cannot be parsed.
    """
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    first = line
    try:
        for row in reader:
            if row:
                yield line, row
            line = reader.line_num + first
    except csv.Error as error:
        raise UserError(f"row cannot be read: {error}", where=f"{path}:{line}", remedy=QUOTES) from error


def check_one_line(cells: Iterable[str], where: str) -> None:
    """Raises `UserError` for a line break in a cell: an unclosed quote would swallow the rows up to the next quote."""
    if any("\n" in cell or "\r" in cell for cell in cells):
        raise UserError("a quote is not closed on its line", where=where, remedy=QUOTES)
