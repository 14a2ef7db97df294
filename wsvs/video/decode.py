"""An open video file: whole frames in decoding order, and their way to upright RGB arrays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from wsvs.core.errors import BadItem
from wsvs.core.words import counted
from wsvs.video.containers import missing_bytes

# Exact rounding and full chroma: without them 4:2:0 pictures come out about one grey level too dark, and
# not the same on every processor.
_EXACT = Interpolation.FULL_CHR_H_INT | Interpolation.ACCURATE_RND | Interpolation.BITEXACT
# Text and pictures that FFmpeg would open as a film, and play lists that lead to other files.
_NOT_VIDEO = frozenset({"tty", "image2", "hls", "dash", "concat", "webvtt", "srt", "ass"})
_LOCAL_ONLY = {"protocol_whitelist": "file"}
FALLBACK_FPS = 25.0
_AGAIN = "fetch it again, or take it out"


class OpenVideo:
    """An open video file. One thread decodes: callers are many processes, and errors stay in their place."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise BadItem("video not found", where=self.path)
        if self.path.stat().st_size == 0:
            raise BadItem("the video file is empty", where=self.path, remedy=_AGAIN)
        try:
            self.missing = missing_bytes(self.path)
        except OSError as error:
            raise BadItem(f"the video cannot be read ({_reason(error)})", where=self.path) from error
        try:
            # An absolute name: FFmpeg takes what stands before a colon for a protocol.
            self.container = av.open(
                str(self.path.absolute()), options=dict(_LOCAL_ONLY), metadata_errors="replace"
            )
        except (av.FFmpegError, OSError, ValueError) as error:
            problem = "cut off before its index" if self.missing else f"not a video ({_reason(error)})"
            raise BadItem(problem, where=self.path, remedy=_AGAIN) from error
        try:
            self.stream = self._choose()
        except BaseException:
            self.container.close()
            raise
        self.context = self.stream.codec_context
        self.context.thread_count = 1
        self.codec: str = self.context.name
        self.broken: str | None = None  # why the frames ended before their time
        self.late = False  # the start could not be decoded
        self._clock: tuple[float, float] | None = None

    def _choose(self) -> av.VideoStream:
        names = self.container.format.name.split(",")
        if any(name in _NOT_VIDEO or name.endswith("_pipe") for name in names):
            raise BadItem(f"not a video (FFmpeg calls it {names[0]})", where=self.path, remedy=_AGAIN)
        cover = av.stream.Disposition.attached_pic
        streams = [s for s in self.container.streams.video if not s.disposition & cover]
        if not streams:
            raise BadItem("no pictures in this file, only sound or data", where=self.path, remedy=_AGAIN)
        if streams[0].codec_context is None:
            raise BadItem("the video stream is damaged or of unknown codec", where=self.path, remedy=_AGAIN)
        return streams[0]

    def __enter__(self) -> OpenVideo:
        return self

    def __exit__(self, *_: object) -> None:
        self.container.close()

    def decode(self, partial_ok: bool) -> Iterator[av.VideoFrame]:
        """Sound frames in order; then BadItem if the file broke off (always, if before the first frame)."""
        count, size = 0, (0, 0)
        for frame in self.raw_frames():
            if count == 0:  # wait for a sound key frame: what builds on a damaged one is damaged
                self.late = self.late or frame.is_corrupt
                if frame.is_corrupt or (self.late and not frame.key_frame):
                    continue
            size = size if count else shown_size(frame)
            if frame.is_corrupt or shown_size(frame) != size:
                self.broken = "a damaged picture" if frame.is_corrupt else "the size of the pictures changes"
                break
            count += 1
            if frame.pts is not None and self.stream.time_base is not None:
                time = float(frame.pts * self.stream.time_base)
                self._clock = (self._clock[0] if self._clock else time, time)
            yield frame
        if self.broken is None and self.missing > 0:
            self.broken = f"{counted(self.missing, 'byte|bytes is|are')} missing at the end"
        if count == 0:
            raise BadItem(
                f"no frame can be decoded ({self.broken or 'no picture data'})", where=self.path,
                remedy=_AGAIN,
            )
        if self.broken is not None and not partial_ok:
            raise BadItem(
                f"the video breaks off after {counted(count, 'frame|frames')} ({self.broken})", where=self.path,
                remedy="fetch it again, or use the frames before the break",
            )

    def raw_frames(self) -> Iterator[av.VideoFrame]:
        """What the decoder gives; sets `broken` where it stops before the end."""
        started = False
        for packet in self.packets():
            try:
                frames = self.context.decode(packet)
            except av.FFmpegError as error:
                if not started:  # a piece cut out of a longer stream may start before its first key frame
                    self.late = True
                    continue
                self.broken = _reason(error)
                break
            started = started or bool(frames)
            yield from frames
        if self.broken or self.missing:  # frames held back for reordering need not be neighbours there
            return
        try:
            yield from self.context.decode(None)
        except av.FFmpegError as error:
            self.broken = _reason(error)

    def packets(self) -> Iterator[av.Packet]:
        """Coded pictures in the order of the file; sets `broken` where reading stops before the end."""
        try:
            for packet in self.container.demux(self.stream):
                if self.missing > 0 and packet.is_corrupt:  # the stump at the end of a truncated file
                    return
                if packet.size > 0:  # an empty one would tell the decoder to finish
                    yield packet
        except av.FFmpegError as error:
            self.broken = _reason(error)

    def fps(self, frames: int) -> float:
        """The container's mean rate, unless the clock of the frames contradicts it."""
        first, last = self._clock or (0.0, 0.0)
        measured = (frames - 1) / (last - first) if last > first else 0.0
        stated = float(self.stream.average_rate or self.stream.guessed_rate or 0)
        if stated and (not measured or abs(stated / measured - 1) < 0.05):
            return stated
        return measured or FALLBACK_FPS


