"""What all formats of stage export share: ids and their checks, sizes, and the labels of class names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from wsvs.core.classes import BACKGROUND, IGNORE
from wsvs.core.errors import UserError
from wsvs.core.files import leads_out, read_text, write_text

Masks = Iterable[tuple[str, np.ndarray]]
Read = Iterator[tuple[str, np.ndarray]]
Progress = Callable[[Sequence[Any]], Iterable[Any]]
"""Wraps the list of items to show progress."""
VOID = "void"
LABELS = "labels.txt"
BAD = (AttributeError, KeyError, IndexError, TypeError, ValueError, OverflowError)
"""What content of another form than a format's raises."""
_MOST_PIXELS = 2 * 89_478_485  # Pillow refuses larger images
_NO_LINE = re.compile(r"[\n\r\ud800-\udfff]")  # the range: bytes of a file name that are not UTF-8


def checked(name: str, seen: set[str], where: str) -> str:
    """Check an id from a foreign file; it is added to `seen`, the ids before it.

    Raises:
        UserError: The mask would be outside the folder of masks, or overwrite another one.
    """
    path = Path(name)
    if leads_out(name) or not path.name or "\0" in name:
        raise UserError(
            f"{name!r} is not the name of a file below a folder",
            where=where,
            remedy="names are paths without a leading / and without '..': fix the file",
        )
    name = path.as_posix()  # ./a is a
    if name in seen:
        raise UserError(f"two images would both give {name}.png", where=where, remedy="rename one of them")
    seen.add(name)
    return name


def require_lines(kind: str, ids: Iterable[str], where: object) -> None:
    """Raises `UserError` for an id that cannot be a line of a format's lists, which are UTF-8 text."""
    odd = next((name for name in ids if _NO_LINE.search(name)), None)
    if kind != "coco" and odd is not None:
        raise UserError(
            f"the name {odd!r} has a line break or is not UTF-8, so it cannot be in a list of format {kind}",
            where=where,
            remedy="rename the file and predict its mask again, or use export.format=coco, which supports any name",
        )


def blank(height: int, width: int) -> np.ndarray:
    """A mask of background. Raises ValueError for a size that no image has."""
    if height < 1 or width < 1 or height * width > _MOST_PIXELS:
        raise ValueError(f"{height} x {width} pixels, but an image has from 1 to {_MOST_PIXELS}")
    return np.zeros((height, width), np.uint8)


def stem(file: str) -> str:
    """The id of an image's file."""
    return Path(file).with_suffix("").as_posix()


def write_labels(out: Path, names: Sequence[str]) -> None:
    """labels.txt: one name a line, background first."""
    write_text(out / LABELS, "".join(f"{name}\n" for name in names))


def name_of(label: int, names: Sequence[str]) -> str:
    """The name of a label of a mask."""
    return VOID if label == IGNORE else names[label]


class Labels:
    """The labels of class names: of those that are given, else of those in labels.txt of a folder.

    Args:
        folder: Of the exported files.
        names: Of the labels 0, 1, ...; None: see above.
        found: The names that the files hold, for advice.

    Raises:
        UserError: Neither of the two is there, or a name is in none.
    """

    def __init__(self, folder: Path, names: Sequence[str] | None, found: Iterable[str]) -> None:
        file = folder / LABELS
        given = list(names) if names else read_text(file).splitlines() if file.is_file() else None
        if given is None:
            classes = sorted({*map(str, found)} - {BACKGROUND, VOID})
            raise UserError(
                "the files name classes, but not their labels",
                where=folder,
                remedy=f"give the classes in the order of their labels: {_advice([BACKGROUND, *classes])}",
            )
        self._given, self._where = given, "export.names" if names else str(file)
        self._labels = {BACKGROUND: 0, VOID: IGNORE} | {name: label for label, name in enumerate(given)}
        self.require(found)

    def require(self, found: Iterable[str]) -> None:
        """Raises `UserError` for a name that has no label."""
        missing = sorted({*map(str, found)} - self._labels.keys())
        if missing:
            raise UserError(
                f"class {missing[0]!r} is not among the names of the labels",
                where=self._where,
                remedy=f"give all of them: {_advice([*self._given, *missing])}",
            )

    def __getitem__(self, name: str) -> int:
        return self._labels[str(name)]


def _advice(names: Sequence[str]) -> str:
    return f"export.names=[{','.join(names)}]"
