"""Allowed values of a setting in words, from its type: for error messages, `--help` and the tables in docs/."""

from __future__ import annotations

import types
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MultipleOf
from pydantic import AfterValidator
from pydantic.fields import FieldInfo

from wsvs.config.base import IsText, ordered

_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "one text", Any: "anything"}


def values_of(field: FieldInfo) -> str:
    """For example 'a number in [0, 1], or null'."""
    return values(field.annotation, field.metadata)


def values(kind: Any, bounds: Iterable[Any] = ()) -> str:
    origin = get_origin(kind)
    if origin is Annotated:
        inner, *meta = get_args(kind)
        return values(inner, [*meta, *bounds])
    if origin in (Union, types.UnionType):
        parts = [part for part in get_args(kind) if part is not type(None)]
        words = list(dict.fromkeys(values(part, bounds) for part in parts))
        return " or ".join(words) + (", or null" if type(None) in get_args(kind) else "")
    if origin is Literal:
        *first, last = (_yaml(value) for value in get_args(kind))
        return f"{', '.join(first)} or {last}" if first else str(last)
    if origin in (list, tuple, Sequence):
        each = _plural(values(get_args(kind)[0]).removeprefix("a ").removeprefix("one "))
        if origin is not tuple or get_args(kind)[-1] is ...:
            return f"a list of {each}"
        rising = any(isinstance(one, AfterValidator) and one.func is ordered for one in bounds)
        return f"two {each}, the lower one first" if rising else f"two {each}"
    if origin is dict:
        return "a mapping"
    return _WORDS.get(kind, "a mapping") + _range(kind, bounds)


def _plural(words: str) -> str:
    for one in ("whole number", "number", "text"):
        if words.startswith(one):
            return f"{one}s{words.removeprefix(one)}"
    return "mappings" if words == "mapping" else words


def _range(kind: Any, bounds: Iterable[Any]) -> str:
    low = high = each = ""
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
            case MultipleOf():
                each = f" (a multiple of {bound.multiple_of})"
    if low and high:
        return f" in {low}, {high}{each}"
    if low:
        return (f" >= {least}" if least is not None else f" > {low[1:]}") + each
    return (f" <= {high[:-1]}" if high else "") + each


def is_text(kind: Any, meta: Iterable[Any] = ()) -> bool:
    """Whether a setting accepts a text, or a list of texts."""
    if any(isinstance(mark, IsText) for mark in meta):
        return True
    inner, *more = get_args(kind) if get_origin(kind) is Annotated else (kind,)
    if more:
        return is_text(inner, more)
    return get_origin(kind) in (Union, types.UnionType, list) and any(is_text(part) for part in get_args(kind))


def is_list(kind: Any) -> bool:
    """Whether a setting accepts a list."""
    if get_origin(kind) is Annotated:
        return is_list(get_args(kind)[0])
    if get_origin(kind) in (Union, types.UnionType):
        return any(is_list(part) for part in get_args(kind))
    return get_origin(kind) in (list, tuple, Sequence)


def _yaml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
