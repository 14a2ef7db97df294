"""Videos with known key frames and contents: frame t shows its number and a level of red."""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

RATE = 25
X264 = "scenecut=0:min-keyint={gop}:keyint={gop}"
# name: encoder, its options ({gop} is replaced), file name extension
CODECS: dict[str, tuple[str, dict[str, str], str]] = {
    "h264": ("libx264", {"x264-params": f"{X264}:bframes=3"}, ".mp4"),
    "h264-open": ("libx264", {"x264-params": f"{X264}:open-gop=1:bframes=3:b-pyramid=normal"}, ".mp4"),
    "hevc": ("libx265", {"x265-params": f"{X264}:log-level=none:open-gop=1:bframes=3"}, ".mp4"),
    "vp9": ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "10"}, ".webm"),
    "av1": ("libsvtav1", {"preset": "12", "svtav1-params": "keyint={gop}"}, ".mp4"),
    "mpeg4": ("mpeg4", {"sc_threshold": "1000000000"}, ".mp4"),
    "mpeg4-b": ("mpeg4", {"bf": "2", "sc_threshold": "1000000000"}, ".mp4"),
    "mpeg4-avi": ("mpeg4", {"sc_threshold": "1000000000"}, ".avi"),
    "h264-ts": ("libx264", {"x264-params": f"{X264}:bframes=3"}, ".ts"),
    "vp8": ("libvpx", {"auto-alt-ref": "1", "lag-in-frames": "10"}, ".webm"),
}


def picture(number: int, red: float, size: tuple[int, int] = (96, 64)) -> np.ndarray:
    """A moving pattern over a level of red in [0, 1]; its mean red is that level."""
    width, height = size
    y, x = np.mgrid[:height, :width]
    wave = 20 * np.sin((x + 3 * number) / 5) * np.cos((y - 2 * number) / 7)
    return np.stack([np.full((height, width), 255 * red), 90 + wave, 60 - wave], -1).clip(0, 255).astype(np.uint8)


@contextmanager
def usual_scheduling() -> Iterator[None]:
    """SVT-AV1 makes the thread that encodes, as root, a real-time one that nothing can interrupt, and leaves it so."""
    asked = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, *asked)


def film(
    path: Path,
    codec: str = "h264",
    *,
    frames: int = 90,
    gop: int = 30,
    red: Callable[[int], float] = lambda _: 0.5,
    size: tuple[int, int] = (96, 64),
    options: Mapping[str, str] | None = None,
    rotate: int = 0,
) -> Path:
    """Encode `frames` images at 25 frames per second, a key frame every `gop`."""
    encoder, own, _ = CODECS[codec]
    path.parent.mkdir(parents=True, exist_ok=True)
    with usual_scheduling(), av.open(str(path), "w") as out:
        stream = out.add_stream(encoder, rate=RATE)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = *size, "yuv420p", gop
        stream.time_base = Fraction(1, RATE)
        stream.options = {key: value.format(gop=gop) for key, value in {**own, **(options or {})}.items()}
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(picture(number, red(number), size), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def thumbnail(red: float) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture(0, red)).save(buffer, "PNG")
    return buffer.getvalue()


def redness(images: list[np.ndarray], class_name: str) -> np.ndarray:
    """The tests' scorer: mean red of each image, for any class."""
    return np.array([image[..., 0].mean() / 255 for image in images], np.float32)


def another(content: bytes, name: str) -> bytes:
    """The same video in a file with other bytes: a free box with a name at the end of an MP4."""
    return content + struct.pack(">I4s", 8 + len(name), b"free") + name.encode()


def segmented(film: bytes, folder: Path) -> list[bytes]:
    """A video as segments of MPEG-TS, as in HLS, without re-encoding."""
    folder.mkdir(parents=True, exist_ok=True)
    options = {"hls_time": "0.5", "hls_list_size": "0", "hls_segment_filename": str(folder / "%03d.ts")}
    with av.open(io.BytesIO(film)) as source, av.open(str(folder / "x.m3u8"), "w", "hls", options=options) as out:
        made = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = made
                out.mux(packet)
    return [path.read_bytes() for path in sorted(folder.glob("*.ts"))]
