"""Predicted and true masks on disk: find, read and check them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from wsvs.core.classes import IGNORE
from wsvs.core.errors import BadItem, UserError
from wsvs.core.files import files_below
from wsvs.core.masks import read_mask
from wsvs.core.tars import File, opened
from wsvs.metrics.reading import SUFFIXES, Reading

JPEG_FOREGROUND = 128  # true masks of YouTube-Objects are JPEGs of 0/255: compression blurs the two values
_JPEG = (".jpg", ".jpeg")
_MASKS = (".png", *_JPEG)
FROM_ONE = "true masks of all videos begin with frame 1: if they are numbered from 1 give evaluate.truth_offset=1"


def require_folders(predictions: Path, truth: Path) -> None:
    """Raises `UserError` if one of the two folders does not exist."""
    for folder, what in ((predictions, "predicted"), (truth, "true")):
        if not folder.is_dir():
            raise UserError(f"folder of {what} masks not found", where=folder, remedy="name an existing folder")


def require_some(scored: int, bad: Sequence[BadItem]) -> None:
    """Raises `UserError` with the first reason if nothing could be scored."""
    if not scored and bad:
        raise UserError(
            f"nothing could be scored: {len(bad)} bad; the first: {bad[0].problem}",
            where=bad[0].where,
            remedy=bad[0].remedy or "give predictions and true masks the same names",
        )


def resolve_ids(truth: Path, ids: Sequence[str] | None) -> list[str]:
    """The given ids, else the stems of all masks in `truth`. Raises `UserError` if there is none."""
    files = sorted(truth.glob("[!.]*")) if ids is None else ()
    every = {suffix: [path.stem for path in files if path.suffix.lower() == suffix] for suffix in SUFFIXES}
    found = list(ids) if ids is not None else next((names for names in every.values() if names), [])
    if not found:
        per_video = any(path.suffix.lower() in SUFFIXES for path in truth.glob("[!.]*/[!.]*"))
        remedy = (
            "add evaluate.kind=video: here is a folder per video"
            if per_video
            else "true masks are PNGs: <image id>.png"
        )
        raise UserError("no true mask to score against", where=truth, remedy=remedy)
    return found


def read_truth(path: Path, names: Sequence[str], reading: Reading | None = None) -> np.ndarray:
    """(H, W) uint8 true labels. Raises `BadItem` if unreadable or if a label, other than 255, has no class."""
    labels = (reading or Reading()).true_labels(path)
    inside = labels[labels != IGNORE]
    if inside.size and inside.max() >= len(names):
        raise BadItem(
            f"true mask has label {inside.max()}, but the {len(names)} classes are labels 0 to {len(names) - 1}",
            where=path,
            remedy="name every class of the true masks, background first",
        )
    return labels


def label_lookup(prediction_classes: Sequence[str] | None, classes: Sequence[str]) -> np.ndarray | None:
    """(256,) uint8 table from labels of predictions to labels of the truth, 255 for unused ones.

    None if the labels are the same. Raises `ValueError` for a name that is not among `classes`, or a duplicate.
    """
    if prediction_classes is None:
        return None
    unknown = [name for name in prediction_classes if name not in classes]
    if unknown or len(set(prediction_classes)) < len(prediction_classes):
        raise ValueError(
            f"prediction_classes must be different ones of {list(classes)}, got {list(prediction_classes)}"
        )
    lookup = np.full(256, IGNORE, np.uint8)
    lookup[: len(prediction_classes)] = [list(classes).index(name) for name in prediction_classes]
    return lookup


def translate(labels: np.ndarray, lookup: np.ndarray | None) -> np.ndarray:
    """Labels of predictions to labels of the truth. Raises `ValueError` for a label without a class."""
    if lookup is None:
        return labels
    found = lookup[labels]
    if (found == IGNORE).any():
        count = np.count_nonzero(lookup != IGNORE)
        raise ValueError(
            f"prediction has label {labels[found == IGNORE].max()}, but its {count} classes are labels 0 to {count - 1}"
        )
    return found


def find_videos(truth: Path) -> list[str]:
    """Folders of masks below `truth`, as relative paths. Raises `UserError` if there is none."""
    masks = (path for path in files_below(truth) if path.suffix.lower() in _MASKS)
    found = list(dict.fromkeys(path.parent.relative_to(truth).as_posix() for path in masks))
    if not found:
        raise UserError("no true masks here", where=truth, remedy="true masks are <video>/00000.png, or .jpg")
    return sorted(found)


def numbered_frames(folder: Path, what: str, first: int = 0) -> dict[int, Path]:
    """{frame number: mask file} of one video, in ascending order; `first` is the number in the name of frame 0.

    Raises `BadItem`: no folder, no mask, or a name that is not a number.
    """
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    found: dict[int, Path] = {}
    for path in (path for path in paths if path.suffix.lower() in _MASKS and not path.name.startswith(".")):
        if not (path.stem.isascii() and path.stem.isdigit()):
            raise BadItem("a mask's name must be its frame's number", where=path, remedy="rename it, as 00000.png")
        number = int(path.stem) - first
        if number in found:
            raise BadItem(f"two masks of frame {number}", where=path, remedy=f"keep this or {found[number].name}")
        found[number] = path
    if not found:
        raise BadItem(f"no {what} masks of this video", where=folder)
    return dict(sorted(found.items()))


def first_number(
    predicted: Callable[[str], Mapping[int, File]], truth: Path, videos: Iterable[str], given: int | None
) -> tuple[int, list[str]]:
    """Number of the first frame in the names of true masks, and notes about it; `predicted` are a video's masks.

    If it is not given, it is 1 if every video has true masks 1 to N and predictions 0 to N - 1, since such a set can
    only be numbered from 1.
    """
    if given is not None:
        return given, []
    shifted, starts = [], []
    for video in videos:
        try:
            true, frames = list(numbered_frames(truth / video, "")), list(predicted(video))
        except BadItem:
            continue
        shifted.append(len(true) > 1 and true == [number + 1 for number in frames] and frames[0] == 0)
        starts.append(true[0] if frames[0] == 0 else 0)
    if shifted and all(shifted):
        return 1, [
            "true masks are numbered from 1 and frames from 0: mask 1 is scored as frame 0; evaluate.truth_offset=0 "
            "keeps their numbers"
        ]
    if starts and set(starts) == {1}:
        return 0, [FROM_ONE]
    return 0, []


def read_foreground(path: File) -> np.ndarray:
    """(H, W) bool foreground of a mask file: > 0 of a PNG (1-bit, 0/255 or indexed), >= 128 of a JPEG.

    Raises:
        BadItem: Unreadable, or a colour PNG.
    """
    if path.suffix.lower() not in _JPEG:
        return read_mask(path) > 0
    try:
        with Image.open(opened(path)) as image:
            return np.asarray(image.convert("L")) >= JPEG_FOREGROUND
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise BadItem(f"mask cannot be read: {error}", where=path) from error


def resize_nearest(mask: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """(h, w) bool to the shape (H, W) by nearest neighbour, pixel centres aligned."""
    if mask.shape == shape:
        return mask
    size = (shape[1], shape[0])
    return cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST_EXACT).astype(bool)


def bad_record(item: BadItem) -> dict[str, str | None]:
    """A bad item as a row of a JSON file."""
    return {"where": item.where, "problem": item.problem}
