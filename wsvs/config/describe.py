"""Allowed values of a setting in words, from its type: for error messages, `--help` and the tables in docs/."""

from __future__ import annotations

import types
from collections.abc import Iterable
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo

from wsvs.config.base import IsText

_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "one text", Any: "anything"}


def values_of(field: FieldInfo) -> str:
    """Such as 'a number in [0, 1], or null'."""
    return _values(field.annotation, field.metadata)


def _values(kind: Any, bounds: Iterable[Any] = ()) -> str:
    origin = get_origin(kind)
    if origin is Annotated:
        inner, *meta = get_args(kind)
        return _values(inner, [*meta, *bounds])
    if origin in (Union, types.UnionType):
        parts = [part for part in get_args(kind) if part is not type(None)]
        words = list(dict.fromkeys(_values(part, bounds) for part in parts))
        return " or ".join(words) + (", or null" if type(None) in get_args(kind) else "")
    if origin is Literal:
        *first, last = (_yaml(value) for value in get_args(kind))
        return f"{', '.join(first)} or {last}" if first else str(last)
    if origin is tuple:
        return "two numbers, the lower one first"
    if origin is list:
        each = _values(get_args(kind)[0]).removeprefix("a ").removeprefix("one ")
        return f"a list of {_plural(each)}"
    if origin is dict:
        return "a mapping"
    return _WORDS.get(kind, "a section") + _range(kind, bounds)


def _plural(words: str) -> str:
    for one in ("whole number", "number", "text"):
        if words.startswith(one):
            return f"{one}s{words.removeprefix(one)}"
    return "mappings"


def _range(kind: Any, bounds: Iterable[Any]) -> str:
    low = high = ""
    least: float | None = None
    for bound in bounds:
        match bound:
            case Ge():
                low, least = f"[{bound.ge}", bound.ge  # type: ignore[assignment]
            case Gt():
                low = f"({bound.gt}"
            case Le():
                high = f"{bound.le}]"
            case Lt():
                high = f"{bound.lt})"
    if low and high:
        return f" in {low}, {high}"
    if low:
        return f" >= {least}" if least is not None else f" > {low[1:]}"
    return f" <= {high[:-1]}" if high else ""


def is_text(kind: Any, meta: Iterable[Any] = ()) -> bool:
    """Does a setting accept a text, or a list of texts?"""
    if any(isinstance(mark, IsText) for mark in meta):
        return True
    inner, *more = get_args(kind) if get_origin(kind) is Annotated else (kind,)
    if more:
        return is_text(inner, more)
    return get_origin(kind) in (Union, types.UnionType, list) and any(is_text(part) for part in get_args(kind))


def is_list(kind: Any) -> bool:
    """Does a setting accept a list?"""
    if get_origin(kind) is Annotated:
        return is_list(get_args(kind)[0])
    if get_origin(kind) in (Union, types.UnionType):
        return any(is_list(part) for part in get_args(kind))
    return get_origin(kind) in (list, tuple)


def _yaml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
