"""The share of the items that a run works on: all of them, or those of its shard."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from wsvs.config.root import Settings
from wsvs.core.errors import UserError
from wsvs.core.files import read_json, write_json
from wsvs.core.processes import rank
from wsvs.core.runs import FINGERPRINT
from wsvs.core.shards import SHARD, Shard, ShardRun, digest
from wsvs.engine.ranks import config_options
from wsvs.engine.run import Run

SHARDED = ("relevance", "segment", "predict")  # the stages with a setting `shard`, which stage merge joins


def shard_of(settings: Settings, stage: str) -> Shard | None:
    """The shard that a command works on."""
    text = getattr(getattr(settings, stage), "shard", None) if stage in SHARDED else None
    return None if text is None else Shard.parse(f"{stage}.shard", text)


def said_shard(stage: str, *, _root_: Any) -> str | None:
    """The same as text, of a configuration that is not yet checked: a resolver of OmegaConf."""
    value = OmegaConf.select(_root_, f"{stage}.shard", default=None) if stage in SHARDED else None
    return None if value is None else str(value)


def refuse_shards(settings: Settings, stage: str) -> None:
    """Raises `UserError` for a shard of a debug run, or if a stage that runs others is asked for a shard of one."""
    if settings.debug and shard_of(settings, stage):
        raise UserError(
            "a debug run leaves most items out, so that a shard of it is never finished",
            where=f"{stage}.shard",
            remedy=f"leave out {stage}.shard, or the debug settings",
        )
    for name in SHARDED:
        if stage in ("pipeline", "reproduce") and shard_of(settings, name):
            raise UserError(
                f"stage {stage} runs every stage whole",
                where=f"{name}.shard",
                remedy=f"run stage={name} with it, one job for each shard, then stage=merge; the pipeline skips "
                "finished stages",
            )


def share(run: Run[Any], text: str | None, sizes: Callable[[], Mapping[str, float]]) -> set[str] | None:
    """Names of the items that this run works on; None for all.

    Args:
        text: The stage's setting `shard`.
        sizes: {name: amount of work} of all items, the same on every machine.

    Raises:
        UserError: The other shards, as far as they have begun, are of other items, settings or inputs.
    """
    path = run.dir / SHARD
    if text is None and not path.is_file():
        return None
    every = sizes()
    listed = digest(every)
    if text is None:
        _check_merged(path, listed)
        return None
    shard = Shard.parse(f"{run.stage}.shard", text)
    own = (run.dir / FINGERPRINT).read_text(encoding="utf-8")
    for other in run.dir.parent.glob(f"*-of-{shard.count}/{SHARD}"):
        found = ShardRun.read(other.parent)
        if found is not None and (found.items, found.fingerprint) != (listed, own):
            what = "items" if found.items != listed else "settings or inputs"
            raise UserError(
                f"shard {found.shard} is one of other {what}, so that the two cannot be merged",
                where=other.parent,
                remedy="give all shards the same settings and inputs (inputs.<stage>=DIR names a run), and do not add "
                "files meanwhile; for a new set of shards give all jobs another WSVS_RUN_ID=<word>, or another name=",
            )
    if rank() == 0 and not path.is_file():
        record = {"shard": str(shard), "stage": run.stage, "items": listed, "started": time.time()}
        write_json(path, {**record, "cwd": os.getcwd(), "options": list(config_options(sys.argv[1:]))})
    return shard.mine(every)


def _check_merged(path: Path, listed: str) -> None:
    if read_json(path)["items"] != listed:
        raise UserError(
            "the items have changed since the shards were started",
            where=path.parent,
            remedy="restore the files as they were, or run without a shard; the results of the shards are kept",
        )
