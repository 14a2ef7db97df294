"""Predict masks of images: shared by the stages predict and adapt."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from wsvs.core.ledger import Ledger
from wsvs.data.work import Item, ItemDataset
from wsvs.lit.predictor import PredictionWriter, PredictorModule, load_image
from wsvs.stages._run import Run
from wsvs.stages._work import work_through


def predict_all(
    run: Run, items: Sequence[Item], module: PredictorModule, folder: Path, *, workers: int, scores: bool = False
) -> list[Item]:
    """Write the mask of every item that has none yet; returns the items that have one.

    Args:
        items: {"id", "file", "classes"}, or {"id", "bad": reason}.
        folder: Where the masks go.
    """
    ledger = Ledger(run.dir)

    def finished(item: Item) -> bool:
        return (folder / f"{item['id']}.png").is_file() or ledger.has(item["id"])

    work_through(
        run, items, module=module, writer=PredictionWriter(folder, ledger, scores=scores), finished=finished,
        dataset=partial(ItemDataset, load=load_image), workers=workers,
    )
    for item in items:
        if ledger.has(item["id"]):
            run.skip(item["id"], ledger.read(item["id"])["failed"])
    return [item for item in items if (folder / f"{item['id']}.png").is_file()]
