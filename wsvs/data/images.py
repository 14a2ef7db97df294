"""Read still images of any kind as RGB."""

from __future__ import annotations

import math
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import product
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, features

from wsvs.core.errors import BadItem

_BUILT_IN = {".avif": "avif", ".jp2": "jpg_2000"}  # what not every build of Pillow reads
_BUILDS = [suffix for suffix, feature in _BUILT_IN.items() if feature in (*features.modules, *features.codecs)]
_READ = tuple(suffix for suffix in _BUILDS if features.check(_BUILT_IN[suffix]))
EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".jfif", ".jpe", *_READ)
UNREAD = (  # images that people have, and that Pillow or this code does not read
    ".heic",
    ".heif",
    ".jxl",
    ".psd",
    ".svg",
    ".dng",
    ".cr2",
    ".cr3",
    ".nef",
    ".arw",
    ".orf",
    ".raf",
    ".rw2",
    *(suffix for suffix in _BUILT_IN if suffix not in _READ),
)
_LEAVE = "replace the file, or leave it out"
_DEPTHS = (8, 10, 12, 14, 16)
_OVERSHOOT = 2.0  # floats in [0, 1] may exceed it a little, after a filter
_SEVERAL = ("GIF", "WEBP", "PNG", "TIFF")


def read_image(path: str | Path) -> np.ndarray:
    """RGB uint8 (H, W, 3), turned as its EXIF tag says; grey, CMYK, palette and 10 to 16 bits are converted.

    Transparent parts become white; of an animation the first image is used.

    Raises:
        BadItem: Missing, empty, truncated or not an image.
    """
    try:
        with Image.open(path) as opened:
            return as_rgb(opened)
    except FileNotFoundError:
        raise BadItem("image not found", where=path, remedy=_LEAVE) from None
    except Exception as error:  # decoders raise many types for damaged files, struct.error for bad EXIF among them
        raise unreadable(error, path) from error


def unreadable(error: Exception, path: str | Path) -> BadItem:
    """What Pillow says of a file that it does not read, with what to do about it."""
    kind = Path(path).suffix.lower()
    if isinstance(error, Image.DecompressionBombError):
        found = [int(number) / 1e6 for number in re.findall(r"\d+", str(error))]
        return BadItem(
            f"image cannot be read: it has {found[0]:.1f} megapixels, the limit is {found[1]:g}",
            where=path,
            remedy=f"give max_megapixels={math.ceil(found[0])} if it is what it should be (in Python "
            "PIL.Image.MAX_IMAGE_PIXELS=None), or make it smaller",
        )
    if kind in UNREAD:
        return BadItem(
            f"image cannot be read: {kind} is a kind that is not read", where=path, remedy="convert it to JPEG or PNG"
        )
    return BadItem(f"image cannot be read: {error}", where=path, remedy=_LEAVE)


def limit_images(megapixels: float) -> None:
    """Read images of at most this size from now on, in this process and those that it forks."""
    Image.MAX_IMAGE_PIXELS = int(megapixels * 5e5)  # Pillow warns from here on, and refuses twice as many
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)


def as_rgb(opened: Image.Image) -> np.ndarray:
    """What `read_image` says, of a Pillow image. A damaged one raises whatever its decoder raises."""
    image = ImageOps.exif_transpose(_eight_bits(opened))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        layered = image.convert("RGBA")
        image = Image.new("RGBA", layered.size, "white")
        image.alpha_composite(layered)
    if image.mode.startswith("I") or image.mode == "F":
        return _from_deep_grey(np.asarray(image))
    return np.asarray(image.convert("RGB"))


def pictures_in(path: str | Path) -> int:
    """Number of images in an animation or in a file with several pages; 1 for all others.

    The second image of a photograph (a preview, or the other view of a stereo pair) does not count. An unreadable file
    counts as 1: `read_image` says what is wrong with it.
    """
    try:
        with Image.open(path) as image:
            return getattr(image, "n_frames", 1) if image.format in _SEVERAL else 1
    except Exception:  # decoders raise many types for damaged files
        return 1


def bits_of(highest: float) -> int:
    """How many bits a pixel has, by the highest value of an image: cameras and scanners keep 10, 12 or 14 in 16."""
    return next((bits for bits in _DEPTHS if highest < 2**bits), 32)


