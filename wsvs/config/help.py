"""Tables of settings: for `wsvs stage=<name> --help` and for docs/stages.md."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from wsvs.config.base import REQUIRED, Section, is_required, unit_of
from wsvs.config.check import fields_below
from wsvs.config.describe import values_of
from wsvs.config.root import Settings, groups


class Row(NamedTuple):
    """One setting: dotted key, default as YAML, allowed values, unit and meaning."""

    key: str
    default: str
    values: str
    unit: str
    help: str


def rows(prefix: str) -> Iterator[Row]:
    """The settings of a section (`segment`), of all choices of a group (`retrieve`), or a single one (`seed`)."""
    name, _, choice = prefix.partition("/")
    found: dict[str, Row] = {}
    places = [place for place in groups() if place == name or (name == "logger" and place.startswith("logger."))]
    for place in places:
        for key, section in groups()[place].items():
            if not choice or choice in (key, key.rpartition(".")[2]):
                for row in _rows(section, place):
                    found.setdefault(row.key, row)
    if not places:
        for row in _rows(Settings, ""):
            if row.key == name or row.key.startswith(f"{name}."):
                found[row.key] = row
    yield from found.values()


def _rows(section: type[Section], prefix: str) -> Iterator[Row]:
    for key, owner, name in fields_below(section, prefix):
        field = owner.model_fields[name]
        if field.alias:  # _target_
            continue
        default = REQUIRED if is_required(name, owner) else as_yaml(field.get_default())
        values = values_of(field).replace("one text", "text")
        yield Row(key, default, values, unit_of(name, owner), field.description or "")


def as_yaml(value: Any) -> str:
    """As written on a command line."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(as_yaml(one) for one in value)}]"
    return str(value)
