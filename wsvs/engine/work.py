"""Run a predict loop over items whose results are files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from time import perf_counter, time
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import BasePredictionWriter
from torch.utils.data import Dataset

from wsvs.core.files import write_json
from wsvs.core.processes import rank
from wsvs.core.progress import WORK
from wsvs.core.shards import W
from wsvs.data.prefetch import Stopwatch
from wsvs.data.work import WorkModule
from wsvs.engine.run import Run
from wsvs.engine.trainer import build_trainer, explained
from wsvs.lit.steps import DataWait
from wsvs.records.masks import TARS


def work_through(
    run: Run[Any],
    items: Sequence[W] | Callable[[pl.Trainer], Sequence[W]],
    *,
    module: pl.LightningModule,
    writer: BasePredictionWriter,
    finished: Callable[[W], bool],
    dataset: Callable[[Sequence[W]], Dataset[Any]],
    workers: int,
    size: Callable[[W], float] = lambda _: 1,
    unit: str = "items",
    loader: Callable[[Any, int], Iterable[Any]] | None = None,
    measure: Callable[[Any], tuple[float, float]] | None = None,
    about: Callable[[], dict[str, int]] = dict,
) -> dict[str, float]:
    """Process all remaining items; those that an earlier start finished are kept. Returns when all ranks are done.

    See `WorkModule` for the arguments; `about` gives what stage status has to know beside the number of items. A module
    that reads files itself measures how long it waits for them in `watch`, a `Stopwatch`.

    Returns:
        For the summary, of this start: "seconds of the loop", from the distribution of the items until the last rank is
        done, without the start of processes; and "data_wait", the fraction of its time in which a rank waits for data.
    """
    if rank() == 0:
        remove_partial_files(run.dir)
    trainer = build_trainer(run, callbacks=[writer], use_distributed_sampler=False)
    wait = DataWait()
    trainer.callbacks.append(wait)  # type: ignore[attr-defined]

    def begin(every: Sequence[W], left: Sequence[W]) -> None:
        record = {"items": len(every), "left": len(left), "unit": unit, "amount": sum(map(size, every))}
        write_json(run.dir / WORK, record | about() | {"started": time()})

    work = WorkModule(
        items,
        finished=finished,
        dataset=dataset,
        workers=workers,
        size=size,
        unit=unit,
        loader=loader,
        begin=begin,
        measure=measure,
    )
    with explained(run):
        trainer.predict(module, work, return_predictions=False, weights_only=True)
        inside: Stopwatch | None = getattr(module, "watch", None)
        spent = [wait.seconds + (inside.seconds if inside else 0.0), perf_counter() - work.begun]
        totals = torch.tensor(spent, device=trainer.strategy.root_device)
        waited, busy = trainer.strategy.reduce(totals, reduce_op="sum").tolist()
        trainer.strategy.barrier()
    seconds = perf_counter() - work.begun
    return {"seconds of the loop": round(seconds, 3), "data_wait": round(waited / max(busy, 1e-9), 4)}


def remove_partial_files(folder: Path) -> None:
    """Delete the partial files of a killed start. Call it before the ranks start, whose files have the same names.

    Archives of masks are begun beside their folder, which is not listed.
    """
    for base, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != TARS or Path(base) != folder]
        for name in names:
            if name.startswith(".tmp-"):
                Path(base, name).unlink(missing_ok=True)
