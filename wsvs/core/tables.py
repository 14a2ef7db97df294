"""Tables of ids and tags, in the formats of people and tools; tables with columns; lists of ids."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path

from wsvs.core.delimited import check_one_line, delimiter_of, rows
from wsvs.core.errors import UserError
from wsvs.core.files import leads_out, read_text
from wsvs.core.tag_columns import HELP, Entries, read_columns
from wsvs.core.tag_files import read_json_text, read_xml_text

Tags = dict[str, tuple[str, ...]]

_VOC_LINE = re.compile(r"^(\d{4}_\d{6})\s+(-1|0|1)$")
_BINARY = {
    b"PK": "an Excel or zip file",
    b"\xd0\xcf\x11\xe0": "an Excel file",
    b"PAR1": "a Parquet file",
    b"\x1f\x8b": "a gzip file",
    b"\x93NUMPY": "a NumPy file",
    b"\x89HDF": "an HDF5 file",
    b"\x80\x04": "a pickle",
    b"\x80\x05": "a pickle",
    b"%PDF": "a PDF",
}


@dataclass(frozen=True)
class TagTable:
    """Parsed tags.

    Attributes:
        tags: {id: tags}, in the order of the file.
        format: Description of the detected format.
        notes: Further findings.
        splits: {id: "train", "val" or "test"}, if the format has splits.
    """

    tags: Tags
    format: str
    notes: tuple[str, ...] = ()
    splits: dict[str, str] | None = None

    def summary(self, where: object) -> str:
        """One line: source and format of the tags, and the number of ids per tag."""
        counts = Counter(tag for tags in self.tags.values() for tag in tags)
        shown = ", ".join(f"{tag} {count}" for tag, count in counts.most_common(20))
        shown += " ..." if len(counts) > 20 else ""
        notes = "".join(f"; {note}" for note in self.notes)
        return f"{where}: {self.format}; ids: {len(self.tags)}, {shown or 'no tag'}{notes}"


def read_tags(path: str | Path, known: Collection[str] = ()) -> Tags:
    """{id: tags} of `read_tag_table`."""
    return read_tag_table(path, known).tags


def read_tag_table(
    path: str | Path, known: Collection[str] = (), place: Callable[[str], str] | None = None
) -> TagTable:
    """Read the tags of ids, in the order of the file.

    Tables (csv, tsv, delimited by comma, tab, semicolon or bar): the first line is a heading. It has a column of tags
    (tags, labels, class, ...) with one or several per cell, or one-hot columns named by class. An id may have several
    rows with one tag each. json: {id: [tag, ...]}, {id: "tag,tag"}, a list of objects, COCO, Label Studio. xml: CVAT
    for images. docs/own_data.md lists all formats.

    Args:
        path: The table.
        known: Class names given by the user, which are not split or normalised.
        place: Maps an id in the table to the id under which its file is found.

    Raises:
        UserError: Missing, empty, unreadable, an unsupported or ambiguous format, a row without an id, a duplicate id,
            or an id outside its folder.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError("table of tags not found", where=path, remedy=HELP)
    text = _decoded(path)
    start = text.lstrip()[:1]
    if path.suffix.lower() in (".json", ".jsonl", ".ndjson") or start in ("{", "["):
        return _table(read_json_text(text, path, known), path, place)
    if path.suffix.lower() == ".xml" or start == "<":
        return _table(read_xml_text(text, path), path, place)
    return _table(_delimited(text, path, known), path, place)


def _decoded(path: Path) -> str:
    with path.open("rb") as stream:
        start = stream.read(8)
    for magic, kind in _BINARY.items():
        if start.startswith(magic):
            raise UserError(f"{kind}, not a text table", where=path, remedy="save it as csv in UTF-8")
    if start[:2] in (b"\xff\xfe", b"\xfe\xff"):  # Excel's "Unicode text"
        return path.read_bytes().decode("utf-16", errors="replace")
    return read_text(path, "table is not UTF-8 text", HELP)


