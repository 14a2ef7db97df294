"""A folder of numbered images as one video, as DAVIS, SAM 2 and XMem store them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
from PIL import Image

from wsvs.core.files import atomic_path

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
_NAME = re.compile(r"(.*?)(\d+)(\D*)", re.DOTALL)
_FEWEST = 2
_SHOWN = 5


@dataclass(frozen=True)
class FrameFolder:
    """The frames of a folder.

    Attributes:
        path: The folder.
        frames: {number in the name: file}, rising.
    """

    path: Path
    frames: dict[int, Path]

    @property
    def notes(self) -> list[str]:
        """Descriptions of irregular frame numbers."""
        numbers = list(self.frames)
        found = []
        if numbers[0] != 0:
            found.append(f"its frames are numbered from {numbers[0]}: mask 00000 is of {self.frames[numbers[0]].name}")
        gaps = [(one + 1, two - 1) for one, two in pairwise(numbers) if two > one + 1]
        if gaps:
            lost = sum(last - first + 1 for first, last in gaps)
            shown = ", ".join(str(a) if a == b else f"{a} to {b}" for a, b in gaps[:_SHOWN])
            more = ", ..." if len(gaps) > _SHOWN else ""
            found.append(f"missing frame numbers: {lost} ({shown}{more}); masks are numbered without gaps")
        return found


def find_frames(folder: Path, names: Iterable[str] | None = None) -> FrameFolder | str:
    """The frames of a folder, or a short reason why its images are not frames.

    The names differ only in their last number: 00000.jpg, frame_9.png, frame_10.png. If there are PNGs and JPEGs with
    the same numbers, the JPEGs are the frames. Images with a palette or with two values are masks.

    Args:
        folder: The folder.
        names: Of its files, if they are known.
    """
    groups: dict[tuple[str, str, str], dict[int, Path]] = {}
    given = [path.name for path in folder.iterdir()] if names is None else names
    images = [name for name in given if name.lower().endswith(SUFFIXES) and not name.startswith(".")]
    for name in images:
        stem, suffix = name.rpartition(".")[0], name.rpartition(".")[2].lower()
        match = _NAME.fullmatch(stem)
        if match is None or not match[2].isascii():
            return "images without numbers"
        group = groups.setdefault((match[1], match[3], "jpg" if suffix == "jpeg" else suffix), {})
        if int(match[2]) in group:
            return f"images of which two have the number {int(match[2])}"
        group[int(match[2])] = folder / name
    if len(groups) == 2 and len({key[:2] for key in groups}) == 1 and "jpg" in {key[2] for key in groups}:
        groups = {key: group for key, group in groups.items() if key[2] == "jpg"}
    if len(groups) != 1:
        return "images of several names" if groups else "no images"
    [frames] = groups.values()
    if len(frames) < _FEWEST:
        return "a single image"
    first = frames[min(frames)]
    if first.suffix.lower() == ".png" and is_mask(first):
        return "masks (images of a palette or of two values)"
    return FrameFolder(folder, dict(sorted(frames.items())))


def is_mask(path: Path) -> bool:
    """Whether an image contains labels. False if it cannot be read."""
    try:
        with Image.open(path) as image:
            if image.mode == "P":
                return True
            return image.mode in ("1", "L") and len(np.unique(np.asarray(image))) <= 2
    except Exception:  # decoders raise many types for damaged files, which are reported when frames are read
        return False


def write_video(path: Path, frames: Sequence[Path], size: tuple[int, int], rate: Fraction | int) -> None:
    """Mux JPEG files into one Matroska file, atomically and without re-encoding."""
    with atomic_path(path) as temporary, av.open(str(temporary), "w", format="matroska") as container:
        stream = container.add_stream("mjpeg", rate=rate)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height = size
        stream.pix_fmt = "yuvj420p"  # only in the header; decoders use the format of the JPEGs
        for number, frame in enumerate(frames):
            packet = av.Packet(frame.read_bytes())
            packet.stream = stream
            packet.pts = packet.dts = number
            packet.duration, packet.time_base = 1, 1 / Fraction(rate)
            packet.is_keyframe = True
            container.mux(packet)
