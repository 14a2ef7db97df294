"""The classes of labels in true and predicted masks: matched by name, and by number only without names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from wsvs.core.classes import BACKGROUND, IGNORE, plainly
from wsvs.core.errors import UserError
from wsvs.core.files import read_text
from wsvs.core.progress import follow
from wsvs.metrics.mask_files import require_folders, resolve_ids
from wsvs.metrics.reading import Reading, as_binary, binary_prediction, decide, mask_file, survey

LABELS = "labels.txt"
_INSIDE = ("masks", "SegmentationClass")  # folders of masks whose names are in the folder above


@dataclass(frozen=True)
class Labels:
    """Names of true and predicted labels, how the files are read, and notes about it."""

    names: list[str]
    predicted: list[str] | None
    reading: Reading
    notes: list[str]


def labels_of(
    predictions: Path,
    truth: Path,
    ids: Sequence[str] | None,
    *,
    names: Sequence[str] | None,
    prediction_names: Sequence[str] | None,
    offset: int | None,
    of_data: Callable[[], Sequence[str] | None],
) -> Labels:
    """Determine the names of labels; names given by the user take precedence.

    Args:
        predictions, truth: Folders of masks.
        ids: Ids of the images to score; None for all true masks.
        names, prediction_names, offset: Settings of the user.
        of_data: Returns the names of the data set's labels, background first; called if nothing else names them.

    Raises:
        UserError: Names do not match each other or the masks, or only the labels of the predictions have names.
    """
    require_folders(predictions, truth)
    names, source = (list(names), "evaluate.names") if names else _true_names(truth, of_data)
    own = list(prediction_names) if prediction_names else None
    listed = own or _listed(predictions)
    wanted = resolve_ids(truth, ids)
    found = survey(mask_file(truth, name) for name in follow(wanted, "true masks"))
    reading, labels = decide(found, names, offset=offset, source=source, where=truth)
    notes = list(reading.notes)
    if names is None:
        predicted = survey(path for name in wanted if (path := predictions / f"{name}.png").is_file())
        highest = max([*labels, *(predicted.values - {IGNORE})], default=0)
        names = [BACKGROUND, *(str(label) for label in range(1, highest + 1))]
        if listed and own is None:
            _check_named(listed, truth)
    elif listed is None:
        notes.append(f"the predictions have no {LABELS}: their labels are those of {source}: {_shown(names)}")
    if listed is not None:
        _check_same(listed, names, own is not None, predictions, source)
    if len(names) == 2:
        masks = (predictions / f"{name}.png" for name in wanted)
        if binary_prediction(survey(path for path in masks if path.is_file()), names):
            reading = as_binary(reading)
            notes.append(reading.notes[-1])
    return Labels(names, None if listed == names else listed, reading, notes)


def _true_names(truth: Path, of_data: Callable[[], Sequence[str] | None]) -> tuple[list[str] | None, str]:
    """Names of the true labels, and their source."""
    beside = _listed(truth)
    if beside:
        return beside, f"{LABELS} of the true masks"
    names = of_data()
    return (None, "") if names is None else (list(names), "the data's classes")


def _listed(folder: Path) -> list[str] | None:
    """Names in labels.txt of a folder of masks; None if there is none."""
    places = [folder, folder.parent] if folder.name in _INSIDE else [folder]
    file = next((place / LABELS for place in places if (place / LABELS).is_file()), None)
    return [line.strip() for line in read_text(file).splitlines() if line.strip()] if file else None


def _check_named(listed: Sequence[str], truth: Path) -> None:
    raise UserError(
        "the labels of the predictions have names, those of the true masks have none: their numbers may differ",
        where=truth,
        remedy=f"name the true labels in their order; if it is the predictions' order: "
        f"'evaluate.names=[{','.join(listed)}]'",
    )


def _check_same(listed: Sequence[str], names: Sequence[str], given: bool, predictions: Path, source: str) -> None:
    """Raises `UserError` for a predicted class that the true masks do not have."""
    strange = [name for name in listed if name not in names]
    if strange:
        near = [f"{one!r} for {name!r}" for name in strange for one in names if plainly(one) == plainly(name)]
        hint = f" (did you mean {', '.join(near)}?)" if near else ""
        raise UserError(
            f"the predictions have classes that {source} does not name: {', '.join(strange)}{hint}",
            where="evaluate.prediction_names" if given else predictions / LABELS,
            remedy="name the predicted labels in their order with the names of the true ones: "
            f"evaluate.prediction_names=[...]; the true names are {_shown(names)}",
        )


def _shown(names: Sequence[str]) -> str:
    return ", ".join(f"{label} {name}" for label, name in enumerate(names[:25])) + (" ..." if len(names) > 25 else "")
