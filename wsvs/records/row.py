"""A line of a JSONL file as a typed record, from which the same line can be written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, Self

from wsvs.core.errors import UserError
from wsvs.core.files import read_jsonl, write_jsonl

_KEYS = {"class_name": "class"}  # names of fields that are other words on disk


@dataclass(frozen=True)
class Row:
    """Base of all records.

    Fields without a default are in every line. Others are left out of new lines where they have their default, and
    lines of older versions need not have them.

    Attributes:
        complete: New lines have all fields, also those with their default.
        line: The line that was read, for its order of keys and for those that have no field here.
    """

    complete: ClassVar[bool] = False
    line: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False, kw_only=True)

    @classmethod
    def from_json(cls, line: Mapping[str, Any]) -> Self:
        """Raises `KeyError` where a key that every line has is missing."""
        given: dict[str, Any] = {"line": line}
        for one in fields(cls):
            key = _KEYS.get(one.name, one.name)
            if key in line:
                given[one.name] = line[key]
            elif one.default is MISSING and one.name != "line":
                raise KeyError(key)
        return cls(**given)

    def to_json(self) -> dict[str, Any]:
        line = dict(self.line)
        for one in fields(self):
            key, value = _KEYS.get(one.name, one.name), getattr(self, one.name)
            if one.name != "line" and (key in line or value != one.default or (self.complete and not self.line)):
                line[key] = value
        return line

    @classmethod
    def read(cls, path: str | Path) -> Iterator[Self]:
        """The records of a file, one at a time. Raises `UserError` for a line that is none, with its number."""
        for number, line in enumerate(read_jsonl(path), 1):
            try:
                yield cls.from_json(line)
            except (KeyError, TypeError) as error:
                raise UserError(f"line {number} has no {error}", where=path, remedy="run its stage again") from error


def write_rows(path: str | Path, rows: Iterable[Row]) -> int:
    """Write one line for each record and return how many."""
    return write_jsonl(path, (row.to_json() for row in rows))
