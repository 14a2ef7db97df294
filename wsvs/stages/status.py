"""Stage status: the progress of all runs and shards of a name, also of those that run elsewhere."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from wsvs.core import runs
from wsvs.core.alive import ALIVE, SILENCE, silence
from wsvs.core.console import show
from wsvs.core.errors import UserError
from wsvs.core.files import read_json
from wsvs.core.progress import WORK, duration, rate_text
from wsvs.core.shards import Shard, ShardRun
from wsvs.engine.names import stage_names
from wsvs.engine.run import Run
from wsvs.engine.stage import Stage
from wsvs.records.journal import count_items, records


@dataclass(frozen=True)
class Settings:
    """It reads only the name and `out`."""


@dataclass(frozen=True)
class Row:
    """What is known of a run; `done` and `left` count its items."""

    stage: str
    name: str
    state: str
    done: str = ""
    failed: str = ""
    rate: str = ""
    left: str = ""


def run(run: Run[Settings]) -> None:
    home = run.home.folder
    if not home.is_dir():
        raise UserError("there are no runs of this name", where=home, remedy="give name=NAME, and out=DIR if it is set")
    table = Table("stage", "run", "state", "done", "failed", "rate", "time left", title=str(home))
    for row in rows_of(home):
        table.add_row(row.stage, row.name, row.state, row.done, row.failed, row.rate, row.left)
    show(table)


def rows_of(home: Path) -> Iterator[Row]:
    """All runs of a name, by stage and name; jobs of sweeps and shards below their folder."""
    for stage in (name for name in stage_names() if (home / name).is_dir()):
        for folder in sorted((home / stage).iterdir()):
            if (folder / runs.LOG).is_file():
                yield row_of(stage, folder, folder.name)
            inner = [one for one in _folders(folder) if (one / runs.LOG).is_file()]
            yield from (row_of(stage, one, f"{folder.name}/{one.name}") for one in inner)
            yield from (Row(stage, f"{folder.name}/{shard.folder}", "not started") for shard in missing(inner))


def missing(inner: Sequence[Path]) -> list[Shard]:
    """The shards of a set that no job has begun. Without those that have not recorded yet what they are."""
    begun = {one.shard for folder in inner if (one := ShardRun.read(folder))}
    every = (Shard(number, count) for count in sorted({one.count for one in begun}) for number in range(count))
    names = {folder.name for folder in inner}
    return [shard for shard in every if shard not in begun and shard.folder not in names]


def row_of(stage: str, folder: Path, name: str) -> Row:
    """One run. Only the folder done/ is listed, and only while the run is not finished."""
    work: dict[str, Any] = _json(folder / WORK)
    summary = _json(folder / runs.SUMMARY)
    if summary:
        skipped = summary.get("counts", {}).get(runs.SKIPPED)
        return Row(
            stage,
            name,
            "finished",
            f"{work['videos']} videos" if "videos" in work else f"{work['items']} of {work['items']}" if work else "",
            "" if skipped is None else str(skipped),
            "",
            f"took {duration(summary['seconds'])}",
        )
    quiet = silence(folder)
    runs_now = quiet is not None and quiet < SILENCE
    if runs_now:
        state = f"running on {_json(folder / ALIVE).get('host', '?')}"
    else:
        state = "stopped" if quiet is None else f"killed, last sign {duration(quiet)} ago"
    done, failed = count(folder / "done")
    seen, unreadable = count(folder / "seen" / "done")
    if "videos" in work:
        work |= _estimate(folder, work)
    if not work:
        return Row(stage, name, state, f"looked at {seen} videos" if seen else "", str(unreadable) if seen else "")
    since = max(time.time() - work["started"], 1e-9)
    rate = max(0, done - (work["items"] - work["left"])) / since if runs_now else 0.0
    each = work["amount"] / max(work["items"], 1)
    return Row(
        stage,
        name,
        state,
        f"{done} of {work.get('about', '')}{work['items']}",
        str(failed + unreadable),
        rate_text(rate * each, work["unit"]),
        duration((work["items"] - done) / rate) if rate and done < work["items"] else "",
    )


def _estimate(folder: Path, work: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers of pieces and of frames of a run whose videos are looked at on the way, by those that have been."""
    looked = pieces = frames = 0
    for path in (folder / "seen" / "done").glob("*.jsonl"):
        for record in records(path):
            looked, pieces, frames = looked + 1, pieces + (record.get("pieces") or 0), frames + record.get("frames", 0)
    every, share = work["videos"], work["videos"] / max(looked, 1)
    items = round(pieces * share)
    known = {"items": items, "left": items - work["pieces"], "amount": frames * share}
    return known | {"about": "about " if looked < every else ""}


def count(folder: Path) -> tuple[int, int]:
    """Number of finished items, and of those that failed, by the names of files in done/, or its journals."""
    done = failed = 0
    for base, _, names in os.walk(folder):
        done += sum(name.endswith(".json") and not name.startswith(".") for name in names)
        failed += sum(name.endswith(".failed") and not name.startswith(".") for name in names)
        for name in names:
            if name.endswith(".jsonl"):
                more = count_items(Path(base, name))
                done, failed = done + more[0], failed + more[1]
    return done, failed


def _folders(folder: Path) -> list[Path]:
    """The folders in it, 2-of-10 before 10-of-10; none if it cannot be read, or is no folder."""
    try:
        found = [Path(one.path) for one in os.scandir(folder) if one.is_dir()]
    except OSError:
        return []
    return sorted(found, key=lambda path: (len(path.name), path.name))


def _json(path: Path) -> dict[str, Any]:
    """A record; empty if it is missing."""
    try:
        found = read_json(path)
    except (UserError, OSError):
        return {}
    return found if isinstance(found, dict) else {}


STAGE = Stage("status", Settings, run, ranks="first", writes=False)
