"""The objective: the figure of a run that a search over settings optimises, returned to Hydra."""

from __future__ import annotations

from typing import Any

from wsvs.config.root import Settings
from wsvs.core.errors import UserError
from wsvs.core.processes import rank
from wsvs.core.runs import SUMMARY
from wsvs.engine.figures import read_figure
from wsvs.engine.job import searches
from wsvs.engine.run import Run
from wsvs.engine.stage import Stage


def objective_name(settings: Settings, stage: Stage[Any]) -> str | None:
    """The figure named by `objective`, else the stage's default.

    Raises:
        UserError: A search over a stage without a default.
    """
    name = settings.objective or stage.objective
    if name is None and searches():
        raise UserError(
            f"stage {stage.name} has no default objective for a search",
            where="objective",
            remedy="name a figure of its summary.json or metrics.json, or search over stage=pipeline with "
            "objective=<step>.<figure>",
        )
    return name


def objective(run: Run[Any], name: str | None) -> float | None:
    """The figure of a finished run, or of a pipeline's step if the name begins with <step>. (first rank only).

    Raises:
        UserError: A search or the setting `objective` asks for a figure that the run does not have.
    """
    if name is None or rank() != 0:
        return None
    step, _, metric = name.partition(".")
    folder = run.steps.get(step)
    value = read_figure(run.dir, name) if folder is None else read_figure(folder, metric)
    if value is None and (run.cfg.objective or searches()):
        raise UserError(
            f"no figure {name!r}",
            where=(folder or run.dir) / SUMMARY,
            remedy="objective=... names one of the results in it, or in metrics.json of the same run",
        )
    return value
