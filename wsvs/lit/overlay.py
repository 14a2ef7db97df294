"""Write videos frame by frame, so that memory use does not grow with their length, and overlays: masks over frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from wsvs.core.files import atomic_path
from wsvs.core.visualize import marked, over

_X264 = {"preset": "veryfast", "crf": "20", "threads": "1"}  # one thread: the others have work of their own
_TICK = Fraction(1, 1000)  # seconds, of videos with their own time stamps
_SLOWEST, _FASTEST = 1.0, 240.0  # frames per second that players show


@contextmanager
def open_writer(
    path: Path, fps: float, *, joinable: bool = False, times: Sequence[float] | None = None
) -> Iterator[Callable[[np.ndarray], None]]:
    """Yield a function that adds an (H, W, 3) uint8 RGB image to an H.264 video; the first sets the size.

    Odd sides get an additional white line, because 4:2:0 needs even sides. At least one image has to be added.

    Args:
        path: The video; it appears when it is complete.
        fps: Held within what players show, 1 to 240.
        times: Seconds of each image, increasing, for a variable frame rate.
        joinable: No B-frames: decoding and presentation times are the same, so videos can be concatenated.

    Raises:
        UserError: The disk is full or read-only.
    """
    rate = Fraction(min(max(fps, _SLOWEST), _FASTEST)).limit_denominator(1001)
    ticks = None if times is None else iter([round((time - times[0]) / _TICK) for time in times])
    options = {**_X264, "bf": "0"} if joinable else _X264
    with atomic_path(path) as temporary, av.open(str(temporary), "w") as out:
        stream = out.add_stream("libx264", rate=rate, options=options)
        stream.pix_fmt = "yuv420p"
        stream.width = 0
        if times is not None:
            stream.codec_context.time_base = _TICK

        def add(image: np.ndarray) -> None:
            odd = [(0, side % 2) for side in image.shape[:2]]
            image = np.pad(image, (*odd, (0, 0)), constant_values=255)
            if not stream.width:
                stream.height, stream.width = image.shape[:2]
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            if ticks is not None:
                frame.pts, frame.time_base = next(ticks), _TICK
                frame.duration = round(1 / rate / _TICK)
            out.mux(stream.encode(frame))

        yield add
        out.mux(stream.encode(None))


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
