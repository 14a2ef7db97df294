"""The numbers of a report: the amount of data after each stage by class, and the results of evaluations."""

from __future__ import annotations

import csv
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from wsvs.core import runs
from wsvs.core.files import read_json
from wsvs.core.records import Record
from wsvs.core.reviews import SNAPSHOT, Answer, Reviews
from wsvs.data.frames import FrameSet, reviewed
from wsvs.records.masks import SHOTS
from wsvs.records.retrieved import FoundVideo
from wsvs.records.shots import Shot
from wsvs.report.records import Count, Evaluation
from wsvs.retrieve.manifest import MANIFEST
from wsvs.retrieve.table import tally

_POINTS = 400  # of a curve, at most
_STAMP = re.compile(r"\d{8}-\d{6}-\d{4}-?")


def data_flow(found: Mapping[str, Path]) -> list[Count]:
    """Numbers of videos, frames and shots that were found, downloaded, relevant, segmented and used; then of images.

    Args:
        found: {stage: its run}.
    """
    videos: list[Count] = []
    frames: list[Count] = []
    shots: list[Count] = []
    if "retrieve" in found and (found["retrieve"] / MANIFEST).is_file():
        tallies = tally(FoundVideo.read(found["retrieve"] / MANIFEST), ())
        everything = tallies.pop("all")
        for unit, step, key in (
            (videos, "found", "found"),
            (videos, "downloaded", "downloaded"),
            (frames, "downloaded", "frames"),
        ):
            by_class = {name: getattr(one, key) for name, one in tallies.items()}
            name = "videos" if unit is videos else "frames"
            unit.append(Count(name, step, getattr(everything, key), by_class))
        for kind, count in everything.failures.most_common():
            by_class = {name: one.failures[kind] for name, one in tallies.items()}
            videos.append(Count("videos", f"failed: {kind}", count, by_class))
    for stage, step in (("relevance", "relevant"), ("segment", "segmented"), ("decoder", "used")):
        pairs = _shots(stage, found)
        if pairs:
            shots.append(_count("shots", step, ((name, 1) for name, _ in pairs)))
            frames.append(_count("frames", step, pairs))
    return [*videos, *frames, *shots, *_images(found)]


def _count(unit: str, step: str, pairs: Iterable[tuple[str, int]]) -> Count:
    by_class: Counter[str] = Counter()
    for name, number in pairs:
        by_class[name] += number
    return Count(unit, step, by_class.total(), by_class)


def _shots(stage: str, found: Mapping[str, Path]) -> list[tuple[str, int]]:
    """(class, frames) of the shots of a stage; for the decoder those of its segment run with usable masks."""
    if stage == "decoder":
        path, config = found.get("segment"), Record(found["decoder"]).config if "decoder" in found else None
        if path is None or config is None or not (path / SHOTS).is_file():
            return []
        settings = config.decoder
        chosen = FrameSet.select(
            path,
            reviewed(Shot.read(path / SHOTS), _answers(found["decoder"])),
            settings.min_area,
            settings.max_area,
            settings.get("min_confidence", 0.0),  # not in runs of earlier versions
        )
        return [(shot.class_name, len(shot.numbers)) for shot in chosen.split(settings.holdout)[0].shots]
    if stage not in found or not (found[stage] / SHOTS).is_file():
        return []
    return [
        (shot.class_name, len(shot.areas) if stage == "segment" else shot.stop - shot.start)
        for shot in Shot.read(found[stage] / SHOTS)
    ]


def _answers(run: Path) -> Mapping[str, Answer]:
    """The reviewer's verdicts on shots, as stored in a run."""
    path = run / SNAPSHOT
    return Reviews.read(read_json(path)).shots if path.is_file() else {}


def _images(found: Mapping[str, Path]) -> list[Count]:
    summaries = {stage: runs.read_summary(path) for stage, path in found.items()}
    rows = (
        ("tagged", "encoder", "train images"),
        ("pseudo-labelled", "adapt", "used for training"),
        ("predicted", "predict", "masks"),
    )
    return [
        Count("images", step, summaries[stage].count(key))
        for step, stage, key in rows
        if stage in summaries and key in summaries[stage].counts
    ]


def curves(path: Path) -> dict[str, list[tuple[float, float]]]:
    """{metric: [(step, value)]} of the losses and scores in metrics.csv, including those of earlier starts."""
    found: dict[str, list[tuple[float, float]]] = {}
    for file in sorted(path.glob("metrics*.csv")):
        with file.open(encoding="utf-8", newline="") as stream:
            for row in csv.DictReader(stream):
                for key, value in row.items():
                    shown = key in ("train/loss", "val/loss", "val/map", "val/miou") and value
                    if shown and math.isfinite(float(value)):
                        found.setdefault(key, []).append((float(row["step"]), float(value)))
    return {key: _thinned(sorted(points)) for key, points in found.items()}


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most `_POINTS` evenly spaced points, including the last."""
    every = -(-len(points) // _POINTS)
    return points[::-1][::every][::-1]


def evaluation(path: Path) -> Evaluation:
    """The input and the results of a finished evaluation."""
    summary, cfg = runs.read_summary(path), Record(path).config
    scored = Path((cfg.predictions if cfg else None) or summary.inputs.get("segment", ""))
    kind = str(cfg.evaluate.kind) if cfg else ""
    return Evaluation(
        label_of(path) or kind or path.name,
        kind,
        ", ".join(part for part in (scored.parent.name, label_of(scored)) if part),
        str(summary.counts.get("split", "")),
        summary.figures,
        *(table_of(path / f"{key}.csv") for key in ("per_class", "confusion")),
    )


def label_of(run: Path) -> str:
    """Label of a pipeline's step, from the end of its run id; only stages with several steps have labels."""
    return _STAMP.sub("", run.name, count=1)


def table_of(path: Path) -> list[list[str]]:
    """The rows of a CSV file; empty if it does not exist."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.reader(stream))
