"""The predicted images beside their true masks: the best and the worst by their own mean IoU."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from wsvs.core.errors import BadItem
from wsvs.core.files import expand_pattern, read_json
from wsvs.core.masks import read_mask
from wsvs.core.progress import follow
from wsvs.core.records import Record
from wsvs.metrics.mask_files import label_lookup, translate
from wsvs.report.flow import table_of
from wsvs.report.records import ImageCard
from wsvs.report.thumbnails import image_card

Found = tuple[list[ImageCard], list[ImageCard], int]


def predictions(evaluations: Sequence[Path], most: int, width: int) -> tuple[Found, list[str]]:
    """Cards of the best and of the worst images of the last evaluation of images, by their own mean IoU.

    Returns:
        (best, worst, number of images that were scored), and what is missing for them, in sentences.
    """
    nothing: Found = ([], [], 0)
    for path in evaluations:
        record = Record(path)
        scored = record.config
        if scored is None or scored.evaluate.kind != "image" or not (path / "confusion.csv").is_file():
            continue
        masks, truth = record.where(scored.predictions), record.where(scored.truth)
        for what, folder in (("masks", masks), ("true masks", truth)):
            if not folder.is_dir():
                return nothing, [f"No thumbnails of predictions: the {what} are not there: {folder}"]
        made = Record(masks)
        if made.config is None or not made.config.input:
            return nothing, [f"No thumbnails of predictions: no run of stage predict has made these masks: {masks}"]
        images = root_of(made.where(made.config.input))
        if not images.is_dir():
            return nothing, [f"No thumbnails of predictions: the images are not there: {images}"]
        ids = [file.relative_to(truth).with_suffix("").as_posix() for file in sorted(truth.rglob("*.png"))]
        names = table_of(path / "confusion.csv")[0][1:]
        metrics = path / "metrics.json"
        own = read_json(metrics).get("prediction_names") if metrics.is_file() else None
        lookup = label_lookup(own or scored.evaluate.get("prediction_names"), names)
        scores = image_scores(masks, truth, follow(ids, "masks"), len(names), lookup)
        order = sorted(scores, key=lambda name: (-scores[name], name))
        most = min(most, len(order))
        best, worst = (
            [
                card for name in chosen
                if (card := image_card(images, masks, truth, name, round(scores[name], 4), width, lookup))
            ]
            for chosen in (order[: -(-most // 2)], order[::-1][: most // 2])
        )
        lost = most - len(best) - len(worst)
        notes = [f"{lost} of {most} predictions have no thumbnail: their images are not in {images}"] if lost else []
        return (best, worst, len(order)), notes
    return nothing, []


def root_of(given: Path) -> Path:
    """The folder that the ids of the images in `input` count from: itself, a file's, or the last without a wildcard."""
    if given.is_file():
        return given.parent
    expanded = None if given.is_dir() else expand_pattern(given)
    return expanded[0] if expanded else given


def image_scores(
    predicted: Path, truth: Path, ids: Iterable[str], labels: int, lookup: np.ndarray | None = None
) -> dict[str, float]:
    """{id: mean IoU over the classes, background included, that are in the mask or in the true one}.

    Images of background alone, in both, are left out: they are right, and show nothing.

    Args:
        lookup: See `wsvs.metrics.mask_files.label_lookup`; a mask with a label that has no class is left out.
    """
    found = {}
    for name in ids:
        try:
            ours, true = translate(read_mask(predicted / f"{name}.png"), lookup), read_mask(truth / f"{name}.png")
        except (BadItem, ValueError):
            continue
        if ours.shape == true.shape:
            known = true != 255
            counts = np.bincount(
                true[known].astype(np.int64) * 256 + ours[known], minlength=256 * 256
            ).reshape(256, 256)
            union = (counts.sum(0) + counts.sum(1) - counts.diagonal())[:labels]
            if not union[1:].any():
                continue
            found[name] = float((counts.diagonal()[:labels] / np.maximum(union, 1))[union > 0].mean())
    return found
