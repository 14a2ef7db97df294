"""Names of the stages, without importing them."""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

# The order of the pipeline, defined only here.
PIPELINE = ("encoder", "retrieve", "relevance", "segment", "decoder", "adapt", "predict", "evaluate")
PLUGINS: list[str] = []  # stages added by plugins


def stage_names() -> tuple[str, ...]:
    """Names of all stages, those of the pipeline first."""
    return tuple(dict.fromkeys((*PIPELINE, *sorted((*own(), *installed(), *PLUGINS)))))


def register_choices() -> None:
    """Register the names with Hydra, as values of `stage=`."""
    from hydra.core.config_store import ConfigStore

    for name in stage_names():
        ConfigStore.instance().store(group="stage", name=name, node={"stage": name}, package="_global_")


@cache
def own() -> tuple[str, ...]:
    """Names of the built-in stages: one module each in `wsvs/stages`."""
    folder = Path(__file__).parents[1] / "stages"
    return tuple(path.stem for path in folder.glob("*.py") if not path.stem.startswith("_"))


@cache
def installed() -> dict[str, EntryPoint]:
    """Stages of installed packages: entry points of the group `wsvs.stages`."""
    return {point.name: point for point in entry_points(group="wsvs.stages")}
