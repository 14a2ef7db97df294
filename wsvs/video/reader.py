"""Read videos as RGB frames, one at a time, with exact frame numbers.

Frame i is the i-th image of the video in presentation order. Masks, scores and shots are numbered this way, so the
frame count and the time stamps of a container are used only if verified. A damaged image keeps its number
(`wsvs.video.scan`). Folders of numbered images and animations are videos, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np

from wsvs.core.errors import BadItem
from wsvs.video.convert import Converter, rotation, shown_size, shrunk_size
from wsvs.video.decode import AGAIN, FALLBACK_FPS, OpenVideo
from wsvs.video.images import OpenImages, is_images
from wsvs.video.scan import Scan, Span, open_video, scan, spans, spoiled

__all__ = ["VideoInfo", "check", "glance", "probe", "read_frames", "shrunk_size"]

# Containers and decoders with exact time stamps of frames.
# (AVI has none; MPEG-4 part 2 with B-frames was observed to swap time stamps of frames.)
_STAMPED = frozenset({"mov", "matroska"})
_ORDERLY = frozenset({"h264", "hevc", "vp8", "vp9", "av1", "libdav1d"})
_SIZED = frozenset({"mov", "matroska", "avi"})  # containers that declare the length of the file
_SHOWN = 5  # damaged spans that are listed
_SEEK_FROM = 32  # for an earlier start, a seek saves less than the index costs that it needs


@dataclass(frozen=True)
class VideoInfo:
    """Result of `probe`, `glance` or `check`.

    Attributes:
        width, height: Size in pixels of the frames of `read_frames`, after the rotation.
        fps: Mean frames per second (25 without time stamps).
        frames: Number of frames, counted by decoding (`probe`), else of the coded images.
        rotation: Clockwise rotation in degrees from the metadata, which `read_frames` applies.
        codec: FFmpeg's name, such as h264; for images the suffix.
        damaged: Spans [start, stop) of frames that could not be decoded completely, or reference such frames.
        times: Seconds of each frame from the first, if the rate is variable and every frame was decoded.
        aspect: Pixel aspect ratio (width / height) after the rotation.
        broken: Why the video ends early.
        promised: Number of frames declared by the container; 0 if unknown.
        notes: Descriptions of other irregularities.
    """

    width: int
    height: int
    fps: float
    frames: int
    rotation: int
    codec: str
    damaged: tuple[Span, ...] = ()
    times: tuple[float, ...] | None = None
    aspect: float = 1.0
    broken: str | None = None
    promised: int = 0
    notes: tuple[str, ...] = ()

    @property
    def lost(self) -> int:
        """Number of damaged frames."""
        return sum(stop - start for start, stop in self.damaged)

    @property
    def damage(self) -> str:
        """'damaged frames: 17 of 24 (7 to 23)', or '' if there are none."""
        if not self.damaged:
            return ""
        shown = ", ".join(str(a) if a + 1 == b else f"{a} to {b - 1}" for a, b in self.damaged[:_SHOWN])
        more = ", ..." if len(self.damaged) > _SHOWN else ""
        return f"damaged frames: {self.lost} of {self.frames} ({shown}{more})"


def probe(path: str | Path, *, partial_ok: bool = False, rate: float = FALLBACK_FPS) -> VideoInfo:
    """Decode a video once (no colour conversion) and describe it.

    Args:
        path: Video file in any container and codec of FFmpeg, a folder of numbered images, or an animation.
        partial_ok: Count the frames before a break instead of raising.
        rate: Frames per second of a folder of images.

    Raises:
        BadItem: Missing, empty, not a video, without an intact image, or truncated (with the number of frames).
    """
    found = scan(Path(path), rate)
    if sum(stop - start for start, stop in found.damaged) == found.total:
        raise BadItem(
            f"no frame can be decoded (all {found.total} are damaged)",
            where=path,
            remedy=AGAIN,
        )
    if found.broken and not partial_ok:
        raise _breaks_off(Path(path), found.total, found.broken, found.promised)
    return VideoInfo(
        found.width,
        found.height,
        found.fps,
        found.total,
        found.rotation,
        found.codec,
        found.damaged,
        found.times,
        found.aspect,
        found.broken,
        found.promised,
        found.notes,
    )


def _breaks_off(path: Path, count: int, why: str, promised: int) -> BadItem:
    of = f" of {promised}" if promised > count else ""
    return BadItem(
        f"the video breaks off, complete frames: {count}{of} ({why})",
        where=path,
        remedy="download it again, or use the frames before the break",
    )


def glance(path: str | Path, *, rate: float = FALLBACK_FPS) -> VideoInfo:
    """Describe a video by its first frame, its header and the number of its coded images, without decoding it.

    The number of frames can differ from that of coded images: some cannot be decoded, are hidden, or are pairs of
    fields. Only damage visible in the bytes is found. `probe` is exact.

    Raises:
        BadItem: As for `probe`, except for a video that breaks off after its first frame.
    """
    path = Path(path)
    with open_video(path, rate) as video:
        first = next((frame for _, frame in video.frames() if frame is not None), None)
        if first is None:
            raise video.nothing(None)
        (width, height), turned, aspect = shown_size(first), rotation(first), video.aspect()
        aspect = 1 / aspect if turned % 180 else aspect
        if isinstance(video, OpenImages):
            images = len(video.files) or sum(1 for _ in video.frames())
            return VideoInfo(
                width, height, video.fps(0.0), images, turned, video.codec, notes=tuple(video.notes), aspect=aspect
            )
    with OpenVideo(path) as again:
        images = sum(1 for _ in again.packets())
        read = again.read
        stamps = [pts for pts in read.pts if pts is not None]
        span = again.seconds(max(stamps) - min(stamps)) if len(stamps) == images > 1 else 0.0
        bad = spoiled(read, [packet for packet, hole in enumerate(read.holes) if hole])
        order = sorted(range(images), key=lambda packet: read.pts[packet] or 0) if len(stamps) == images else []
        numbers = {packet: number for number, packet in enumerate(order)}
        return VideoInfo(
            width,
            height,
            again.fps((images - 1) / span if span > 0 else 0.0),
            max(1, images),
            turned,
            again.codec,
            spans(numbers.get(packet, packet) for packet in bad),
            aspect=aspect,
            notes=tuple(again.notes),
        )


def check(path: str | Path, *, rate: float = FALLBACK_FPS) -> VideoInfo:
    """Describe a complete video: by `glance` if its container declares its length, else by decoding it.

    Raises:
        BadItem: As for `probe`.
    """
    if is_images(Path(path)):
        return probe(path, rate=rate)
    with OpenVideo(path) as video:
        whole = not video.missing and bool(_SIZED & set(video.container.format.name.split(",")))
    return glance(path) if whole else probe(path)


def read_frames(
    path: str | Path,
    start: int = 0,
    stop: int | None = None,
    *,
    longest_edge: int | None = None,
    partial_ok: bool = False,
    total: int | None = None,
) -> Iterator[np.ndarray]:
    """Yield frames start, start + 1, ..., stop - 1 (to the end without `stop`) as (H, W, 3) uint8 RGB.

    Rotation metadata is applied; pixels are treated as square. Memory use does not grow with the video's length.

    Args:
        path: Video file in any container, codec and pixel format of FFmpeg.
        start: First frame number, from 0.
        stop: Frame number to stop before; it may be beyond the end.
        longest_edge: Shrink frames by area averaging so that the longer side is at most this. Never enlarges.
        partial_ok: For a truncated file, yield the frames before the break and stop without an error.
        total: Number of frames counted by `probe`, if known. It makes a late start fast: a seek can use the time stamps
            of the file only if their number equals the number of frames. The frames are the same with and without it.

    Raises:
        ValueError: Invalid arguments.
        BadItem: On iteration, as for `probe`. Frames before a break are yielded first.
    """
    if start < 0 or (stop is not None and stop < start):
        raise ValueError(f"frames need 0 <= start <= stop, got start={start} stop={stop}")
    if longest_edge is not None and longest_edge < 1:
        raise ValueError(f"longest_edge must be at least 1, got {longest_edge}")
    return _frames(Path(path), start, stop, longest_edge, partial_ok, total)


def _frames(
    path: Path,
    start: int,
    stop: int | None,
    longest_edge: int | None,
    partial_ok: bool,
    total: int | None,
) -> Iterator[np.ndarray]:
    if stop == start:
        return
    number = start
    if total is not None and start >= _SEEK_FROM and not is_images(path):
        convert = Converter(longest_edge)
        for sought in _from_seek(path, start, total):
            yield convert(sought)
            number += 1
            if number in (stop, total):
                return
    # From the first frame: the normal case, and the fallback if a seek ended early.
    convert = Converter(longest_edge)
    found: Scan | None = None  # needed once something is damaged: lost frames have numbers, too
    before: av.VideoFrame | None = None
    count = 0
    with open_video(path) as video:
        for packet, frame in video.frames():
            if found is None and (frame is None or video.holed):
                found = scan(path)
            if frame is None:
                continue
            convert.size = convert.size or (frame.width, frame.height)
            place = count if found is None else found.numbers.get(packet, -1)
            count += 1
            while number < place:  # a frame that cannot be decoded is replaced by the one before it
                yield convert(before or frame)
                number += 1
                if number == stop:
                    return
            before = frame
            if place == number:
                yield convert(frame)
                number += 1
                if number == stop:
                    return
        if before is None:
            raise video.nothing(None)
        for _ in range(number, min(found.total, stop or found.total) if found is not None else number):
            yield convert(before)
        if video.broken and not partial_ok:
            total = max(count, found.total if found is not None else 0)
            raise _breaks_off(path, total, video.broken, video.stated())


def _from_seek(path: Path, start: int, total: int) -> Iterator[av.VideoFrame]:
    """Frames from number `start`, after a seek to the key frame before it. Ends at the first inconsistency."""
    with OpenVideo(path) as video:
        status = video.path.stat()
        index = _packet_index(str(path), status.st_mtime_ns, status.st_size)
        if video.missing or index is None or len(index.times) != total or start >= total:
            return
        if index.keys[0] > index.times[start]:
            return
        key = index.keys[np.searchsorted(index.keys, index.times[start], side="right") - 1]
        first = next((one for _, one in video.frames() if one is not None), None)
        try:
            video.container.seek(int(key), stream=video.stream, backward=True)
        except av.FFmpegError:
            return
        number, before = start, None
        for _, frame in video.frames():
            if frame is None or first is None or (frame.width, frame.height) != (first.width, first.height):
                return
            if frame.pts is None or (before is not None and frame.pts <= before):
                return
            before = frame.pts
            if number == start and frame.pts < index.times[start]:
                continue
            if number == total or frame.pts != index.times[number] or frame.is_corrupt:
                return
            yield frame
            number += 1


class _Index(NamedTuple):
    times: np.ndarray  # presentation time stamps of all packets, ascending, int64
    keys: np.ndarray  # those of the key frames


@lru_cache(maxsize=8)  # the chunks of a long video need the same index
def _packet_index(path: str, _changed: int, _size: int) -> _Index | None:
    """Time stamps of the packets, read without decoding; None if they cannot be used to number frames."""
    times, keys = [], []
    with OpenVideo(path) as video:
        if not _STAMPED & set(video.container.format.name.split(",")) or video.codec not in _ORDERLY:
            return None
        try:
            for packet in video.container.demux(video.stream):
                if packet.size == 0 or packet.is_discard:
                    continue
                if packet.pts is None:
                    return None
                times.append(packet.pts)
                if packet.is_keyframe:
                    keys.append(packet.pts)
        except av.FFmpegError:
            return None
    index = _Index(np.sort(np.asarray(times, np.int64)), np.sort(np.asarray(keys, np.int64)))
    return index if len(keys) > 0 and bool(np.all(np.diff(index.times) > 0)) else None
