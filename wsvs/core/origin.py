"""Where a checkpoint comes from: what its run and the runs that this one has read say of themselves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wsvs.core.errors import UserError
from wsvs.core.runs import SUMMARY, Summary, read_summary

Origin = dict[str, Any]


def origin_of(checkpoint: Path) -> Origin:
    """What is known of <run>/checkpoints/<file>; empty without a finished run around it.

    Returns:
        "supervision": one {"stage", "supervision"} for each run that the weights depend on, the first stage first;
        "counts": {stage: counts}; "figures": {stage: results}, of evaluations of its masks too; "seed", where the
        command gave one; "versions"; "git_commit". No paths of this machine.
    """
    run = checkpoint.resolve().parent.parent
    chain = dict(_runs_before(run))
    if run not in chain:
        return {}
    origin: Origin = {"supervision": [], "counts": {}, "figures": {}}
    for summary in reversed(chain.values()):
        if summary.supervision:
            origin["supervision"].append({"stage": summary.stage, "supervision": summary.supervision})
        origin["counts"][summary.stage] = summary.counts
        origin["figures"][summary.stage] = _figures(summary)
    for path in sorted(run.parents[1].glob(f"evaluate/*/{SUMMARY}")):
        if run in dict(_runs_before(path.parent.resolve())):
            origin["figures"]["evaluate"] = _figures(read_summary(path.parent))
    last = chain[run]
    seeds = [word.partition("=")[2] for word in last.overrides if word.startswith("seed=")]
    origin["seed"] = int(seeds[-1]) if seeds and seeds[-1].isdecimal() else None
    return {**origin, "versions": last.versions, "git_commit": last.git_commit}


def _runs_before(run: Path, seen: tuple[Path, ...] = ()) -> Iterator[tuple[Path, Summary]]:
    """(run directory, its summary) of a run and those that it has read, the last stage first; missing ones are left."""
    try:
        summary = read_summary(run)
    except (UserError, OSError):
        return
    if not summary.stage or run in seen:
        return
    yield run, summary
    for path in summary.inputs.values():
        yield from _runs_before(Path(path).resolve(), (*seen, run))


def _figures(summary: Summary) -> dict[str, float]:
    """The numbers among a run's results, rounded."""
    return {key: round(value, 4) for key, value in summary.figures.items()}
