"""Clip files: cut from a video without decoding, moved into place atomically, and identified by their content."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import av

from wsvs.core.errors import BadItem
from wsvs.core.files import explain_os_error
from wsvs.retrieve.keyframes import Open, PacketIndex

_MP4 = frozenset({"h264", "hevc", "mpeg4", "vp9", "av1", "libdav1d"})  # all other codecs use Matroska


@dataclass(frozen=True)
class Cut:
    """A window of a video in a file of its own.

    The file starts with the key frame at or before the window, and has all packets that its last frame needs.

    Attributes:
        path: The file.
        start, stop: The frames of the window, [start, stop), numbered from 0 within the file.
        frames: Frames in the file.
        offset: Number of the file's first frame in the video.
    """

    path: Path
    start: int
    stop: int
    frames: int
    offset: int


def cut(
    open_video: Open, source: Path, index: PacketIndex, spans: Sequence[tuple[int, int]], folder: Path
) -> list[Cut]:
    """Copy the packets of each window to a separate file, folder/<number>.mp4 or .mkv, without re-encoding.

    Args:
        open_video: Opens a video file.
        source: The video.
        index: Its packets.
        spans: Windows: closed intervals of presentation times, in ascending order.
        folder: Folder of the files. They are not written atomically.

    Raises:
        BadItem: The container does not support the packets.
        UserError: The disk is full or cannot be written.
    """
    parts = [_Part(index, span) for span in spans]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with open_video(source) as video, ExitStack() as stack:
            suffix = ".mp4" if video.stream.codec_context.name in _MP4 else ".mkv"
            paths = [folder / f"{number}{suffix}" for number in range(len(parts))]
            waiting = list(zip(parts, paths, strict=True))
            outputs: list[tuple[_Part, _Output]] = []
            full = (packet for packet in video.container.demux(video.stream) if packet.size > 0)
            for number, packet in enumerate(full):
                while waiting and waiting[0][0].begin == number:
                    part, path = waiting.pop(0)
                    outputs.append((part, stack.enter_context(_Output(path, video.stream, packet))))
                for part, output in outputs:
                    if number <= part.end and part.holds(number):
                        output.write(packet)
                outputs = [(part, output) for part, output in outputs if number < part.end]
                if not waiting and not outputs:
                    break
    except (av.FFmpegError, ValueError, OSError) as error:
        explained = explain_os_error(error, folder) if isinstance(error, OSError) else error
        if explained is not error:
            raise explained from error
        raise BadItem(f"cannot be cut without re-encoding ({error})", where=source) from error
    return [part.describe(path) for part, path in zip(parts, paths, strict=True)]


class _Part:
    """The packets that a window needs: from its key packet to its last frame, in decoding order."""

    def __init__(self, index: PacketIndex, span: tuple[int, int]) -> None:
        self.index = index
        key_times = index.pts[index.keys]
        inside = (index.pts >= span[0]) & (index.pts <= span[1]) & index.shown
        low, self.high = int(index.pts[inside].min()), span[1]
        before = key_times[key_times <= low]
        self.key = int(before.max() if len(before) else key_times.min())  # earlier frames cannot be decoded
        self.low = max(low, self.key)
        self.begin = int((index.keys & (index.pts == self.key)).argmax())
        inside &= index.pts >= self.low
        self.end = int(inside.nonzero()[0].max())

    def holds(self, number: int) -> bool:
        """Whether a packet is not a leading frame of an open GOP, which references the previous GOP."""
        return bool(self.index.pts[number] >= self.key)

    def describe(self, path: Path) -> Cut:
        kept = self.index.pts[self.begin : self.end + 1]
        kept = kept[kept >= self.key]
        earlier = (self.index.pts < self.key) & self.index.shown
        return Cut(path, int((kept < self.low).sum()), int((kept <= self.high).sum()), len(kept), int(earlier.sum()))


class _Output:
    """An output file for packets of one stream, with time stamps relative to the first one."""

    def __init__(self, path: Path, template: av.VideoStream, first: av.Packet[av.VideoStream]) -> None:
        # Without creation time and library version, so that the same cut gives the same bytes.
        self.container = av.open(str(path), "w", options={"fflags": "+bitexact"})
        self.stream = self.container.add_stream_from_template(template, opaque=True)
        self.origin = first.dts if first.dts is not None else first.pts or 0

    def __enter__(self) -> _Output:
        return self

    def __exit__(self, *_: object) -> None:
        self.container.close()

    def write(self, packet: av.Packet[av.VideoStream]) -> None:
        copy = av.Packet(bytes(packet))  # muxing modifies the packet, and another window may need it, too
        copy.is_keyframe = packet.is_keyframe
        copy.time_base = packet.time_base
        copy.duration = packet.duration
        copy.pts = None if packet.pts is None else packet.pts - self.origin
        copy.dts = None if packet.dts is None else packet.dts - self.origin
        copy.stream = self.stream
        self.container.mux(copy)


def digest_file(path: Path) -> tuple[str, int]:
    """(SHA-256 in hexadecimal, number of bytes)."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
            size += len(block)
    return digest.hexdigest(), size
