"""Stage reproduce: run a row of a table over several seeds and hold the means against the committed ranges."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.table import Table

from wsvs.core import runs
from wsvs.core.console import show
from wsvs.core.errors import UserError
from wsvs.core.files import write_json
from wsvs.core.words import fitting
from wsvs.stages._fork import GOOD, call
from wsvs.stages._lightning import plain
from wsvs.stages._run import Run, log, rank

NEEDS: tuple[str, ...] = ()
SECTIONS = ("reproduce", "pipeline")


def run(run: Run) -> None:
    cfg = run.cfg
    if rank() != 0:
        raise UserError(
            "the stages start their own ranks", where="torchrun or srun with several tasks",
            remedy="start it once, and give trainer=ddp trainer.devices=N",
        )
    checks = {name: check for name, check in (plain(cfg.pipeline)["checks"] or {}).items() if check is not None}
    if not checks:
        raise UserError(
            "this row names no figures", where="pipeline.checks",
            remedy="choose a row, such as experiment=table2, or data=synthetic; docs/tables.md lists them",
        )
    seeds = _seeds(run)
    figures: dict[str, dict[int, float]] = {name: {} for name in checks}
    for seed in seeds:
        log.info("=== seed %d", seed)
        found = runs.read_summary(_pipeline(run, seed))["results"]
        for name, values in figures.items():
            values[seed] = float(found[name].split()[1])  # 'PASS 0.5810'
    results = {name: held_against(figures[name], checks[name]) for name in checks}
    _print(results)
    write_json(run.dir / "metrics.json", results)
    verdicts = {name: f"{result['verdict']} {result['mean']:.4f}" for name, result in results.items()}
    run.finish(counts={"seeds": len(seeds)}, results=verdicts, wrote=run.dir / "metrics.json")
    failed = [name for name, result in results.items() if result["verdict"] == "FAIL"]
    if failed:
        raise UserError(
            f"{len(failed)} of {len(results)} figures {fitting(len(failed), 'is|are outside its|their')} range: "
            f"{', '.join(failed)}", where=run.dir,
            remedy="metrics.json has every seed; the runs lie beside it, under the same name",
        )


def _seeds(run: Run) -> list[int]:
    seeds = plain(run.cfg.reproduce)["seeds"]
    good = isinstance(seeds, list) and all(type(seed) is int for seed in seeds)
    if not seeds or not good or len(set(seeds)) < len(seeds):
        raise UserError(
            f"seeds must be a list of different whole numbers, got {seeds}", where="reproduce.seeds",
            remedy="for example reproduce.seeds=[0,1,2]",
        )
    twice = [word for word in run.overrides if word.partition("=")[0].lstrip("+") == "seed"]
    if twice:
        raise UserError(
            "the seed is given twice: this stage runs the seeds of reproduce.seeds", where=twice[0],
            remedy=f"give reproduce.seeds=[{run.cfg.seed}] instead, or several; in a sweep leave out sweep=seeds",
        )
    return seeds


def _pipeline(run: Run, seed: int) -> Path:
    """Run the pipeline with a seed; returns its directory. Figures of one seed may be out of range, all else stops."""
    own = ("stage", "reproduce.seeds")
    shared = [word for word in run.overrides if word.partition("=")[0] not in own]
    name = f"{run.id}-seed{seed}"
    found = Path(run.cfg.out, run.cfg.name, "pipeline", name).absolute()
    status = call(run.command, ["stage=pipeline", *shared, f"seed={seed}"], name)
    judged = (found / runs.SUMMARY).is_file() and runs.read_summary(found)["finished"] >= run.started
    if status not in GOOD and not judged:
        raise UserError(
            f"the pipeline stopped with exit status {status}", where=f"seed {seed}",
            remedy="mend what it says above; the same command goes on from there",
        )
    return found


def held_against(values: Mapping[int, float], check: Mapping[str, Any]) -> dict[str, Any]:
    """Mean over the seeds, its spread (standard deviation of a sample), and PASS or FAIL by low <= mean <= high."""
    mean = statistics.fmean(values.values())
    low, high = check.get("low"), check.get("high")
    good = (-math.inf if low is None else low) <= mean <= (math.inf if high is None else high)
    return {
        "mean": mean, "spread": statistics.stdev(values.values()) if len(values) > 1 else None,
        "seeds": {str(seed): value for seed, value in values.items()}, "low": low, "high": high,
        "expected": check.get("expected"), "verdict": "PASS" if good else "FAIL",
    }


def _print(results: Mapping[str, Mapping[str, Any]]) -> None:
    table = Table("figure", "mean", "spread", "expected", "allowed", "")
    for name, result in results.items():
        low, high = ("" if bound is None else bound for bound in (result["low"], result["high"]))
        spread = "" if result["spread"] is None else f"{result['spread']:.3f}"
        expected = "" if result["expected"] is None else str(result["expected"])
        table.add_row(name, f"{result['mean']:.3f}", spread, expected, f"{low} .. {high}", result["verdict"])
    show(table)
