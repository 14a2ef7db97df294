"""Images and videos in the gallery with masks from stage predict."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wsvs.core import runs
from wsvs.core.classes import IGNORE
from wsvs.core.errors import BadItem
from wsvs.core.files import expand_pattern, read_json, read_text
from wsvs.core.masks import read_mask
from wsvs.core.progress import follow
from wsvs.core.records import Record
from wsvs.data.images import find_image
from wsvs.metrics.mask_files import label_lookup, translate
from wsvs.records.predicted import Predicted, masks_of
from wsvs.report.flow import table_of
from wsvs.report.found import Address
from wsvs.report.records import Figures, Item
from wsvs.report.thumbnails import masked_frame, masked_image, probability_thumbnail

_LOOKS = 16  # frames of a video whose masks are evaluated


@dataclass(frozen=True)
class Truth:
    """True masks used by an evaluation: their classes, and a lookup table from predicted to true labels."""

    folder: Path
    names: Sequence[str]
    lookup: np.ndarray | None


@dataclass(frozen=True)
class Round:
    """A finished run of stage predict.

    Attributes:
        folder: Its masks.
        root: The folder that the names of its images are relative to.
        names: Names of the labels 0, 1, ...
        rows: Records of the items with masks.
        before: Folders of earlier masks of the same images; the first one that has an image is used.
    """

    folder: Path
    root: Path
    names: Sequence[str]
    rows: Sequence[Predicted]
    before: Sequence[Path] = ()
    truth: Truth | None = None
    notes: Sequence[str] = ()


def rounds(home: Path, evaluations: Sequence[Path], *, debug: bool = False) -> Iterator[Round]:
    """The latest prediction of every input under a name, the latest first.

    The previous round is the previous prediction of the same input, or the pseudo-labels that its model was adapted to.

    Args:
        home: <out>/<name>.
        evaluations: Finished evaluations, the latest first.
    """
    truths: dict[Path, tuple[Truth | None, list[str]]] = {}
    for path in evaluations:
        found = _truth(path)
        if found is not None:
            truths.setdefault(*found)
    by_input: dict[Path, list[Path]] = {}
    for path in runs.finished_runs(home.parent, home.name, "predict", debug=debug):
        config = Record(path).config
        given = Record(path).where(config.input) if config is not None and config.input else path
        by_input.setdefault(given, []).append(path)
    for given, (path, *earlier) in by_input.items():
        read = Record(path).read("adapt").now if "adapt" in runs.read_summary(path).inputs else None
        before = [*earlier[:1], *([read / "masks"] if read else [])]
        truth, notes = truths.get(path.resolve(), (None, []))
        labels = path / "labels.txt"
        names = read_text(labels).splitlines() if labels.is_file() else list(truth.names) if truth else []
        yield Round(path, root_of(given), names, _rows(path), before, truth, notes)


def _truth(path: Path) -> tuple[Path, tuple[Truth | None, list[str]]] | None:
    """(masks, (true masks, notes)) of an evaluation of images; None for other evaluations."""
    record = Record(path)
    config = record.config
    if config is None or config.evaluate.kind != "image" or not (path / "confusion.csv").is_file():
        return None
    masks, truth = record.where(config.predictions).resolve(), record.where(config.truth)
    if not truth.is_dir():
        return masks, (None, [f"True masks are not shown, because this folder no longer exists: {truth}"])
    names = table_of(path / "confusion.csv")[0][1:]
    metrics = path / "metrics.json"
    own = read_json(metrics).get("prediction_names") if metrics.is_file() else None
    return masks, (Truth(truth, names, label_lookup(own or config.evaluate.get("prediction_names"), names)), [])


def root_of(given: Path) -> Path:
    """The folder that ids of images in `input` are relative to: itself, a file's, or the last without a wildcard."""
    if given.is_file():
        return given.parent
    expanded = None if given.is_dir() else expand_pattern(given)
    return expanded[0] if expanded else given


def _rows(folder: Path) -> list[Predicted]:
    if (folder / runs.ITEMS).is_file():
        return sorted(Predicted.read(folder / runs.ITEMS), key=lambda row: row.id)
    return [Predicted(name) for name in masks_of(folder).files]  # of an older version


def predicted_items(found: Sequence[Round], most: int, width: int, address: Address) -> tuple[list[Item], list[str]]:
    """The first images and videos of these rounds with thumbnails, and notes about missing ones."""
    notes = [note for one in found for note in one.notes]
    chosen = [(one, row) for one in found for row in one.rows][:most]
    items = list(each(lambda pair: _item(pair[0], pair[1], width, address), chosen, "images"))
    for one in found:
        own = [item for item, (source, _) in zip(items, chosen, strict=True) if source is one and item is not None]
        lost = sum(item.file is None for item in own)
        if lost:
            notes.append(f"Predicted images that are not in {one.root}, shown as masks only: {lost} of {len(own)}.")
    return [item for item in items if item is not None], notes


def each(function: Callable[[Any], Any], rows: Sequence[Any], unit: str) -> Iterator[Any]:
    """Map a function over rows in threads, in order; image libraries release the GIL."""
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        yield from follow(pool.map(function, rows), unit, total=len(rows))


