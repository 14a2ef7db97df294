"""Stage evaluate: score masks, from wsvs or any other tool, against true masks (section 5)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from wsvs.config.base import Section
from wsvs.config.stages import EvaluateSettings
from wsvs.core.errors import UserError
from wsvs.core.files import write_json
from wsvs.core.progress import follow
from wsvs.core.runs import Home
from wsvs.core.tables import read_ids, read_table, read_tags
from wsvs.data.images import EXTENSIONS
from wsvs.engine.run import Run
from wsvs.engine.stage import Stage
from wsvs.records.masks import SHOTS, MaskSet
from wsvs.records.shots import Clip, Shot

log = logging.getLogger("wsvs")


@dataclass(frozen=True)
class Settings:
    data: Section
    evaluate: EvaluateSettings
    predictions: str | None
    truth: str | None


def needs(settings: Settings, home: Home) -> tuple[str, ...]:
    """The run that is scored if no folder is given: for videos that of stage segment."""
    return ("segment",) if settings.evaluate.kind == "video" and not settings.predictions else ()


def run(run: Run[Settings]) -> None:
    predictions = run.settings.predictions or run.inputs.get("segment")
    if not predictions:
        raise UserError(
            "nothing to score",
            where="predictions",
            remedy="give predictions=DIR; masks of videos have evaluate.kind=video",
        )
    if not run.settings.truth:
        raise UserError("no true masks", where="truth", remedy="give truth=DIR")
    work = {"image": _images, "video": _videos, "relevance": _relevance}[run.settings.evaluate.kind]
    work(run, Path(predictions), Path(run.settings.truth))


def _images(run: Run[Settings], predictions: Path, truth: Path) -> None:
    from wsvs.metrics.evaluate import evaluate_images
    from wsvs.metrics.labels import labels_of
    from wsvs.metrics.thresholds import scan_thresholds
    from wsvs.metrics.write import write_image_results

    settings = run.settings.evaluate
    ids = [_true_mask(truth, name) for name in read_ids(settings.split)] if settings.split else None
    split = settings.split_name or (Path(settings.split).stem if settings.split else truth.name)
    labels = labels_of(
        predictions,
        truth,
        ids,
        names=settings.names,
        prediction_names=settings.prediction_names,
        offset=settings.truth_offset,
        of_data=partial(_classes, run),
    )
    for note in labels.notes:
        log.warning("%s", note)
    names = labels.names
    _check_names(names, "evaluate.names")
    if settings.prediction_names:
        _check_names(settings.prediction_names, "evaluate.prediction_names")
    if settings.classes:
        _check_names(settings.classes, "evaluate.classes", names)
    named, progress = settings.classes or None, partial(follow, unit="images")
    results = evaluate_images(
        predictions,
        truth,
        names,
        ids=ids,
        named=named,
        prediction_classes=labels.predicted,
        reading=labels.reading,
        progress=progress,
    )
    scan = None
    if settings.thresholds:
        scan = scan_thresholds(
            predictions,
            truth,
            names,
            settings.thresholds,
            ids=ids,
            named=named,
            prediction_classes=labels.predicted,
            reading=labels.reading,
            progress=progress,
        )
    said = {"names": names, "prediction_names": labels.predicted or names, "notes": labels.notes}
    write_image_results(run.dir, results, scan, said)
    for item in results.bad:
        run.skip(item.where or "?", item.message)
    iou = results.metrics()["iou"]
    shown = {f"mIoU ({split}, images: {results.images})": results.miou}
    counts: dict[str, int | str] = {"images": results.images, "split": split}
    if results.absent:
        present = len(iou) - len(results.absent)
        shown[f"mIoU ({split}), over the classes that occur: {present}"] = results.miou_present
        counts["classes in no mask, 0 in the mIoU"] = ", ".join(results.absent)
    shown |= {f"IoU {name}": value for name, value in iou.items()}
    if scan is not None:
        shown[f"oracle mIoU ({split}), threshold {scan.oracle_threshold:g}"] = scan.oracle_miou
    run.finish(counts=counts, results=shown, wrote=run.dir / "metrics.json")


def _check_names(names: Sequence[str], key: str, known: Sequence[str] | None = None) -> None:
    """Raises `UserError` for a name that occurs twice, or that is not among the `known` ones."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(f"names occur twice: {', '.join(twice)}", where=key, remedy=f"give each name once in {key}")
    if known and (unknown := [name for name in names if name not in known]):
        raise UserError(f"there is no class {', '.join(unknown)}", where=key, remedy=f"classes: {', '.join(known)}")


