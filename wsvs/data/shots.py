"""Pieces of videos for the segmenter: loader workers decode them and do all work that needs no network."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np
from torch.utils.data import Dataset

from wsvs.core.errors import BadItem
from wsvs.records.predicted import Bad
from wsvs.records.shots import Piece

G = TypeVar("G")


class Read(Protocol):
    """`wsvs.video.reader.read_frames` with the working size."""

    def __call__(self, path: str, start: int, stop: int, *, total: int | None) -> Iterator[np.ndarray]: ...


@dataclass(frozen=True)
class Described(Generic[G]):
    """A piece with its graph, the seconds of decoding, and (T, h, w, 3) uint8 RGB frames at working size, if kept."""

    piece: Piece
    graph: G
    decode: float
    frames: np.ndarray | None


class ShotDataset(Dataset["Described[G] | Bad"]):
    """Graphs of pieces, with the frames if they are needed. Odd and blank frames are not in a graph.

    Args:
        pieces: What to describe.
        describe: Frames -> graph (`wsvs.video.frame_graph.describe_frames` with its settings).
        read: Reads the frames.
        keep: Whether the frames of a piece are needed later; otherwise they are released one by one.
    """

    def __init__(
        self,
        pieces: Sequence[Piece],
        *,
        describe: Callable[[Iterable[np.ndarray]], G],
        read: Read,
        keep: Callable[[Piece], bool] | None = None,
    ) -> None:
        self.pieces = pieces
        self.describe = describe
        self.read = read
        self.keep = keep

    def __len__(self) -> int:
        return len(self.pieces)

    def __getitem__(self, index: int) -> Described[G] | Bad:
        piece = self.pieces[index]
        frames = _Frames(piece, self.read(piece.file, piece.start, piece.stop, total=piece.total))
        kept: list[np.ndarray] | None = [] if self.keep is None or self.keep(piece) else None
        sound = None if piece.whole else set(piece.sound)
        try:
            graph = self.describe(_sound(frames if kept is None else _kept(frames, kept), piece.start, sound))
        except BadItem as error:
            return Bad(piece.id, error.message)
        return Described(piece, graph, frames.seconds, None if kept is None else np.stack(kept))


class _Frames:
    """Passes on the frames of a piece, with count and time. Raises `BadItem` if there are too few."""

    def __init__(self, piece: Piece, source: Iterator[np.ndarray]) -> None:
        self.piece = piece
        self.source = source
        self.count = 0
        self.seconds = 0.0

    def __iter__(self) -> Iterator[np.ndarray]:
        while (frame := self._next()) is not None:
            self.count += 1
            yield frame
        if self.count < self.piece.size:
            raise BadItem(
                f"this shot has only {self.count} of its {self.piece.size} frames",
                where=self.piece.file,
                remedy="the file has changed: start a new run",
            )

    def _next(self) -> np.ndarray | None:
        begun = time.perf_counter()
        try:
            return next(self.source, None)
        finally:
            self.seconds += time.perf_counter() - begun


def _sound(frames: Iterable[np.ndarray], start: int, sound: set[int] | None) -> Iterator[np.ndarray]:
    return (frame for number, frame in enumerate(frames, start) if sound is None or number in sound)


def _kept(frames: Iterable[np.ndarray], kept: list[np.ndarray]) -> Iterator[np.ndarray]:
    for frame in frames:
        kept.append(frame)
        yield frame
