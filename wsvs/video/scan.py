"""Scan all frames of a video: their number, damage, and presentation times.

Frame i is the i-th image of the video in presentation order, whether it can be decoded or not: damaged images keep
their number. A damaged image invalidates all images that reference it, up to the next key frame.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import av
import numpy as np

from wsvs.video.convert import rotation, shown_size
from wsvs.video.decode import FALLBACK_FPS, OpenVideo, Packets, hdr
from wsvs.video.images import OpenImages, is_images

Span = tuple[int, int]
_B_FRAMES_ALONE = frozenset({"mpeg1video", "mpeg2video", "mpeg4"})  # codecs in which no image references B-frames
_UNEVEN = 0.5  # of a frame's duration: a larger deviation from even spacing means a variable rate


@dataclass(frozen=True)
class Scan:
    """Result of a scan.

    Attributes:
        width, height: Displayed size of the first frame.
        rotation: Clockwise rotation in degrees.
        codec: FFmpeg's name.
        fps: Mean frames per second.
        total: Number of frames, including damaged ones.
        numbers: {packet: frame}.
        damaged: Spans [start, stop) of frames that must not be used.
        times: Seconds of each frame from the first, if the rate is variable.
        aspect: Displayed pixel aspect ratio (width / height).
        broken: Why the video ends early.
        promised: Number of frames declared by the container; 0 if unknown.
        notes: Descriptions of irregularities.
    """

    width: int
    height: int
    rotation: int
    codec: str
    fps: float
    total: int
    numbers: dict[int, int]
    damaged: tuple[Span, ...]
    times: tuple[float, ...] | None
    aspect: float
    broken: str | None
    promised: int
    notes: tuple[str, ...]


@dataclass
class _Seen:
    """Collects properties of frames while they are decoded."""

    packets: list[int] = field(default_factory=list)
    pts: list[int | None] = field(default_factory=list)
    corrupt: list[int] = field(default_factory=list)
    lost: list[int] = field(default_factory=list)
    alone: set[int] = field(default_factory=set)
    sizes: dict[tuple[int, int], int] = field(default_factory=dict)
    first: av.VideoFrame | None = None

    def add(self, packet: int, frame: av.VideoFrame | None, b_alone: bool) -> None:
        if frame is None:
            self.lost.append(packet)
            return
        self.first = self.first or frame
        self.sizes.setdefault(shown_size(frame), len(self.packets))
        self.packets.append(packet)
        self.pts.append(frame.pts)
        if frame.is_corrupt:
            self.corrupt.append(packet)
        if b_alone and frame.pict_type == av.video.frame.PictureType.B:
            self.alone.add(packet)


def open_video(path: Path, rate: float = FALLBACK_FPS, *, strict: bool = False) -> OpenVideo | OpenImages:
    """A video file, a folder of numbered images or an animation. Raises `BadItem`."""
    return OpenImages(path, rate) if is_images(path) else OpenVideo(path, strict=strict)


def scan(path: Path, rate: float = FALLBACK_FPS) -> Scan:
    """Decode a video once, without colour conversion. For truncated videos `broken` is set instead of an error.

    Raises:
        BadItem: Not a video, or no frame can be decoded.
    """
    status = path.stat() if path.exists() else None
    return _scan(path, rate, status.st_mtime_ns if status else 0, status.st_size if status else 0)


@lru_cache(maxsize=4)  # the chunks of a damaged video need the same scan
def _scan(path: Path, rate: float, _changed: int, _size: int) -> Scan:
    with open_video(path, rate, strict=True) as video:
        seen = _Seen()
        for packet, frame in video.frames():
            seen.add(packet, frame, video.codec in _B_FRAMES_ALONE)
        if seen.first is None:
            raise video.nothing(f"damaged images: {len(seen.lost)}" if seen.lost else None)
        read = video.read
        first = 0 if read.from_the_start else min(seen.packets)
        holes = [p for p in range(first, len(read.holes)) if read.holes[p]]
        bad = spoiled(read, {*seen.lost, *seen.corrupt, *holes}, seen.alone)
        lost = _without_frame(read, seen, first, bad)
        order = number_frames(seen.packets, lost, read.pts)
        numbers = {packet: number for number, packet in enumerate(order)}
        times = _times(order, seen, read.pts, video)
        measured = (len(order) - 1) / times[-1] if times is not None and times[-1] > 0 else 0.0
        fps = video.fps(measured)
        (width, height), turned = shown_size(seen.first), rotation(seen.first)
        aspect = video.aspect()
        return Scan(
            width,
            height,
            turned,
            video.codec,
            fps,
            len(order),
            numbers,
            spans(numbers[packet] for packet in bad if packet in numbers),
            None if times is None or _even(times) else tuple(round(float(t), 4) for t in times),
            1 / aspect if turned % 180 else aspect,
            video.broken,
            video.stated(),
            (*video.notes, *_notes(seen, numbers)),
        )


def _without_frame(read: Packets, seen: _Seen, first: int, bad: Sequence[int]) -> list[int]:
    """The packets whose images are lost: in files with one frame per intact packet, those without a frame.

    In other files (hidden images of VP8, pairs of fields) only packets that are damaged themselves.
    """
    given = {*seen.packets}
    spoilt = {*bad}
    certain = {*seen.lost, *(packet for packet in bad if read.holes[packet])}
    last = max(given)
    one_each = all(p in given or p in spoilt or not read.shown[p] for p in range(first, last))
    return [p for p in bad if p >= first and p not in given and read.shown[p] and (one_each or p in certain)]


def spoiled(read: Packets, damaged: Iterable[int], alone: Iterable[int] = ()) -> list[int]:
    """The damaged packets and all that reference them, in decoding order.

    An image references earlier decoded images, back to the last key frame; leading images of a key frame, which are
    shown before it, also those before that key frame.
    """
    alone = {*alone, *(packet for packet, one in enumerate(read.alone) if one)}
    found = {*damaged}
    spoilt = False  # a referenced image is damaged
    carried = False  # the same for the previous key frame
    key_pts: int | None = None
    for packet, key in enumerate(read.keys):
        if key:
            carried, spoilt, key_pts = spoilt, False, read.pts[packet]
        pts = read.pts[packet]
        leading = carried and key_pts is not None and pts is not None and pts < key_pts
        if spoilt or leading:
            found.add(packet)
        if packet in found and packet not in alone and not leading:
            spoilt = True
    return sorted(found)


def number_frames(packets: Sequence[int], lost: Sequence[int], pts: Sequence[int | None]) -> list[int]:
    """All packets in presentation order: those with frames, in the order of the decoder, and lost ones.

    Lost packets are placed by their time, or without times by their position in decoding order.
    """
    times = [pts[packet] for packet in (*packets, *lost)]
    if not lost:
        return list(packets)
    known = [time for time in times if time is not None]
    if len(set(known)) == len(times):
        return [packet for _, packet in sorted(zip(known, (*packets, *lost), strict=True))]
    order = list(packets)
    for packet in sorted(lost):
        place = next((k for k, other in enumerate(order) if other > packet), len(order))
        order.insert(place, packet)
    return order


def spans(numbers: Iterable[int]) -> tuple[Span, ...]:
    """Ascending spans [start, stop) of numbers."""
    found: list[Span] = []
    for number in sorted(numbers):
        if found and found[-1][1] == number:
            found[-1] = (found[-1][0], number + 1)
        else:
            found.append((number, number + 1))
    return tuple(found)


def _times(
    order: Sequence[int], seen: _Seen, pts: Sequence[int | None], video: OpenVideo | OpenImages
) -> np.ndarray | None:
    """Seconds of each frame from the first; None without ascending time stamps."""
    own = dict(zip(seen.packets, seen.pts, strict=True))
    stamps = [own.get(packet, pts[packet]) for packet in order]
    if any(stamp is None for stamp in stamps):
        return None
    times = np.array([video.seconds(stamp) for stamp in stamps if stamp is not None])
    return times - times[0] if bool(np.all(np.diff(times) > 0)) else None


def _even(times: np.ndarray) -> bool:
    step = times[-1] / max(1, len(times) - 1)
    return bool(np.abs(times - step * np.arange(len(times))).max() <= _UNEVEN * step)


def _notes(seen: _Seen, numbers: dict[int, int]) -> list[str]:
    notes = []
    if len(seen.sizes) > 1:
        (first, _), *others = seen.sizes.items()
        changes = ", ".join(f"{w}x{h} from frame {numbers[seen.packets[at]]} on" for (w, h), at in others[:3])
        notes.append(f"the size changes ({changes}): all frames are brought to {first[0]}x{first[1]}, the first one's")
    if seen.first is not None and (name := hdr(seen.first)):
        notes.append(f"its colours are of high dynamic range ({name}) and are read without tone mapping: pale")
    return notes
