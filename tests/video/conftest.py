"""Small clips of many kinds. Every frame shows its own number, so that frame numbers are checked from the pictures."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest

BITS, CELL = 8, 16


def numbered(number: int, width: int, height: int) -> np.ndarray:
    """Grey picture with the bits of a number as dark and bright cells along the top."""
    image = np.full((height, width, 3), 128, np.uint8)
    image[CELL:, :, 0] = np.linspace(60, 200, width).astype(np.uint8)  # some detail
    for bit in range(BITS):
        image[:CELL, bit * CELL : (bit + 1) * CELL] = 220 if number >> bit & 1 else 30
    return image


def number_of(image: np.ndarray, scale: float = 1.0) -> int:
    at = [int((bit + 0.5) * CELL * scale) for bit in range(BITS)]
    return sum(int(image[int(CELL * scale / 2), x].mean() > 128) << bit for bit, x in enumerate(at))


def make(
    path: Path, frames: int = 20, codec: str = "libx264", pixels: str = "yuv420p",
    size: tuple[int, int] = (144, 96), options: dict[str, str] | None = None,
    container: dict[str, str] | None = None, turn: int | None = None, times: list[int] | None = None,
) -> Path:
    with av.open(str(path), "w", options=container or {}) as out:
        stream = out.add_stream(codec, rate=25, options={"threads": "1", **(options or {})})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = *size, pixels
        if turn is not None:
            stream.set_display_rotation(turn)
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(numbered(number, *size), format="rgb24")
            if times is not None:
                frame.pts, frame.time_base = times[number], Fraction(1, 1000)
                stream.codec_context.time_base = Fraction(1, 1000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


@pytest.fixture(scope="session")
def clips() -> SimpleNamespace:
    """make(path, ...) -> path; numbered(n, width, height) -> picture; number_of(picture) -> n."""
    return SimpleNamespace(make=make, numbered=numbered, number_of=number_of, cell=CELL)