def deep_bits(path: str | Path) -> int | None:
    """Bits of a pixel of an image with more than 8 a channel, by its range; None of all others."""
    try:
        with Image.open(path) as image:
            if image.mode.startswith("I"):
                return bits_of(np.asarray(image).max(initial=0))
            deep = _deep_colours(image)
    except Exception:  # decoders raise many types for damaged files; `read_image` says what is wrong
        return None
    return None if deep is None else bits_of(deep[..., :3].max(initial=0))


def _is_deep(image: Image.Image) -> bool:
    """Does a colour image have 16 bits a channel, of which Pillow keeps the upper 8?"""
    raw = [tile[3] for tile in getattr(image, "tile", ())] if image.mode in ("RGB", "RGBA", "LA") else []
    return any(";16" in str(one[0] if isinstance(one, tuple) else one) for one in raw)


def _deep_colours(image: Image.Image) -> np.ndarray | None:
    """(H, W, 3 or 4) uint16 RGB of such an image, as it is stored; None of all others."""
    import cv2  # late: it takes long to import, and few images need it

    stream = getattr(image, "fp", None)
    if not _is_deep(image) or stream is None:
        return None
    place = stream.tell()
    stream.seek(0)
    found = cv2.imdecode(np.frombuffer(stream.read(), np.uint8), cv2.IMREAD_UNCHANGED)
    stream.seek(place)
    if found is None or found.dtype != np.uint16 or found.ndim != 3 or found.shape[2] not in (3, 4):
        return None
    return found[..., [2, 1, 0, 3][: found.shape[2]]]


def _eight_bits(opened: Image.Image) -> Image.Image:
    """A colour image of 10, 12 or 14 bits in 16 by its range; all others as they are."""
    values = _deep_colours(opened)
    if values is None or bits_of(values[..., :3].max(initial=0)) == 16:
        return opened
    parts = [values[..., :3], values[..., 3:]]  # an alpha channel has a range of its own
    scaled = [np.rint(part * (255 / (2 ** bits_of(part.max(initial=0)) - 1))) for part in parts]
    image = Image.fromarray(np.concatenate(scaled, 2).astype(np.uint8))
    image.getexif().update(opened.getexif())
    return image


def _from_deep_grey(values: np.ndarray) -> np.ndarray:
    """Grey of more than 8 bits, by the range of its values: whole numbers of 8 to 16 bits, floats in [0, 1].

    Floats that go far beyond 1 are of 8 to 16 bits as well.
    """
    highest = np.nan_to_num(values, posinf=0).max(initial=0)
    if np.issubdtype(values.dtype, np.floating) and highest <= _OVERSHOOT:
        values = values * 255
    elif highest > 255:
        values = values / ((2 ** bits_of(highest) - 1) / 255)
    grey = np.clip(np.rint(np.nan_to_num(values)), 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def unread(files: Iterable[Path]) -> str:
    """Number and kinds of files in image formats that are not supported, in words; empty if there are none."""
    kinds = Counter(kind for path in files if (kind := path.suffix.lower()) in UNREAD)
    return f"files in formats that are not supported: {kinds.total()} ({', '.join(sorted(kinds))})" if kinds else ""


def find_image(root: Path, name: str) -> Path | None:
    """The file of an id: root/id if it is one, else root/id + a known extension, in whatever case it is written."""
    direct = root / name
    has_one = direct.suffix.lower() in EXTENSIONS
    if has_one and direct.is_file():
        return direct
    for extension in EXTENSIONS:
        for candidate in (root / f"{name}{extension}", root / f"{name}{extension.upper()}"):
            if candidate.is_file():
                return candidate
    others = (root / f"{name}{spelling}" for extension in EXTENSIONS for spelling in _spellings(extension))
    own = (direct.with_suffix(spelling) for spelling in _spellings(direct.suffix)) if has_one else ()
    return next((candidate for candidate in (*own, *others) if candidate.is_file()), None)


def _spellings(extension: str) -> Iterator[str]:
    """.jpg, .jpG, .jPg, ...: asking for each is quicker than listing a folder of many images."""
    letters = (letter + letter.upper() if letter.isalpha() else letter for letter in extension.lower())
    return map("".join, product(*letters))


def mask_name(root: Path, name: str, file: Path) -> str:
    """Path of an image's mask below the folder of masks, without .png: the id, less the extension that it may have.

    Args:
        root: Folder of the images.
        name: The image's id.
        file: What `find_image` gave for it.
    """
    return str(Path(name).with_suffix("")) if (root / name).with_suffix("") == file.with_suffix("") else name
