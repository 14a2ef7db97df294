"""Stage evaluate: score masks, ours or anybody's, against true masks (section 5)."""

from __future__ import annotations

import logging
from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig

from wsvs.core.errors import BadItem, UserError
from wsvs.core.files import read_json, read_jsonl, write_json
from wsvs.core.progress import follow
from wsvs.core.tables import read_ids, read_table, read_tags
from wsvs.core.words import counted
from wsvs.data.images import EXTENSIONS
from wsvs.metrics.evaluate import evaluate_images, evaluate_video
from wsvs.metrics.reading import mask_file
from wsvs.metrics.shots import evaluate_shots, evaluate_videos
from wsvs.metrics.thresholds import scan_thresholds
from wsvs.metrics.video import precision_recall
from wsvs.metrics.write import write_image_results, write_video_results
from wsvs.stages._labels import labels_of
from wsvs.stages._run import Run, rank
from wsvs.stages._videos import MANIFEST

log = logging.getLogger("wsvs")

NEEDS: tuple[str, ...] = ()
SECTIONS = ("data", "evaluate", "predictions", "truth")
OBJECTIVE = "miou"  # of images; a search over masks of videos names its own, e.g. objective=video_average
IMAGES, SHOTS, VIDEOS = (partial(follow, unit=unit) for unit in ("images", "shots", "videos"))


def needs(cfg: DictConfig) -> tuple[str, ...]:
    """The run that is scored where no folder is named: masks of videos are those of stage segment."""
    return ("segment",) if cfg.evaluate.kind == "video" and not cfg.predictions else ()


def run(run: Run) -> None:
    cfg = run.cfg
    if rank() != 0:
        return
    for key in ("predictions", "truth"):
        if not cfg[key] and (key, cfg.evaluate.kind) != ("predictions", "video"):
            raise UserError("nothing to score" if key == "predictions" else "no true masks", where=key,
                            remedy=f"give {key}=DIR")
    if cfg.evaluate.kind == "image":
        _images(run)
    elif cfg.evaluate.kind == "video":
        _videos(run)
    else:
        _relevance(run)


def _images(run: Run) -> None:
    cfg, settings = run.cfg, run.cfg.evaluate
    named = list(settings.classes) if settings.classes else None
    ids = [_true_mask(Path(cfg.truth), name) for name in read_ids(settings.split)] if settings.split else None
    split = settings.split_name or (Path(settings.split).stem if settings.split else Path(cfg.truth).name)
    labels = labels_of(
        cfg, ids, names=settings.names, prediction_names=settings.prediction_names, offset=settings.truth_offset
    )
    for note in labels.notes:
        log.warning("%s", note)
    names = labels.names
    chosen: dict[str, Any] = {
        "ids": ids, "named": named, "prediction_classes": labels.predicted, "reading": labels.reading,
        "progress": IMAGES,
    }
    results = evaluate_images(cfg.predictions, cfg.truth, names, **chosen)
    scan = None
    if settings.thresholds:
        scan = scan_thresholds(cfg.predictions, cfg.truth, names, list(settings.thresholds), **chosen)
    said = {"names": names, "prediction_names": labels.predicted or names, "notes": labels.notes}
    write_image_results(run.dir, results, scan, said)
    for item in results.bad:
        run.skip(item.where or "?", item.message)
    iou = results.metrics()["iou"]
    shown: dict[str, Any] = {f"mIoU ({split}, {counted(results.images, 'image|images')})": results.miou}
    counts: dict[str, Any] = {"images": results.images, "split": split}
    if results.absent:
        present = counted(len(iou) - len(results.absent), "class|classes")
        shown[f"mIoU ({split}), over the {present} present alone"] = results.miou_present
        counts["classes in no mask, 0 in the mIoU"] = ", ".join(results.absent)
    shown |= {f"IoU {name}": value for name, value in iou.items()}
    if scan is not None:
        shown[f"oracle mIoU ({split}), threshold {scan.oracle_threshold:g}"] = scan.oracle_miou
    run.finish(counts=counts, results=shown, wrote=run.dir / "metrics.json")


def _true_mask(truth: Path, name: str) -> str:
    """Name of an image's true mask: the id, without its extension where a list has ids with one."""
    has_one = Path(name).suffix.lower() in EXTENSIONS and not mask_file(truth, name).is_file()
    return str(Path(name).with_suffix("")) if has_one else name


def _relevance(run: Run) -> None:
    """Of the frames of a relevance run: how many of the chosen ones show their class, how many that do were chosen."""
    relevance, truth = Path(run.cfg.predictions), Path(run.cfg.truth)
    shows: dict[str, dict[int, bool]] = {}
    for row in read_table(truth, ("video", "frame", "relevant")):
        shows.setdefault(row["video"], {})[int(row["frame"])] = row["relevant"] == "1"
    chosen: dict[tuple[str, int], bool] = {}
    for clip in read_jsonl(relevance / "clips.jsonl"):
        for number in range(clip["start"] + clip["offset"], clip["stop"] + clip["offset"]):
            if number in shows.get(clip["video"], {}):
                chosen[clip["video"], number] = False
    for shot in read_jsonl(relevance / "shots.jsonl"):
        for number in range(shot["start"] + shot["clip_start"], shot["stop"] + shot["clip_start"]):
            if (shot["video"], number) in chosen:
                chosen[shot["video"], number] = True
    if not chosen:
        raise UserError("no frame of these clips is in the table", where=truth, remedy="are these the same videos?")
    relevant = [shows[video][number] for video, number in chosen]
    found = precision_recall(np.array(list(chosen.values())), np.array(relevant))
    results = {"precision": found.precision, "recall": found.recall}
    write_json(run.dir / "metrics.json", {**results, "frames": len(chosen), "relevant": sum(relevant)})
    run.finish(
        counts={"frames": len(chosen), "relevant": sum(relevant), "chosen": sum(chosen.values())}, results=results,
        wrote=run.dir / "metrics.json",
    )


def _videos(run: Run) -> None:
    cfg, settings = run.cfg, run.cfg.evaluate
    predictions, truth = Path(cfg.predictions or run.inputs["segment"]), Path(cfg.truth)
    scoring: dict[str, Any] = {"boundary": settings.boundary, "truth_offset": settings.truth_offset}
    table = None
    if settings.table:
        table = {video: tags[0] for video, tags in read_tags(settings.table).items() if tags}
    counts: dict[str, Any] = {}
    if (predictions / "shots.jsonl").is_file():  # a segment run: only its shots have masks
        shots = read_jsonl(predictions / "shots.jsonl")
        results, counts = evaluate_shots(
            predictions / "masks", shots, truth, **scoring, progress=SHOTS
        )
    elif (predictions / MANIFEST).is_file():  # a segment run on whole videos
        videos = list(read_jsonl(predictions / MANIFEST))
        results, counts = evaluate_videos(
            predictions / "masks", videos, truth, table, **scoring, progress=VIDEOS
        )
        results.bad += _without_masks(predictions, {video["video"] for video in videos}, truth)
    else:
        results = evaluate_video(predictions, truth, table, **scoring, progress=VIDEOS)
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


def _without_masks(segment: Path, segmented: Collection[str], truth: Path) -> list[BadItem]:
    """Videos with true masks that the segment run has passed over: an average that is silent about them is too high."""
    path = segment / "skipped.json"
    return [
        BadItem(f"not segmented: {row['reason']}", where=segment / "masks" / row["item"])
        for row in (read_json(path) if path.is_file() else ())
        if row["item"] not in segmented and (truth / row["item"]).is_dir()
    ]
