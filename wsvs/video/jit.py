"""Loops over pixels are compiled: `compiled` is numba's decorator, kept working where numba cannot do its best."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

try:
    from numba import njit as njit
except ImportError:  # a new Python that has no numba yet: everything runs, slowly
    njit = None  # type: ignore[assignment]

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compile a function on its first call, or load what an earlier process compiled.

    One thread and no reordering of sums: the results are the same everywhere, bit by bit.
    """
    if njit is None:
        return function
    try:
        return cast(F, njit(cache=True)(function))
    except RuntimeError:  # no folder for the cache can be written: compile in each process
        return cast(F, njit(function))
