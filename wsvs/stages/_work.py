"""Run a predict loop over items whose results are files, and count what came of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import BasePredictionWriter
from torch.utils.data import Dataset

from wsvs.core.ledger import Ledger
from wsvs.data.work import Item, WorkModule
from wsvs.stages._lightning import build_trainer, explained
from wsvs.stages._run import Run, rank


def work_through(
    run: Run, items: Sequence[Item] | Callable[[pl.Trainer], Sequence[Item]], *, module: pl.LightningModule,
    writer: BasePredictionWriter, finished: Callable[[Item], bool], dataset: Callable[[Sequence[Item]], Dataset],
    workers: int, size: Callable[[Item], float] = lambda _: 1, unit: str = "items",
) -> float:
    """Bring every item to its end, by this or an earlier start of the run. Returns when all ranks are through.

    See `WorkModule` for the arguments. The result is the seconds from the dealing of the items to the end of the last
    rank, the start of all processes left out.
    """
    if rank() == 0:
        remove_stumps(run.dir)
    trainer = build_trainer(run, callbacks=[writer], use_distributed_sampler=False)
    work = WorkModule(items, finished=finished, dataset=dataset, workers=workers, size=size, unit=unit)
    with explained(run):
        trainer.predict(module, work, return_predictions=False, weights_only=True)
        trainer.strategy.barrier()
    return perf_counter() - work.begun


def remove_stumps(folder: Path) -> None:
    """Delete the half-written files of a start that was killed. Only before the ranks begin: theirs look the same."""
    for stump in folder.rglob(".tmp-*"):
        stump.unlink(missing_ok=True)


def skip_failed(run: Run, records: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Record the failed among {item: ledger record} as passed over; return the others."""
    good = {}
    for item, record in records.items():
        if "failed" in record:
            run.skip(item, record["failed"])
        else:
            good[item] = record
    return good


class Totals:
    """Sums over the ledger, taken one record at a time: there may be more than memory holds."""

    def __init__(self, run: Run, ledger: Ledger) -> None:
        self.run = run
        self.ledger = ledger
        self.frames = 0
        self.uncertain: Counter[str] = Counter()  # shots and frames in which nothing seems to move by itself
        self.seconds: Counter[str] = Counter()
        self.energies: Counter[str] = Counter()

    def take(self, item: str) -> dict[str, Any] | None:
        """Record of an item; None if it failed, which is passed on to the run, or was never tried (debug runs)."""
        if not self.ledger.has(item):
            return None
        record = self.ledger.read(item)
        if "failed" in record:
            self.run.skip(item, record["failed"])
            return None
        self.frames += record["frames"]
        if record.get("uncertain"):
            self.uncertain.update(shots=1, frames=record["frames"])
        self.seconds.update(record["seconds"])
        self.energies.update(record["energy"])
        return record

    @property
    def without_motion(self) -> dict[str, int]:
        """For the counts of a summary; nothing where every shot has its masks."""
        return {f"{unit} without own motion": count for unit, count in self.uncertain.items()}

    def results(self, seconds: float) -> dict[str, Any]:
        """Means per frame, and how long the loop of this start took (processes and networks started before it)."""
        frames = max(self.frames, 1)
        failed = {"failed": {one["item"]: one["reason"] for one in self.run.skipped}} if self.run.skipped else {}
        return {
            "ms per frame": {key: round(1000 * value / frames, 1) for key, value in self.seconds.items()},
            "energy per frame": {key: round(value / frames, 3) for key, value in self.energies.items()},
            "seconds of the loop": round(seconds, 3), **failed,
        }
