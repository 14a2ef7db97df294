"""Hold figures of finished runs against what is expected of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from wsvs.core.errors import UserError
from wsvs.core.files import read_json
from wsvs.core.runs import SUMMARY


def judge(checks: Mapping[str, DictConfig] | None, done: Mapping[str, Path]) -> dict[str, str]:
    """Print a table, got against expected, and return {name: 'PASS ...' or 'FAIL ...'}.

    A check names a `step` and a `metric` in its metrics.json (or in the results of its summary), an optional step
    `minus` whose figure is taken off, and a range: `low` and `high`; `expected` is what the committed run gave.
    """
    if not checks:
        return {}
    verdicts = {}
    table = Table("figure", "got", "expected", "allowed", "")
    for name, check in checks.items():
        if check is None:  # taken out by an override
            continue
        got = _figure(done, check.step, check.metric)
        if check.get("minus"):
            got -= _figure(done, check.minus, check.metric)
        good = check.get("low", -float("inf")) <= got <= check.get("high", float("inf"))
        allowed = f"{check.get('low', '')} .. {check.get('high', '')}"
        verdict = "PASS" if good else "FAIL"
        table.add_row(name, f"{got:.3f}", str(check.get("expected", "")), allowed, verdict)
        verdicts[name] = f"{verdict} {got:.4f}"
    Console().print(table)
    return verdicts


def _figure(done: Mapping[str, Path], step: str, metric: str) -> float:
    if step not in done:
        raise UserError(f"no step is called {step!r}", where="pipeline.checks", remedy=f"steps: {', '.join(done)}")
    metrics = done[step] / "metrics.json"
    values: Any = read_json(metrics) if metrics.is_file() else read_json(done[step] / SUMMARY)["results"]
    for key in metric.split("."):
        if not isinstance(values, dict) or key not in values:
            raise UserError(f"no figure {metric!r}", where=done[step], remedy="check pipeline.checks")
        values = values[key]
    return float(values)