def _classes(run: Run[Settings]) -> Sequence[str] | None:
    """Names of the data set's labels, if there is a data set."""
    from wsvs.engine.data import build_data

    if not getattr(run.settings.data, "root", None):
        return None
    return build_data(run).class_list.with_background


def _true_mask(truth: Path, name: str) -> str:
    """Name of an image's true mask: its id, without the extension if the list has ids with one."""
    from wsvs.metrics.reading import mask_file

    has_one = Path(name).suffix.lower() in EXTENSIONS and not mask_file(truth, name).is_file()
    return str(Path(name).with_suffix("")) if has_one else name


def _relevance(run: Run[Settings], relevance: Path, truth: Path) -> None:
    """Precision and recall of the frames that a relevance run selected as showing their class."""
    from wsvs.metrics.video import precision_recall

    shows: dict[str, dict[int, bool]] = {}
    for row in read_table(truth, ("video", "frame", "relevant")):
        shows.setdefault(row["video"], {})[int(row["frame"])] = row["relevant"] == "1"
    chosen: dict[tuple[str, int], bool] = {}
    for clip in Clip.read(relevance / "clips.jsonl"):
        for number in range(clip.start + clip.offset, clip.stop + clip.offset):
            if number in shows.get(clip.video, {}):
                chosen[clip.video, number] = False
    for shot in Shot.read(relevance / SHOTS):
        for number in range(shot.start + shot.clip_start, shot.stop + shot.clip_start):
            if (shot.video, number) in chosen:
                chosen[shot.video, number] = True
    if not chosen:
        remedy = "check that both are of the same videos"
        raise UserError("no frame of these clips is in the table", where=truth, remedy=remedy)
    relevant = [shows[video][number] for video, number in chosen]
    found = precision_recall(np.array(list(chosen.values())), np.array(relevant))
    results = {"precision": found.precision, "recall": found.recall}
    write_json(run.dir / "metrics.json", {**results, "frames": len(chosen), "relevant": sum(relevant)})
    run.finish(
        counts={"frames": len(chosen), "relevant": sum(relevant), "chosen": sum(chosen.values())},
        results=results,
        wrote=run.dir / "metrics.json",
    )


def _videos(run: Run[Settings], predictions: Path, truth: Path) -> None:
    from wsvs.metrics.evaluate import evaluate_video
    from wsvs.metrics.shots import evaluate_shots, evaluate_videos
    from wsvs.metrics.write import write_video_results

    settings = run.settings.evaluate
    boundary, offset = settings.boundary, settings.truth_offset
    progress = partial(follow, unit="videos")
    table = None
    if settings.table:
        table = {video: tags[0] for video, tags in read_tags(settings.table).items() if tags}
    counts: dict[str, int] = {}
    masks = MaskSet.find(predictions)
    if masks is None:
        results = evaluate_video(predictions, truth, table, boundary=boundary, truth_offset=offset, progress=progress)
    elif masks.whole:
        results, counts = evaluate_videos(
            masks, truth, table, boundary=boundary, truth_offset=offset, progress=progress
        )
    else:
        progress = partial(follow, unit="shots")
        results, counts = evaluate_shots(masks, truth, boundary=boundary, truth_offset=offset, progress=progress)
    for note in results.notes:
        log.warning("%s", note)
    write_video_results(run.dir, results)
    for item in results.bad:
        run.skip(item.where or "?", item.message)
    metrics = results.metrics()
    averages = {f"J, {key} average": metrics[f"{key}_average"] for key in ("frame", "video", "class")}
    averages["boundary F, video average"] = metrics["boundary_video_average"]
    split = settings.split_name or truth.name
    run.finish(
        counts={"videos": len(results.scores.by_shot()), **counts, "split": split},
        results={key: value for key, value in averages.items() if value is not None},
        wrote=run.dir / "metrics.json",
    )


STAGE = Stage(  # the objective is of images; a search over masks of videos names its own, e.g. video_average
    "evaluate",
    Settings,
    run,
    needs=needs,
    paths=("predictions", "truth", "evaluate.split", "evaluate.table"),
    objective="miou",
    ranks="first",
)
