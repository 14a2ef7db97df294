"""Videos to RGB frames, one at a time, with exact frame numbers.

Frame i is the i-th image of the video in the order of showing. Masks, scores and shots are numbered that way, so the
frame count and the time stamps of a container are used only where proven. A damaged image keeps its number
(`wsvs.video.scan`). A folder of numbered images and an animation are videos too.
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

# Where the time stamps of frames are exact: containers that hold them and decoders that hand them on.
# (AVI holds none; MPEG-4 part 2 with B-frames has been seen to give frames with each other's stamps.)
_STAMPED = frozenset({"mov", "matroska"})
_ORDERLY = frozenset({"h264", "hevc", "vp8", "vp9", "av1", "libdav1d"})
_SIZED = frozenset({"mov", "matroska", "avi"})  # containers that tell how long the file has to be
_SHOWN = 5  # damaged spans that are named
_SEEK_FROM = 32  # below this start a seek gains less than the look through the file that it needs


@dataclass(frozen=True)
class VideoInfo:
    """What `probe`, `glance` or `check` found out.

    Attributes:
        width, height: Size in pixels as `read_frames` gives it, after the rotation.
        fps: Mean frames per second (25 where the file has no clock).
        frames: Number of frames, counted by decoding; of the others the coded images.
        rotation: Clockwise turn in degrees that the file asks for and `read_frames` applies.
        codec: FFmpeg's name, such as h264; of images the suffix.
        damaged: Spans [start, stop) of frames that could not be decoded whole, or build on such: not to be used.
        times: Seconds of each frame from the first, where the rate is variable and every frame was decoded.
        aspect: Width of a pixel in units of its height, after the rotation: 1 for square ones.
        broken: Why the video ends before its time.
        promised: Number of frames that the container names; 0 if it names none.
        notes: What else is odd, in words.
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
        BadItem: Missing, empty, not a video, without a sound image, or broken off (says after how many frames).
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
        remedy="fetch it again, or use the frames before the break",
    )


def glance(path: str | Path, *, rate: float = FALLBACK_FPS) -> VideoInfo:
    """Describe a video by its first frame, its header and the number of its coded images, without decoding it.

    Mostly there is a frame for each coded image; those that cannot be decoded, hidden ones and pairs of fields make a
    difference, and only damage that the bytes show is seen. `probe` knows.

    Raises:
        BadItem: As for `probe`, but not where the video breaks off after its first frame.
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
    """Describe a video that is all there: by a `glance` where its container tells, else by decoding it.

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

    Rotation metadata is applied; pixels are taken as square. Memory does not grow with the video's length.

    Args:
        path: Video file in any container, codec and pixel format of FFmpeg.
        start: First frame number, from 0.
        stop: Frame number to stop before. A stop beyond the end gives what there is.
        longest_edge: Shrink frames by area averaging so that the longer side is at most this. Never enlarges.
        partial_ok: Of a broken file, give the frames before the break and stop quietly.
        total: Number of frames, as `probe` counted it, if known. It makes a far start quick: the time stamps
            in the file may number the frames, for a seek, only if there are exactly as many. The frames are
            the same with and without it.

    Raises:
        ValueError: Impossible arguments.
        BadItem: On iteration, as for `probe`. Frames before a break are given first.
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
    # From the first frame: the usual way, and the way on where a seek ended early.
    convert = Converter(longest_edge)
    found: Scan | None = None  # asked for once something is damaged: what is lost has a number, too
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
    """Frames from number `start` on, after a jump to the key frame before it. Ends at the first doubt."""
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


@lru_cache(maxsize=8)  # the chunks of a long video ask for the same index again and again
def _packet_index(path: str, _changed: int, _size: int) -> _Index | None:
    """Time stamps of the packets, read without decoding; None where they cannot number the frames."""
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
