"""Write a video frame by frame: memory use does not grow with its length."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from wsvs.core.files import atomic_path

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
