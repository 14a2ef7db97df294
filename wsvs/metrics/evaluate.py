"""Scores of masks on disk, from wsvs or any other tool, against true masks on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from wsvs.core.errors import BadItem
from wsvs.core.tars import File
from wsvs.metrics.mask_files import (
    bad_record,
    find_videos,
    first_number,
    label_lookup,
    numbered_frames,
    read_foreground,
    read_truth,
    require_folders,
    require_some,
    resize_nearest,
    resolve_ids,
    translate,
)
from wsvs.metrics.reading import Reading, mask_file
from wsvs.metrics.segmentation import ConfusionMatrix, size_text
from wsvs.metrics.video import VideoScores

Progress = Callable[[Iterable[Any]], Iterable[Any]]
"""Wraps an iterable to show progress, such as rich.progress.track."""


@dataclass
class ImageResults:
    """Scores of one mask per image.

    Attributes:
        matrix: Pixels by true and predicted class, over all images that could be scored.
        named: Classes whose IoU is averaged.
        images: Number of scored images.
        bad: Images that could not be scored, each with its reason. They are *not* in the scores.
    """

    matrix: ConfusionMatrix
    named: tuple[str, ...]
    images: int = 0
    bad: list[BadItem] = field(default_factory=list)

    @property
    def miou(self) -> float:
        return self.matrix.miou(self.named)

    @property
    def absent(self) -> list[str]:
        """Classes to average over that are neither in the truth nor in the predictions."""
        absent = dict(zip(self.matrix.names, self.matrix.absent.tolist(), strict=True))
        return [name for name in self.named if absent[name]]

    @property
    def miou_present(self) -> float:
        """Mean over the named classes that are not `absent`; `miou` counts those 0, as VOC does."""
        present = [name for name in self.named if name not in self.absent]
        return self.matrix.miou(present) if present else 0.0

    def metrics(self) -> dict[str, Any]:
        """Content of metrics.json; `complete` is false if an image is missing from the scores."""
        rows = {row["class"]: row for row in self.matrix.rows()}
        return {
            "miou": self.miou,
            "miou_present": self.miou_present,
            "iou": {name: rows[name]["iou"] for name in self.named},
            "averaged_over": list(self.named),
            "absent": self.absent,
            "pixel_accuracy": self.matrix.pixel_accuracy(),
            "images": self.images,
            "complete": not self.bad,
            "bad": [bad_record(item) for item in self.bad],
        }


@dataclass
class VideoResults:
    """Scores of one foreground mask per video frame.

    Attributes:
        scores: J by frame, shot and class.
        bad: Frames or videos that could not be scored, each with its reason. They are *not* in the scores.
        truth_offset: Number of the first frame in the names of true masks.
        notes: Warnings about an uncertain offset.
    """

    scores: VideoScores
    bad: list[BadItem] = field(default_factory=list)
    truth_offset: int = 0
    notes: list[str] = field(default_factory=list)

    def metrics(self) -> dict[str, Any]:
        """Content of metrics.json; class averages are null without a class table."""
        scores, boundary = self.scores, self.scores.boundary_by_shot()
        return {
            "class_average": scores.class_average(),
            "video_average": scores.video_average(),
            "class_average_pooled": scores.class_average(pooled=True),
            "video_average_pooled": scores.video_average(pooled=True),
            "frame_average": scores.frame_average(),
            "boundary_video_average": float(np.mean(list(boundary.values()))) if boundary else None,
            "by_class": scores.by_class(),
            "videos": len(scores.frames),
            "frames": sum(len(frames) for frames in scores.frames.values()),
            "truth_offset": self.truth_offset,
            "complete": not self.bad,
            "bad": [bad_record(item) for item in self.bad],
        }


def evaluate_images(
    predictions: str | Path,
    truth: str | Path,
    classes: Sequence[str],
    *,
    ids: Sequence[str] | None = None,
    named: Sequence[str] | None = None,
    prediction_classes: Sequence[str] | None = None,
    reading: Reading | None = None,
    progress: Progress | None = None,
) -> ImageResults:
    """Score <predictions>/<id>.png against <truth>/<id>.png with one confusion matrix over all images.

    Args:
        predictions, truth: Folders of label masks; 255 in a true mask is void and ignored.
        classes: Names of the labels 0, 1, ... of the true masks, background first.
        ids: Images to score (a split); None scores every mask in `truth`.
        named: Classes to average over; None averages over all. The counts stay over all classes: see
            `ConfusionMatrix.miou`.
        prediction_classes: Names of the labels of the predicted masks if they differ from `classes` (such as a model
            with six classes and masks with twenty). Each must be one of `classes`.
        reading: Meaning of the values in the files, if they are not the labels.
        progress: Wraps the ids to show progress.

    Raises:
        UserError: A folder is missing or empty, or no image could be scored.
        ValueError: Duplicate class names, or names that are not among `classes`.
    """
    predictions, truth = Path(predictions), Path(truth)
    results = ImageResults(ConfusionMatrix(classes), tuple(classes if named is None else named))
    results.matrix.miou(results.named)  # checks the names before the work
    lookup = label_lookup(prediction_classes, classes)
    require_folders(predictions, truth)
    for image in (progress or iter)(resolve_ids(truth, ids)):
        try:
            path = predictions / f"{image}.png"
            _add_image(results.matrix, path, mask_file(truth, image), lookup, reading or Reading())
            results.images += 1
        except BadItem as item:
            results.bad.append(item)
    require_some(results.images, results.bad)
    return results


def _add_image(
    matrix: ConfusionMatrix, path: Path, true_path: Path, lookup: np.ndarray | None, reading: Reading
) -> None:
    """Add one pair of mask files. Raises `BadItem` with the file for any problem with them."""
    true_labels = read_truth(true_path, matrix.names, reading)
    labels = reading.predicted_labels(path)
    if labels.shape != true_labels.shape:
        if labels.shape == true_labels.shape[::-1]:
            raise BadItem(
                f"prediction is {size_text(labels)} but its true mask is {size_text(true_labels)} (width x height): "
                "width and height are swapped",
                where=path,
                remedy="predictions are rotated according to the image's EXIF orientation: rotate the true mask, too",
            )
        raise BadItem(
            f"prediction is {size_text(labels)} but its true mask is {size_text(true_labels)} (width x height)",
            where=path,
            remedy=f"save predictions at the size of the image; the true mask is {true_path}",
        )
    try:
        matrix.add(translate(labels, lookup), true_labels)
    except ValueError as error:
        raise BadItem(
            str(error), where=path, remedy="give every pixel the label of a class, and name the classes in that order"
        ) from error


def evaluate_video(
    predictions: str | Path,
    truth: str | Path,
    table: Mapping[str, str] | None = None,
    *,
    boundary: bool = False,
    truth_offset: int | None = None,
    progress: Progress | None = None,
    predicted: Callable[[str], Mapping[int, File]] | None = None,
) -> VideoResults:
    """Score foreground masks <predictions>/<video>/<number>.png against <truth>/<video>/<number>.png (or .jpg).

    Frames are matched by number, ignoring leading zeros. Every frame with a true mask counts. Values above 0 are
    foreground; in JPEG masks, values from 128. A prediction with another size than its true mask is resized with
    nearest-neighbour interpolation.

    Args:
        predictions, truth: Folders with one folder of masks per video, which may be nested: <class>/<video>/...
        table: {video: class}, where the videos are folders below `truth`; they alone are scored, and class averages
            need it. None scores every folder of masks below `truth`, without classes.
        boundary: Also compute the boundary F of every frame.
        truth_offset: Number of the first frame in the names of true masks; None: 1 where every video has true masks
            1 to N and predictions 0 to N - 1, else 0.
        progress: Wraps the videos to show progress.
        predicted: Video -> {number: mask} where `predictions` has no folder for each; raises `BadItem` without any.

    Raises:
        UserError: A folder is missing or empty, or no frame could be scored.
    """
    predictions, truth = Path(predictions), Path(truth)
    require_folders(predictions, truth)
    masks_of = predicted or (lambda video: numbered_frames(predictions / video, "predicted"))
    classes = dict.fromkeys(find_videos(truth), "") if table is None else dict(table)
    results = VideoResults(VideoScores(boundary))
    results.truth_offset, results.notes = first_number(masks_of, truth, classes, truth_offset)
    for video in (progress or iter)(list(classes)):
        try:
            true_frames = numbered_frames(truth / video, "true", results.truth_offset)
            frames = masks_of(video)
        except BadItem as item:
            results.bad.append(item)
            continue
        for number, true_path in true_frames.items():
            try:
                true_mask = read_foreground(true_path)
                if number not in frames:
                    raise BadItem("mask not found", where=predictions / video / f"{true_path.stem}.png")
                mask = resize_nearest(read_foreground(frames[number]), true_mask.shape)
            except BadItem as item:
                results.bad.append(item)
                continue
            results.scores.add(video, classes[video], true_path.stem, mask, true_mask)
    require_some(len(results.scores.frames), results.bad)
    return results
