"""What an export makes of a mask: objects of a class or of each connected part, small parts left out, simplified."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import numpy as np

from wsvs.core.classes import IGNORE
from wsvs.core.export_polygons import Part, distances, fill, joined, parts, simplified

Objects = Literal["class", "part", "track"]
Shapes = Literal["polygons", "masks"]


@dataclass(frozen=True)
class Object:
    """One object of an image: its label, its id within the video if that is known, and its connected parts."""

    label: int
    track: int | None
    parts: list[Part]
    shape: tuple[int, int]

    @property
    def area(self) -> int:
        return sum(part.area for part in self.parts)

    @property
    def box(self) -> tuple[int, int, int, int]:
        """(left, top, width, height) in px."""
        left, top = min(part.left for part in self.parts), min(part.top for part in self.parts)
        right = max(part.left + part.inside.shape[1] for part in self.parts)
        bottom = max(part.top + part.inside.shape[0] for part in self.parts)
        return left, top, right - left, bottom - top

    def mask(self) -> np.ndarray:
        """(H, W) bool."""
        mask = np.zeros(self.shape, bool)
        for part in self.parts:
            top, left = part.top, part.left
            mask[top : top + part.inside.shape[0], left : left + part.inside.shape[1]] |= part.inside
        return mask


@dataclass
class Errors:
    """What simplified polygons and left out parts change, summed over an export."""

    pixels: int = 0  # of all objects that are written
    wrong: int = 0  # of these, and of others, that polygons have wrong
    points: int = 0  # corners of the outlines
    distance: float = 0.0  # sum over them, px
    farthest: float = 0.0
    left_out: int = 0
    left_out_pixels: int = 0

    def results(self) -> dict[str, Any]:
        """For the summary; nothing where nothing can differ."""
        found: dict[str, Any] = {}
        if self.points:
            found |= {
                "area error (wrong pixels / object pixels)": round(self.wrong / max(self.pixels, 1), 5),
                "boundary error, mean (px)": round(self.distance / max(self.points, 1), 3),
                "boundary error, max (px)": round(self.farthest, 3),
            }
        if self.left_out:
            found |= {"parts left out": self.left_out, "pixels left out": self.left_out_pixels}
        return found


@dataclass
class How:
    """How masks become objects.

    Attributes:
        objects: What is one object: all pixels of a class, each connected part, or each track of a video.
        shapes: How formats that can do both write them; None leaves it to the format.
        tolerance: Of polygons, px: see `simplified`.
        min_area: Connected parts with fewer pixels are left out.
        tracks: Track ids of an id's mask, (H, W) uint8 with 0 where there is none, or None.
        files: {id: file name of its image}.
        errors: Summed over what is written.
    """

    objects: Objects = "class"
    shapes: Shapes | None = None
    tolerance: float = 0.0
    min_area: int = 0
    tracks: Callable[[str], np.ndarray | None] | None = None
    files: dict[str, str] = field(default_factory=dict)
    errors: Errors = field(default_factory=Errors)

    def file(self, name: str) -> str:
        """File name of an image, else its id and '.jpg'."""
        return self.files.get(name, f"{name}.jpg")

    def of(self, name: str, mask: np.ndarray, *, void: bool = True) -> Iterator[Object]:
        """The objects of a mask, by label, then by track or from top to bottom."""
        tracks = self.tracks(name) if self.objects == "track" and self.tracks else None
        for label in np.unique(mask[mask > 0]).tolist():
            if label == IGNORE and not void:
                continue
            area = mask == label
            numbers = np.unique(tracks[area]).tolist() if tracks is not None and label != IGNORE else [0]
            for number in numbers:
                found = self._parts(area if tracks is None or label == IGNORE else area & (tracks == number))
                make = partial(Object, label, number or None, shape=area.shape)
                if self.objects == "part":
                    yield from (make([part]) for part in found)
                elif found:
                    yield make(found)

    def _parts(self, area: np.ndarray) -> list[Part]:
        found = parts(area)
        kept = [part for part in found if part.area >= self.min_area]
        self.errors.left_out += len(found) - len(kept)
        self.errors.left_out_pixels += sum(part.area for part in found) - sum(part.area for part in kept)
        return kept

    def cleaned(self, name: str, mask: np.ndarray) -> np.ndarray:
        """A mask without the parts that are too small."""
        if self.min_area < 2:
            return mask
        kept = np.zeros_like(mask)
        for one in self.of(name, mask):
            kept[one.mask()] = one.label
        return kept

    def loops(self, one: Object) -> list[list[np.ndarray]]:
        """For each part its outline and those of its holes."""
        found = []
        self.errors.pixels += one.area
        for part in one.parts:
            exact = part.loops()
            loops = simplified(exact, self.tolerance)
            found.append(loops)
            if self.tolerance:
                self._compare(part, exact, loops)
        return found

    def polygons(self, one: Object) -> list[np.ndarray]:
        """For each part one polygon, (N, 2) corners (x, y) in px; holes are connected by slits of zero width."""
        return [joined(loops) for loops in self.loops(one)]

    def _compare(self, part: Part, exact: list[np.ndarray], loops: list[np.ndarray]) -> None:
        drawn, corner = np.zeros(part.inside.shape, bool), np.array([part.left, part.top])
        fill(drawn, joined(loops) - corner, True)  # simplified corners are corners of the part: none is beyond its box
        self.errors.wrong += int(np.count_nonzero(drawn != part.inside))
        for before, after in zip(exact, loops, strict=True):
            away = distances(before, after)
            self.errors.points += len(away)
            self.errors.distance += float(away.sum())
            self.errors.farthest = max(self.errors.farthest, float(away.max()))