def shrunk_size(width: int, height: int, longest_edge: int | None) -> tuple[int, int]:
    """(width, height) of a frame after `read_frames(longest_edge=...)`."""
    longest = max(width, height)
    if longest_edge is None or longest <= longest_edge:
        return width, height
    return max(1, round(width * longest_edge / longest)), max(1, round(height * longest_edge / longest))


class Converter:
    """Decoded frames to RGB arrays: colours, shrinking, rotation."""

    def __init__(self, longest_edge: int | None) -> None:
        self.longest_edge = longest_edge
        self.reformatter = VideoReformatter()

    def __call__(self, frame: av.VideoFrame) -> np.ndarray:
        width, height = shrunk_size(frame.width, frame.height, self.longest_edge)
        # Colours and shrinking in one pass over the picture; large frames are most of what web videos have.
        by = Interpolation.BILINEAR if (width, height) == (frame.width, frame.height) else Interpolation.AREA
        converted = self.reformatter.reformat(
            frame, width, height, format="rgb24", interpolation=by | _EXACT, threads=1
        )
        rgb: np.ndarray = converted.to_ndarray()
        return _turn(rgb, _display_matrix(frame))


def _display_matrix(frame: av.VideoFrame) -> tuple[int, int, int, int]:
    """a, b, c, d of the display matrix: pixel (x, y) is shown at (a x + c y, b x + d y)."""
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return 1, 0, 0, 1
    matrix = np.frombuffer(memoryview(cast(Any, data)), np.int32)  # 3 x 3, fixed point, rows (a b u) (c d v) (x y w)
    return int(matrix[0]), int(matrix[1]), int(matrix[3]), int(matrix[4])


def _sideways(matrix: tuple[int, int, int, int]) -> bool:
    a, b, c, d = matrix
    return abs(b) + abs(c) > abs(a) + abs(d)


def _turn(image: np.ndarray, matrix: tuple[int, int, int, int]) -> np.ndarray:
    """Quarter turns and mirror images, as players show them."""
    a, b, c, d = matrix
    if _sideways(matrix):
        image, right, down = image.swapaxes(0, 1), c, b
    else:
        right, down = a, d
    if right < 0:
        image = image[:, ::-1]
    if down < 0:
        image = image[::-1]
    return np.ascontiguousarray(image)


def rotation(frame: av.VideoFrame) -> int:
    """Clockwise turn in degrees: 0, 90, 180 or 270; mirror images left out."""
    a, _, c, d = matrix = _display_matrix(frame)
    if _sideways(matrix):
        return 90 if c < 0 else 270
    return 180 if a < 0 and d < 0 else 0


def shown_size(frame: av.VideoFrame) -> tuple[int, int]:
    """(width, height) after the rotation."""
    size = (frame.width, frame.height)
    return size[::-1] if _sideways(_display_matrix(frame)) else size


def _reason(error: BaseException) -> str:
    return str(getattr(error, "strerror", None) or error)
