"""Whole videos as items for the segmenter."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import chain
from pathlib import Path

import lightning.pytorch as pl

from wsvs.config.stages import SegmentSettings
from wsvs.core.errors import BadItem, UserError
from wsvs.core.processes import rank
from wsvs.core.progress import follow
from wsvs.core.runs import INSTANCES
from wsvs.core.shards import deal
from wsvs.data.work import ItemDataset, hand_over
from wsvs.lit.overlay import join
from wsvs.lit.totals import Totals
from wsvs.lit.tracked import TRACKED
from wsvs.records.ledger import Ledger
from wsvs.records.masks import MaskSet
from wsvs.records.row import write_rows
from wsvs.records.shots import Piece, SeenVideo, SegmentedPiece, Video
from wsvs.records.sources import files_in, state_of
from wsvs.records.spans import left_out, pieces, sound_spans, spans
from wsvs.retrieve.folder import FolderSource
from wsvs.video.cuts import EDGE, find_cuts
from wsvs.video.reader import probe, read_frames

log = logging.getLogger("wsvs")

UNKNOWN_LABEL = 1  # of an object whose class the encoder does not know; any value above 0 is an object
UNKNOWN = "object"  # name of that label if no class is known
_PIECES = "overlay/.pieces"  # no video's name begins with a dot


@dataclass(frozen=True)
class Given:
    """A video of `videos=`; see `Video` for its fields."""

    id: str
    file: str
    class_name: str
    classes: Sequence[str]
    label: int


class VideoFolder:
    """The videos of `videos=`.

    The ranks decode the videos together and remember what they found (size, length, damage, times, shots); then the
    videos are cut into pieces of at most `max_frames` frames of one shot, none of which holds a damaged frame.

    Args:
        folder: The segment run.
        videos, labels: Folder, file, pattern or list, and the table of classes. Without a table the first folder names
            the class.
        frame_rate: Of folders of numbered images, per second.
        classes: Those that the encoder knows; empty: no attention is wanted.
        settings: Of stage segment: `max_frames` of a piece, the `workers` of each rank that look at videos, `cuts`
            (find the shots; else every video is one), `overlay`.
        skip: Is told of a bad video, and why it is bad.

    Raises:
        UserError: No video, a table that lists none of them, or attention without any class.
    """

    def __init__(
        self,
        folder: Path,
        videos: str | list[str],
        labels: str | None,
        classes: Sequence[str],
        *,
        frame_rate: float,
        settings: SegmentSettings,
        skip: Callable[[str, str], None],
    ) -> None:
        source = FolderSource(videos, labels, classes, key="videos")
        if rank() == 0 and source.not_read:
            log.info("%s", source.not_read)
        root = source.root
        self.folder = folder
        self.masks = MaskSet(folder, whole=True)
        self.rate = frame_rate
        self.settings = settings
        self.skip = skip
        self.seen = Ledger(folder / "seen")
        self.videos: list[Given] = []
        for video in source.videos:
            if video.path is None:  # the table may list videos that are not in this folder
                continue
            known = [name for name in video.tags if name in classes]
            name = known[0] if known else video.tags[0] if video.tags else ""
            label = classes.index(known[0]) + 1 if known else UNKNOWN_LABEL
            self.videos.append(Given(video.id, str(video.path), name, known, label))
        if classes and not labels and not any(video.classes for video in self.videos):
            raise UserError(
                "attention needs the classes of the videos",
                where=root,
                remedy="give a table of classes with labels=FILE, or put the videos into folders named by class, or "
                "use experiment=motion, which needs no classes",
            )

    def sizes(self) -> dict[str, float]:
        """{id: bytes} of the videos."""
        return {video.id: _bytes(video.file) for video in self.videos}

    def keep(self, names: Collection[str]) -> None:
        """Leave the other videos out: they are not even looked at."""
        self.videos = [video for video in self.videos if video.id in names]

    @staticmethod
    def state(video: Given, network: str | None) -> str:
        """Of what its masks depend on: its file, its class, and the checkpoint, whose state is given."""
        return state_of(video.file, video.class_name, list(video.classes), video.label, network)

    def results(self, video: Given, earlier: Path) -> list[str]:
        """The files of a video in an earlier run, those last that mark it as finished.

        None if a part of it failed, or if masks or an overlay are gone.
        """
        found, done, settings = Ledger(earlier / "seen").get(video.id, SeenVideo), Ledger(earlier), self.settings
        parts = list(_cut(video, found, settings.max_frames)) if found else []
        if not parts or any(done.get(part.id, SegmentedPiece) is None for part in parts):
            return []
        frames = sum(part.size for part in parts)
        tops = {"masks": True, "frames": settings.frames, INSTANCES: settings.instances}
        masks = [list(files_in(earlier, f"{top}/{video.id}")) for top, wanted in tops.items() if wanted]
        single = {
            f"overlay/{video.id}.mp4": settings.overlay,
            f"{INSTANCES}/{TRACKED}/{video.id}.json": settings.instances,
        }
        others = [file for file, wanted in single.items() if wanted]
        if any(len(one) != frames for one in masks) or not all((earlier / file).is_file() for file in others):
            return []
        terms = files_in(earlier, *(f"terms/{part.id}" for part in parts))
        return [
            *chain(*masks),
            *others,
            *terms,
            *(f"done/{part.id}.json" for part in parts),
            f"seen/done/{video.id}.json",
        ]

    def items(self, trainer: pl.Trainer) -> list[Piece]:
        """Look at the videos, each rank at its share; then all pieces, on rank 0."""
        share = deal(self.videos, lambda video: _bytes(video.file), trainer.world_size)[trainer.global_rank]
        todo = [video for video in share if not self.seen.has(video.id)]
        look = ItemDataset(todo, partial(look_at, rate=self.rate, cuts=self.settings.cuts))
        looked: Iterable[tuple[str, SeenVideo | str]] = hand_over(look, min(self.settings.workers, len(todo)))
        for video, found in follow(looked, "videos", len(todo)) if trainer.is_global_zero else looked:
            if isinstance(found, SeenVideo):
                self.seen.write(video, found)
            else:
                self.seen.fail(video, found)
        trainer.strategy.barrier()
        return list(self.pieces()) if trainer.is_global_zero else []

    def pieces(self) -> Iterator[Piece]:
        """All pieces, those of a video in turn; the videos have been looked at."""
        for video in self.videos:
            if found := self.seen.get(video.id, SeenVideo):
                yield from _cut(video, found, self.settings.max_frames)

    def close(self, totals: Totals) -> dict[str, int]:
        """Write videos.jsonl, those that have masks, and join their overlays; returns the counts."""
        counts = {"videos": len(self.videos), "segmented": 0, **({"shots": 0} if self.settings.cuts else {})}
        write_rows(self.masks.listing, self._rows(totals, counts))
        shutil.rmtree(self.folder / _PIECES, ignore_errors=True)
        counts |= {"frames": totals.frames, **totals.without_motion}
        if self.settings.lambda_a:
            counts["without a known class"] = sum(not video.classes for video in self.videos)
        return counts

    def _rows(self, totals: Totals, counts: dict[str, int]) -> Iterator[Video]:
        for video in self.videos:
            found = self.seen.get(video.id, SeenVideo, self.skip)
            if found is None:
                continue
            taken = [(piece, totals.take(piece.id)) for piece in _cut(video, found, self.settings.max_frames)]
            good: list[tuple[Piece, SegmentedPiece]] = [(piece, one) for piece, one in taken if one is not None]
            if found.broken:
                of = f" of {found.promised}" if found.promised > found.frames else ""
                self.skip(video.id, f"only the first frames are used ({found.frames}{of}): {found.broken}")
            if found.damage:
                self.skip(video.id, f"{found.damage}: they have no mask")
            for note in found.notes:
                log.info("%s: %s", video.id, note)
            if not good:
                continue
            counts["segmented"] += 1
            if self.settings.cuts:
                counts["shots"] += 1 + len(found.cuts or ())
            self._join(video.id, [piece for piece, _ in good])
            yield Video(
                video.id,
                video.file,
                video.class_name,
                video.classes,
                video.label,
                found.frames,
                found.height,
                found.width,
                found.fps,
                confidence=max(one.confidence or 0.0 for _, one in good),
                uncertain_frames=sum(one.frames for _, one in good if one.uncertain),
                aspect=found.aspect,
                damaged=found.damaged or (),
                times=found.times or None,
                notes=found.notes or (),
                cuts=found.cuts,
                cut_seconds=found.cut_seconds,
                odd=found.odd,
                blank=found.blank,
            )

    def _join(self, video: str, pieces: Sequence[Piece]) -> None:
        """overlay/<video>.mp4 of its pieces. They go afterwards, so where it is there already it is whole."""
        path = self.folder / "overlay" / f"{video}.mp4"
        if self.settings.overlay and not path.is_file():
            starts = [piece.times[0] for piece in pieces if piece.times is not None]
            join([self.folder / piece.overlay for piece in pieces], path, starts or None)


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


def _cut(video: Given, found: SeenVideo, max_frames: int) -> Iterator[Piece]:
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
        name = f"{video.id}_{start:06d}"
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
            overlay=f"{_PIECES}/{name}.mp4",
            aspect=found.aspect,
            times=None if times is None else list(times[start:stop]),
            mark=f"shot {number} of {len(shots)}" if len(shots) > 1 else "",
            odd=gone.get("odd", ()),
            blank=gone.get("blank", ()),
            of=video.id,
            shot=number,
        )


def _bytes(path: str) -> int:
    """Of a folder of images about those of the images: the size of the folder itself depends on the file system."""
    try:
        if os.path.isdir(path):
            names = sorted(os.listdir(path))
            return len(names) * Path(path, names[0]).stat().st_size if names else 0
        return Path(path).stat().st_size
    except OSError:
        return 0
