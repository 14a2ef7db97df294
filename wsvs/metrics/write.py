"""Scores to files: metrics.json, per_class.csv, confusion.csv and, for videos, per_video.csv and per_frame.csv."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

from wsvs.core.files import write_json, write_text
from wsvs.metrics.evaluate import ImageResults, VideoResults
from wsvs.metrics.thresholds import ThresholdScan


def write_image_results(
    folder: str | Path, results: ImageResults, scan: ThresholdScan | None = None, said: dict[str, Any] | None = None
) -> list[Path]:
    """Write per_class.csv, confusion.csv (rows = truth, pixels), thresholds.csv with a scan, metrics.json last.

    `said` is more of metrics.json. Returns the paths. Raises `UserError` on a full or read-only disk.
    """
    folder = Path(folder)
    rows = [row | {"averaged": row["class"] in results.named} for row in results.matrix.rows()]
    names = results.matrix.names
    confusion = [[name, *counts] for name, counts in zip(names, results.matrix.counts.tolist(), strict=True)]
    written = [
        _write_csv(folder / "per_class.csv", rows[0], [list(row.values()) for row in rows]),
        _write_csv(folder / "confusion.csv", ["truth \\ prediction", *names], confusion),
    ]
    metrics = results.metrics() | (said or {})
    if scan is not None:
        curve = zip(scan.thresholds, scan.mious, strict=True)
        written.append(_write_csv(folder / "thresholds.csv", ["threshold", "miou"], curve))
        metrics["threshold_scan"] = scan.metrics()
    return [*written, _write_metrics(folder, metrics)]


def write_video_results(folder: str | Path, results: VideoResults) -> list[Path]:
    """Write per_class.csv, per_video.csv, per_frame.csv and, last, metrics.json.

    Returns the paths. Raises `UserError` on a full or read-only disk.
    """
    folder, scores = Path(folder), results.scores
    shots, pooled, boundary = scores.by_shot(), scores.by_shot(pooled=True), scores.boundary_by_shot()
    classes, classes_pooled = scores.by_class(), scores.by_class(pooled=True)
    of_class = list(scores.class_of.values())
    per_class = [[name, j, classes_pooled[name], of_class.count(name)] for name, j in classes.items()]
    per_video = [
        [shot, scores.class_of[shot], j, pooled[shot], boundary.get(shot), len(scores.frames[shot])]
        for shot, j in shots.items()
    ]
    per_frame = (
        [shot, frame.frame, frame.j, frame.f, frame.intersection, frame.union]
        for shot in shots
        for frame in scores.frames[shot]
    )
    return [
        _write_csv(folder / "per_class.csv", ["class", "j", "j_pooled", "videos"], per_class),
        _write_csv(folder / "per_video.csv", ["video", "class", "j", "j_pooled", "boundary_f", "frames"], per_video),
        _write_csv(folder / "per_frame.csv", ["video", "frame", "j", "boundary_f", "intersection", "union"], per_frame),
        _write_metrics(folder, results.metrics()),
    ]


def _write_metrics(folder: Path, metrics: dict[str, Any]) -> Path:
    write_json(folder / "metrics.json", metrics)
    return folder / "metrics.json"


def _write_csv(path: Path, heading: Iterable[str], rows: Iterable[Sequence[Any]]) -> Path:
    stream = StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(heading)
    writer.writerows(rows)
    write_text(path, stream.getvalue())
    return path
