"""Modules of the user's own that add backbones, flows or sources of videos to ours."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module

from wsvs.core.errors import UserError


def load_plugins(modules: str | Iterable[str]) -> None:
    """Import modules by their dotted names; each adds to `BACKBONES`, `FLOWS` or `SOURCES` when it is imported.

    Only what the command names is imported, never what a checkpoint names: a checkpoint stays data.

    Raises:
        UserError: No such module, or one of those that it imports is missing. Any other error of its code passes
            through with its trace.
    """
    for module in [modules] if isinstance(modules, str) else modules:
        try:
            import_module(module)
        except ModuleNotFoundError as error:
            if f"{module}.".startswith(f"{error.name}."):
                raise UserError(
                    f"there is no module {module!r}",
                    where="plugins",
                    remedy="a plugin is a module's name, without .py; put its folder on PYTHONPATH, or install it",
                ) from error
            raise UserError(
                f"module {module!r} needs {error.name!r}, which is not installed",
                where="plugins",
                remedy=f"pip install {error.name}, or whatever package has it",
            ) from error
