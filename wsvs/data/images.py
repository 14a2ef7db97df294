"""Read still images of any format as RGB."""

from __future__ import annotations

import math
import os
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain, product
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, features

from wsvs.core.errors import BadItem
from wsvs.core.tars import File, Member, opened

_BUILT_IN = {".avif": "avif", ".jp2": "jpg_2000"}  # formats that some builds of Pillow do not read
_BUILDS = [suffix for suffix, feature in _BUILT_IN.items() if feature in (*features.modules, *features.codecs)]
_READ = tuple(suffix for suffix in _BUILDS if features.check(_BUILT_IN[suffix]))
EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".jfif", ".jpe", *_READ)
UNREAD = (  # common image formats that are not supported
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
_LEAVE = "replace or remove the file"
_DEPTHS = (8, 10, 12, 14, 16)
_OVERSHOOT = 2.0  # floats in [0, 1] may exceed it a little, after a filter
_SEVERAL = ("GIF", "WEBP", "PNG", "TIFF")


def read_image(path: str | File) -> np.ndarray:
    """RGB uint8 (H, W, 3), rotated according to EXIF; grey, CMYK, palette and 10 to 16 bits are converted.

    Transparent parts become white; for an animation the first image is used.

    Raises:
        BadItem: Missing, empty, truncated or not an image.
    """
    try:
        with Image.open(opened(path)) as image:
            return as_rgb(image)
    except FileNotFoundError:
        raise BadItem("image not found", where=path, remedy=_LEAVE) from None
    except Exception as error:  # decoders raise many types for damaged files, such as struct.error for bad EXIF
        raise unreadable(error, path) from error


def unreadable(error: Exception, path: str | File) -> BadItem:
    """The error for a file that Pillow cannot read, with a remedy."""
    kind = (path if isinstance(path, Member) else Path(path)).suffix.lower()
    if isinstance(error, Image.DecompressionBombError):
        found = [int(number) / 1e6 for number in re.findall(r"\d+", str(error))]
        return BadItem(
            f"image cannot be read: it has {found[0]:.1f} megapixels, the limit is {found[1]:g}",
            where=path,
            remedy=f"give max_megapixels={math.ceil(found[0])} if this size is intended (in Python "
            "PIL.Image.MAX_IMAGE_PIXELS=None), or shrink it",
        )
    if kind in UNREAD:
        return BadItem(f"image cannot be read: {kind} is not supported", where=path, remedy="convert it to JPEG or PNG")
    return BadItem(f"image cannot be read: {error}", where=path, remedy=_LEAVE)


def limit_images(megapixels: float) -> None:
    """Refuse larger images from now on, in this process and those that it forks."""
    Image.MAX_IMAGE_PIXELS = int(megapixels * 5e5)  # Pillow warns above this number, and refuses twice as many
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)


def as_rgb(opened: Image.Image) -> np.ndarray:
    """Convert a Pillow image like `read_image`. For a damaged image the decoder's exception is raised."""
    image = ImageOps.exif_transpose(_eight_bits(opened))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        layered = image.convert("RGBA")
        image = Image.new("RGBA", layered.size, "white")
        image.alpha_composite(layered)
    if image.mode.startswith("I") or image.mode == "F":
        return _from_deep_grey(np.asarray(image))
    return np.asarray(image.convert("RGB"))


def images_in(path: str | Path) -> int:
    """Number of images in an animation or in a file with several pages; 1 for all others.

    The second image of a photograph (a preview, or the other view of a stereo pair) does not count. An unreadable file
    counts as 1; `read_image` reports its problem.
    """
    try:
        with Image.open(path) as image:
            return getattr(image, "n_frames", 1) if image.format in _SEVERAL else 1
    except Exception:  # decoders raise many types for damaged files
        return 1


def bits_of(highest: float) -> int:
    """Bit depth by the highest value of an image: cameras and scanners store 10, 12 or 14 bits in 16."""
    return next((bits for bits in _DEPTHS if highest < 2**bits), 32)


