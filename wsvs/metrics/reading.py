"""The meaning of values in mask files: survey all files before scoring, then read labels accordingly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from wsvs.core.classes import IGNORE, voc_palette
from wsvs.core.errors import BadItem, UserError
from wsvs.core.masks import read_mask

SUFFIXES = (".png", ".bmp", ".tif", ".tiff", ".gif", ".jpg", ".jpeg")
_JPEG = (".jpg", ".jpeg")
_LABELS = ("P", "L", "1")
_HALF = 128


def mask_file(folder: Path, name: str) -> Path:
    """<folder>/<name>.png, or the same with another suffix if only that is there."""
    paths = [folder / f"{name}{suffix}" for suffix in SUFFIXES]
    return next((path for path in paths if path.is_file()), paths[0])


@dataclass
class Survey:
    """The content of a set of mask files, without unreadable files, which scoring reports.

    Attributes:
        values: Labels of indexed and grey files, and of others where all channels are alike.
        colours: Colours of the files that are neither.
        kinds: Number of files by mode: "P", "L", "RGB", ...; "JPEG" for those.
    """

    values: set[int] = field(default_factory=set)
    colours: set[tuple[int, ...]] = field(default_factory=set)
    kinds: Counter[str] = field(default_factory=Counter)

    @property
    def only(self) -> str:
        """The kind of all files; '' if they are of several."""
        return next(iter(self.kinds)) if len(self.kinds) == 1 else ""


def survey(paths: Iterable[Path]) -> Survey:
    """Collect the values of all files."""
    found = Survey()
    for path in paths:
        try:
            with Image.open(path) as image:
                if image.mode in _LABELS and path.suffix.lower() not in _JPEG:
                    found.kinds[image.mode] += 1
                    found.values |= {value for value, count in enumerate(image.histogram()) if count}
                    if image.mode == "1":
                        found.values = {min(value, 1) for value in found.values}
                    continue
                found.kinds["JPEG" if path.suffix.lower() in _JPEG else image.mode] += 1
                pixels = np.asarray(image)
            if path.suffix.lower() in _JPEG:
                continue
            flat = pixels.reshape(-1, pixels.shape[2]) if pixels.ndim == 3 else pixels.reshape(-1, 1)
            found.colours |= set(map(tuple, np.unique(flat, axis=0)[:1000].tolist()))
        except Exception:  # decoders raise many types for damaged files
            continue
    return found


@dataclass(frozen=True)
class Reading:
    """How masks are read.

    Attributes:
        truth, prediction: (256,) uint8 tables from values to labels; None if values are labels.
        colours: True masks that are not labels: "grey" if all channels are equal, "voc" for the palette of PASCAL VOC,
            "jpeg" for JPEG files thresholded at 128, '' for labels.
        notes: Descriptions of values that are not read literally.
    """

    truth: np.ndarray | None = None
    prediction: np.ndarray | None = None
    colours: str = ""
    notes: tuple[str, ...] = ()

    def true_labels(self, path: Path) -> np.ndarray:
        """(H, W) uint8. Raises `BadItem` for a file that cannot be read so."""
        labels = _coloured(path, self.colours) if self.colours else read_mask(path)
        return labels if self.truth is None else self.truth[labels]

    def predicted_labels(self, path: Path) -> np.ndarray:
        """(H, W) uint8. Raises `BadItem` for a file that cannot be read so."""
        labels = read_mask(path)
        return labels if self.prediction is None else self.prediction[labels]


def _coloured(path: Path, kind: str) -> np.ndarray:
    try:
        with Image.open(path) as image:
            if kind == "jpeg":
                return (np.asarray(image.convert("L")) >= _HALF).astype(np.uint8)
            pixels = np.asarray(image)
    except FileNotFoundError:
        raise BadItem("mask not found", where=path) from None
    except Exception as error:  # decoders raise many types for damaged files
        raise BadItem(f"mask cannot be read: {error}", where=path) from error
    if kind == "grey":
        return (pixels if pixels.ndim == 2 else pixels[..., 0]).astype(np.uint8)
    codes = _codes(voc_palette())
    order = np.argsort(codes, kind="stable")
    place = np.searchsorted(codes[order], _codes(pixels[..., :3]))
    labels = order[np.minimum(place, IGNORE)]
    if (codes[labels] != _codes(pixels[..., :3])).any():
        raise BadItem("a colour that is not in the palette of PASCAL VOC", where=path)
    return labels.astype(np.uint8)


def _codes(colours: np.ndarray) -> np.ndarray:
    return (colours.astype(np.int64) * (65536, 256, 1)).sum(-1)


def _table(changes: dict[int, int]) -> np.ndarray:
    table = np.arange(256, dtype=np.uint8)
    table[list(changes)] = list(changes.values())
    return table


def decide(
    true: Survey, names: Sequence[str] | None, *, offset: int | None, source: str, where: Path
) -> tuple[Reading, list[int]]:
    """How to read the true masks, and the labels that they then contain.

    Args:
        true: Survey of the true masks.
        names: Names of their labels, or None.
        offset: Number of the first label, given by the user.
        source: Source of the names; "evaluate.names" if the user gave them.
        where: Folder of the masks.

    Raises:
        UserError: The meaning of the values is ambiguous.
    """
    notes: list[str] = []
    values, colours = set(true.values), ""
    if true.only == "JPEG":
        if names is not None and len(names) != 2:
            raise UserError(
                "true masks are JPEG files, whose compression changes labels",
                where=where,
                remedy="save them as PNG; with two classes, evaluate.names=[background,object], they are cut at 128",
            )
        colours, values = "jpeg", {0, 1}
        notes.append("true masks are JPEG files: values from 128 are the object")
    elif true.colours and not true.values:
        colours, values = _colours(true, names, where)
        notes.append(
            "true masks are colour images: read by the palette of PASCAL VOC"
            if colours == "voc"
            else f"true masks are of mode {', '.join(true.kinds)}: read as labels"
        )
    table = None
    if offset:
        table = _table({value: value - offset if value >= offset else IGNORE for value in range(IGNORE)})
        values = {int(table[value]) for value in values}
        notes.append(f"label {offset} of the true masks is the first name, evaluate.truth_offset={offset}")
    labels = sorted(values - {IGNORE})
    if values == {0, IGNORE}:
        if names is not None and len(names) != 2:
            raise UserError(
                f"true masks hold only 0 and 255: 255 is void, so no class but {names[0]} would be scored",
                where=where,
                remedy="for a mask of one object give its two names, evaluate.names=[background,object]; else save the "
                "labels 1, 2, ... of the classes",
            )
        table, labels = _table({IGNORE: 1}), [0, 1]
        notes.append("true masks hold only 0 and 255: 255 is read as the object")
    if offset is None and labels and labels[0] > 0 and names is not None:
        said = f"true masks hold labels from {labels[0]} to {labels[-1]} and nowhere 0"
        if labels[-1] >= len(names):
            raise UserError(
                f"{said}, but the {len(names)} names are of labels 0 to {len(names) - 1}",
                where=where,
                remedy=f"if label {labels[0]} is {names[0]!r} give evaluate.truth_offset={labels[0]}; else name all "
                "labels with evaluate.names=[...]",
            )
        notes.append(f"{said}: if they are numbered from 1 give evaluate.truth_offset=1")
    if names is not None and labels and labels[-1] >= len(names) and source != "evaluate.names":
        raise UserError(
            f"true masks hold label {labels[-1]}, but {source} name labels 0 to {len(names) - 1}",
            where=where,
            remedy="the labels are numbered otherwise: name them in their order with evaluate.names=[...]",
        )
    return Reading(table, None, colours, tuple(notes)), labels


def _colours(true: Survey, names: Sequence[str] | None, where: Path) -> tuple[str, set[int]]:
    """Kind and labels of true masks that are colour images. Raises `UserError` for an unknown palette."""
    opaque = not any(kind.endswith("A") for kind in true.kinds) or all(colour[-1] == IGNORE for colour in true.colours)
    alpha = any(kind.endswith("A") for kind in true.kinds)
    colours = {colour[:-1] if alpha else colour for colour in true.colours}
    highest = len(names) if names is not None else IGNORE
    if opaque and all(len(set(colour)) == 1 and 0 <= colour[0] <= IGNORE for colour in colours):
        values = {int(colour[0]) for colour in colours}
        if all(value < highest or value == IGNORE for value in values):
            return "grey", values
    palette = {tuple(colour): label for label, colour in enumerate(voc_palette().tolist())}
    if opaque and all(palette.get(colour, highest) < highest or palette.get(colour) == IGNORE for colour in colours):
        return "voc", {palette[colour] for colour in colours}
    shown = ", ".join(map(str, sorted(colours)[:4])) + (" ..." if len(colours) > 4 else "")
    raise UserError(
        f"true masks are {', '.join(true.kinds)} images, not labels, with an unknown palette: {shown}",
        where=where,
        remedy="save them as indexed or grey 8-bit PNG, one label per pixel",
    )


def binary_prediction(found: Survey, names: Sequence[str]) -> bool:
    """Whether predictions are binary masks of 0 and 255 and there is only one class."""
    return len(names) == 2 and found.values == {0, IGNORE} and not found.colours


def as_binary(reading: Reading) -> Reading:
    note = "predictions hold only 0 and 255: 255 is read as the object"
    return Reading(reading.truth, _table({IGNORE: 1}), reading.colours, (*reading.notes, note))
