"""Masks that a finished run has of files that have not changed since: only the others are worked on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from wsvs.core import runs
from wsvs.core.errors import UserError
from wsvs.core.files import link_file
from wsvs.core.processes import rank
from wsvs.core.progress import follow
from wsvs.core.shards import W
from wsvs.engine.run import FINGERPRINT, Run
from wsvs.records.row import write_rows
from wsvs.records.sources import SOURCES, Source, read_states

log = logging.getLogger("wsvs")

LAST = "last"


def take_over(
    run: Run[Any],
    given: str | None,
    items: Sequence[W],
    state: Callable[[W], str],
    results: Callable[[W, Path], Iterable[str]],
) -> None:
    """Hard link what an earlier run has of unchanged items into this one, and record the states of all items.

    Args:
        given: The setting `reuse` of the stage: a run directory, `LAST` or None.
        state: Of an item: that of its file (`state_of`).
        results: Of an item and an earlier run: the item's files below that run, those last that mark it as finished;
            none if it failed there, so that it is tried again.

    Raises:
        UserError: The named run does not exist, is not finished, or has other settings or inputs.
    """
    if rank() != 0:
        return
    begun = read_states(run.dir)  # of an earlier start: an item that has changed since is not known to be the same
    states = {item.id: state(item) for item in items}
    write_rows(run.dir / SOURCES, (Source(name, begun.get(name, now)) for name, now in states.items()))
    earlier = None if given is None else _earlier(run, given)
    if earlier is None:
        return
    before = read_states(earlier)
    same = [item for item in items if before.get(item.id) == states[item.id]]
    taken = 0
    for item in follow(same, "items taken over", len(same)):
        files = list(results(item, earlier))
        taken += bool(files)
        for file in files:
            if not (run.dir / file).exists():
                link_file(earlier / file, run.dir / file)
    log.info(
        "taken over from %s: %d of %d; the others are new, or changed, or failed there", earlier, taken, len(states)
    )


def _earlier(run: Run[Any], given: str) -> Path | None:
    own = (run.dir / FINGERPRINT).read_text(encoding="utf-8")
    if given != LAST:
        path = Path(given).resolve()
        if not (path / runs.SUMMARY).is_file():
            raise UserError(
                f"this is not a finished run of stage {run.stage}",
                where=f"{run.stage}.reuse={given}",
                remedy=f"name the directory of one, <out>/<name>/{run.stage}/<run id>, or {run.stage}.reuse=last",
            )
        if _fingerprint(path) != own:
            raise UserError(
                "this run was made with other settings or inputs, so its masks cannot be taken over",
                where=f"{run.stage}.reuse={given}",
                remedy=f"give the same settings and inputs.<stage>=DIR as there, or leave out {run.stage}.reuse",
            )
        return path
    found = list(runs.finished_runs(run.home.out, run.home.name, run.stage, debug=run.debug))
    same = next((path for path in found if _fingerprint(path) == own), None)
    if found and same is None:
        log.warning("%s.reuse=last: no finished run has these settings and inputs, so all is done again", run.stage)
    return same


def _fingerprint(folder: Path) -> str:
    path = folder / FINGERPRINT
    return path.read_text(encoding="utf-8") if path.is_file() else ""
