"""Write the masks of a segment run piece by piece, as files or into archives."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wsvs.core.files import write_bytes
from wsvs.core.tars import TarFile
from wsvs.records.masks import MaskSet, TarSet
from wsvs.records.shots import Piece, SegmentedPiece

ENOUGH = 100  # frames of an archive; one that has as many is complete


class FileWriter:
    """Every mask, frame and image of a term is a file of its own; so is the record of a piece, which comes last."""

    def __init__(self, masks: MaskSet) -> None:
        self.masks = masks

    def add(self, piece: Piece, number: int, parts: Mapping[str, bytes], about: Mapping[str, Any]) -> None:
        """Write what there is of a frame.

        Args:
            parts: {"png": its mask, "jpg": the frame itself, "attention.jpg", "motion.jpg": images of terms}; the mask
                is always there.
            about: What is known of it.
        """
        for kind, data in parts.items():
            term, dot, _ = kind.partition(".")
            if dot:
                path = self.masks.term(piece.id, term)
            else:
                path = (self.masks.mask if kind == "png" else self.masks.frame)(piece.name, number)
            assert isinstance(path, Path)
            write_bytes(path, data)

    def finish(self, piece: Piece, record: SegmentedPiece) -> None:
        """Record that all frames of a piece were added."""
        self.masks.ledger.write(piece.id, record)

    def close(self) -> None:
        """The loop has ended."""


class TarWriter(FileWriter):
    """Pieces go into an archive until it has enough frames, so that short ones do not make many files.

    Only then has the archive a name, that of its first piece, and after that its line in the journal. A killed process
    loses the pieces of one archive.
    """

    def __init__(self, masks: TarSet) -> None:
        super().__init__(masks)
        self.journal = masks.ledger
        self._tar: TarFile | None = None
        self._index: dict[str, list[list[int]]] = {}
        self._frames = 0
        self._waiting: dict[str, dict[str, Any]] = {}

    def add(self, piece: Piece, number: int, parts: Mapping[str, bytes], about: Mapping[str, Any]) -> None:
        known = {"name": piece.name, "frame": number, "file": piece.file, "classes": [*piece.classes]}
        text = json.dumps({**known, "label": piece.label, **about}, allow_nan=False)
        self._tar = self._tar or TarFile(self.masks.folder)
        for kind, data in {**parts, "json": text.encode()}.items():
            place = self._tar.add(f"{self.masks.frame_name(piece.name, number)}.{kind}", data)
            self._index.setdefault(kind, []).append([*place])

    def finish(self, piece: Piece, record: SegmentedPiece) -> None:
        self._waiting[piece.id] = {**record.to_json(), "first": piece.start, "index": self._index}
        self._frames += piece.size
        self._index = {}
        if self._frames >= ENOUGH:
            self.close()

    def close(self) -> None:
        if self._tar is None or not self._waiting:
            return
        name = f"{next(iter(self._waiting))}.tar"
        self._tar.place(self.masks.masks / name)
        self.journal.add({piece: {**record, "tar": name} for piece, record in self._waiting.items()})
        self._tar, self._frames, self._waiting = None, 0, {}


def writer_of(masks: MaskSet) -> FileWriter:
    return TarWriter(masks) if isinstance(masks, TarSet) else FileWriter(masks)
