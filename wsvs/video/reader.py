"""Video files to RGB frames, one at a time, with exact frame numbers.

Frame i is the i-th frame that the decoder gives back when the file is read from its start. Masks, scores and
shots are numbered that way, so the frame count and the time stamps of a container are used only where proven.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np

from wsvs.video.decode import Converter, OpenVideo, rotation, shown_size, shrunk_size

__all__ = ["VideoInfo", "check", "glance", "probe", "read_frames", "shrunk_size"]

# Where the time stamps of frames are exact: containers that hold them and decoders that hand them on.
# (AVI holds none; MPEG-4 part 2 with B-frames has been seen to give frames with each other's stamps.)
_STAMPED = frozenset({"mov", "matroska"})
_ORDERLY = frozenset({"h264", "hevc", "vp8", "vp9", "av1", "libdav1d"})
_SIZED = frozenset({"mov", "matroska", "avi"})  # containers that tell how long the file has to be
_SEEK_FROM = 32  # below this start a seek gains less than the look through the file that it needs


@dataclass(frozen=True)
class VideoInfo:
    """What `probe`, `glance` or `check` found out.

    Attributes:
        width, height: Size in pixels as `read_frames` gives it, after the rotation.
        fps: Mean frames per second (25 where the file has no clock).
        frames: Number of frames that can be decoded, counted by decoding; of the others the coded pictures.
        rotation: Clockwise turn in degrees that the file asks for and `read_frames` applies.
        codec: FFmpeg's name, such as h264.
    """

    width: int
    height: int
    fps: float
    frames: int
    rotation: int
    codec: str


def probe(path: str | Path, *, partial_ok: bool = False) -> VideoInfo:
    """Decode a video once (no colour conversion) and describe it.

    Args:
        path: Video file in any container and codec of FFmpeg.
        partial_ok: Count the frames before a break instead of raising.

    Raises:
        BadItem: Missing, empty, not a video, without pictures, or broken (says after how many frames).
    """
    with OpenVideo(path) as video:
        frames = 0
        for frame in video.decode(partial_ok):
            if frames == 0:
                width, height = shown_size(frame)
                turned = rotation(frame)
            frames += 1
        return VideoInfo(width, height, video.fps(frames), frames, turned, video.codec)


def glance(path: str | Path) -> VideoInfo:
    """Describe a video by its first frame, its header and the number of its coded pictures, without decoding it.

    Mostly there is a frame for each coded picture; pictures that cannot be decoded, hidden ones and pairs of fields
    make a difference. `probe` knows.

    Raises:
        BadItem: As for `probe`, but not where the video breaks after its first frame.
    """
    with OpenVideo(path) as video:
        for frame in video.decode(partial_ok=True):  # raises if there is none
            (width, height), turned = shown_size(frame), rotation(frame)
            break
    with OpenVideo(path) as video:
        pictures = sum(1 for _ in video.packets())
        return VideoInfo(width, height, video.fps(pictures), max(1, pictures), turned, video.codec)


def check(path: str | Path) -> VideoInfo:
    """Describe a video that is all there: by a `glance` where its container tells, else by decoding it.

    Raises:
        BadItem: As for `probe`, but not where pictures inside a file of full length are damaged.
    """
    with OpenVideo(path) as video:
        whole = not video.missing and bool(_SIZED & set(video.container.format.name.split(",")))
    return glance(path) if whole else probe(path)


def read_frames(
    path: str | Path, start: int = 0, stop: int | None = None, *,
    longest_edge: int | None = None, partial_ok: bool = False, total: int | None = None,
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
    path: Path, start: int, stop: int | None, longest_edge: int | None, partial_ok: bool, total: int | None,
) -> Iterator[np.ndarray]:
    if stop == start:
        return
    number = start
    convert = Converter(longest_edge)
    if total is not None and start >= _SEEK_FROM:
        for frame in _from_seek(path, start, total):
            yield convert(frame)
            number += 1
            if number in (stop, total):
                return
    # From the first frame: the usual way, and the way on where a seek ended early.
    with OpenVideo(path) as video:
        for index, frame in enumerate(video.decode(partial_ok)):
            if index >= number:
                yield convert(frame)
            if index + 1 == stop:
                return


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
        try:
            video.container.seek(int(key), stream=video.stream, backward=True)
        except av.FFmpegError:
            return
        number, before = start, None
        for frame in video.raw_frames():
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
