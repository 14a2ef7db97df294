"""Images as a video: a folder of numbered images, or a WebP animation, which FFmpeg does not read."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageSequence

from wsvs.core.errors import BadItem
from wsvs.core.frame_folders import find_frames
from wsvs.core.video_files import animated, open_local, read_head
from wsvs.video.decode import AGAIN, Packets

_MILLISECOND = Fraction(1, 1000)


def is_images(path: Path) -> bool:
    """Whether it is a folder or a WebP animation."""
    if path.suffix.lower() == ".webp":
        return path.is_file() and animated(read_head(path))
    return path.is_dir()


class OpenImages:
    """Images with the interface of `wsvs.video.decode.OpenVideo`. Each is a key frame.

    Args:
        path: A folder of numbered images, or a WebP animation, which has its own times.
        rate: Frames per second of a folder.
    """

    missing = 0
    holed = False

    def __init__(self, path: Path, rate: float) -> None:
        self.path = path
        self.rate = rate
        self.broken: str | None = None
        self.notes: list[str] = []
        self.read = Packets()
        self.files: list[Path] = []
        self.codec = "webp"
        self.durations: list[int] = []
        if path.is_dir():
            found = find_frames(path)
            if isinstance(found, str):
                raise BadItem(f"not a folder of numbered images ({found})", where=path)
            self.files = list(found.frames.values())
            self.notes += found.notes
            self.codec = self.files[0].suffix[1:].lower()

    def __enter__(self) -> OpenImages:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def nothing(self, why: str | None) -> BadItem:
        return BadItem(f"no image can be read ({why or 'there is none'})", where=self.path, remedy=AGAIN)

    def frames(self) -> Iterator[tuple[int, av.VideoFrame | None]]:
        """(place, frame) in order; None for an image that cannot be read."""
        read = self.read = Packets()
        time = 0
        for place, (frame, duration) in enumerate(self._images()):
            read.pts.append(time)
            for marks in (read.keys, read.shown, read.alone):
                marks.append(True)
            read.holes.append(False)
            if frame is not None:
                frame.pts = time
            time += duration
            yield place, frame

    def _images(self) -> Iterator[tuple[av.VideoFrame | None, int]]:
        if self.files:
            for path in self.files:
                yield decode_image(path), 1
            return
        try:
            with Image.open(self.path) as opened:
                for image in ImageSequence.Iterator(opened):
                    frame = av.VideoFrame.from_ndarray(np.asarray(image.convert("RGB")), format="rgb24")
                    yield frame, max(1, int(image.info.get("duration", 40)))
        except Exception as error:  # decoders raise many types for damaged files
            self.broken = str(error)

    def seconds(self, pts: int) -> float:
        return float(pts / self.rate if self.files else pts * _MILLISECOND)

    def fps(self, measured: float) -> float:
        return self.rate if self.files else measured or self.rate

    def aspect(self) -> float:
        return 1.0

    def stated(self) -> int:
        return 0


def decode_image(path: Path) -> av.VideoFrame | None:
    """A still image as FFmpeg decodes it, the way it does in a video of such images; None if it cannot be read."""
    try:
        with open_local(path) as container:
            context = container.streams.video[0].codec_context
            context.thread_count = 1
            context.options = {"err_detect": "explode"}  # reject truncated JPEGs
            for frame in container.decode(video=0):
                return None if frame.is_corrupt else frame
    except (av.FFmpegError, OSError, ValueError, IndexError):
        pass
    return None
