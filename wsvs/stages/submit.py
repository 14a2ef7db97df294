"""Stage submit: pack masks of the VOC test images as the evaluation server takes them (section 5, Table 3)."""

from __future__ import annotations

from pathlib import Path

from wsvs.core.errors import UserError
from wsvs.core.progress import follow
from wsvs.core.tables import read_ids
from wsvs.data.voc_server import pack_results
from wsvs.stages._run import Run, rank

NEEDS: tuple[str, ...] = ()
SECTIONS = ("submit", "predictions", "input")


def run(run: Run) -> None:
    cfg, settings = run.cfg, run.cfg.submit
    if rank() != 0:
        return
    if not cfg.predictions or not settings.ids:
        key, hint = ("submit.ids", "FILE") if cfg.predictions else ("predictions", "DIR")
        raise UserError("nothing to pack", where=key, remedy=f"give {key}={hint}")
    ids = read_ids(settings.ids)
    target = run.dir / f"{settings.competition}_{settings.split}.tar.gz"
    pack_results(
        Path(cfg.predictions), ids, target, competition=settings.competition, split=settings.split,
        images=Path(cfg.input) if cfg.input else None, progress=follow,
    )
    run.finish(counts={"masks": len(ids)}, wrote=target)