def _item(source: Round, row: Predicted, width: int, address: Address) -> Item | None:
    """An image or a video; None where its mask cannot be read."""
    name, frames = row.id, row.frames
    file = source.root / row.file if row.file else find_image(source.root, name)
    names = row.masks if frames is None else [row.masks[number] for number in looks(frames)]
    middle = len(names) // 2
    try:
        masks = [read_mask(source.folder / f"{one}.png") for one in names]
    except BadItem:
        return None
    before = next((folder for folder in source.before if (folder / f"{names[0]}.png").is_file()), None)
    truth = source.truth if frames is None else None
    whole, classes = figures(
        np.stack(masks),
        source.names,
        row.confidence or {},
        _stacked(before, names),
        truth,
        None if truth is None else _stacked(truth.folder, names),
    )
    tags = tuple(row.confidence or ()) or tuple(name for name, one in classes.items() if one.area)
    run = "/".join(source.folder.parts[-2:])
    if frames is None:
        return Item(
            "image",
            name,
            whole,
            classes,
            address(file),
            None,
            address(source.folder / f"{name}.png"),
            address(before / f"{name}.png" if before else None),
            address(truth.folder / f"{name}.png" if truth else None),
            address(source.folder / "overlay" / f"{name}.jpg"),
            thumbnail=masked_image(file, masks[0], width),
            attention=probability_thumbnail(source.folder / "scores" / f"{name}.npz", width),
            tags=tags,
            run=run,
        )
    return Item(
        "video",
        name,
        whole,
        classes,
        address(file),
        overlay=address(source.folder / "overlay" / f"{name}.mp4"),
        thumbnail=None if file is None else masked_frame(file, looks(frames)[middle], masks[middle], width),
        frames=frames,
        tags=tags,
        run=run,
    )


def looks(frames: int) -> list[int]:
    """Numbers of at most `_LOOKS` frames, evenly spread."""
    return sorted({frames * number // _LOOKS for number in range(_LOOKS)})


def _stacked(folder: Path | None, names: Sequence[str]) -> np.ndarray | None:
    """Masks of a folder; None if one is missing or has another size."""
    try:
        return None if folder is None else np.stack([read_mask(folder / f"{name}.png") for name in names])
    except (BadItem, ValueError):
        return None


def figures(
    mask: np.ndarray,
    names: Sequence[str],
    confidence: Mapping[str, float | None],
    before: np.ndarray | None,
    truth: Truth | None = None,
    true: np.ndarray | None = None,
) -> tuple[Figures, dict[str, Figures]]:
    """Figures of a mask, or of the masks of several frames, and of every class in it.

    Args:
        mask: uint8 labels.
        names: Names of the labels 0, 1, ...
        confidence: {segmented class: its confidence}.
        before: Labels of the previous round; ignored if they have another shape.
        truth, true: Meaning of the true labels, and the true labels.
    """

    def name_of(label: int) -> str:
        return names[label] if label < len(names) else f"label {label}"

    counts = np.bincount(mask.ravel(), minlength=256)
    counts[[0, IGNORE]] = 0
    areas = {name_of(int(label)): float(counts[label] / mask.size) for label in np.flatnonzero(counts)}
    changes: dict[str, float] = {}
    if before is not None and before.shape == mask.shape:
        overlap = ious(mask, before)
        changes = {name_of(label): 1 - float(overlap[label]) for label in range(1, IGNORE) if overlap[label] >= 0}
    own: dict[str, float] = {}
    mean = None
    if truth is not None and true is not None and true.shape == mask.shape:
        try:
            overlap = ious(translate(mask, truth.lookup), true, true != IGNORE)[: len(truth.names)]
        except ValueError:  # a label without a class
            overlap = np.full(len(truth.names), np.nan)
        own = {name: float(one) for name, one in zip(truth.names[1:], overlap[1:], strict=True) if one >= 0}
        mean = float(np.nanmean(overlap)) if own else None  # None for background only, where the mean is uninformative
    sure = [(areas[name], value) for name, value in confidence.items() if value is not None and name in areas]
    whole = Figures(
        sum(areas.values()),
        sum(a * b for a, b in sure) / sum(a for a, _ in sure) if sure else None,
        max(changes.values(), default=0.0) if before is not None and before.shape == mask.shape else None,
        mean,
    )
    return whole, {
        name: Figures(areas.get(name, 0.0), confidence.get(name), changes.get(name), own.get(name))
        for name in dict.fromkeys([*areas, *confidence, *changes, *own])
    }


def ious(ours: np.ndarray, other: np.ndarray, known: np.ndarray | None = None) -> np.ndarray:
    """(256,) IoU of every label of two masks over the known pixels; NaN if neither has it."""
    if known is not None:
        ours, other = ours[known], other[known]
    pairs = np.bincount(other.ravel().astype(np.int32) * 256 + ours.ravel(), minlength=256 * 256).reshape(256, 256)
    union = pairs.sum(0) + pairs.sum(1) - pairs.diagonal()
    found: np.ndarray = np.divide(pairs.diagonal(), union, out=np.full(256, np.nan), where=union > 0)
    return found
