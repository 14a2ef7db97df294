"""Compile loops over pixels: `compiled` is numba's decorator, with fallbacks if numba or its cache is unavailable."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

try:
    from numba import njit as njit
except ImportError:  # a new Python version without numba: everything works, but slowly
    njit = None  # type: ignore[assignment]

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compile a function on its first call, or load what an earlier process compiled.

    One thread and no reordering of sums, so that results are bit-identical everywhere.
    """
    if njit is None:
        return function
    try:
        return cast(F, njit(cache=True)(function))
    except RuntimeError:  # no writable folder for the cache: compile in each process
        return cast(F, njit(function))
