"""Stage submit: pack masks of the VOC test images for the evaluation server (section 5, Table 3)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from wsvs.config.results import SubmitSettings
from wsvs.core.errors import UserError
from wsvs.core.progress import follow
from wsvs.core.tables import read_ids
from wsvs.data.voc_server import pack_results
from wsvs.engine.run import Run
from wsvs.engine.stage import Stage


@dataclass(frozen=True)
class Settings:
    submit: SubmitSettings
    predictions: str | None
    input: str | None


def run(run: Run[Settings]) -> None:
    submit, predictions, images = run.settings.submit, run.settings.predictions, run.settings.input
    if not predictions or not submit.ids:
        key, hint = ("submit.ids", "FILE") if predictions else ("predictions", "DIR")
        raise UserError("nothing to pack", where=key, remedy=f"give {key}={hint}")
    ids = read_ids(submit.ids)
    target = run.dir / f"{submit.competition}_{submit.split}.tar.gz"
    pack_results(
        Path(predictions),
        ids,
        target,
        competition=submit.competition,
        split=submit.split,
        images=Path(images) if images else None,
        progress=follow,
    )
    run.finish(counts={"masks": len(ids)}, wrote=target)


STAGE = Stage("submit", Settings, run, paths=("predictions", "submit.ids", "input"), ranks="first")
