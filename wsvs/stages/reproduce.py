"""Stage reproduce: run a row of a table with several seeds, and check the means against the committed ranges."""

from __future__ import annotations

import logging
import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from rich.table import Table

from wsvs.config.stages import Check, PipelineSettings, ReproduceSettings
from wsvs.core import runs
from wsvs.core.console import show
from wsvs.core.errors import UserError
from wsvs.core.files import write_json
from wsvs.engine.fork import GOOD, call
from wsvs.engine.run import Run
from wsvs.engine.stage import Stage

log = logging.getLogger("wsvs")


@dataclass(frozen=True)
class Settings:
    reproduce: ReproduceSettings
    pipeline: PipelineSettings


def run(run: Run[Settings]) -> None:
    checks = {name: check for name, check in (run.settings.pipeline.checks or {}).items() if check is not None}
    if not checks:
        raise UserError(
            "there are no figures to check",
            where="pipeline.checks",
            remedy="choose a row, such as experiment=table2, or data=synthetic; docs/tables.md lists them",
        )
    seeds = _seeds(run)
    figures: dict[str, dict[int, float]] = {name: {} for name in checks}
    for seed in seeds:
        log.info("=== seed %d", seed)
        found = runs.read_summary(_pipeline(run, seed)).results
        for name, values in figures.items():
            values[seed] = float(str(found[name]).split()[1])  # 'PASS 0.5810'
    results = {name: Result.of(figures[name], checks[name]) for name in checks}
    _print(results)
    write_json(run.dir / "metrics.json", {name: asdict(result) for name, result in results.items()})
    verdicts = {name: f"{result.verdict} {result.mean:.4f}" for name, result in results.items()}
    run.finish(counts={"seeds": len(seeds)}, results=verdicts, wrote=run.dir / "metrics.json")
    failed = [name for name, result in results.items() if result.verdict == "FAIL"]
    if failed:
        raise UserError(
            f"figures outside their range: {len(failed)} of {len(results)} ({', '.join(failed)})",
            where=run.dir,
            remedy="metrics.json lists every seed; their runs are stored under the same name",
        )


def _seeds(run: Run[Settings]) -> list[int]:
    seeds = run.settings.reproduce.seeds
    if len(set(seeds)) < len(seeds):
        raise UserError(
            f"seeds must be different whole numbers, got {seeds}",
            where="reproduce.seeds",
            remedy="for example reproduce.seeds=[0,1,2]",
        )
    twice = [word for word in run.overrides if word.partition("=")[0].lstrip("+") == "seed"]
    if twice:
        raise UserError(
            "the seed is given twice: this stage runs the seeds of reproduce.seeds",
            where=twice[0],
            remedy=f"give reproduce.seeds=[{run.seed}] instead, or several; in a sweep leave out sweep=seeds",
        )
    return seeds


def _pipeline(run: Run[Settings], seed: int) -> Path:
    """Run the pipeline with a seed, and return its directory. Its figures may be out of range; other errors stop."""
    own = ("stage", "reproduce.seeds")
    shared = [word for word in run.overrides if word.partition("=")[0] not in own]
    name = f"{run.id}-seed{seed}"
    found = (run.home.folder / "pipeline" / name).absolute()
    status = call(["stage=pipeline", *shared, f"seed={seed}"], name)
    judged = (found / runs.SUMMARY).is_file() and runs.read_summary(found).finished >= run.started
    if status not in GOOD and not judged:
        raise UserError(
            f"the pipeline stopped with exit status {status}",
            where=f"seed {seed}",
            remedy="fix the error above; then run the same command to resume",
        )
    return found


@dataclass(frozen=True)
class Result:
    """A figure over the seeds: a value of metrics.json.

    Attributes:
        spread: Sample standard deviation; None for one seed.
        seeds: {seed: value}.
        verdict: PASS or FAIL, for low <= mean <= high.
    """

    mean: float
    spread: float | None
    seeds: Mapping[str, float]
    low: float | None
    high: float | None
    expected: float | str | None
    verdict: str

    @classmethod
    def of(cls, values: Mapping[int, float], check: Check) -> Self:
        mean = statistics.fmean(values.values())
        spread = statistics.stdev(values.values()) if len(values) > 1 else None
        seeds = {str(seed): value for seed, value in values.items()}
        return cls(mean, spread, seeds, check.low, check.high, check.expected, check.verdict(mean))


def _print(results: Mapping[str, Result]) -> None:
    table = Table("figure", "mean", "spread", "expected", "allowed", "")
    for name, result in results.items():
        low, high = ("" if bound is None else bound for bound in (result.low, result.high))
        spread = "" if result.spread is None else f"{result.spread:.3f}"
        expected = "" if result.expected is None else str(result.expected)
        table.add_row(name, f"{result.mean:.3f}", spread, expected, f"{low} .. {high}", result.verdict)
    show(table)


STAGE = Stage("reproduce", Settings, run, ranks="one")
