"""Manually corrected masks of tagged images, from a folder or from the files of another tool."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from math import ceil
from pathlib import Path

import numpy as np

from wsvs.core.classes import IGNORE
from wsvs.core.errors import BadItem, UserError
from wsvs.core.export import NAMED, READ, read_folder
from wsvs.data.images import find_image, mask_name, read_image
from wsvs.data.tagged import TaggedImages

MASKS = "masks"  # a folder of <id>.png


def read_corrected(
    data: TaggedImages, source: Path, form: str, skip: Callable[[str, str], None]
) -> Iterator[tuple[str, np.ndarray]]:
    """(id of an image, its mask). Masks without a tagged image, or of another size, are passed to `skip`.

    Args:
        source, form: A folder of masks, or the files of an export format and its name.

    Raises:
        UserError: The source does not have this format, or a mask has a label that is not a class.
    """
    root = Path(data.root)
    ids = {name: name for name in data.tags}
    ids |= {mask_name(root, name, file): name for name in data.tags if (file := find_image(root, name))}
    names = data.class_list.with_background if form in NAMED else None
    for given, mask in read_folder(source) if form == MASKS else READ[form](source, names=names):
        highest = int(mask[mask != IGNORE].max(initial=0))
        if highest > len(data.class_list):
            raise UserError(
                f"the corrected mask of {given!r} has label {highest}, but there are {len(data.class_list)} classes",
                where=source,
                remedy="labels are 1, 2, ... in the order of data.classes, as stage export writes them",
            )
        if given not in ids:
            skip(given, "a corrected mask, but no tagged image has this name")
            continue
        try:
            size = read_image(data.path(ids[given])).shape[:2]
        except BadItem as error:
            skip(given, error.message)
            continue
        if mask.shape != size:
            sizes = " and ".join(f"{width} x {height}" for height, width in (mask.shape, size))
            skip(given, f"its corrected mask and the image have different sizes: {sizes} px")
            continue
        yield ids[given], mask


def repeats(others: int, corrected: int, share: float) -> int:
    """Repetitions of each corrected image, so that together they are at least this fraction of a pass."""
    exact = Fraction(str(share))  # in floating point 1 - 0.9 is a little less than 0.1
    return max(1, ceil(exact * others / ((1 - exact) * corrected))) if corrected else 0
