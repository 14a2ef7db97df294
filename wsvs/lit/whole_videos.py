"""Whole videos as items for the segmenter."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import lightning.pytorch as pl

from wsvs.config.stages import SegmentSettings
from wsvs.core.errors import BadItem, UserError
from wsvs.core.files import write_jsonl
from wsvs.core.ledger import Ledger
from wsvs.core.processes import rank
from wsvs.core.progress import follow
from wsvs.core.runs import VIDEOS
from wsvs.data.work import Item, ItemDataset, deal, hand_over
from wsvs.lit.overlay import join
from wsvs.lit.totals import Totals
from wsvs.retrieve.folder import FolderSource
from wsvs.video.cuts import EDGE, find_cuts
from wsvs.video.reader import probe, read_frames
from wsvs.video.shots import left_out, pieces, sound_spans, spans

log = logging.getLogger("wsvs")

UNKNOWN_LABEL = 1  # of an object whose class the encoder does not know; any value above 0 is an object
UNKNOWN = "object"  # name of that label if no class is known
_PIECES = "overlay/.pieces"  # no video's name begins with a dot


class VideoFolder:
    """The videos of `videos=`; their masks are masks/<video>/%05d.png, numbered from 0 in the video.

    The ranks share the probing of the videos (size, length, damage, times, shots); then the videos are cut into items
    of at most `max_frames` frames of one shot, without damaged frames.

    Args:
        folder: The segment run.
        videos, labels: Folder, file, pattern or list, and the table of classes. Without a table the first folder is the
            class.
        frame_rate: Frame rate of folders of numbered images.
        classes: The encoder's classes; empty without attention.
        settings: Settings of stage segment: `max_frames` of an item, the `workers` of each rank that probe videos,
            `cuts` (detect shots; else every video is one shot), `overlay`.
        skip: Called with a bad video and the reason.

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
        self.rate = frame_rate
        self.settings = settings
        self.skip = skip
        self.seen = Ledger(folder / "seen")
        self.videos: list[Item] = []
        for video in source.videos:
            if video.path is None:  # the table may list videos that are not in this folder
                continue
            known = [name for name in video.tags if name in classes]
            self.videos.append(
                {
                    "id": video.id,
                    "file": str(video.path),
                    "classes": known,
                    "class": known[0] if known else video.tags[0] if video.tags else "",
                    "label": classes.index(known[0]) + 1 if known else UNKNOWN_LABEL,
                }
            )
        if classes and not labels and not any(video["classes"] for video in self.videos):
            raise UserError(
                "attention needs the classes of the videos",
                where=root,
                remedy="give a table of classes with labels=FILE, or put the videos into folders named by class, or "
                "use experiment=motion, which needs no classes",
            )

    def items(self, trainer: pl.Trainer) -> list[Item]:
        """Probe the videos, each rank its share; return all items on rank 0."""
        share = deal(self.videos, lambda video: _bytes(video["file"]), trainer.world_size)[trainer.global_rank]
        todo = [video for video in share if not self.seen.has(video["id"])]
        dataset = ItemDataset(todo, partial(look_at, rate=self.rate, cuts=self.settings.cuts))
        probed: Iterable[Item] = hand_over(dataset, min(self.settings.workers, len(todo)))
        for found in follow(probed, "videos", len(todo)) if trainer.is_global_zero else probed:
            self.seen.write(found.pop("id"), found)
        trainer.strategy.barrier()
        return list(self._items()) if trainer.is_global_zero else []

    def _items(self) -> Iterator[Item]:
        for video in self.videos:
            found = self.seen.read(video["id"])
            if "failed" not in found:
                yield from _cut(video, found, self.settings.max_frames)

    def close(self, totals: Totals) -> dict[str, Any]:
        """Write videos.jsonl with the videos that have masks, join their overlays, and return the counts."""
        counts = {"videos": len(self.videos), "segmented": 0, **({"shots": 0} if self.settings.cuts else {})}
        write_jsonl(self.folder / VIDEOS, self._rows(totals, counts))
        shutil.rmtree(self.folder / _PIECES, ignore_errors=True)
        counts |= {"frames": totals.frames, **totals.without_motion}
        if self.settings.lambda_a:
            counts["without a known class"] = sum(not video["classes"] for video in self.videos)
        return counts

    def _rows(self, totals: Totals, counts: dict[str, int]) -> Iterator[dict[str, Any]]:
        for video in self.videos:
            found = self.seen.read(video["id"])
            if "failed" in found:
                self.skip(video["id"], found["failed"])
                continue
            items = list(_cut(video, found, self.settings.max_frames))
            records = [totals.take(item["id"]) for item in items]
            good = [record for record in records if record is not None]
            frames = found["frames"]
            unsure = sum(record["frames"] for record in good if record.get("uncertain"))
            if found["broken"]:
                of = f" of {found['promised']}" if found["promised"] > frames else ""
                self.skip(video["id"], f"only the first frames are used ({frames}{of}): {found['broken']}")
            if found["damage"]:
                self.skip(video["id"], f"{found['damage']}: they have no mask")
            for note in found["notes"]:
                log.info("%s: %s", video["id"], note)
            if not good:
                continue
            counts["segmented"] += 1
            if self.settings.cuts:
                counts["shots"] += 1 + len(found["cuts"])
            self._join(video["id"], [item for item, record in zip(items, records, strict=True) if record is not None])
            odd = {key: found[key] for key in ("damaged", "times", "notes") if found[key]}
            aspect = {"aspect": found["aspect"]} if found["aspect"] != 1 else {}
            found_in = ("cuts", "cut_seconds", "odd", "blank")
            shots: dict[str, Any] = {key: found[key] for key in found_in if key in found}
            yield {
                "video": video["id"],
                "file": video["file"],
                "class": video["class"],
                "classes": video["classes"],
                "label": video["label"],
                "frames": frames,
                "height": found["height"],
                "width": found["width"],
                "fps": found["fps"],
                "confidence": max(record["confidence"] for record in good),
                "uncertain_frames": unsure,
                **aspect,
                **odd,
                **shots,
            }

    def _join(self, video: str, items: Sequence[Item]) -> None:
        """Join the pieces of overlay/<video>.mp4. If it exists, it is complete: the pieces are removed afterwards."""
        path = self.folder / "overlay" / f"{video}.mp4"
        if self.settings.overlay and not path.is_file():
            starts = [item["times"][0] for item in items if "times" in item]
            join([self.folder / item["overlay"] for item in items], path, starts or None)


