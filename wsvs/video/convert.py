"""Decoded frames to upright RGB arrays of one size."""

from __future__ import annotations

from typing import Any, cast

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

# Exact rounding and full chroma interpolation: otherwise 4:2:0 images are about one grey level too dark, and differ
# between processors.
_EXACT = Interpolation.FULL_CHR_H_INT | Interpolation.ACCURATE_RND | Interpolation.BITEXACT


def shrunk_size(width: int, height: int, longest_edge: int | None) -> tuple[int, int]:
    """(width, height) of a frame after `read_frames(longest_edge=...)`."""
    longest = max(width, height)
    if longest_edge is None or longest <= longest_edge:
        return width, height
    return max(1, round(width * longest_edge / longest)), max(1, round(height * longest_edge / longest))


class Converter:
    """Convert decoded frames to RGB arrays: colours, size, rotation.

    Args:
        longest_edge: Maximum longest side in pixels; None keeps the size.
        size: (width, height) as stored to which all frames are resized first; None keeps each frame's own size.
    """

    def __init__(self, longest_edge: int | None, size: tuple[int, int] | None = None) -> None:
        self.longest_edge = longest_edge
        self.size = size
        self.reformatter = VideoReformatter()

    def __call__(self, frame: av.VideoFrame) -> np.ndarray:
        width, height = shrunk_size(*(self.size or (frame.width, frame.height)), self.longest_edge)
        # Convert colours and size in one pass over the image; most frames of web videos are large.
        by = Interpolation.AREA if width < frame.width or height < frame.height else Interpolation.BILINEAR
        converted = self.reformatter.reformat(
            frame, width, height, format="rgb24", interpolation=by | _EXACT, threads=1
        )
        rgb: np.ndarray = converted.to_ndarray()
        return _turn(rgb, _display_matrix(frame))


def _display_matrix(frame: av.VideoFrame) -> tuple[int, int, int, int]:
    """a, b, c, d of the display matrix: pixel (x, y) is shown at (a x + c y, b x + d y)."""
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return 1, 0, 0, 1
    matrix = np.frombuffer(memoryview(cast(Any, data)), np.int32)  # 3 x 3, fixed point, rows (a b u) (c d v) (x y w)
    return int(matrix[0]), int(matrix[1]), int(matrix[3]), int(matrix[4])


def _sideways(matrix: tuple[int, int, int, int]) -> bool:
    a, b, c, d = matrix
    return abs(b) + abs(c) > abs(a) + abs(d)


def _turn(image: np.ndarray, matrix: tuple[int, int, int, int]) -> np.ndarray:
    """Quarter turns and mirroring, as in video players."""
    a, b, c, d = matrix
    if _sideways(matrix):
        image, right, down = image.swapaxes(0, 1), c, b
    else:
        right, down = a, d
    if right < 0:
        image = image[:, ::-1]
    if down < 0:
        image = image[::-1]
    return np.ascontiguousarray(image)


def rotation(frame: av.VideoFrame) -> int:
    """Clockwise rotation in degrees: 0, 90, 180 or 270, without mirroring."""
    a, _, c, d = matrix = _display_matrix(frame)
    if _sideways(matrix):
        return 90 if c < 0 else 270
    return 180 if a < 0 and d < 0 else 0


def shown_size(frame: av.VideoFrame) -> tuple[int, int]:
    """(width, height) after the rotation."""
    size = (frame.width, frame.height)
    return size[::-1] if _sideways(_display_matrix(frame)) else size
