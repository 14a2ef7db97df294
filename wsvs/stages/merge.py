"""Stage merge: join the finished shards of a run into one run, which later stages read as any other."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra import compose

from wsvs.config.check import check
from wsvs.config.results import MergeSettings
from wsvs.core import runs
from wsvs.core.alive import silence
from wsvs.core.console import for_shell
from wsvs.core.errors import UserError
from wsvs.core.files import link_file, read_json, write_bytes, write_json
from wsvs.core.progress import follow
from wsvs.core.reviews import SNAPSHOT
from wsvs.core.runs import FINGERPRINT
from wsvs.core.shards import SET, SHARD, Shard, ShardRun, shards_below
from wsvs.engine.fork import GOOD, call
from wsvs.engine.next import key_of, next_line
from wsvs.engine.ranks import config_options
from wsvs.engine.resume import overrides_of
from wsvs.engine.run import INPUTS, OWN, SKIPPED, Run
from wsvs.engine.stage import Stage
from wsvs.records.row import write_rows
from wsvs.records.sources import SOURCES, Source

log = logging.getLogger("wsvs")

# Joining computes nothing, so it needs no device. The rest of the trainer stays: the precision of trainer=gpu counts.
ON_ONE_CPU = ("trainer.accelerator=cpu", "trainer.devices=1", "trainer.num_nodes=1", "trainer.strategy=auto")


@dataclass(frozen=True)
class Settings:
    merge: MergeSettings


def run(run: Run[Settings]) -> None:
    given = run.settings.merge.shards
    shards = complete(shards_below(*([Path(given).resolve()] if given else run.home.folder.glob("*/*"))), run)
    one, stage = shards[0], shards[0].stage
    target = run.home.folder / stage / f"merged-{run.id}"
    # Not of this run: where and how the shards ran, and what they have taken over already.
    gone = {"stage", "resume", f"{stage}.shard", f"{stage}.reuse", *map(key_of, ON_ONE_CPU)}
    words = [word for word in overrides_of(one.folder / ".hydra" / "overrides.yaml") if key_of(word) not in gone]
    merged = {str(shard.folder.resolve()): shard.started for shard in shards}
    record = {"stage": stage, "merged": merged, "items": one.items, "fingerprint": one.fingerprint}
    if (target / SHARD).is_file() and read_json(target / SHARD) != record:
        raise UserError(
            "this merge was started with other shards",
            where=target,
            remedy="run it again with resume=false (with another WSVS_RUN_ID, if it is set)",
        )
    write_json(target / SHARD, record)
    for number, shard in enumerate(shards, 1):
        log.info("--- shard %s (%d of %d)", shard.shard, number, len(shards))
        for path in follow(data_files(shard.folder), "files"):
            place = target / path.relative_to(shard.folder)
            if path.suffix == ".jsonl" and path.parent.name == "done":  # a journal of each rank of each shard
                place = place.with_name(f"{shard.shard.folder}-{path.name}")
            if not place.exists():
                link_file(path, place)
    if states := [path for shard in shards if (path := shard.folder / SOURCES).is_file()]:
        write_rows(target / SOURCES, (row for path in states for row in Source.read(path)))  # as the shards read them
    # The run itself then finds every item finished, and writes its lists and its summary as an undivided one does. It
    # has the inputs of the shards, and is refused if its settings or the review are no longer theirs.
    for path in (one.folder / name for name in (INPUTS, SNAPSHOT, FINGERPRINT)):
        if path.is_file():
            write_bytes(target / path.name, path.read_bytes())
    kept = [word for word in run.overrides if key_of(word) in ("name", "out")]
    words = [word for word in words if key_of(word) not in ("name", "out")] + kept
    status = call([f"stage={stage}", *words, f"{stage}.shard=null", *ON_ONE_CPU], target.name)
    if status not in GOOD:
        options = f" with {' '.join(map(for_shell, one.options))}" if one.options else ""
        raise UserError(
            f"stage {stage} stopped with exit status {status}",
            where=target,
            remedy=f"fix the error above, and run the same command again in {one.cwd}{options}, as the shards were; if "
            "settings or answers are no longer theirs, run them again as a new set (docs/clusters.md)",
        )
    summary = runs.read_summary(target)
    if summary.skipped:  # by the shards
        run.skipped += read_json(target / SKIPPED)
    run.finish(
        counts={"stage": stage, "shards": len(shards), **summary.counts},
        wrote=target,
        goes_on=False,
    )
    settings = check(compose(config_name="config", overrides=[f"stage={stage}", *words]), words)
    if following := next_line(stage, settings, words, target, config_options(sys.argv[1:])):
        log.info("%s", following)


def complete(found: Sequence[ShardRun], run: Run[Settings]) -> list[ShardRun]:
    """All finished shards of one run, in order: of the newest.

    Raises:
        UserError: There is none, one is missing, not finished, or of other settings, inputs or items.
    """
    if not found:
        raise UserError(
            "no shards to merge",
            where=run.settings.merge.shards or run.home.folder,
            remedy="run stage relevance, segment or predict with its setting shard first, as in docs/clusters.md",
        )
    newest = found[0]
    count = newest.shard.count
    same = [one for one in reversed(found) if one.of == newest.of]
    done = {one.shard: one for one in same if (one.folder / runs.SUMMARY).is_file()}
    left = [shard for number in range(count) if (shard := Shard(number, count)) not in done]
    there = [one for one in found if one.folder.parent == newest.folder.parent and one.shard.count == count]
    beside = [one for one in there if one.shard in left and one.of != newest.of]
    if beside:
        what = "items" if beside[0].items != newest.items else "settings or inputs"
        raise UserError(
            f"shards {newest.shard} and {beside[0].shard} do not agree: they are of other {what}",
            where=f"{newest.folder} and {beside[0].folder}",
            remedy="remove the wrong one and run its job again; merge.shards=DIR names the folder of the shards to use",
        )
    if left:
        raise UserError(
            f"shards of stage {newest.stage} that are not finished: {len(left)} of {count}",
            where=", ".join(_state(shard, same) for shard in left[:8]) + (", ..." if len(left) > 8 else ""),
            remedy=f"run in {newest.cwd}: {command_of(newest, left[0])}"
            + (", and the others in the same way" if len(left) > 1 else ""),
        )
    return [done[shard] for shard in sorted(done)]


def _state(shard: Shard, begun: Sequence[ShardRun]) -> str:
    folders = [one.folder for one in begun if one.shard == shard]
    if not folders:
        return f"{shard} not started"
    return f"{shard} not finished" if all(silence(one) is None for one in folders) else f"{shard} running, or killed"


def command_of(other: ShardRun, shard: Shard) -> str:
    """The command of a shard, by that of another one."""
    key, parent = f"{other.stage}.shard", other.folder.parent.name
    words = overrides_of(other.folder / ".hydra" / "overrides.yaml")
    words = [f"{key}={shard}" if key_of(word) == key else word for word in words]
    own = "" if parent == SET else f"WSVS_RUN_ID={for_shell(parent)} "
    return own + " ".join(map(for_shell, ["wsvs", *other.options, *words]))


def data_files(folder: Path) -> Iterator[Path]:
    """The results of a run: all files of its folders, and masks beside them. Its own records stay."""
    for top in sorted(folder.iterdir()):
        if top.name.startswith(".") or top.name in OWN:
            continue
        if top.is_dir():
            for base, _, names in os.walk(top):
                yield from (Path(base, name) for name in sorted(names) if not name.startswith(".tmp-"))
        elif top.suffix == ".png":
            yield top


STAGE = Stage("merge", Settings, run, paths=("merge.shards",), ranks="one")
