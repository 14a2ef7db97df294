"""The shots of a relevance run as items for the segmenter."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl

from wsvs.core.errors import UserError
from wsvs.core.files import read_jsonl, write_jsonl
from wsvs.data.work import Item
from wsvs.lit.totals import Totals
from wsvs.video.shots import left_out, pieces

COPIED = ("areas", "confidence", "confidences", "uncertain")  # keys of a shot's record in done/, also in shots.jsonl


class RelevantShots:
    """The shots of a relevance run, cut into items; their masks are masks/<shot>/%06d.png, numbered within the clip.

    Args:
        folder: The segment run.
        manifest: shots.jsonl of the relevance run.
        classes: The encoder's classes, in the order of the labels 1, 2, ...
        max_frames: Maximum number of frames per item.

    Raises:
        UserError: There is no shot.
    """

    def __init__(self, folder: Path, manifest: Path, classes: Sequence[str], *, max_frames: int) -> None:
        self.folder = folder
        self.manifest = manifest
        self.labels = {name: number + 1 for number, name in enumerate(classes)}
        self.max_frames = max_frames
        if next(read_jsonl(self.manifest), None) is None:
            raise UserError(
                "no shot is relevant to its class",
                where=self.manifest,
                remedy="lower relevance.threshold, add videos, or train the encoder longer; scores/ has the scores",
            )

    def items(self, trainer: pl.Trainer) -> list[Item]:
        if not trainer.is_global_zero:
            return []
        return [
            {
                "id": shot["shot"],
                "file": shot["file"],
                "start": shot["start"],
                "stop": shot["stop"],
                "size": shot["stop"] - shot["start"],
                "total": shot["frames"],
                "height": shot["height"],
                "width": shot["width"],
                "fps": shot["fps"],
                "classes": [shot["class"]],
                "label": self.labels[shot["class"]],
                "folder": shot["shot"],
                "digits": 6,
                "overlay": f"overlay/{shot['shot']}.mp4",
                **{key: shot[key] for key in ("odd", "blank") if key in shot},
            }
            for shot in cut(read_jsonl(self.manifest), self.max_frames)
        ]

    def close(self, totals: Totals) -> dict[str, Any]:
        """Write shots.jsonl with the shots that have masks, and return the counts."""
        count = 0

        def done() -> Iterator[dict[str, Any]]:
            nonlocal count
            for shot in cut(read_jsonl(self.manifest), self.max_frames):
                count += 1
                record = totals.take(shot["shot"])
                if record is not None:
                    yield {**shot, **{key: record[key] for key in COPIED if key in record}}

        written = write_jsonl(self.folder / "shots.jsonl", done())
        return {"shots": count, "segmented": written, "frames": totals.frames, **totals.without_motion}


def cut(shots: Iterator[dict[str, Any]], max_frames: int) -> Iterator[dict[str, Any]]:
    """Shots of at most `max_frames` frames; each piece is named after its clip and first frame."""
    for shot in shots:
        for start, stop in pieces(shot["start"], shot["stop"], max_frames):
            name = f"{shot['clip']}_{start:06d}"
            odd, blank = shot.get("odd", ()), shot.get("blank", ())
            whole = {key: value for key, value in shot.items() if key not in ("odd", "blank")}
            yield {**whole, "shot": name, "id": name, "start": start, "stop": stop, **left_out(start, stop, odd, blank)}
