"""Videos as they are given, what is found by a look at one, and the pieces that it is cut into."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from wsvs.core.errors import BadItem
from wsvs.data.shots import Described
from wsvs.records.journal import JournalLedger
from wsvs.records.ledger import Ledger
from wsvs.records.predicted import Bad
from wsvs.records.shots import Piece, SeenVideo
from wsvs.records.spans import left_out, piece_name, pieces, sound_spans, spans
from wsvs.video.cuts import EDGE, find_cuts
from wsvs.video.reader import probe, read_frames

PIECES = "overlay/.pieces"  # no video's name begins with a dot


@dataclass(frozen=True)
class Given:
    """A video of `videos=`; see `Video` for its fields.

    Attributes:
        size: Bytes, once they are known.
    """

    id: str
    file: str
    class_name: str
    classes: Sequence[str]
    label: int
    size: float = 0


@dataclass(frozen=True)
class Opener:
    """Looks at a video where its pieces are needed, in a loader's worker, which records what it has found.

    Args:
        seen, done: The journal of videos, and the finished pieces.
        rate, cuts: See `look_at`.
        max_frames: Of a piece.
    """

    seen: JournalLedger
    done: Ledger
    rate: float
    cuts: bool
    max_frames: int

    def look(self, video: Given) -> tuple[str, SeenVideo | str]:
        """What has to be known of a video, or why it cannot be read."""
        name, found = look_at(video, self.rate, self.cuts)
        if isinstance(found, SeenVideo):
            found = replace(found, pieces=sum(1 for _ in cut(video, found, self.max_frames)))
        return name, found

    def record(self, name: str, found: SeenVideo | str) -> None:
        if isinstance(found, SeenVideo):
            self.seen.write(name, found)
        else:
            self.seen.fail(name, found)

    def pieces(self, video: Given) -> Iterator[Piece]:
        """All pieces of a video that was looked at; none of one that cannot be read."""
        if found := self.seen.get(video.id, SeenVideo):
            yield from cut(video, found, self.max_frames)

    def in_worker(self, number: int) -> Opener:
        """The same for a loader worker."""
        return replace(self, seen=self.seen.of_worker(number))

    def __call__(self, task: Given | Piece) -> Iterator[Piece]:
        """The pieces that are left of a video; or the piece itself."""
        if isinstance(task, Piece):
            yield task
            return
        if not self.seen.has(task.id):
            self.record(*self.look(task))
        yield from (piece for piece in self.pieces(task) if not self.done.has(piece.id))


def size_of(task: Given | Piece) -> float:
    return task.load if isinstance(task, Piece) else task.size


def measure(batch: Described[Any] | Bad) -> tuple[float, float]:
    """Frames of a batch, and its share of the sizes."""
    return (batch.piece.size, batch.piece.load) if isinstance(batch, Described) else (0, 0)


def look_at(video: Given, rate: float, cuts: bool) -> tuple[str, SeenVideo | str]:
    """What has to be known of a video before it is cut: (id, record), or (id, reason) where it cannot be read.

    One that breaks off is used up to there. `cuts` asks for the cuts, and the odd and the blank frames, too.
    """
    try:
        info = probe(video.file, partial_ok=True, rate=rate)
    except BadItem as error:
        return video.id, error.message
    known = {"damage": info.damage, **asdict(info)}
    if cuts:
        found = find_cuts(read_frames(video.file, 0, info.frames, longest_edge=EDGE, partial_ok=True))
        seconds = [round(info.times[number] if info.times else number / info.fps, 3) for number in found.cuts]
        known |= {"cuts": found.cuts, "cut_seconds": seconds, "odd": found.odd, "blank": found.blank}
    return video.id, SeenVideo.from_json(known)


def cut(video: Given, found: SeenVideo, max_frames: int) -> Iterator[Piece]:
    times = found.times
    if times is None and found.damaged:  # what stands where the damage is, stands as long
        times = [number / found.fps for number in range(found.frames)]
    shots = spans(found.frames, found.cuts or ())
    numbered = (
        (number, *piece)
        for number, shot in enumerate(shots, 1)
        for span in sound_spans(*shot, found.damaged)
        for piece in pieces(*span, max_frames)
    )
    for number, start, stop in numbered:
        name = piece_name(video.id, start)
        gone = left_out(start, stop, found.odd or (), found.blank or ())
        yield Piece(
            id=name,
            name=video.id,
            file=video.file,
            start=start,
            stop=stop,
            total=found.frames,
            height=found.height,
            width=found.width,
            fps=found.fps,
            classes=video.classes,
            label=video.label,
            overlay=f"{PIECES}/{name}.mp4",
            aspect=found.aspect,
            times=None if times is None else list(times[start:stop]),
            mark=f"shot {number} of {len(shots)}" if len(shots) > 1 else "",
            odd=gone.get("odd", ()),
            blank=gone.get("blank", ()),
            of=video.id,
            shot=number,
            load=video.size * (stop - start) / found.frames,
        )


def bytes_of(path: str) -> int:
    """Of a folder of images about those of the images: the size of the folder itself depends on the file system."""
    try:
        if os.path.isdir(path):
            names = sorted(os.listdir(path))
            return len(names) * Path(path, names[0]).stat().st_size if names else 0
        return Path(path).stat().st_size
    except OSError:
        return 0
