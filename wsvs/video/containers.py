"""Whether a video file is complete, by the lengths in its container: a decoder would only find fewer frames."""

from __future__ import annotations

import re
from pathlib import Path
from typing import BinaryIO

_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
_ISO_FIRST = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"styp", b"pnot")


def missing_bytes(path: str | Path) -> int:
    """Number of bytes that the container declares beyond the end of the file; 0 if it is complete or has no length.

    Supported: MP4, MOV, 3GP (ISO/IEC 14496-12 boxes), Matroska and WebM (EBML, RFC 8794) and AVI (RIFF).
    MPEG streams, FLV and live recordings have no length.
    """
    path = Path(path)
    size = path.stat().st_size
    with path.open("rb") as stream:
        head = stream.read(12)
        if head[:4] == _EBML:
            end = _end_of_segment(stream)
        elif head[:4] == b"RIFF" and head[8:] == b"AVI ":
            end = _end_of_riff(stream, size)
        elif head[4:8] in _ISO_FIRST:
            end = _end_of_boxes(stream, size)
        else:
            end = 0
    return max(0, end - size)


def _end_of_boxes(stream: BinaryIO, size: int) -> int:
    position = 0
    while position + 8 <= size:
        stream.seek(position)
        head = stream.read(16)
        length = int.from_bytes(head[:4], "big")
        if length == 1 and len(head) == 16:
            length = int.from_bytes(head[8:], "big")
        if length < 8 or not head[4:8].isalnum():  # 0: to the end of the file; others: not a box
            return 0
        position += length
    return position


def _end_of_riff(stream: BinaryIO, size: int) -> int:
    position = 0
    while position + 8 <= size:  # files over 1 GB are a sequence of RIFF chunks
        stream.seek(position)
        head = stream.read(8)
        length = int.from_bytes(head[4:], "little")
        if head[:4] != b"RIFF" or length in (0, 0xFFFFFFFF):  # something else, or never filled in
            return 0
        position += 8 + length + length % 2
    return position


def _end_of_segment(stream: BinaryIO) -> int:
    stream.seek(4)
    length = _ebml_length(stream)
    if length is None:
        return 0
    stream.seek(length, 1)
    if stream.read(4) != _SEGMENT:
        return 0
    length = _ebml_length(stream)
    return 0 if length is None else stream.tell() + length  # None: the unknown length of a live recording


def _ebml_length(stream: BinaryIO) -> int | None:
    first = stream.read(1)
    if not first or not first[0]:
        return None
    width = 9 - first[0].bit_length()  # leading zero bits give the number of bytes that follow
    rest = stream.read(width - 1)
    bits = 7 * width
    value = int.from_bytes(first + rest, "big") & ((1 << bits) - 1)
    if len(rest) < width - 1 or value == (1 << bits) - 1:
        return None
    return value


_START_CODES = frozenset({"mpeg1video", "mpeg2video", "mpeg4", "h263", "vc1"})
_DENSE = frozenset({"vp8", "vp9", "av1", "libdav1d", "libaom-av1"})  # output of arithmetic coders looks like noise
_KNOWN = _START_CODES | _DENSE | {"h264", "hevc"}
_IMPOSSIBLE = re.compile(rb"\0\0(?:\0+(?![\0\x01])|\x02)")
_LONG_HOLE = re.compile(rb"\0{64}")


def holes(codec: str, packet: bytes, header: bytes = b"") -> bool:
    """Whether a packet's bytes show that parts of it were lost, which a decoder may not notice.

    H.264 and HEVC never have three zero bytes in a row inside a unit (ISO/IEC 14496-10, 7.4.1), but lost parts of a
    file do. In other, dense streams no encoder writes a long run of zero bytes.

    Args:
        codec: FFmpeg's name.
        packet: A coded image.
        header: The codec's `extradata`, which defines how units are separated.
    """
    if codec == "mjpeg":
        return b"\xff\xd8" not in packet  # the marker at the start of every image
    if b"\0\0" not in packet or codec not in _KNOWN:
        return False
    if not packet.strip(b"\0"):
        return True
    if codec in ("h264", "hevc"):
        width = _length_width(codec, header)
        if not width:
            return _IMPOSSIBLE.search(packet.rstrip(b"\0")) is not None
        units = _units(packet, width)
        return units is None or any(
            _IMPOSSIBLE.search(unit.rstrip(b"\0")) or unit.endswith(bytes(64)) for unit in units
        )
    inside = packet.rstrip(b"\0")
    return _LONG_HOLE.search(inside) is not None and (codec in _DENSE or _IMPOSSIBLE.search(inside) is not None)


def _length_width(codec: str, header: bytes) -> int:
    """Bytes of the length field before each unit (MP4, Matroska: ISO/IEC 14496-15); 0 for start codes."""
    place = 4 if codec == "h264" else 21
    return (header[place] & 3) + 1 if header[:1] == b"\x01" and len(header) > place else 0


def _units(packet: bytes, width: int) -> list[bytes] | None:
    """The units of a packet; None if their lengths do not add up."""
    found, at = [], 0
    while at + width <= len(packet):
        length = int.from_bytes(packet[at : at + width], "big")
        at += width
        if not length:
            return None
        found.append(packet[at : at + length])
        at += length
    return found if at == len(packet) else None
