"""Plugins: modules of the user that add backbones, optical flows, sources of videos or stages."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module

from wsvs.core.errors import UserError


def load_plugins(modules: str | Iterable[str]) -> None:
    """Import modules by their dotted names; they register in `BACKBONES`, `FLOWS`, `SOURCES` or `STAGES` on import.

    Only modules named by the command are imported, never modules named by a checkpoint: checkpoints are data.

    Raises:
        UserError: No such module, or a module that it imports is missing. Other errors of its code keep their
            traceback.
    """
    for module in [modules] if isinstance(modules, str) else modules:
        try:
            import_module(module)
        except ModuleNotFoundError as error:
            if f"{module}.".startswith(f"{error.name}."):
                raise UserError(
                    f"there is no module {module!r}",
                    where="plugins",
                    remedy="give the module's name without .py; put its folder on PYTHONPATH, or install it",
                ) from error
            raise UserError(
                f"module {module!r} needs {error.name!r}, which is not installed",
                where="plugins",
                remedy=f"pip install {error.name}, or the package that provides it",
            ) from error
