"""Validate arguments of Python functions against the types of the settings."""

from __future__ import annotations

import inspect
import types
from collections.abc import Sequence
from functools import cache, wraps
from typing import Annotated, Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from wsvs.config.describe import values

T = TypeVar("T")


def checked(target: T) -> T:
    """Decorator of a function or class whose arguments are annotated like settings (`Share`, ...).

    Calls raise ValueError for an invalid value: "jitter must be a number in [0, 1], got 2". Other arguments (arrays,
    networks, texts) are not checked.
    """
    what: Any = target
    function = what.__init__ if isinstance(target, type) else what
    signature = inspect.signature(function)

    @cache
    def kinds() -> dict[str, tuple[Any, TypeAdapter[Any]]]:
        hints = get_type_hints(target, include_extras=True)
        strict = ConfigDict(strict=True, allow_inf_nan=False)
        return {name: (kind, TypeAdapter(kind, config=strict)) for name, kind in hints.items() if _is_setting(kind)}

    @wraps(function)
    def call(*args: Any, **more: Any) -> Any:
        for name, value in signature.bind(*args, **more).arguments.items():
            if name in kinds():
                kind, adapter = kinds()[name]
                try:
                    adapter.validate_python(value)
                except ValidationError:
                    raise ValueError(f"{name} must be {values(kind)}, got {value!r}") from None
        return function(*args, **more)

    if not isinstance(target, type):
        return cast(T, call)
    what.__init__ = call
    return target


def _is_setting(kind: Any) -> bool:
    """Whether it is a number, a bool, a choice, or composed of these."""
    if get_origin(kind) in (Annotated, Literal):
        return True
    if get_origin(kind) in (Union, types.UnionType, list, tuple, Sequence):
        return all(_is_setting(part) for part in get_args(kind) if part is not ...)
    return kind in (bool, int, float, type(None))
