"""The stages: built-in ones, those of installed packages, and those of plugins."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, cast, get_type_hints

from hydra.core.override_parser.overrides_parser import OverridesParser

from wsvs.config.base import Section
from wsvs.config.root import OUTSIDE, OUTSIDE_INPUTS, Settings
from wsvs.core.plugins import load_plugins
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
