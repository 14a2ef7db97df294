"""The shots of a relevance run as items for the segmenter."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning.pytorch as pl

from wsvs.core.errors import UserError
from wsvs.lit.totals import Totals
from wsvs.records.masks import MaskSet, Store
from wsvs.records.row import write_rows
from wsvs.records.shots import Piece, Shot


class RelevantShots:
    """The shots of a relevance run, cut into pieces that have masks of their own.

    Args:
        folder: The segment run.
        manifest: shots.jsonl of the relevance run.
        classes: Those that the encoder knows, in the order of the labels 1, 2, ...
        max_frames: Of a piece.
        store: How the masks are stored.

    Raises:
        UserError: There is no shot.
    """

    def __init__(
        self, folder: Path, manifest: Path, classes: Sequence[str], *, max_frames: int, store: Store = "files"
    ) -> None:
        self.masks = MaskSet.of(folder, whole=False, store=store)
        self.ledger = self.masks.ledger
        self.manifest = manifest
        self.labels = {name: number + 1 for number, name in enumerate(classes)}
        self.max_frames = max_frames
        self.kept: Collection[str] | None = None
        if next(Shot.read(self.manifest), None) is None:
            raise UserError(
                "no shot is relevant to its class",
                where=self.manifest,
                remedy="lower relevance.threshold, add videos, or train the encoder longer; scores/ has the scores",
            )

    def sizes(self) -> dict[str, float]:
        """{name: frames} of the shots, before they are cut into pieces."""
        return {shot.name: shot.stop - shot.start for shot in Shot.read(self.manifest)}

    def keep(self, names: Collection[str]) -> None:
        """Leave the other shots out."""
        self.kept = names

    def _whole(self) -> Iterator[Shot]:
        return (shot for shot in Shot.read(self.manifest) if self.kept is None or shot.name in self.kept)

    def items(self, trainer: pl.Trainer) -> list[Piece]:
        return list(self.pieces()) if trainer.is_global_zero else []

    def pieces(self) -> Iterator[Piece]:
        """All pieces, those of a shot in turn."""
        for whole in self._whole():
            for shot in whole.cut(self.max_frames):
                yield replace(self._piece(shot), of=whole.name)

    def work(self) -> dict[str, Any]:
        """The items and what they are, for `wsvs.engine.work.work_through`."""
        return {
            "items": self.items,
            "finished": lambda piece: self.ledger.has(piece.id),
            "size": lambda piece: piece.size,
        }

    def _shots(self) -> Iterator[Shot]:
        for shot in self._whole():
            yield from shot.cut(self.max_frames)

    def _piece(self, shot: Shot) -> Piece:
        return Piece(
            id=shot.name,
            name=shot.name,
            file=shot.file,
            start=shot.start,
            stop=shot.stop,
            total=shot.frames,
            height=shot.height,
            width=shot.width,
            fps=shot.fps,
            classes=shot.classes,
            label=self.labels[shot.class_name],
            overlay=f"overlay/{shot.name}.mp4",
            odd=shot.odd,
            blank=shot.blank,
        )

    def close(self, totals: Totals) -> dict[str, int]:
        """Write shots.jsonl, those that have masks; returns the counts."""
        count = 0

        def done() -> Iterator[Shot]:
            nonlocal count
            for shot in self._shots():
                count += 1
                if one := totals.take(shot.name):
                    yield replace(
                        shot,
                        areas=one.areas,
                        confidence=one.confidence,
                        confidences=one.confidences,
                        uncertain=one.uncertain,
                    )

        written = write_rows(self.masks.listing, done())
        return {"shots": count, "segmented": written, "frames": totals.frames, **totals.without_motion}
