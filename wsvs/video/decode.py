"""An open video file: decoded frames with their packets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import cast

import av

from wsvs.core.errors import BadItem
from wsvs.core.video_files import is_video_format, open_local
from wsvs.video.containers import holes, missing_bytes

FALLBACK_FPS = 25.0
AGAIN = "fetch it again, or take it out"
_KIND = av.stream.Disposition
_NO_FILM = _KIND.attached_pic | _KIND.timed_thumbnails | _KIND.still_image
_SHARE = 0.1  # of the longest track's frames: tracks with fewer are cover images or slide shows
_BARE = frozenset({"h264", "hevc", "mpegvideo", "m4v"})  # streams without a container
_HDR = {16: "PQ", 18: "HLG"}  # transfer functions of ITU-T H.273


@dataclass
class Packets:
    """Properties of the coded images read so far, in decoding order.

    Attributes:
        pts: Presentation times, in units of the stream.
        keys: Key frames.
        shown: Not hidden by an edit list.
        alone: No other image references this one.
        holes: Definitely damaged: with bytes that this codec does not write.
    """

    pts: list[int | None] = field(default_factory=list)
    keys: list[bool] = field(default_factory=list)
    shown: list[bool] = field(default_factory=list)
    alone: list[bool] = field(default_factory=list)
    holes: list[bool] = field(default_factory=list)

    @property
    def from_the_start(self) -> bool:
        """Whether it starts with a key frame; a piece cut from a longer stream may not."""
        return self.keys[0] or self.holes[0]


class OpenVideo:
    """An open video file, decoded in one thread: callers run in many processes, and errors keep their position.

    Args:
        path: The file.
        strict: Let the decoder reject images that it would otherwise conceal errors in.

    Attributes:
        stream: The decoded track.
        missing: Bytes that the container declares beyond the end of the file.
        read: Properties of the packets so far.
        holed: Whether a packet so far was definitely damaged.
        broken: Why the frames ended early.
        notes: Descriptions of irregularities of the file.
    """

    def __init__(self, path: str | Path, *, strict: bool = False) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise BadItem("video not found", where=self.path)
        if self.path.stat().st_size == 0:
            raise BadItem("the video file is empty", where=self.path, remedy=AGAIN)
        try:
            self.missing = missing_bytes(self.path)
        except OSError as error:
            raise BadItem(f"the video cannot be read ({_reason(error)})", where=self.path) from error
        try:
            self.container = open_local(self.path)
        except (av.FFmpegError, OSError, ValueError) as error:
            problem = "cut off before its index" if self.missing else f"not a video ({_reason(error)})"
            raise BadItem(problem, where=self.path, remedy=AGAIN) from error
        self.notes: list[str] = []
        try:
            self.stream = self._choose()
        except BaseException:
            self.container.close()
            raise
        self.context = self.stream.codec_context
        self.context.thread_count = 1
        self.context.copy_opaque = True
        self.codec: str = self.context.name
        if strict and self.codec == "mjpeg":  # other decoders flag such frames
            self.context.options = {"err_detect": "explode"}
        self.broken: str | None = None
        self.holed = False
        self.read = Packets()

    def _choose(self) -> av.VideoStream:
        """The main track: among those with more than a few frames the largest, then the default, then the longest."""
        if not is_video_format(self.container.format.name):
            name = self.container.format.name.partition(",")[0]
            raise BadItem(f"not a video (FFmpeg calls it {name})", where=self.path, remedy=AGAIN)
        streams = [s for s in self.container.streams.video if not s.disposition & _NO_FILM]
        if not streams:
            raise BadItem("no video in this file, only sound or data", where=self.path, remedy=AGAIN)
        known = [s for s in streams if s.codec_context is not None]
        if not known:
            raise BadItem("the video stream is damaged or of unknown codec", where=self.path, remedy=AGAIN)
        if len(streams) == 1:
            return known[0]
        status = self.path.stat()
        images = _images_by_track(str(self.path.absolute()), status.st_mtime_ns, status.st_size)
        most = max(images.get(s.index, 0) for s in known)
        tracks = [s for s in known if images.get(s.index, 0) >= _SHARE * most]
        chosen = max(
            tracks,
            key=lambda s: (s.width * s.height, bool(s.disposition & _KIND.default), images.get(s.index, 0), -s.index),
        )
        others = ", ".join(_describe(s, images) for s in streams if s is not chosen)
        self.notes.append(f"of its video tracks {_describe(chosen, images)} is read, not {others}")
        return chosen

    def __enter__(self) -> OpenVideo:
        return self

    def __exit__(self, *_: object) -> None:
        self.container.close()

    def nothing(self, why: str | None) -> BadItem:
        why = self.broken or why or "no image data"
        return BadItem(f"no frame can be decoded ({why})", where=self.path, remedy=AGAIN)

    def frames(self) -> Iterator[tuple[int, av.VideoFrame | None]]:
        """(packet, frame) in presentation order; None for an image that cannot be decoded.

        Frames before the first key frame of a piece cut from a longer stream are skipped.
        """
        started = False
        late = False  # the start could not be decoded
        for number, packet in enumerate(self.packets()):
            packet.opaque = [number]  # an object of its own: PyAV finds it by its address
            try:
                frames = self.context.decode(packet)
            except av.FFmpegError:
                late = True
                if started or self.read.from_the_start:
                    yield number, None
                continue
            for frame in frames:
                late = late or frame.is_corrupt
                if not started and late and not self.read.from_the_start and (frame.is_corrupt or not frame.key_frame):
                    continue
                started = True
                yield _place(frame), frame
        if self.broken or self.missing:  # frames held back for reordering need not be neighbours there
            return
        try:
            for frame in self.context.decode(None):
                yield _place(frame), frame
        except av.FFmpegError as error:
            self.broken = _reason(error)

    def packets(self) -> Iterator[av.Packet[av.VideoStream]]:
        """Coded images in file order; sets `broken` if reading stops before the end."""
        read = self.read = Packets()
        header = bytes(self.context.extradata or b"")
        try:
            for packet in self.container.demux(self.stream):
                if self.missing > 0 and packet.is_corrupt:  # the partial packet at the end of a truncated file
                    break
                if packet.size == 0:  # it would flush the decoder
                    continue
                read.pts.append(packet.pts)
                read.keys.append(packet.is_keyframe)
                read.shown.append(not packet.is_discard)
                read.alone.append(packet.is_disposable)
                read.holes.append(holes(self.codec, bytes(packet), header))
                self.holed = self.holed or read.holes[-1]
                yield packet
        except av.FFmpegError as error:
            self.broken = _reason(error)
        if self.broken is None and self.missing > 0:
            self.broken = f"bytes missing at the end: {self.missing}"

    def seconds(self, pts: int) -> float:
        return float(pts * self.stream.time_base) if self.stream.time_base is not None else float(pts)

    def fps(self, measured: float) -> float:
        """The container's mean rate, unless the time stamps contradict it; 0 if there is none."""
        stated = float(self.stream.average_rate or self.stream.guessed_rate or 0)
        if self.container.format.name in _BARE and self.stream.guessed_rate:  # where the other one is FFmpeg's own
            stated = float(self.stream.guessed_rate)
        if stated and (not measured or abs(stated / measured - 1) < 0.05):
            return stated
        return measured or FALLBACK_FPS

    def aspect(self) -> float:
        """Pixel aspect ratio (width / height) as stored."""
        ratio = self.stream.sample_aspect_ratio
        return float(ratio) if ratio else 1.0

    def stated(self) -> int:
        """Number of frames declared by the container; 0 if unknown."""
        return int(self.stream.frames)


def _place(frame: av.VideoFrame) -> int:
    return int(cast(list[int], frame.opaque)[0])


def hdr(frame: av.VideoFrame) -> str | None:
    """Name of the transfer function of a frame of high dynamic range."""
    return _HDR.get(int(frame.color_trc or 0))


def _describe(stream: av.VideoStream, images: dict[int, int]) -> str:
    count = images.get(stream.index, 0)
    return f"track {stream.index} ({stream.width}x{stream.height}, images: {count})"


@lru_cache(maxsize=64)  # needed at every opening
def _images_by_track(path: str, _changed: int, _size: int) -> dict[int, int]:
    """{track: number of its packets} of the video tracks."""
    found: dict[int, int] = {}
    with open_local(Path(path)) as container:
        try:
            for packet in container.demux(container.streams.video):
                found[packet.stream.index] = found.get(packet.stream.index, 0) + (packet.size > 0)
        except av.FFmpegError:
            pass  # reported by the reader of the frames
    return found


def _reason(error: BaseException) -> str:
    return str(getattr(error, "strerror", None) or error)
