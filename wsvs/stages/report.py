"""Stage report: one page over all runs of a name, with pictures, that opens from disk."""

from __future__ import annotations

import logging
import shlex
import time
from collections.abc import Iterator
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from wsvs.core import runs
from wsvs.core.errors import UserError
from wsvs.core.files import read_json, read_jsonl, write_text
from wsvs.core.progress import follow
from wsvs.stages import STAGES
from wsvs.stages._report_flow import config_of, curves, data_flow, evaluation, evaluations, table_of
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
    found = finished_runs(cfg)
    if not found:
        raise UserError(
            "no finished run to report on", where=Path(cfg.out, cfg.name), remedy="run stages under this name first"
        )
    shots = list(shot_cards(found["segment"], settings)) if "segment" in found else []
    content = {
        "name": cfg.name, "made": time.strftime("%Y-%m-%d"),
        "stages": [stage_facts(stage, path) for stage, path in found.items()],
        "flow": data_flow(found),
        "curves": {stage: curves(found[stage]) for stage in ("encoder", "decoder", "adapt") if stage in found},
        "evaluations": [evaluation(path) for path in evaluations(cfg)],
        "shots": shots,
        "predictions": predictions(cfg, settings),
    }
    target = run.dir / "report.html"
    write_text(target, page(content))
    run.finish(
        counts={
            "runs": len(found), "shots": len(shots), "images": sum(map(len, content["predictions"].values())),
        },
        wrote=target,
        results={"MB": round(target.stat().st_size / 1e6, 2)},
    )


def finished_runs(cfg: DictConfig) -> dict[str, Path]:
    """The runs to report on: of the last stage the one that finished last, of the others those that it has read.

    A stage that no later one has read is there with the run that finished last; inputs.<stage> names another.
    """
    found: dict[str, Path] = {}
    for stage in reversed(STAGES):
        given = cfg.inputs.get(stage)
        path = Path(given) if given else found.get(stage) or runs.find_run(
            cfg.out, cfg.name, stage, debug=bool(cfg.debug)
        )
        if path is None or not (path / runs.SUMMARY).is_file():
            found.pop(stage, None)
            continue
        found[stage] = path
        for name, read in runs.read_summary(path)["inputs"].items():
            found.setdefault(name, Path(read))
    return {stage: found[stage] for stage in STAGES if stage in found}


def stage_facts(stage: str, path: Path) -> dict[str, Any]:
    summary = runs.read_summary(path)
    return {
        "stage": stage, "run": str(path), "seconds": summary["seconds"], "supervision": summary.get("supervision"),
        "command": "wsvs " + shlex.join(summary["overrides"]), "versions": summary.get("versions", {}),
        "commit": summary.get("git_commit"), "counts": summary["counts"],
    }


def shot_cards(path: Path, settings: DictConfig) -> Iterator[dict[str, Any]]:
    """A card for each shot or whole video, or for so many of them; the classes take turns."""
    whole = not (path / "shots.jsonl").is_file()
    rows = read_jsonl(path / ("videos.jsonl" if whole else "shots.jsonl"))
    kept = islice(_turns(rows), settings.shots)
    for row in follow(list(kept), "shots"):
        card = {
            "class": row["class"], "url": row.get("url"), "clip": _address(row["file"]), "score": row.get("score"),
            "area": None, "energy": None,
        }
        if whole:
            picture = video_picture(path, row, settings.width)
            yield card | {"shot": row["video"], "frames": row["frames"], "mask": picture}
            continue
        done = path / "done" / f"{row['shot']}.json"
        record = read_json(done) if done.is_file() else {}
        frames = max(1, len(row["areas"]))
        if "energy" in record:
            card["energy"] = round(record["energy"]["total"] / frames, 1)
        yield card | {
            "shot": row["shot"], "frames": len(row["areas"]), "area": round(sum(row["areas"]) / frames, 4),
            "mask": shot_picture(path, row, settings.width), **term_pictures(path, row["shot"], settings.width),
        }


def _address(file: str) -> str:
    return Path(file).as_uri() if Path(file).is_absolute() else file


def _turns(rows: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    by_class: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_class.setdefault(row["class"], []).append(row)
    for together in zip_longest(*by_class.values()):
        yield from (row for row in together if row is not None)


def predictions(cfg: DictConfig, settings: DictConfig) -> dict[str, list[dict[str, Any]]]:
    """Cards of the best and of the worst images of the last evaluation of images, by their own mean IoU."""
    for path in evaluations(cfg):
        scored = config_of(path)
        if scored is None or scored.evaluate.kind != "image" or not (path / "confusion.csv").is_file():
            continue
        masks, truth = Path(scored.predictions), Path(scored.truth)
        made = config_of(masks)
        if made is None or not made.input or not Path(made.input).is_dir():
            log.info("no pictures of predictions: the images of %s are not there", masks)
            break
        ids = [file.relative_to(truth).with_suffix("").as_posix() for file in sorted(truth.rglob("*.png"))]
        labels = len(table_of(path / "confusion.csv")) - 1
        scores = prediction_scores(masks, truth, follow(ids, "masks"), labels)
        order = sorted(scores, key=lambda name: (-scores[name], name))
        half = settings.images // 2
        best = order[: min(half, -(-len(order) // 2))]
        return {
            key: [
                {"id": name, "iou": round(scores[name], 4), **pictures}
                for name in names
                if (pictures := prediction_pictures(Path(made.input), masks, truth, name, settings.width))
            ]
            for key, names in (("best", best), ("worst", order[len(best) :][::-1][:half]))
        }
    return {"best": [], "worst": []}
