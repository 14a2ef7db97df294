"""Predict masks of images and videos: shared by the stages predict and adapt."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from wsvs.core.ledger import Ledger
from wsvs.data.work import Item, ItemDataset
from wsvs.engine.run import Run
from wsvs.engine.work import work_through
from wsvs.lit.predictor import PredictionWriter, PredictorModule, load_image


def predict_all(
    run: Run[Any],
    items: Sequence[Item],
    module: PredictorModule,
    folder: Path,
    *,
    workers: int,
    scores: bool = False,
    names: Sequence[str] | None = None,
) -> list[Item]:
    """Write the mask of every item that has none yet, and return the items with a mask.

    Videos have "frames" then, images "confidence", {label: value}, unless an older version wrote them.

    Args:
        items: {"id", "file", "classes"}, {"id", "video", "classes", "size": frames}, or {"id", "bad": reason}.
        folder: Where the masks go.
        scores, names: See `PredictionWriter`.
    """
    ledger = Ledger(run.dir)

    def finished(item: Item) -> bool:
        if (folder / f"{item['id']}.png").is_file():
            return True
        known = ledger.read(item["id"]) if ledger.has(item["id"]) else {}
        return "failed" in known or "frames" in known

    work_through(
        run,
        items,
        module=module,
        writer=PredictionWriter(folder, ledger, scores=scores, names=names),
        finished=finished,
        dataset=partial(ItemDataset, load=load_image),
        workers=workers,
        size=lambda item: item.get("size", 1),
        unit="frames" if any("video" in item for item in items) else "images",
    )
    written: list[Item] = []
    for item in items:
        record = ledger.read(item["id"]) if ledger.has(item["id"]) else {}
        if "failed" in record:
            run.skip(item["id"], record["failed"])
        if "unshown" in record:
            run.skip(item["id"], record["unshown"])
        if "broken" in record:
            run.skip(item["id"], f"only the first frames are used ({record['frames']}): {record['broken']}")
        if "frames" in record:
            written.append({**item, "frames": record["frames"]})
        elif (folder / f"{item['id']}.png").is_file():
            written.append({**item, **{key: record[key] for key in ("confidence",) if key in record}})
    return written
