"""Tables that give tags to ids: tsv, csv or json."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path

from wsvs.core.errors import UserError
from wsvs.core.files import leads_out, read_text

Tags = dict[str, tuple[str, ...]]

_TAG_HEADING = re.compile(r"(tags?|labels?|class(es)?)\s*$", re.IGNORECASE)
_ID_HEADING = re.compile(
    r"((image|img|photo|picture|video|clip|film|movie|sequence|shot|frame|file|item|sample)s?[ _-]?)?"
    r"(id|ids|name|names|file|filename|path|key|stem|number)?\s*$", re.IGNORECASE,
)
_VOC_LINE = re.compile(r"^(\d{4}_\d{6})\s+(-1|0|1)$")
_HELP = "a table has a heading line and then: id, comma-separated tags (tsv or csv), or is a json object {id: [tags]}"

_QUOTES = "a cell that begins with a double quote ends with one, and those between are doubled: take out a stray one"


def read_tags(path: str | Path) -> Tags:
    """Read {id: tags} in the order of the file.

    tsv and csv: the first line is a heading and the first column the id. A heading is known by a column of tags, or by
    the name of its first column, such as id or image. Comma-separated tags stand in the column whose heading ends in
    tag(s), label(s) or class(es), else in the second; without such a heading a csv may also put each tag in a column of
    its own. json: {id: [tag, ...]} or {id: "tag,tag"}.

    Raises:
        UserError: Missing, empty, unreadable, without a heading, a row without an id, a quote without its second, an id
            twice, or one that leads out of the folder of what it names.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError("table of tags not found", where=path, remedy=_HELP)
    text = read_text(path, "table is not UTF-8 text", _HELP)
    rows = _json_rows(text, path) if path.suffix == ".json" else _delimited_rows(text, path)
    table: Tags = {}
    for line, (name, tags) in rows:
        if not name:
            raise UserError("row without an id", where=f"{path}:{line}", remedy=_HELP)
        if name in table:
            raise UserError(f"id {name!r} stands twice in the table", where=f"{path}:{line}")
        _check_inside(name, f"{path}:{line}")
        table[name] = tuple(dict.fromkeys(tag.strip() for tag in tags if tag.strip()))
    if not table:
        raise UserError("the table has no rows", where=path, remedy=_HELP)
    return table


def _check_inside(name: str, where: str) -> None:
    """Masks and clips are written under their ids: one that leads out of its folder would lead out of the run's too."""
    if leads_out(name):
        raise UserError(
            f"id {name!r} leads out of its folder", where=where,
            remedy="ids are paths below the folder, without a leading / and without '..': name a folder above it",
        )


def _delimiter(path: Path) -> str:
    return "," if path.suffix == ".csv" else "\t"


def _rows(lines: Iterable[str], path: Path) -> Iterator[tuple[int, list[str]]]:
    """The line where a row begins and its cells, of every row that is not empty.

    Cells may stand in quotes, as spreadsheets write them. Raises `UserError` for a row that cannot be told apart.
    """
    reader = csv.reader(lines, delimiter=_delimiter(path), strict=True)
    line = 1
    try:
        for row in reader:
            if row:
                yield line, row
            line = reader.line_num + 1
    except csv.Error as error:
        raise UserError(f"row cannot be read: {error}", where=f"{path}:{line}", remedy=_QUOTES) from error


def _check_one_line(cells: Iterable[str], where: str) -> None:
    """A quote that nobody closed goes on to the next one, and the rows between would be lost in a cell."""
    if any("\n" in cell or "\r" in cell for cell in cells):
        raise UserError("a quote goes on into the next lines", where=where, remedy=_QUOTES)


def _delimited_rows(text: str, path: Path):
    delimiter = _delimiter(path)
    columns = None
    for line, row in _rows(text.splitlines(keepends=True), path):
        where = f"{path}:{line}"
        if columns is None:
            columns = _columns_of_tags(row, delimiter, where)
            continue
        if len(row) <= columns.start:
            raise UserError(f"expected an id and tags, got {row!r}", where=where, remedy=_HELP)
        _check_one_line([row[0], *row[columns]], where)
        yield line, (row[0].strip(), [tag for cell in row[columns] for tag in cell.split(",")])


def _columns_of_tags(heading: list[str], delimiter: str, where: str) -> slice:
    """Which columns hold tags. Raises `UserError` for a line that is no heading: it would be lost as one."""
    named = [k for k, name in enumerate(heading) if k and _TAG_HEADING.search(name)]
    if named:
        return slice(named[0], named[0] + 1)
    if len(heading) > 1 and heading[0].strip() and _ID_HEADING.match(heading[0].strip()):
        return slice(1, None if delimiter == "," else 2)
    line, split = ("id,tags", "a comma") if delimiter == "," else ("id<TAB>tags", "a tab")
    raise UserError(
        f"the first line is no heading: {delimiter.join(heading)!r}", where=where,
        remedy=f"put a line above it: {line} (columns are split by {split})",
    )


def _json_rows(text: str, path: Path):
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"not JSON: {error}", where=path, remedy=_HELP) from error
    if not isinstance(content, dict):
        raise UserError("a json table must be an object", where=path, remedy=_HELP)
    for line, (name, tags) in enumerate(content.items(), 1):
        if not isinstance(tags, str | list):
            raise UserError(f"tags of {name!r} must be a list or a string", where=path, remedy=_HELP)
        yield line, (str(name), tags.split(",") if isinstance(tags, str) else [str(tag) for tag in tags])


def read_table(path: str | Path, columns: Sequence[str]) -> Iterator[dict[str, str]]:
    """Rows of a tsv or csv with a heading. Raises `UserError` if missing, damaged or without one of `columns`."""
    path = Path(path)
    if not path.is_file():
        raise UserError("table not found", where=path, remedy=f"columns: {', '.join(columns)}")
    with path.open(encoding="utf-8-sig", newline="") as stream:
        rows = _rows(stream, path)
        _, heading = next(rows, (1, []))
        missing = [name for name in columns if name not in heading]
        if missing:
            needed = ", ".join(columns)
            raise UserError(f"the table has no column {missing[0]!r}", where=path, remedy=f"it needs: {needed}")
        for line, cells in rows:
            row = dict(zip_longest(heading, cells[: len(heading)], fillvalue=""))
            _check_one_line([row[name] for name in columns], f"{path}:{line}")
            yield row


def read_ids(path: str | Path) -> list[str]:
    """Read one id a line. Raises `UserError` as `read_list`, and for one that leads out of its folder."""
    ids = read_list(path)
    for name in ids:
        _check_inside(name, str(path))
    return ids


def read_list(path: str | Path) -> list[str]:
    """Read one name a line, spaces within it included; of VOC's lists of a class, without its 1 or -1.

    Raises:
        UserError: Missing, no text, empty, or a line twice.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError("list of ids not found", where=path, remedy="one id a line")
    text = read_text(path, "the list of ids is not UTF-8 text", "a text file, one id a line")
    lines = [line.strip() for line in text.splitlines()]
    ids = [_VOC_LINE.sub(r"\1", line) for line in lines if line]
    if not ids:
        raise UserError("the list of ids is empty", where=path)
    if len(set(ids)) < len(ids):
        twice = next(name for name in ids if ids.count(name) > 1)
        raise UserError(f"id {twice!r} stands twice in the list", where=path)
    return ids
