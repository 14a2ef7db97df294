"""Parse a cell of tags: one tag, several with a separator, a Python, NumPy or JSON list, or an empty marker."""

from __future__ import annotations

import ast
import csv
import json
import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from wsvs.core.delimited import NAMES
from wsvs.core.errors import UserError

SEPARATORS = ",;|"
EMPTY = frozenset(
    (
        "nan",
        "-nan",
        "none",
        "null",
        "na",
        "n/a",
        "<na>",
        "#n/a",
        "#na",
        "#n/a n/a",
        "nat",
        "[]",
        "()",
        "{}",
        "set()",
        "-",
    )
)
_LIST = re.compile(r"((?:np\.|numpy\.)?array\()?\s*([\[({])(.*?)[\])}]\s*(?:,\s*dtype=[^)]+)?\s*\)?", re.DOTALL)
_ITEM = re.compile(r"""\s*(?:('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|([^,'"\[\](){}]+?))\s*(?:(,)|(?=['"])|$)""")
_BROKEN = re.compile(r"[\[({]\s*['\"]|(?:np\.|numpy\.)?array\(")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)")
_JOINED = re.compile(r"\s*[/+&]\s*|\s+and\s+")


@dataclass
class Cells:
    """Tags of cells, one tuple per cell.

    Attributes:
        tags: In the order of the cells.
        kinds: Descriptions of the formats of cells with several tags: separators and kinds of lists.
        marks: {empty marker: number of cells}.
    """

    tags: list[tuple[str, ...]] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    marks: Counter[str] = field(default_factory=Counter)


def read_cells(cells: Sequence[tuple[str, str]], known: Collection[str] = ()) -> Cells:
    """Tags of pairs (where, cell); `where` names the row in an error. Names in `known` are kept unchanged.

    Raises:
        UserError: A list that cannot be parsed, two separators in one table, a tag with a comma, or text that may be
            one or several tags.
    """
    found = Cells()
    separators: dict[str, str] = {}
    for where, cell in cells:
        tags, kind = _split(cell.strip(), where, known, separators)
        if not tags and cell.strip():
            found.marks[cell.strip()] += 1
        if kind and kind not in found.kinds:
            found.kinds.append(kind)
        found.tags.append(tags)
    if len(separators) > 1:
        (first, here), (second, there) = list(separators.items())[:2]
        raise UserError(
            f"tags are separated by {NAMES[first]} and by {NAMES[second]} in one table",
            where=f"{here} and {there}",
            remedy="separate all of them by commas",
        )
    _check_joined(cells, found.tags, known)
    if not found.kinds:
        _split_by_spaces(cells, found, known)
    return found


def _split(cell: str, where: str, known: Collection[str], separators: dict[str, str]) -> tuple[tuple[str, ...], str]:
    """Tags of a cell, and the format of several tags ('' for a plain cell). Updates {separator: first row}."""
    if cell in known:
        return (cell,), ""
    if not cell or cell.casefold() in EMPTY:
        return (), ""
    if cell[0] in "{[" and (values := label_studio_cell(cell)) is not None:
        return _checked(values, where, known), "Label Studio values"
    if (values := _json_list(cell)) is not None:
        return _checked(_named(values, cell, where, known), where, known), "JSON lists"
    listed = _LIST.fullmatch(cell)
    if listed and (listed[1] or listed[2] == "[" or listed[3].lstrip()[:1] in ("'", '"')):
        return _listed(listed[3].strip(), cell, where, known)
    if _BROKEN.match(cell):
        raise _unreadable(cell, where)
    parts, used = [cell], list[str]()
    for separator in SEPARATORS:
        split = next(csv.reader([cell], delimiter=separator, skipinitialspace=True))
        if len(split) > 1:
            parts, used = split, [*used, separator]
            separators.setdefault(separator, where)
    return _checked(map(_unquoted, parts), where, known), " and ".join(f"tags split by {NAMES[one]}" for one in used)


def _listed(content: str, cell: str, where: str, known: Collection[str]) -> tuple[tuple[str, ...], str]:
    """Tags between the brackets of a list, and the kind of list."""
    if len(content) > 1 and content[0] in "[(" and content[-1] in "])":  # array(['cat']) and (['cat'])
        content = content[1:-1].strip()
    items, commas, place = [], 0, 0
    while place < len(content):
        item = _ITEM.match(content, place)
        alone = item is not None and place == 0 and item[3] is None
        if item is None or not item[0] or (alone and " " in (item[2] or "") and item[2] not in known):
            raise _unreadable(cell, where)
        items.append(str(ast.literal_eval(item[1])) if item[1] else item[2])
        commas += item[3] is not None
        place = item.end()
    kind = "NumPy lists" if len(items) > 1 and not commas else "Python lists"
    return _checked(_named(items, cell, where, known), where, known), kind


def _json_list(cell: str) -> list[str] | None:
    """Texts of a JSON list of texts, numbers and nulls; None if the cell is not such a list."""
    try:
        value = json.loads(cell) if cell[0] == "[" else None
    except ValueError:
        return None
    if not isinstance(value, list) or any(isinstance(one, list | dict) for one in value):
        return None
    return ["" if one is None else str(one) for one in value]


