"""Whether a file is a video: by a known suffix, else by its content."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import av

# Files with these suffixes are treated as videos: if one cannot be read, this is reported.
EXTENSIONS = (
    ".3g2",
    ".3gp",
    ".asf",
    ".avi",
    ".flv",
    ".gif",
    ".m2ts",
    ".m2v",
    ".m4v",
    ".mkv",
    ".mov",
    ".mp4",
    ".mpeg",
    ".mpg",
    ".mts",
    ".mxf",
    ".ogv",
    ".qt",
    ".ts",
    ".webm",
    ".wmv",
)
LOCAL_ONLY = {"protocol_whitelist": "file"}
_PROBE = {**LOCAL_ONLY, "probesize": "2000000", "analyzeduration": "2000000"}
# Metadata that are no text are no error, by themselves from PyAV 19 on.
_ANY_TEXT: dict[str, Any] = {} if int(av.__version__.partition(".")[0]) >= 19 else {"metadata_errors": "replace"}
_HEAD = 4096
_FRAMES = 100  # packets within which the first frame must be decoded
# Text and images that FFmpeg would open as a video, and playlists that refer to other files.
_NOT_VIDEO = frozenset({"tty", "image2", "hls", "dash", "concat", "webvtt", "srt", "ass", "lrc", "ffmetadata"})
_STILL_BRANDS = (b"heic", b"heix", b"heim", b"mif1", b"avif", b"jxl ", b"crx ")
_MAGIC = (
    (b"\xff\xd8\xff", "an image"),
    (b"BM", "an image"),
    (b"II*\0", "an image"),
    (b"MM\0*", "an image"),
    (b"\0\0\0\x0cjP", "an image"),
    (b"8BPS", "an image"),
    (b"\xff\x0a", "an image"),
    (b"\0\0\0\x0cJXL", "an image"),
    (b"PK\x03\x04", "an archive"),
    (b"PK\x05\x06", "an archive"),
    (b"\x1f\x8b", "an archive"),
    (b"BZh", "an archive"),
    (b"\xfd7zXZ", "an archive"),
    (b"7z\xbc\xaf", "an archive"),
    (b"Rar!", "an archive"),
    (b"\x28\xb5\x2f\xfd", "an archive"),
    (b"%PDF", "a document"),
    (b"\xd0\xcf\x11\xe0", "a document"),
    (b"\x93NUMPY", "an array"),
    (b"\x89HDF", "an array"),
    (b"SQLite format 3", "a database"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
    (b"ID3", "sound"),
    (b"fLaC", "sound"),
)
_CONTROL = re.compile(rb"[\0-\x08\x0e-\x1a\x1c-\x1f]")


def open_local(path: Path, options: Mapping[str, str] = LOCAL_ONLY) -> av.container.InputContainer:
    """Open a video for reading; an absolute path, because FFmpeg interprets text before a colon as a protocol."""
    container: av.container.InputContainer = av.open(str(path.absolute()), "r", options=dict(options), **_ANY_TEXT)
    return container


def animated(head: bytes) -> bool:
    """Whether these first bytes are of a WebP with several frames. (FFmpeg reads only one.)"""
    return head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and len(head) > 20 and bool(head[20] & 2)


def read_head(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(_HEAD)


def is_video_format(names: str) -> bool:
    """Whether FFmpeg's name of a format, or a comma-separated list of names, is of a video format."""
    return not any(name in _NOT_VIDEO or name.endswith("_pipe") for name in names.split(","))


def why_not_video(path: Path) -> str | None:
    """A short description of what a file is instead of a video; None if it is one, or has the suffix of one.

    For other suffixes the content decides: magic bytes, text, and then FFmpeg, which must know the format and decode a
    frame.
    """
    if path.suffix.lower() in EXTENSIONS:
        return None
    try:
        head = read_head(path)
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    return None if animated(head) else _by_head(head) or _by_ffmpeg(path)


def _by_head(head: bytes) -> str | None:
    if not head:
        return "empty"
    if head[:8] == b"\x89PNG\r\n\x1a\n":
        return None if b"acTL" in head else "an image"
    if head[:4] == b"RIFF" and head[8:12] in (b"WEBP", b"WAVE"):
        return "sound" if head[8:12] == b"WAVE" else "an image"
    if head[4:8] == b"ftyp" and head[8:12] in _STILL_BRANDS:
        return "an image"
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    if head.startswith(b"YUV4MPEG2 "):
        return None
    return "text" if _is_text(head) else None


def _is_text(head: bytes) -> bool:
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):  # UTF-16, as Windows writes it
        return True
    return _CONTROL.search(head) is None


def _by_ffmpeg(path: Path) -> str | None:
    try:
        with open_local(path, _PROBE) as container:
            if not is_video_format(container.format.name):
                return f"{container.format.name.partition(',')[0]}, which is not a video"
            cover = av.stream.Disposition.attached_pic
            streams = [
                one for one in container.streams.video if not one.disposition & cover and one.codec_context is not None
            ]
            if not streams:
                return "sound or data without images" if container.streams else "of unknown kind"
            return None if _has_frame(container, streams) else "of unknown kind"
    except (av.FFmpegError, OSError, ValueError):
        return "of unknown kind"


def _has_frame(container: av.container.InputContainer, streams: list[av.VideoStream]) -> bool:
    for number, packet in enumerate(container.demux(streams)):
        try:
            if packet.decode():
                return True
        except av.FFmpegError:
            pass  # a piece of a stream may start before its first key frame
        if number == _FRAMES:
            break
    return False
