"""Run a predict loop over items whose results are files, and count what came of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import BasePredictionWriter
from torch.utils.data import Dataset

from wsvs.data.work import Item, WorkModule
from wsvs.stages._lightning import build_trainer, explained
from wsvs.stages._run import Run


def work_through(
    run: Run, items: Sequence[Item], *, module: pl.LightningModule, writer: BasePredictionWriter,
    finished: Callable[[Item], bool], dataset: Callable[[Sequence[Item]], Dataset], workers: int,
    size: Callable[[Item], float] = lambda _: 1,
) -> None:
    """Bring every item to its end, by this or an earlier start of the run. Returns when all ranks are through."""
    trainer = build_trainer(run, callbacks=[writer], use_distributed_sampler=False)
    work = WorkModule(items, finished=finished, dataset=dataset, workers=workers, size=size)
    with explained(run):
        trainer.predict(module, work, return_predictions=False, weights_only=True)
        trainer.strategy.barrier()


def skip_failed(run: Run, records: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Record the failed among {item: ledger record} as passed over; return the others."""
    good = {}
    for item, record in records.items():
        if "failed" in record:
            run.skip(item, record["failed"])
        else:
            good[item] = record
    return good