def _delimited(text: str, path: Path, known: Collection[str]) -> Entries:
    lines = text.splitlines(keepends=True)
    skipped = next((number for number, line in enumerate(lines) if line.strip()), 0)
    first = lines[skipped].strip("\r\n") if lines else ""
    given = re.fullmatch(r'"?sep=(.)"?', first)  # Excel's line
    if given:
        skipped += 1
    delimiter = given[1] if given else delimiter_of(first, path)
    found = rows(lines[skipped:], path, delimiter, skipped + 1)
    line, heading = next(found, (1, []))
    if not heading:
        return Entries("empty")
    kept = [(f"{path}:{number}", row) for number, row in found if any(cell.strip() for cell in row)]
    return read_columns(heading, kept, f"{path}:{line}", known, delimiter)


def _table(found: Entries, path: Path, place: Callable[[str], str] | None) -> TagTable:
    """The entries by id. Raises `UserError` for an empty or duplicate id."""
    table: Tags = {}
    written: dict[str, str] = {}
    several: set[str] = set()
    for where, given, tags in found.rows:
        if not given:
            raise UserError("row without an id", where=where, remedy=HELP)
        name = place(given) if place else given
        _check_inside(name, where)
        if name in table and (not found.single or written[name] != given):
            twice = f" (as {given!r} and {written[name]!r})" if written[name] != given else ""
            raise UserError(
                f"id {name!r} is in the table twice{twice}",
                where=where,
                remedy="merge the rows, or give every row one tag",
            )
        if name in table:
            several.add(name)
        written[name] = given
        table[name] = tuple(dict.fromkeys((*table.get(name, ()), *tags)))
    if not table:
        raise UserError("the table has no rows", where=path, remedy=HELP)
    notes = list(found.notes)
    form = f"one row for each image and tag, {found.format}" if several else found.format
    if several:
        notes.append(f"images with several rows, whose tags are merged: {len(several)}")
    moved = [given for name, given in written.items() if name != given]
    if moved:
        notes.append(f"ids found under another path than in the table: {len(moved)}, such as {moved[0]!r}")
    return TagTable(table, form, tuple(notes))


def _check_inside(name: str, where: str) -> None:
    """Raises `UserError` for an id outside its folder: masks and clips are written under their ids."""
    if leads_out(name):
        raise UserError(
            f"id {name!r} is outside its folder",
            where=where,
            remedy="ids are paths below the folder, without a leading / and without '..': give a folder above it",
        )


def read_table(path: str | Path, columns: Sequence[str]) -> Iterator[dict[str, str]]:
    """Rows of a tsv or csv with a heading. Raises `UserError` if it is missing, damaged or lacks one of `columns`."""
    path = Path(path)
    if not path.is_file():
        raise UserError("table not found", where=path, remedy=f"columns: {', '.join(columns)}")
    with path.open(encoding="utf-8-sig", newline="") as stream:
        first = stream.readline()
        found = rows(chain([first], stream), path, delimiter_of(first.strip("\r\n"), path))
        _, heading = next(found, (1, []))
        missing = [name for name in columns if name not in heading]
        if missing:
            needed = ", ".join(columns)
            raise UserError(f"the table has no column {missing[0]!r}", where=path, remedy=f"it needs: {needed}")
        for line, cells in found:
            row = dict(zip_longest(heading, cells[: len(heading)], fillvalue=""))
            check_one_line([row[name] for name in columns], f"{path}:{line}")
            yield row


def read_ids(path: str | Path) -> list[str]:
    """Read one id per line. Raises `UserError` like `read_list`, and for an id outside its folder."""
    ids = read_list(path)
    for name in ids:
        _check_inside(name, str(path))
    return ids


def read_list(path: str | Path) -> list[str]:
    """Read one name per line, which may contain spaces; the 1 or -1 in VOC's lists per class is removed.

    Raises:
        UserError: Missing, not text, empty, or a duplicate line.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError("list of ids not found", where=path, remedy="give a text file with one id per line")
    text = read_text(path, "the list of ids is not UTF-8 text", "give a text file with one id per line")
    lines = [line.strip() for line in text.splitlines()]
    ids = [_VOC_LINE.sub(r"\1", line) for line in lines if line]
    if not ids:
        raise UserError("the list of ids is empty", where=path)
    if len(set(ids)) < len(ids):
        twice = next(name for name in ids if ids.count(name) > 1)
        raise UserError(f"id {twice!r} is in the list twice", where=path)
    return ids
