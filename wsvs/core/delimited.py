"""Delimited text (csv, tsv and the like): its delimiter, and rows with the lines where they begin."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path

from wsvs.core.errors import UserError

QUOTES = "a cell that begins with a double quote ends with one, and those between are doubled: take out a stray one"
NAMES = {",": "a comma", "\t": "a tab", ";": "a semicolon", "|": "a vertical bar"}


def usual_delimiter(path: Path) -> str:
    return "," if path.suffix.lower() == ".csv" else "\t"


def delimiter_of(heading: str, path: Path) -> str:
    """The delimiter that the file's suffix promises if the heading has it, else the first other one that it has.

    A spreadsheet of a locale with decimal commas writes .csv with semicolons.
    """
    usual = usual_delimiter(path)
    for delimiter in (usual, *NAMES):
        if len(next(csv.reader([heading], delimiter=delimiter), ())) > 1:
            return delimiter
    return usual


def rows(lines: Iterable[str], path: Path, delimiter: str, line: int = 1) -> Iterator[tuple[int, list[str]]]:
    """The line where a row begins and its cells, of every row that is not empty; `line` is the number of the first.

    Cells may be quoted, as spreadsheets write them. Raises `UserError` for a row that cannot be split.
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
    """An unclosed quote ends at the next one, and the rows between would be lost in a cell."""
    if any("\n" in cell or "\r" in cell for cell in cells):
        raise UserError("a quote is not closed on its line", where=where, remedy=QUOTES)
