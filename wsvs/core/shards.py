"""Shards: independent jobs that each work on their share of the items of one run.

<out>/<name>/<stage>/<id>/<i>-of-<n>/     a run of its own; one folder deeper than other runs, so no stage reads it
<out>/<name>/<stage>/<id>/<i>-of-<n>/shard.json     which shard it is, of which stage, and of which items
"""

from __future__ import annotations

import hashlib
import heapq
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

from wsvs.core.errors import UserError
from wsvs.core.files import read_json
from wsvs.core.runs import FINGERPRINT

SHARD = "shard.json"
SET = "shards"  # the <id> of shards that are given none


class Work(Protocol):
    """An item of work. Its id is unique."""

    @property
    def id(self) -> str: ...


W = TypeVar("W", bound=Work)
T = TypeVar("T")


def deal(items: Sequence[W], size: Callable[[W], float], ranks: int) -> list[list[W]]:
    """A share for each rank: the longest items first, each to the rank with the least work so far.

    Longest processing time first (Graham, "Bounds on multiprocessing timing anomalies", 1969): the longest share takes
    at most 4/3 of the optimum.
    """
    return _deal(items, size, lambda item: item.id, ranks)


def _deal(items: Iterable[T], size: Callable[[T], float], name: Callable[[T], str], ranks: int) -> list[list[T]]:
    shares: list[list[T]] = [[] for _ in range(ranks)]
    loads: list[tuple[float, int, int]] = [(0.0, 0, rank) for rank in range(ranks)]
    for item in sorted(items, key=lambda item: (-size(item), name(item))):
        load, count, rank = loads[0]
        shares[rank].append(item)
        heapq.heapreplace(loads, (load + size(item), count + 1, rank))
    return shares


@dataclass(frozen=True, order=True)
class Shard:
    """Shard `number` of `count`, numbered from 0 as ranks and the tasks of a job array are."""

    number: int
    count: int

    @classmethod
    def parse(cls, key: str, text: str) -> Self:
        """Raises `UserError` unless it is i/n with 0 <= i < n."""
        found = re.fullmatch(r"(\d+)/(\d+)", text)
        shard = cls(int(found[1]), int(found[2])) if found else None
        if shard is None or shard.number >= shard.count:
            count = shard.count if shard and shard.count else 8
            raise UserError(
                f"{key} must be i/n, the number of this job and how many there are, got {text!r}",
                where=key,
                remedy=f"shards are numbered from 0: {key}=0/{count} to {key}={count - 1}/{count} for {count} jobs",
            )
        return shard

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    @property
    def folder(self) -> str:
        return f"{self.number}-of-{self.count}"

    def mine(self, sizes: Mapping[str, float]) -> set[str]:
        """Names of its items. Every machine with the same names and sizes gets the same answer."""
        share = _deal(sizes.items(), itemgetter(1), itemgetter(0), self.count)[self.number]
        return {name for name, _ in share}


def digest(sizes: Mapping[str, float]) -> str:
    """Of the names and sizes of all items, in any order."""
    lines = (f"{name}\t{sizes[name]:.17g}\n" for name in sorted(sizes))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


@dataclass(frozen=True)
class ShardRun:
    """The run directory of a shard, and its record.

    Attributes:
        stage: Of the run that is divided.
        items: Digest of all its items.
        started: Time of its first start.
        fingerprint: Of its settings and inputs.
        cwd: The folder in which its command was started first.
        options: Hydra's options of that command, such as --config-dir and its value.
    """

    folder: Path
    shard: Shard
    stage: str
    items: str
    started: float
    fingerprint: str
    cwd: str
    options: Sequence[str]

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """The shard in a run directory; None if it is none, or has not begun its work."""
        record: dict[str, Any] = read_json(folder / SHARD) if (folder / SHARD).is_file() else {}
        if "shard" not in record:
            return None
        mark = folder / FINGERPRINT
        text = mark.read_text(encoding="utf-8") if mark.is_file() else ""
        shard = Shard.parse("shard", record.pop("shard"))
        return cls(folder, shard, fingerprint=text, **record)

    @property
    def of(self) -> tuple[str, int, str, str]:
        """Equal for the shards of one run."""
        return self.stage, self.shard.count, self.items, self.fingerprint


def shards_below(*folders: Path) -> list[ShardRun]:
    """The shards whose run directories are in these folders, those that were started last first."""
    found = (ShardRun.read(path.parent) for folder in folders for path in folder.glob(f"*/{SHARD}"))
    return sorted((one for one in found if one is not None), key=lambda one: (-one.started, one.shard))
