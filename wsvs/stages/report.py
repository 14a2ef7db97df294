"""Stage report: one page over all runs of a name, with pictures, that opens from disk."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from omegaconf import DictConfig

from wsvs.core import runs
from wsvs.core.errors import UserError
from wsvs.core.files import read_json, read_jsonl, write_text
from wsvs.core.progress import follow
from wsvs.core.records import Record
from wsvs.core.sweeps import sweeps_below
from wsvs.metrics.mask_files import label_lookup
from wsvs.stages import STAGES
from wsvs.stages._inputs import find_files
from wsvs.stages._next import for_shell
from wsvs.stages._report_flow import curves, data_flow, evaluation, evaluations, table_of
from wsvs.stages._report_page import page
from wsvs.stages._report_pictures import (
    prediction_pictures,
    prediction_scores,
    shot_picture,
    term_pictures,
    video_picture,
)
from wsvs.stages._run import Run, rank

log = logging.getLogger("wsvs")

NEEDS: tuple[str, ...] = ()
SECTIONS = ("report",)
WHOLE = ("shots", "images", "width")


def run(run: Run) -> None:
    cfg, settings = run.cfg, run.cfg.report
    if rank() != 0:
        return
    for key in WHOLE:
        if isinstance(settings[key], bool) or not isinstance(settings[key], int) or settings[key] < (key == "width"):
            raise UserError(f"report.{key} must be a whole number, got {settings[key]!r}", where=f"report.{key}")
    found, notes = finished_runs(cfg)
    sweeps = list(sweeps_below(Path(cfg.out, cfg.name)))
    if not found and not sweeps:
        raise UserError(
            "no finished run to report on", where=Path(cfg.out, cfg.name), remedy="run stages under this name first"
        )
    shots = shot_rows(found["segment"]) if "segment" in found else []
    cards = list(shot_cards(found["segment"], shots, settings)) if shots else []
    images, missing = predictions(cfg, settings)
    notes += missing
    for note in notes:
        log.warning("%s", note)
    content = {
        "name": cfg.name, "made": time.strftime("%Y-%m-%d"), "notes": notes,
        "stages": [stage_facts(stage, path) for stage, path in found.items()],
        "flow": data_flow(found),
        "curves": {stage: curves(found[stage]) for stage in ("encoder", "decoder", "adapt") if stage in found},
        "sweeps": sweeps,
        "evaluations": [evaluation(path) for path in evaluations(cfg)],
        "shots": cards, "shots_in_all": Counter(row["class"] for row in shots),
        "predictions": images,
    }
    target = run.dir / "report.html"
    write_text(target, page(content))
    run.finish(
        counts={
            "runs": len(found), "shots": len(cards), "images": len(images["best"]) + len(images["worst"]),
            "notes": len(notes),
        },
        wrote=target,
        results={"MB": round(target.stat().st_size / 1e6, 2)},
    )


def finished_runs(cfg: DictConfig) -> tuple[dict[str, Path], list[str]]:
    """The runs to report on: of the last stage the one that finished last, of the others those that it has read.

    A stage that no later one has read is there with the run that finished last; inputs.<stage> names another.

    Returns:
        {stage: its run}, and a sentence for each run that is not the one that was read.

    Raises:
        UserError: inputs.<stage> is no finished run.
    """
    debug = bool(cfg.debug)
    found = {stage: runs.require_run(cfg.out, cfg.name, stage, given) for stage, given in cfg.inputs.items() if given}
    notes: list[str] = []
    moved: list[str] = []
    for stage in reversed(STAGES):
        path = found.get(stage) or runs.find_run(cfg.out, cfg.name, stage, debug=debug)
        if path is None:
            continue
        found[stage] = path
        record = Record(path)
        for name in runs.read_summary(path)["inputs"]:
            if name in found:
                continue
            read = record.read(name, debug=debug)
            now = read.now or runs.find_run(cfg.out, cfg.name, name, debug=debug)
            if now is not None:
                found[name] = now
            if not read.same:
                shown = f"the last one is shown instead, {now.name}" if now else "and there is no other"
                notes.append(f"The run of stage {name} that {stage} has read is not there, {shown}: {read.recorded}")
            elif now != read.recorded:
                moved.append(name)
    if moved:
        names = ", ".join(sorted(moved, key=STAGES.index))
        notes.append(f"These runs are not where they were when others read them: {names}.")
    return {stage: found[stage] for stage in STAGES if stage in found}, notes


def stage_facts(stage: str, path: Path) -> dict[str, Any]:
    summary = runs.read_summary(path)
    return {
        "stage": stage, "run": str(path), "seconds": summary["seconds"], "supervision": summary.get("supervision"),
        "command": " ".join(["wsvs", *map(for_shell, summary["overrides"])]), "versions": summary.get("versions", {}),
        "commit": summary.get("git_commit"), "counts": summary["counts"],
    }


def shot_rows(path: Path) -> list[dict[str, Any]]:
    """Records of a run's shots or whole videos, the classes in turns; "file" is where it is now."""
    whole = not (path / "shots.jsonl").is_file()
    record = Record(path)
    rows = read_jsonl(path / ("videos.jsonl" if whole else "shots.jsonl"))
    return [row | {"file": str(record.where(row["file"]))} for row in _turns(rows)]


