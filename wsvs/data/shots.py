"""Pieces of videos for the segmenter: loader workers decode them and do all work that needs no network."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from torch.utils.data import Dataset, IterableDataset, get_worker_info

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
        return self.load(self.pieces[index])

    def load(self, piece: Piece) -> Described[G] | Bad:
        frames = _Frames(piece, self.read(piece.file, piece.start, piece.stop, total=piece.total))
        kept: list[np.ndarray] | None = [] if self.keep is None or self.keep(piece) else None
        sound = None if piece.whole else set(piece.sound)
        try:
            graph = self.describe(_sound(frames if kept is None else _kept(frames, kept), piece.start, sound))
        except BadItem as error:
            return Bad(piece.id, error.message)
        return Described(piece, graph, frames.seconds, None if kept is None else np.stack(kept))


class Open(Protocol):
    """What makes pieces of a task, such as a video that was not looked at yet."""

    def __call__(self, task: Any) -> Iterable[Piece]: ...

    def in_worker(self, number: int) -> Open:
        """The same for a loader worker."""
        ...


class ShotStream(IterableDataset["Described[G] | Bad"]):
    """The same of tasks that are opened one after the other, only when the pieces of the one before were handed over.

    Of N workers each opens every Nth task. It begins with the middle one, so that the first piece does not wait for the
    longest video, which comes next.

    Args:
        shots: Describes the pieces.
        tasks: The largest first.
        open: Makes pieces of a task.
    """

    def __init__(self, shots: ShotDataset[G], tasks: Sequence[Any], open: Open) -> None:
        self.shots = shots
        self.tasks = tasks
        self.open = open

    def __iter__(self) -> Iterator[Described[G] | Bad]:
        worker = get_worker_info()
        first, step = (0, 1) if worker is None else (worker.id, worker.num_workers)
        opened = self.open if worker is None else self.open.in_worker(worker.id)
        mine = range(first, len(self.tasks), step)
        middle = len(mine) // 2
        for place in (*mine[middle : middle + 1], *mine[:middle], *mine[middle + 1 :]):
            for piece in opened(self.tasks[place]):
                yield self.shots.load(piece)


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
