"""Overlay videos: the mask drawn over the frames."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import av
import cv2
import numpy as np

from wsvs.core.files import atomic_path
from wsvs.core.visualize import marked, over
from wsvs.lit.video_writer import open_writer


def write_overlay(
    path: Path,
    frames: np.ndarray,
    masks: np.ndarray,
    label: int,
    fps: float,
    *,
    aspect: float = 1.0,
    times: Sequence[float] | None = None,
    mark: str = "",
) -> None:
    """H.264 video of (T, h, w, 3) uint8 RGB frames under (T, h, w) bool masks in the palette colour of their label.

    Odd sides are cropped by a pixel, since 4:2:0 needs even sides; a side of one pixel is doubled. `mark` is a short
    text in the upper left corner of every frame.

    Args:
        aspect: Pixel aspect ratio (width / height): the video has square pixels, its frames are stretched.
        times: Seconds of each frame, for a variable frame rate.

    Raises:
        UserError: The disk is full or read-only.
    """
    shape = stretched(masks.shape[1], masks.shape[2], aspect)
    height, width = (max(2, side // 2 * 2) for side in shape)
    with open_writer(path, fps, joinable=True, times=times) as add:
        for frame, mask in zip(frames, masks, strict=True):
            shown = over(frame, mask * np.uint8(label))
            if shape != shown.shape[:2]:
                shown = cv2.resize(shown, shape[::-1], interpolation=cv2.INTER_LINEAR)
            if mark:
                shown = marked(shown, mark)
            shown = np.pad(shown, ((0, shown.shape[0] == 1), (0, shown.shape[1] == 1), (0, 0)), "edge")
            add(shown[:height, :width])


def stretched(height: int, width: int, aspect: float) -> tuple[int, int]:
    """(height, width) of a frame with square pixels: the shorter side is enlarged."""
    return (height, round(width * aspect)) if aspect >= 1 else (round(height / aspect), width)


def join(pieces: Sequence[Path], path: Path, starts: Sequence[float] | None = None) -> None:
    """Concatenate pieces by `write_overlay` with the same size and rate, without re-encoding.

    Args:
        starts: Start of each piece in seconds; by default each follows the previous one.
    """
    with atomic_path(path) as temporary, av.open(str(temporary), "w") as out:
        stream, begin = None, 0
        for number, piece in enumerate(pieces):
            with av.open(str(piece)) as source:
                if stream is None:
                    stream = out.add_stream_from_template(source.streams.video[0])
                if starts is not None and (base := source.streams.video[0].time_base):
                    begin = round((starts[number] - starts[0]) / base)
                end = begin
                for packet in source.demux(video=0):
                    if packet.size == 0 or packet.pts is None or packet.dts is None or packet.duration is None:
                        continue
                    packet.pts, packet.dts, packet.stream = packet.pts + begin, packet.dts + begin, stream
                    end = max(end, packet.pts + packet.duration)
                    out.mux(packet)
                begin = end