def shot_cards(path: Path, rows: Sequence[dict[str, Any]], settings: DictConfig) -> Iterator[dict[str, Any]]:
    """A card for each of the first rows. What is on no disk any more has no link."""
    record = Record(path)
    for row in follow(list(islice(rows, settings.shots)), "shots"):
        card = {
            "class": row["class"], "url": _source(record, row.get("url")), "clip": _address(Path(row["file"])),
            "score": row.get("score"), "area": None, "energy": None, "confidence": row.get("confidence"),
            "uncertain": bool(row.get("uncertain") or row.get("uncertain_frames") == row.get("frames", 0) != 0),
        }
        if "shot" not in row:
            picture = video_picture(path, row, settings.width)
            card |= {"shot": row["video"], "cuts": row.get("cut_seconds", [])}
            yield card | {"frames": row["frames"], "mask": picture}
            continue
        done = path / "done" / f"{row['shot']}.json"
        known = read_json(done) if done.is_file() else {}
        frames = max(1, len(row["areas"]))
        if "energy" in known:
            card["energy"] = round(known["energy"]["total"] / frames, 1)
        yield card | {
            "shot": row["shot"], "frames": len(row["areas"]), "area": round(sum(row["areas"]) / frames, 4),
            "mask": shot_picture(path, row, settings.width), **term_pictures(path, row["shot"], settings.width),
        }


def _address(file: Path) -> str | None:
    return file.as_uri() if file.exists() else None


def _source(record: Record, address: str | None) -> str | None:
    """A video's page; the file itself where the videos came from a disk."""
    if not address or urlsplit(address).scheme != "file":
        return address
    return _address(record.where(url2pathname(urlsplit(address).path)))


def _turns(rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    by_class: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_class.setdefault(row["class"], []).append(row)
    for together in zip_longest(*by_class.values()):
        yield from (row for row in together if row is not None)


def predictions(cfg: DictConfig, settings: DictConfig) -> tuple[dict[str, Any], list[str]]:
    """Cards of the best and of the worst images of the last evaluation of images, by their own mean IoU.

    Returns:
        {"best": cards, "worst": cards, "of": number of images}, and what is missing for them, in sentences.
    """
    nothing: dict[str, Any] = {"best": [], "worst": [], "of": 0}
    for path in evaluations(cfg):
        record = Record(path)
        scored = record.config
        if scored is None or scored.evaluate.kind != "image" or not (path / "confusion.csv").is_file():
            continue
        masks, truth = record.where(scored.predictions), record.where(scored.truth)
        for what, folder in (("masks", masks), ("true masks", truth)):
            if not folder.is_dir():
                return nothing, [f"No pictures of predictions: the {what} are not there: {folder}"]
        made = Record(masks)
        if made.config is None or not made.config.input:
            return nothing, [f"No pictures of predictions: no run of stage predict has made these masks: {masks}"]
        images = made.where(made.config.input)
        try:
            images, _ = find_files(str(images))
        except UserError:
            return nothing, [f"No pictures of predictions: the images are not there: {images}"]
        ids = [file.relative_to(truth).with_suffix("").as_posix() for file in sorted(truth.rglob("*.png"))]
        names = table_of(path / "confusion.csv")[0][1:]
        metrics = path / "metrics.json"
        own = read_json(metrics).get("prediction_names") if metrics.is_file() else None
        own = own or scored.evaluate.get("prediction_names")
        lookup = label_lookup(own, names)
        scores = prediction_scores(masks, truth, follow(ids, "masks"), len(names), lookup)
        order = sorted(scores, key=lambda name: (-scores[name], name))
        most = min(settings.images, len(order))
        best, worst = order[: -(-most // 2)], order[::-1][: most // 2]
        found = {
            key: [
                {"id": name, "iou": round(scores[name], 4), **pictures}
                for name in chosen
                if (pictures := prediction_pictures(images, masks, truth, name, settings.width, lookup))
            ]
            for key, chosen in (("best", best), ("worst", worst))
        }
        lost = most - len(found["best"]) - len(found["worst"])
        return found | {"of": len(order)}, (
            [f"{lost} of {most} predictions have no picture: their images are not in {images}"] if lost else []
        )
    return nothing, []
