"""Key frames of a video: found without decoding, and decoded individually.

"We utilize reference frames used to compress the video as key-frames" (section 4, footnote 2). The decoder's option for
this (`skip_frame`) loses the key frames of open GOPs in H.264 and is ignored by VP9. Decoding each key packet as a
separate video works for every codec.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Protocol

import av
import numpy as np

from wsvs.core.errors import BadItem


class Opened(Protocol):
    """An open video file, as `wsvs.video.decode.OpenVideo` is one."""

    @property
    def container(self) -> av.container.InputContainer: ...
    @property
    def stream(self) -> av.VideoStream: ...
    @property
    def missing(self) -> int: ...


_MOST = 0.9
FLAT = 4.0  # of 255: images with less contrast are blank
Open = Callable[[Path], AbstractContextManager[Opened]]


@dataclass(frozen=True)
class PacketIndex:
    """The packets of a video in the order in which they are decoded; each holds one frame.

    Attributes:
        pts: (N,) int64, presentation times in units of `time_base` seconds.
        keys: (N,) bool, key packets.
        shown: (N,) bool; an edit list may hide some.
        time_base: Seconds.
    """

    pts: np.ndarray
    keys: np.ndarray
    shown: np.ndarray
    time_base: Fraction

    @property
    def first(self) -> int:
        """Time of the first frame."""
        return int(self.pts[self.shown].min())

    @property
    def last(self) -> int:
        """Time of the last frame."""
        return int(self.pts[self.shown].max())

    @property
    def frames(self) -> int:
        return int(self.shown.sum())

    @property
    def key_times(self) -> list[int]:
        """Presentation times of the key frames, ascending."""
        return sorted(int(time) for time in self.pts[self.keys & self.shown])

    def seconds(self, pts: int) -> float:
        """Seconds from the first frame, to the millisecond."""
        return round(float((pts - self.first) * self.time_base), 3)


def read_index(open_video: Open, path: Path) -> PacketIndex:
    """Read the packets of a video without decoding any.

    Raises:
        BadItem: Not a video, cut off, without key frames, or without time stamps of its own for each frame.
    """
    pts: list[int] = []
    keys: list[bool] = []
    shown: list[bool] = []
    with open_video(path) as video:
        if video.missing:
            raise BadItem(f"the video is cut off (missing bytes: {video.missing})", where=path)
        for packet in _packets(video, path):
            if packet.pts is None:
                raise BadItem("frames without time stamps, which cannot be cut out", where=path)
            pts.append(packet.pts)
            keys.append(packet.is_keyframe)
            shown.append(not packet.is_discard)
        time_base = video.stream.time_base or Fraction(1, 1000)
    index = PacketIndex(np.array(pts, np.int64), np.array(keys, bool), np.array(shown, bool), time_base)
    if not index.key_times:
        raise BadItem("no key frame", where=path)
    if len(np.unique(index.pts)) < len(pts):
        raise BadItem("several frames with the same time stamp, which cannot be cut out", where=path)
    return index


def key_frames(open_video: Open, path: Path, times: Collection[int]) -> Iterator[tuple[int, av.VideoFrame]]:
    """Decode the key frames at these presentation times: (time, frame), in the file's order.

    Frames that cannot be decoded are skipped.

    Raises:
        BadItem: The file cannot be read.
    """
    with open_video(path) as video:
        context = video.stream.codec_context
        for packet in _packets(video, path):
            time = packet.pts
            if not packet.is_keyframe or packet.is_discard or time is None or time not in times:
                continue
            try:
                context.flush_buffers()
                frames = [*context.decode(packet), *context.decode(None)]
                context.flush_buffers()
            except av.FFmpegError:
                continue
            if frames:
                yield time, frames[0]


def stand_ins(
    open_video: Open, path: Path, index: PacketIndex, times: Collection[int], seconds: float = 10.0
) -> Iterator[tuple[int, int, av.VideoFrame]]:
    """Replacements of blank key frames (black, white, one colour): (time of the key frame, time, frame).

    Among the frames up to the next key frame, within a number of seconds, the first with at least 0.9 of the maximum
    contrast, where a fade-in is over. Key frames without such a frame are skipped.

    Raises:
        BadItem: The file cannot be read.
    """
    wanted = sorted(times)
    if not wanted:
        return
    reach = int(Fraction(str(seconds)) / index.time_base)
    ends = {time: min([other for other in index.key_times if other > time] + [time + reach]) for time in wanted}
    found: dict[int, list[tuple[float, int, av.VideoFrame]]] = {time: [] for time in wanted}
    with open_video(path) as video:
        context = video.stream.codec_context
        key: int | None = None
        for packet in chain(_packets(video, path), [None]):
            if packet is not None and packet.is_keyframe:
                key = packet.pts if packet.pts in ends else None
                if key is not None:
                    context.flush_buffers()
            if key is None:
                continue
            try:
                frames = context.decode(packet)
            except av.FFmpegError:
                continue
            for frame in frames:
                owner = next((one for one in reversed(wanted) if frame.pts is not None and one <= frame.pts), None)
                if owner is None or frame.pts is None or frame.pts >= ends[owner]:
                    continue
                contrast = contrast_of(frame.reformat(width=64, height=64, format="rgb24").to_ndarray())
                most = max([contrast, *(one[0] for one in found[owner])])
                if contrast >= max(FLAT, _MOST * most):
                    found[owner] = [one for one in found[owner] if one[0] >= _MOST * most]
                    if not any(one[0] >= contrast for one in found[owner]):  # else the earlier one is used
                        found[owner].append((contrast, frame.pts, frame))
    for owner, frames_of in found.items():
        if frames_of:
            yield owner, frames_of[0][1], frames_of[0][2]


def contrast_of(image: np.ndarray) -> float:
    """Standard deviation of the levels (0 to 255) of an image (H, W, 3), in the channel where it is largest."""
    return float(image.std((0, 1)).max())


def windows(
    index: PacketIndex, times: Iterable[int], seconds: float, shots: Sequence[int] = ()
) -> list[tuple[int, int]]:
    """Closed intervals of `window` seconds before and after each time, inside the video, merged if they overlap.

    Args:
        index: Packets of the video.
        times: Presentation times.
        seconds: Seconds on either side.
        shots: Presentation times of the first frames of shots: a window does not extend beyond its shot.
    """
    reach = Fraction(str(seconds)) / index.time_base  # exactly 0.1, not the nearest float
    merged: list[tuple[int, int]] = []
    for time in sorted(times):
        low = max(index.first, math.ceil(time - reach))
        high = min(index.last, math.floor(time + reach))
        low = max([low, *(shot for shot in shots if shot <= time)])
        high = min([high, *(shot - 1 for shot in shots if shot > time)])
        if merged and low <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return merged


def _packets(video: Opened, path: Path) -> Iterator[av.Packet[av.VideoStream]]:
    try:
        for packet in video.container.demux(video.stream):
            if packet.size > 0:  # an empty one marks the end
                yield packet
    except av.FFmpegError as error:
        raise BadItem(f"the video breaks off ({error.strerror or error})", where=path) from error
