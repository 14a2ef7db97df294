"""Check the size and completeness of an image file, without fully decoding it if possible."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

from PIL import Image

from wsvs.core.errors import BadItem
from wsvs.data.images import read_image, unreadable

JPEG = (".jpg", ".jpeg", ".jfif", ".jpe")
_BEGIN, _END = b"\xff\xd8", b"\xff\xd9"


def inspect_image(path: str | Path) -> tuple[int, int]:
    """(width, height) in pixels of a readable image, as stored in the file.

    JPEGs with an end marker are not decoded, which is 100 times faster. All other files are.

    Raises:
        BadItem: Missing, empty, truncated or not an image.
    """
    path = Path(path)
    data = b""
    if path.suffix.lower() in JPEG:
        try:
            data = path.read_bytes()
        except OSError as error:
            raise BadItem(f"image cannot be read: {error.strerror}", where=path) from error
    if not (data.startswith(_BEGIN) and data.rstrip(b"\0").endswith(_END)):
        read_image(path)  # raises for an invalid image
    try:
        with Image.open(BytesIO(data) if data else path) as image:
            return image.size
    except Exception as error:  # damaged headers raise many types
        raise unreadable(error, path) from error