def deep_bits(path: str | Path) -> int | None:
    """Bit depth of an image with more than 8 bits per channel, by its range; None for all others."""
    try:
        with Image.open(path) as image:
            if image.mode.startswith("I"):
                return bits_of(np.asarray(image).max(initial=0))
            deep = _deep_colours(image)
    except Exception:  # decoders raise many types for damaged files; `read_image` reports the problem
        return None
    return None if deep is None else bits_of(deep[..., :3].max(initial=0))


def _is_deep(image: Image.Image) -> bool:
    """Whether a colour image has 16 bits per channel, of which Pillow keeps the upper 8."""
    raw = [tile[3] for tile in getattr(image, "tile", ())] if image.mode in ("RGB", "RGBA", "LA") else []
    return any(";16" in str(one[0] if isinstance(one, tuple) else one) for one in raw)


def _deep_colours(image: Image.Image) -> np.ndarray | None:
    """(H, W, 3 or 4) uint16 RGB of such an image, as stored; None for all others."""
    import cv2  # late: slow to import, and few images need it

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
    """Convert a colour image with 10, 12 or 14 bits in 16 by its range; return others unchanged."""
    values = _deep_colours(opened)
    if values is None or bits_of(values[..., :3].max(initial=0)) == 16:
        return opened
    parts = [values[..., :3], values[..., 3:]]  # an alpha channel has a range of its own
    scaled = [np.rint(part * (255 / (2 ** bits_of(part.max(initial=0)) - 1))) for part in parts]
    image = Image.fromarray(np.concatenate(scaled, 2).astype(np.uint8))
    image.getexif().update(opened.getexif())
    return image


def _from_deep_grey(values: np.ndarray) -> np.ndarray:
    """Convert grey with more than 8 bits by the range of its values: integers of 8 to 16 bits, or floats in [0, 1].

    Floats far beyond 1 are interpreted as 8 to 16 bits, too.
    """
    highest = np.nan_to_num(values, posinf=0).max(initial=0)
    if np.issubdtype(values.dtype, np.floating) and highest <= _OVERSHOOT:
        values = values * 255
    elif highest > 255:
        values = values / ((2 ** bits_of(highest) - 1) / 255)
    grey = np.clip(np.rint(np.nan_to_num(values)), 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def unread(files: Iterable[Path]) -> str:
    """A text with number and suffixes of the files in unsupported image formats; empty if there are none."""
    kinds = Counter(kind for path in files if (kind := path.suffix.lower()) in UNREAD)
    return f"files in formats that are not supported: {kinds.total()} ({', '.join(sorted(kinds))})" if kinds else ""


def find_image(root: Path, name: str) -> Path | None:
    """The file of an id: root/id if it is an image file, else root/id + a known extension, in upper or lower case."""
    base = os.path.join(root, name)
    if not os.path.isdir(os.path.dirname(base)):  # else a hundred spellings are looked for
        return None
    plain, suffix = os.path.splitext(base)
    has_one = suffix.lower() in EXTENSIONS
    own = (plain + spelling for spelling in _spellings(suffix)) if has_one else ()
    usual, others = ((base + spelling for spelling in spellings) for spellings in (_USUAL, _OTHERS))
    candidates = chain((base,) if has_one else (), usual, own, others)
    return next((Path(candidate) for candidate in candidates if os.path.isfile(candidate)), None)


def _spellings(extension: str) -> Iterator[str]:
    """.jpg, .jpG, .jPg, ...: checking each is faster than listing a large folder."""
    letters = (letter + letter.upper() if letter.isalpha() else letter for letter in extension.lower())
    return map("".join, product(*letters))


_USUAL = [spelling for extension in EXTENSIONS for spelling in (extension, extension.upper())]
_OTHERS = [spelling for extension in EXTENSIONS for spelling in _spellings(extension)]


def mask_name(root: Path, name: str, file: Path) -> str:
    """Path of an image's mask below the folder of masks, without .png: the id without its extension, if any.

    Args:
        root: Folder of the images.
        name: The image's id.
        file: Its file, from `find_image`.
    """
    return str(Path(name).with_suffix("")) if (root / name).with_suffix("") == file.with_suffix("") else name