def look_at(video: Item, rate: float, cuts: bool) -> Item:
    """Probe a video before it is cut: {"id", "frames", "damaged", ...} or {"id", "failed": reason}.

    A video that breaks off is used up to that point. With `cuts` also "cuts", "odd" and "blank", numbers of frames, and
    "cut_seconds".
    """
    try:
        info = probe(video["file"], partial_ok=True, rate=rate)
    except BadItem as error:
        return {"id": video["id"], "failed": error.message}
    known = {"id": video["id"], "damage": info.damage, **asdict(info)}
    if not cuts:
        return known
    found = find_cuts(read_frames(video["file"], 0, info.frames, longest_edge=EDGE, partial_ok=True))
    seconds = [round(info.times[number] if info.times else number / info.fps, 3) for number in found.cuts]
    return {
        **known,
        "cuts": list(found.cuts),
        "cut_seconds": seconds,
        "odd": list(found.odd),
        "blank": list(found.blank),
    }


def _cut(video: Item, found: dict[str, Any], max_frames: int) -> Iterator[Item]:
    times = found["times"]
    if times is None and found["damaged"]:  # the frame before the damage is shown for its duration
        times = [number / found["fps"] for number in range(found["frames"])]
    shots = spans(found["frames"], found.get("cuts", ()))
    numbered = (
        (number, *piece)
        for number, shot in enumerate(shots, 1)
        for span in sound_spans(*shot, found["damaged"])
        for piece in pieces(*span, max_frames)
    )
    for number, start, stop in numbered:
        name = f"{video['id']}_{start:06d}"
        yield {
            "id": name,
            "file": video["file"],
            "start": start,
            "stop": stop,
            "size": stop - start,
            "total": found["frames"],
            "height": found["height"],
            "width": found["width"],
            "fps": found["fps"],
            "classes": video["classes"],
            "label": video["label"],
            "folder": video["id"],
            "digits": 5,
            "overlay": f"{_PIECES}/{name}.mp4",
            "aspect": found["aspect"],
            **({"times": list(times[start:stop])} if times is not None else {}),
            "mark": f"shot {number} of {len(shots)}" if len(shots) > 1 else "",
            **left_out(start, stop, found.get("odd", ()), found.get("blank", ())),
        }


def _bytes(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except OSError:
        return 0
