"""Whole videos as items for the segmenter."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import lightning.pytorch as pl

from wsvs.config.stages import SegmentSettings
from wsvs.core.errors import UserError
from wsvs.core.processes import rank
from wsvs.core.progress import follow
from wsvs.core.runs import INSTANCES
from wsvs.core.shards import deal
from wsvs.data.work import ItemDataset, hand_over
from wsvs.lit.opened_videos import PIECES, Given, Opener, bytes_of, cut, measure, size_of
from wsvs.lit.overlay import join
from wsvs.lit.totals import Totals
from wsvs.lit.tracked import TRACKED
from wsvs.records.journal import JournalLedger
from wsvs.records.ledger import Ledger
from wsvs.records.masks import MaskSet
from wsvs.records.row import write_rows
from wsvs.records.shots import Piece, SeenVideo, SegmentedPiece, Video
from wsvs.records.sources import files_in, state_of
from wsvs.retrieve.folder import FolderSource

log = logging.getLogger("wsvs")

UNKNOWN_LABEL = 1  # of an object whose class the encoder does not know; any value above 0 is an object
UNKNOWN = "object"  # name of that label if no class is known
LARGE = 4  # a video is large if fewer videos of its size than this would be a process's share


class VideoFolder:
    """The videos of `videos=`.

    What has to be known of a video (size, length, damage, times, shots) is found by decoding it. Then it is cut into
    pieces of at most `max_frames` frames of one shot, none of which holds a damaged frame.

    A video is looked at when its turn comes, while others are already worked on, and all its pieces are made by one
    process. So large videos, of which a process would get few, are looked at first, by all ranks together, and their
    pieces are dealt one by one. They are never many, whatever the number of videos.

    Args:
        folder: The segment run.
        videos, labels: Folder, file, pattern or list, and the table of classes. Without a table the first folder names
            the class.
        frame_rate: Of folders of numbered images, per second.
        classes: Those that the encoder knows; empty: no attention is wanted.
        settings: Of stage segment: `max_frames` of a piece, the `workers` of each rank that look at videos, `cuts`
            (find the shots; else every video is one), `overlay`, `store`.
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
        self.masks = MaskSet.of(folder, whole=True, store=settings.store)
        self.rate = frame_rate
        self.settings = settings
        self.skip = skip
        self.seen = self.masks.seen
        self.opener = Opener(self.seen, self.masks.ledger, frame_rate, settings.cuts, settings.max_frames)
        self.before = 0  # pieces that an earlier start has finished
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
        return {video.id: bytes_of(video.file) for video in self.videos}

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
        found, done, settings = self._earlier(earlier).get(video.id, SeenVideo), Ledger(earlier), self.settings
        parts = list(cut(video, found, settings.max_frames)) if found else []
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
        ]

    def taken(self, video: Given, earlier: Path) -> None:
        """Its masks were taken over: so is what was seen of it."""
        found = self._earlier(earlier).get(video.id, SeenVideo)
        if found is not None and not self.seen.has(video.id):
            self.seen.write(video.id, found)

    @cache  # noqa: B019 one run, and it lives as long as its source
    def _earlier(self, run: Path) -> JournalLedger:
        """What an earlier run has seen."""
        return MaskSet.of(run, whole=True).seen

    def items(self, trainer: pl.Trainer) -> list[Given | Piece]:
        """What is left to do, on rank 0: pieces of large videos, at which all ranks look now; and the other videos."""
        left = self._left() if trainer.is_global_zero else []
        processes = trainer.world_size * max(self.settings.workers, 1)
        enough = sum(video.size for video in left) / (LARGE * processes)
        large: list[Given] = trainer.strategy.broadcast([video for video in left if video.size > enough])
        todo = [video for video in large if not self.seen.has(video.id)]
        share = deal(todo, size_of, trainer.world_size)[trainer.global_rank]
        look = ItemDataset(share, self.opener.look)
        looked = hand_over(look, min(self.settings.workers, len(share)))
        for name, found in follow(looked, "videos", len(share)) if trainer.is_global_zero else looked:
            self.opener.record(name, found)
        trainer.strategy.barrier()
        for ledger in (self.seen, self.opener.done):
            ledger.refresh()
            ledger.has("")  # read once, here, not in every worker
        if not trainer.is_global_zero:
            return []
        names = {video.id for video in large}
        parts = [piece for video in large for piece in self.opener(video)]
        return [*parts, *(video for video in left if video.id not in names)]

    def _left(self) -> list[Given]:
        """The videos that are not finished, with their sizes."""
        left = []
        for video in self.videos:
            finished = [self.opener.done.has(piece.id) for piece in self.opener.pieces(video)]
            self.before += sum(finished)
            if not self.seen.has(video.id) or not all(finished):
                left.append(replace(video, size=bytes_of(video.file)))
        return left

    def work(self) -> dict[str, Any]:
        """The items and what they are, for `wsvs.engine.work.work_through`. Their sizes are bytes."""
        return {
            "items": self.items,
            "finished": lambda task: False,  # or it would not be among the items
            "size": size_of,
            "measure": measure,
            "about": lambda: {"videos": len(self.videos), "pieces": self.before},
        }

    def pieces(self) -> Iterator[Piece]:
        """All pieces, those of a video in turn; the videos have been looked at."""
        for video in self.videos:
            yield from self.opener.pieces(video)

    def close(self, totals: Totals) -> dict[str, int]:
        """Write videos.jsonl, those that have masks, and join their overlays; returns the counts."""
        counts = {"videos": len(self.videos), "segmented": 0, **({"shots": 0} if self.settings.cuts else {})}
        write_rows(self.masks.listing, self._rows(totals, counts))
        shutil.rmtree(self.folder / PIECES, ignore_errors=True)
        counts |= {"frames": totals.frames, **totals.without_motion}
        if self.settings.lambda_a:
            counts["without a known class"] = sum(not video.classes for video in self.videos)
        return counts

    def _rows(self, totals: Totals, counts: dict[str, int]) -> Iterator[Video]:
        for video in self.videos:
            found = self.seen.get(video.id, SeenVideo, self.skip)
            if found is None:
                continue
            taken = [(piece, totals.take(piece.id)) for piece in cut(video, found, self.settings.max_frames)]
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
