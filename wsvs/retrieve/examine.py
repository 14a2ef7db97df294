"""From a video to clips: score its key frames, keep the best, cut clips around them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TypeVar

import av
import numpy as np

from wsvs.config.base import Above0, Positive, Share
from wsvs.config.checked import checked
from wsvs.config.groups import RetrieveSettings
from wsvs.core.errors import BadItem
from wsvs.core.files import explain_os_error
from wsvs.records.retrieved import FoundClip, FoundVideo, KeyFrame
from wsvs.retrieve.clips import Cut, cut
from wsvs.retrieve.folder import VideoFacts
from wsvs.retrieve.keyframes import FLAT, Open, PacketIndex, contrast_of, key_frames, read_index, stand_ins, windows
from wsvs.retrieve.manifest import RETRIEVED, safe_name, skip

_DEFAULT = RetrieveSettings()

T = TypeVar("T")
Score = Callable[[Sequence[np.ndarray], str], np.ndarray]  # (H, W, 3) uint8 RGB images, class -> their scores in [0, 1]
DIGITS = 6  # of a score, so that 0.8 in float32 is not larger than 0.8


@dataclass(frozen=True)
class Tools:
    """Functions for examining videos.

    Attributes:
        open_video: Opens a video file (`wsvs.video.decode.OpenVideo`).
        convert: Converts a decoded frame to RGB (`wsvs.video.convert.Converter`).
        probe: Decodes a file and describes it (`wsvs.video.reader.probe`).
        cuts: Decodes a file and finds the first frames of all shots except the first (`wsvs.video.cuts.find_cuts`).
        score: Class scores of images.
    """

    open_video: Open
    convert: Callable[[av.VideoFrame], np.ndarray]
    probe: Callable[[Path], VideoFacts]
    cuts: Callable[[Path], Sequence[int]]
    score: Score


@checked
@dataclass(frozen=True)
class Choice:
    """Selection of videos and key frames.

    Args:
        threshold: Thumbnails and key frames must score more than this.
        key_frames: Maximum number of key frames to keep per video, the best ones.
        window: Seconds to keep before and after each.
        scan: Maximum number of key frames to score per video, evenly spread. (With some codecs all frames are.)
        batch: Images scored at once.
        max_duration: Seconds; longer videos are skipped, possibly only after their download. None accepts all.
    """

    threshold: Share = _DEFAULT.threshold
    key_frames: Positive = _DEFAULT.key_frames
    window: Above0 = _DEFAULT.window
    scan: Positive = _DEFAULT.scan
    batch: Positive = _DEFAULT.batch
    max_duration: Above0 | None = None

    def passes(self, score: float) -> bool:
        return score > self.threshold


def examine(row: FoundVideo, class_name: str, path: Path, out: Path, tools: Tools, choice: Choice) -> FoundVideo:
    """Write the clips of a video to out/clips/<class>/<video>_<k>.mp4 (or .mkv), and return its finished row.

    Raises:
        BadItem: It cannot be read or cut.
    """
    index = read_index(tools.open_video, path)
    seconds = index.seconds(index.last)
    if choice.max_duration is not None and seconds > choice.max_duration:
        row = replace(row, frames=index.frames, duration=seconds)
        return skip(row, f"longer than {choice.max_duration:g} s ({seconds:.0f} s)")
    wanted = spread(index.key_times, choice.scan)
    scores: dict[int, float] = {}
    instead: dict[int, int] = {}  # {time of a frame: time of the key frame that it replaces}
    images = _shown(path, index, set(wanted), tools, instead)
    for group in batches(images, choice.batch):
        values = tools.score([image for _, image in group], class_name)
        scores |= {time: round(float(value), DIGITS) for (time, _), value in zip(group, values, strict=True)}
    if not scores:
        raise BadItem("no key frame can be decoded", where=path)
    chosen = best(scores, choice)
    row = replace(
        row,
        frames=index.frames,
        duration=row.duration or seconds,
        key_frames=tuple(
            KeyFrame(
                index.seconds(time),
                scores[time],
                time in chosen,
                index.seconds(instead[time]) if time in instead else None,
            )
            for time in sorted(scores)
        ),
    )
    if not chosen:
        return skip(row, f"no key frame above {choice.threshold:g} (best {max(scores.values()):.3f})")
    spans = windows(index, chosen, choice.window)
    folder = out / "partial" / "cut"
    shutil.rmtree(folder, ignore_errors=True)
    clips = []
    name = safe_name(row.video)
    pieces = cut(tools.open_video, path, index, spans, folder)
    shots = [moment for piece in pieces for moment in shot_times(index, piece, tools.cuts(piece.path))]
    if shots:
        spans = windows(index, chosen, choice.window, shots)
        shutil.rmtree(folder)
        pieces = cut(tools.open_video, path, index, spans, folder)
    for number, (piece, span) in enumerate(zip(pieces, spans, strict=True)):
        facts = tools.probe(piece.path)
        if facts.frames != piece.frames:
            raise BadItem(f"the cut has other frames than the video ({facts.frames} of {piece.frames})", where=path)
        clip = f"{class_name}/{name}_{number}"
        target = out / "clips" / f"{clip}{piece.path.suffix}"
        _move(piece.path, target)
        row = replace(row, width=facts.width, height=facts.height, fps=facts.fps)
        clips.append(
            FoundClip(
                clip=clip,
                path=target.relative_to(out).as_posix(),
                class_name=class_name,
                start=piece.start,
                stop=piece.stop,
                frames=piece.frames,
                offset=piece.offset,
                time=[index.seconds(moment) for moment in span],
                url=row.url,
                distractor=row.distractor,
                damaged=facts.damaged,
            )
        )
    return replace(row, status=RETRIEVED, clips=tuple(clips))


def _shown(
    path: Path, index: PacketIndex, wanted: set[int], tools: Tools, instead: dict[int, int]
) -> Iterator[tuple[int, np.ndarray]]:
    """Key frames as (time, image); a blank one is replaced by another frame, which is recorded in `instead`."""
    flat: dict[int, np.ndarray] = {}
    for time, frame in key_frames(tools.open_video, path, wanted):
        image = tools.convert(frame)
        if contrast_of(image) < FLAT:
            flat[time] = image
        else:
            yield time, image
    for key, time, frame in stand_ins(tools.open_video, path, index, flat):
        instead[time] = key
        del flat[key]
        yield time, tools.convert(frame)
    yield from flat.items()


def shot_times(index: PacketIndex, piece: Cut, cuts: Sequence[int]) -> list[int]:
    """Presentation times of the first frames of the shots in a window, given as numbers within its file."""
    times = np.sort(index.pts[index.shown])[piece.offset :]
    return [int(times[number]) for number in cuts if piece.start < number < piece.stop]


def best(scores: dict[int, float], choice: Choice) -> set[int]:
    """Times of the best key frames above the threshold; of equal ones the earlier."""
    passing = [time for time, score in scores.items() if choice.passes(score)]
    return set(sorted(passing, key=lambda time: (-scores[time], time))[: choice.key_frames])


def spread(items: Sequence[T], most: int) -> list[T]:
    """At most `most` evenly spaced items, including the first."""
    count = min(len(items), most)
    return [items[number * len(items) // count] for number in range(count)]


def batches(items: Iterable[T], count: int) -> Iterator[list[T]]:
    """Lists of `size` items; the last one may be shorter."""
    iterator = iter(items)
    while group := list(islice(iterator, count)):
        yield group


def _move(path: Path, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(path, target)
    except OSError as error:
        raise explain_os_error(error, target) from error
