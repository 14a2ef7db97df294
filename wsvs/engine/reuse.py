"""Masks that a finished run has of files that have not changed since: only the others are worked on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from wsvs.core import runs
from wsvs.core.errors import UserError
from wsvs.core.files import link_file, read_json
from wsvs.core.processes import rank
from wsvs.core.progress import follow
from wsvs.core.reviews import SNAPSHOT, Reviews
from wsvs.core.runs import FINGERPRINT
from wsvs.core.shards import W
from wsvs.engine.run import Run
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
    taken: Callable[[W, Path], None] = lambda item, earlier: None,
) -> None:
    """Hard link what an earlier run has of unchanged items into this one, and record the states of all items.

    They say all of an item that its result depends on, beside the settings and inputs of the run.

    Args:
        given: The setting `reuse` of the stage: a run directory, `LAST` or None.
        state: Of an item: of its file, its tags and the checkpoint (`state_of`).
        results: Of an item and an earlier run: the item's files below that run, those last that mark it as finished;
            none if it failed there, or if some of its files are gone, so that it is done again.
        taken: Is called with both once these files are here: what is to be recorded of the item, beside files.

    Raises:
        UserError: The named run does not exist, is not finished, or has other settings or inputs.
    """
    if rank() != 0:
        return
    earlier = None if given is None else _earlier(run, given)
    begun = read_states(run.dir)  # of an earlier start: an item that has changed since is not known to be the same
    states = {item.id: state(item) for item in items}
    write_rows(run.dir / SOURCES, (Source(name, begun.get(name, now)) for name, now in states.items()))
    if changed := [name for name, now in states.items() if begun.get(name, now) != now]:
        log.warning(
            "changed since this run was started: %d of %d files (%s), or the checkpoint; masks made before are kept, "
            "and only a new run replaces them",
            len(changed),
            len(states),
            ", ".join(changed[:3]) + (", ..." if len(changed) > 3 else ""),
        )
    if earlier is None:
        return
    before = read_states(earlier)
    same = [item for item in items if before.get(item.id) == states[item.id]]
    count = 0
    for item in follow(same, "items taken over", len(same)):
        files = list(results(item, earlier))
        for file in files:
            if not (run.dir / file).exists():
                link_file(earlier / file, run.dir / file)
        if files:
            taken(item, earlier)
            count += 1
    log.info(
        "taken over from %s: %d of %d; the others are new, or changed, or incomplete there", earlier, count, len(states)
    )


def _earlier(run: Run[Any], given: str) -> Path | None:
    if given != LAST:
        path = Path(given).resolve()
        if not (path / runs.SUMMARY).is_file():
            raise UserError(
                f"this is not a finished run of stage {run.stage}",
                where=f"{run.stage}.reuse={given}",
                remedy=f"name the directory of one, <out>/<name>/{run.stage}/<run id>, or {run.stage}.reuse=last",
            )
        if not _alike(run, path):
            raise UserError(
                "this run was made with other settings or inputs, so its masks cannot be taken over",
                where=f"{run.stage}.reuse={given}",
                remedy=f"give the same settings and inputs.<stage>=DIR as there, or leave out {run.stage}.reuse",
            )
        return path
    found = list(runs.finished_runs(run.home.out, run.home.name, run.stage, debug=run.debug))
    same = next((path for path in found if _alike(run, path)), None)
    if found and same is None:
        log.warning("%s.reuse=last: no finished run has these settings and inputs, so all is done again", run.stage)
    return same


def _alike(run: Run[Any], other: Path) -> bool:
    """Whether another run has these settings and inputs. Corrected tags may differ: an item's state has its tags."""
    mark, answers = other / FINGERPRINT, other / SNAPSHOT
    reviews = Reviews.read(read_json(answers)) if answers.is_file() else Reviews()
    return mark.is_file() and mark.read_text(encoding="utf-8") == run.mark(run.inputs, reviews)
