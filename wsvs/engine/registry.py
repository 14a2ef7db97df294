"""Plugins (modules of the user that add backbones, optical flows, sources of videos or stages), and all stages."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import Any, cast, get_type_hints

from hydra.core.override_parser.overrides_parser import OverridesParser

from wsvs.config.base import Section
from wsvs.config.root import OUTSIDE, OUTSIDE_INPUTS, Settings
from wsvs.core.errors import UserError
from wsvs.engine import names
from wsvs.engine.stage import Stage

STAGES: dict[str, Stage[Any]] = {}  # stages of plugins, which register them on import


def load_stage(name: str) -> Stage[Any]:
    """The stage with a name. Raises `KeyError` if there is none."""
    if name in STAGES:
        return STAGES[name]
    found: Stage[Any]
    if name in names.own():
        found = import_module(f"wsvs.stages.{name}").STAGE
    else:
        found = names.installed()[name].load()
    return found


def register_stages() -> None:
    """Register all stages with Hydra, with the settings of those from outside the package.

    Plugins on the command line are imported first, because they may register stages.
    """
    said = [word for word in sys.argv[1:] if word.lstrip("+").startswith("plugins=") and "${" not in word]
    for override in OverridesParser.create().parse_overrides(said):
        load_plugins(cast(Sequence[str], override.value()) or ())
    names.PLUGINS[:] = STAGES
    names.register_choices()
    OUTSIDE.clear()
    OUTSIDE_INPUTS.clear()
    for name in (*names.installed(), *STAGES):
        stage = load_stage(name)
        OUTSIDE_INPUTS.update(dict.fromkeys((name, *(() if callable(stage.needs) else stage.needs))))
        for key, kind in get_type_hints(stage.settings).items():
            if isinstance(kind, type) and issubclass(kind, Section) and key not in Settings.model_fields:
                OUTSIDE[key] = kind


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
