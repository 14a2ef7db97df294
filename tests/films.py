"""Small videos for tests: a textured square that moves over a textured ground."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from wsvs.video.reader import read_frames


def pictures(frames: int, width: int, height: int, seed: int = 0) -> np.ndarray:
    """(T, H, W, 3) uint8; the square's side is a third of the shorter side."""
    rng = np.random.default_rng(seed)
    side = min(width, height) // 3
    ground = np.array([40, 110, 60]) + rng.integers(-15, 15, (height, width, 1))
    skin = np.array([200, 60, 40]) + rng.integers(-25, 25, (side, side, 1))
    film = np.repeat(ground[None].astype(np.uint8), frames, axis=0)
    for t in range(frames):
        left, top = (2 * t + seed) % (width - side), height // 3
        film[t, top : top + side, left : left + side] = skin
    return film


def make_film(
    path: Path,
    frames: int,
    *,
    size: tuple[int, int] = (96, 64),
    codec: str = "libx264",
    pixels: str = "yuv420p",
    turn: int | None = None,
    times: Sequence[int] | None = None,
    faststart: bool = False,
    seed: int = 0,
) -> Path:
    """A video of `frames` frames; `turn` is its rotation in degrees, `times` are the frames' times in ms."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_film(
        path,
        pictures(frames, *size, seed=seed),
        size=size,
        codec=codec,
        pixels=pixels,
        turn=turn,
        times=times,
        container={"movflags": "faststart"} if faststart else {},
        options={"g": "7"},
    )


def write_film(
    path: Path,
    film: Iterable[np.ndarray],
    *,
    size: tuple[int, int],
    codec: str,
    pixels: str,
    turn: int | None,
    times: Sequence[int] | None,
    container: dict[str, str],
    options: dict[str, str],
) -> Path:
    """Encode (H, W, 3) uint8 images at 25 frames per second; `container` and `options` are those of FFmpeg."""
    with av.open(str(path), "w", options=container) as out:
        stream = out.add_stream(codec, rate=25, options={"threads": "1", **options})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = *size, pixels
        if turn is not None:
            stream.set_display_rotation(turn)
        for number, picture in enumerate(film):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            if times is not None:
                frame.pts, frame.time_base = times[number], Fraction(1, 1000)
                stream.codec_context.time_base = Fraction(1, 1000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def make_sound(path: Path) -> Path:
    """A container of videos that holds nothing but sound."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("aac", rate=8000)
        assert isinstance(stream, av.AudioStream)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 8000
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def assert_same_films(one: Path, other: Path) -> None:
    """The same videos in two folders, frame by frame: x264 does not give the same bytes twice."""
    names = sorted(path.relative_to(one) for path in one.rglob("*.mp4"))
    assert names and names == sorted(path.relative_to(other) for path in other.rglob("*.mp4"))
    for name in names:
        first, second = (np.stack(list(read_frames(folder / name))).astype(int) for folder in (one, other))
        assert first.shape == second.shape
        apart = np.abs(first - second).mean((1, 2, 3))  # of neighbouring frames it is 2.7 or more
        assert apart.max() < 1, (name, apart)
