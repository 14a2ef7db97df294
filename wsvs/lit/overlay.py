"""Films with the mask drawn over the frames."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np

from wsvs.core.files import atomic_path
from wsvs.core.pictures import over
from wsvs.lit.film import open_film


def write_overlay(path: Path, frames: np.ndarray, masks: np.ndarray, label: int, fps: float) -> None:
    """H.264 film of (T, h, w, 3) uint8 RGB frames under (T, h, w) bool masks in the palette colour of their label.

    Odd sides lose a pixel, as 4:2:0 wants it; a side of one pixel is doubled.

    Raises:
        UserError: The disk is full or read-only.
    """
    height, width = (max(2, side // 2 * 2) for side in masks.shape[1:])
    with open_film(path, fps, joinable=True) as add:
        for frame, mask in zip(frames, masks, strict=True):
            shown = over(frame, mask * np.uint8(label))
            shown = np.pad(shown, ((0, shown.shape[0] == 1), (0, shown.shape[1] == 1), (0, 0)), "edge")
            add(shown[:height, :width])


def join(pieces: Sequence[Path], path: Path) -> None:
    """One film of pieces by `write_overlay` that have one size and rate; their pictures are not coded again."""
    with atomic_path(path) as temporary, av.open(str(temporary), "w") as out:
        stream, begin = None, 0
        for piece in pieces:
            with av.open(str(piece)) as source:
                if stream is None:
                    stream = out.add_stream_from_template(source.streams.video[0])
                end = begin
                for packet in source.demux(video=0):
                    if packet.size == 0 or packet.pts is None or packet.dts is None or packet.duration is None:
                        continue
                    packet.pts, packet.dts, packet.stream = packet.pts + begin, packet.dts + begin, stream
                    end = max(end, packet.pts + packet.duration)
                    out.mux(packet)
                begin = end
