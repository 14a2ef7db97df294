"""The one figure of a run that a search for settings goes by, and that a stage returns to Hydra."""

from __future__ import annotations

from types import ModuleType

from omegaconf import DictConfig

from wsvs.core.errors import UserError
from wsvs.core.runs import SUMMARY
from wsvs.stages._figures import read_figure
from wsvs.stages._job import searches
from wsvs.stages._run import Run, rank


def objective_name(cfg: DictConfig, module: ModuleType) -> str | None:
    """The figure that `objective` names, else the stage's own (its OBJECTIVE).

    Raises:
        UserError: A search on a stage that has none of its own.
    """
    name = cfg.objective or getattr(module, "OBJECTIVE", None)
    if name is None and searches():
        raise UserError(
            f"stage {cfg.stage} has no figure of its own to search by", where="objective",
            remedy="name one of its summary.json or metrics.json, or search over stage=pipeline, where "
            "objective=<step>.<figure> is one of a step",
        )
    return name


def objective(run: Run, name: str | None) -> float | None:
    """The figure of a finished run; of one of a pipeline's steps if its name begins with <step>. (first rank only).

    Raises:
        UserError: A search, or a user, wants a figure that the run does not have.
    """
    if name is None or rank() != 0:
        return None
    step, _, metric = name.partition(".")
    folder = run.steps.get(step)
    value = read_figure(run.dir, name) if folder is None else read_figure(folder, metric)
    if value is None and (run.cfg.objective or searches()):
        raise UserError(
            f"no figure {name!r}", where=(folder or run.dir) / SUMMARY,
            remedy="objective=... names one of the results there, or of metrics.json beside it",
        )
    return value
