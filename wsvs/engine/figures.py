"""Figures of finished runs: the objective that a search optimises, and checks against expected ranges."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.table import Table

from wsvs.config.root import Settings
from wsvs.config.stages import Check
from wsvs.core.console import show
from wsvs.core.errors import UserError
from wsvs.core.files import read_json
from wsvs.core.processes import rank
from wsvs.core.runs import SUMMARY
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


def judge(checks: Mapping[str, Check | None] | None, done: Mapping[str, Path]) -> dict[str, str]:
    """Print a table of actual and expected figures, and return {name: 'PASS ...' or 'FAIL ...'}.

    Args:
        checks: {name: expected range}; None if an override removed one.
        done: Label -> run directory of the steps.
    """
    if not checks:
        return {}
    verdicts = {}
    table = Table("figure", "got", "expected", "allowed", "")
    for name, check in checks.items():
        if check is None:  # removed by an override
            continue
        got = _figure(done, check.step, check.metric)
        if check.minus:
            got -= _figure(done, check.minus, check.metric)
        low, high = ("" if bound is None else bound for bound in (check.low, check.high))
        verdict = check.verdict(got)
        expected = "" if check.expected is None else str(check.expected)
        table.add_row(name, f"{got:.3f}", expected, f"{low} .. {high}", verdict)
        verdicts[name] = f"{verdict} {got:.4f}"
    show(table)
    return verdicts


def _figure(done: Mapping[str, Path], step: str, metric: str) -> float:
    if step not in done:
        raise UserError(f"there is no step {step!r}", where="pipeline.checks", remedy=f"steps: {', '.join(done)}")
    value = read_figure(done[step], metric)
    if value is None:
        raise UserError(f"no figure {metric!r}", where=done[step], remedy="check pipeline.checks")
    return value


def read_figure(run: Path, metric: str) -> float | None:
    """A number of a finished run, by its dotted name in metrics.json or in the results of its summary."""
    metrics = run / "metrics.json"
    values: Any = read_json(metrics) if metrics.is_file() else read_json(run / SUMMARY)["results"]
    for key in metric.split("."):
        values = values.get(key) if isinstance(values, dict) else None
    return None if isinstance(values, bool) or not isinstance(values, int | float) else float(values)