def _named(items: list[str], cell: str, where: str, known: Collection[str]) -> list[str]:
    """The items of a list. Raises `UserError` for a vector of numbers, which names no class."""
    if any(_NUMBER.fullmatch(one) and one not in known for one in items):
        raise UserError(
            f"a list of numbers without names: {cell!r}",
            where=where,
            remedy="write the names of the tags, or a column with 1 and 0 for each class, with its name as the heading",
        )
    return items


def _unreadable(cell: str, where: str) -> UserError:
    return UserError(
        f"a list that cannot be parsed: {cell!r}",
        where=where,
        remedy="write the tags separated by commas, or as a complete list: ['cat', 'dog']",
    )


def _unquoted(tag: str) -> str:
    tag = tag.strip()
    return tag[1:-1] if len(tag) > 1 and tag[0] == tag[-1] and tag[0] in "'\"" else tag


def _checked(tags: Any, where: str, known: Collection[str]) -> tuple[str, ...]:
    """Tags without blanks, duplicates and empty markers. Raises `UserError` for a tag with a comma."""
    found = dict.fromkeys(tag for one in tags if (tag := one.strip()) and (tag in known or tag.casefold() not in EMPTY))
    odd = next((tag for tag in found if "," in tag), None)
    if odd is not None:
        raise UserError(
            f"quoted commas: the tag {odd!r} has a comma, which separates tags",
            where=where,
            remedy=f"rename it: {' '.join(odd.replace(',', ' ').split())!r}, or put both tags without quotes",
        )
    return tuple(found)


def label_studio_cell(cell: str) -> list[str] | None:
    """Labels of a Label Studio value in a csv or JSON-MIN export; None if the cell is something else."""
    try:
        value = json.loads(cell)
    except ValueError:
        return None
    values = value if isinstance(value, list) else [value]
    if not values or not all(isinstance(one, dict) for one in values):
        return None
    found = [label for one in values for label in labels_of(one)]
    return found if found or any(_is_labels(key) for one in values for key in one) else None


def _is_labels(key: str) -> bool:
    return key == "choices" or key.endswith("labels")


def labels_of(value: dict[str, Any]) -> list[str]:
    """Labels of one Label Studio value: its "choices", "rectanglelabels", "brushlabels", ..."""
    lists = [one for key, one in value.items() if _is_labels(key)]
    return [str(label) for one in lists for label in (one if isinstance(one, list) else [one])]


def _check_joined(cells: Sequence[tuple[str, str]], tags: Sequence[tuple[str, ...]], known: Collection[str]) -> None:
    """Raises `UserError` for a tag such as cat+dog if both parts are tags."""
    alone = {tag for one in tags for tag in one} | set(known)
    for (where, _), one in zip(cells, tags, strict=True):
        for tag in one:
            parts = [part for part in _JOINED.split(tag) if part]
            if tag not in known and len(parts) > 1 and alone.issuperset(parts):
                raise _unsure(tag, parts, where)


def _unsure(tag: str, parts: Sequence[str], where: str) -> UserError:
    return UserError(
        f"{tag!r} may be one tag or {len(parts)} ({', '.join(parts)})",
        where=where,
        remedy="separate tags by commas, or name all classes: data.classes=[...]",
    )


def _split_by_spaces(cells: Sequence[tuple[str, str]], found: Cells, known: Collection[str]) -> None:
    """Split tags at their spaces if every part is a tag of its own or a frequent one.

    A part is frequent if it occurs in two different cells. Some cell must consist of tags that occur alone, or be a
    subset of a longer cell: 'brown bear' and 'black bear' are names, 'cat dog' in a table with 'cat' and 'dog' is two
    tags. Raises `UserError` if only some cells can be split, which is ambiguous.
    """
    every = {tag for one in found.tags for tag in one}
    spaced = {tag: tag.split() for tag in sorted(every) if " " in tag and tag not in known}
    alone = {tag for tag in every if " " not in tag} | set(known)
    often = Counter(part for parts in spaced.values() for part in set(parts))
    strong = [tag for tag, parts in spaced.items() if alone.issuperset(parts)]
    loose = [tag for tag, parts in spaced.items() if any(part not in alone and often[part] < 2 for part in parts)]
    sets = [set(parts) for parts in spaced.values()]
    nested = any(len(parts) > 2 for parts in spaced.values()) and any(a < b for a in sets for b in sets)
    if spaced and not loose and (strong or nested):
        found.tags = [
            tuple(dict.fromkeys(part for tag in one for part in spaced.get(tag, (tag,)))) for one in found.tags
        ]
        found.kinds.append("tags split by spaces")
    elif spaced and (strong or not loose):
        tag = strong[0] if strong else next(iter(spaced))
        where = next(place for (place, _), one in zip(cells, found.tags, strict=True) if tag in one)
        raise _unsure(tag, spaced[tag], where)
