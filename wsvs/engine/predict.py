"""Predict masks of images and videos: shared by the stages predict and adapt."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from wsvs.data.work import ItemDataset
from wsvs.engine.run import Run
from wsvs.engine.work import work_through
from wsvs.lit.predictor import PredictionWriter, PredictorModule, load_image
from wsvs.records.ledger import Ledger
from wsvs.records.predicted import Bad, PredictedFile, Wanted


def predict_all(
    run: Run[Any],
    items: Sequence[Wanted | Bad],
    module: PredictorModule,
    folder: Path,
    *,
    workers: int,
    scores: bool = False,
    names: Sequence[str] | None = None,
) -> tuple[list[tuple[Wanted, PredictedFile]], dict[str, float]]:
    """Write the mask of every item that has none yet.

    Args:
        items: What to predict; what cannot be comes with its reason.
        folder: Where the masks go.
        scores, names: See `PredictionWriter`.

    Returns:
        The items with a mask and their records in done/; and what `work_through` says of the loop.
    """
    ledger = Ledger(run.dir)

    def finished(item: Wanted | Bad) -> bool:
        if (folder / f"{item.id}.png").is_file():
            return True
        known = ledger.read(item.id) if ledger.has(item.id) else {}
        return "failed" in known or "frames" in known

    loop = work_through(
        run,
        items,
        module=module,
        writer=PredictionWriter(folder, ledger, scores=scores, names=names),
        finished=finished,
        dataset=partial(ItemDataset, load=load_image),
        workers=workers,
        size=lambda item: item.size if isinstance(item, Wanted) else 1,
        unit="frames" if any(isinstance(item, Wanted) and item.video for item in items) else "images",
    )
    written: list[tuple[Wanted, PredictedFile]] = []
    for item in items:
        record = ledger.get(item.id, PredictedFile, run.skip) or PredictedFile()
        if record.unshown is not None:
            run.skip(item.id, record.unshown)
        if record.broken is not None:
            run.skip(item.id, f"only the first frames are used ({record.frames}): {record.broken}")
        if isinstance(item, Wanted) and (record.frames is not None or (folder / f"{item.id}.png").is_file()):
            written.append((item, record))
    return written, loop
