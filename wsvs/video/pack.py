"""Pack a folder of numbered images, or an animation, into one video file, so that it can be cut."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av

from wsvs.core.errors import BadItem
from wsvs.core.files import atomic_path
from wsvs.core.frame_folders import write_video
from wsvs.video.images import OpenImages

_COPIED = (".jpg", ".jpeg")


def pack(path: Path, target: Path, rate: float) -> None:
    """Write the images to one Matroska file: JPEG files unchanged, others lossless (FFV1).

    Raises:
        BadItem: An image that cannot be read, or images that cannot be put into one video.
        UserError: The disk is full or cannot be written.
    """
    try:
        with OpenImages(path, rate) as images:
            if not images.files or images.files[0].suffix.lower() not in _COPIED:
                _encode(images, target)
                return
            first = next((frame for _, frame in images.frames() if frame is not None), None)
            if first is None:
                raise images.nothing(None)
            write_video(target, images.files, (first.width, first.height), Fraction(rate).limit_denominator(1001))
    except (av.FFmpegError, ValueError) as error:
        raise BadItem(f"its images cannot be put into one video ({error})", where=path) from error


def _encode(images: OpenImages, target: Path) -> None:
    with atomic_path(target) as temporary, av.open(str(temporary), "w", format="matroska") as out:
        stream = out.add_stream("ffv1", rate=1000, options={"threads": "1"})
        stream.width, stream.gop_size, stream.pix_fmt = 0, 1, "bgr0"
        for place, frame in images.frames():
            if frame is None:
                raise BadItem(f"image {place} cannot be read", where=images.path)
            if not stream.width:
                stream.width, stream.height = frame.width, frame.height
            seconds = images.seconds(frame.pts or 0)
            frame = frame.reformat(stream.width, stream.height, format="bgr0")
            frame.pts, frame.time_base = round(1000 * seconds), Fraction(1, 1000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
