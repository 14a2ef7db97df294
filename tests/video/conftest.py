"""Small clips of many kinds. Every frame shows its own number, so that frame numbers are checked in the images."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tests.films import write_film

BITS, CELL = 8, 16


def numbered(number: int, width: int, height: int) -> np.ndarray:
    """Grey image with the bits of a number as dark and bright cells along the top."""
    image = np.full((height, width, 3), 128, np.uint8)
    image[CELL:, :, 0] = np.linspace(60, 200, width).astype(np.uint8)  # some detail
    for bit in range(BITS):
        image[:CELL, bit * CELL : (bit + 1) * CELL] = 220 if number >> bit & 1 else 30
    return image


def number_of(image: np.ndarray, scale: float = 1.0) -> int:
    at = [int((bit + 0.5) * CELL * scale) for bit in range(BITS)]
    return sum(int(image[int(CELL * scale / 2), x].mean() > 128) << bit for bit, x in enumerate(at))


def make(
    path: Path,
    frames: int = 20,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    size: tuple[int, int] = (144, 96),
    options: dict[str, str] | None = None,
    container: dict[str, str] | None = None,
    turn: int | None = None,
    times: list[int] | None = None,
) -> Path:
    film = (numbered(number, *size) for number in range(frames))
    return write_film(
        path,
        film,
        size=size,
        codec=codec,
        pixels=pixels,
        turn=turn,
        times=times,
        container=container or {},
        options=options or {},
    )


@pytest.fixture(scope="session")
def clips() -> SimpleNamespace:
    """make(path, ...) -> path; numbered(n, width, height) -> image; number_of(image) -> n."""
    return SimpleNamespace(make=make, numbered=numbered, number_of=number_of, cell=CELL)
