"""The class list: names, indices, and the VOC palette. Up to 254 classes."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np

from wsvs.core.errors import UserError

BACKGROUND = "background"
IGNORE = 255
MAX_CLASSES = 254  # label 0 is background and 255 is void


@dataclass(frozen=True)
class Classes:
    """Ordered class names, background left out.

    Class number k (0-based, `index`) has label k + 1 in a mask (`label`): 0 is background, 255 void.

    Raises:
        UserError: No class, a duplicate name, a name that is reserved or cannot be a folder, or too many classes.
    """

    names: tuple[str, ...]

    def __init__(self, names: Iterable[str]) -> None:
        names = tuple(str(name) for name in names)
        object.__setattr__(self, "names", names)
        where = "data.classes"
        if not names:
            raise UserError("the class list is empty", where=where, remedy="name at least one class")
        if len(names) > MAX_CLASSES:
            raise UserError(
                f"{len(names)} classes, but an 8-bit mask holds at most {MAX_CLASSES}",
                where=where,
                remedy="select classes with data.classes=[...]",
            )
        for name in names:
            if name in ("", BACKGROUND, ".", "..") or any(c in name for c in "/\\\0,\t\n"):
                raise UserError(f"{name!r} cannot be a class name", where=where, remedy="rename this class")
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise UserError(f"duplicate classes: {', '.join(twice)}", where=where, remedy="name each class once")

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def index(self, name: str, where: object = None) -> int:
        """0-based number of a class. Raises `UserError` with the nearest known name."""
        try:
            return self.names.index(name)
        except ValueError:
            raise UserError(
                f"{name!r} is not a class", where=where, remedy=suggest(name, self.names, "the classes are")
            ) from None

    def label(self, name: str) -> int:
        """Label of a class in a mask."""
        return self.index(name) + 1

    @property
    def with_background(self) -> tuple[str, ...]:
        return (BACKGROUND, *self.names)

    def encode(self, tags: Iterable[str], where: object = None) -> np.ndarray:
        """Tags to y in {0,1}^C, float32."""
        y = np.zeros(len(self), np.float32)
        for tag in tags:
            y[self.index(tag, where)] = 1
        return y


def plainly(name: str) -> str:
    """A name normalised for comparison: case, spaces, hyphens, underscores, Unicode composition."""
    return " ".join(re.sub(r"[-_]", " ", unicodedata.normalize("NFKC", name)).casefold().split())


def suggest(word: str, known: Sequence[str], otherwise: str) -> str:
    """'did you mean ...', or the list of known names."""
    near = [name for name in known if plainly(name) == plainly(word)] or get_close_matches(word, known, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    shown = ", ".join(known[:25]) + (" ..." if len(known) > 25 else "")
    return f"{otherwise}: {shown}"


def voc_palette() -> np.ndarray:
    """(256, 3) uint8 colours of the PASCAL VOC development kit: bit-reversed label bits."""
    labels = np.arange(256)
    palette = np.zeros((256, 3), np.uint8)
    for j in range(8):
        for channel in range(3):
            palette[:, channel] |= (((labels >> (3 * j + channel)) & 1) << (7 - j)).astype(np.uint8)
    return palette
