"""Stage report: one page over all runs of a name, with pictures, that opens from disk."""

from __future__ import annotations

import csv
import logging
import shlex
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from wsvs.core import runs
from wsvs.core.errors import UserError
from wsvs.core.files import read_json, read_jsonl, write_text
from wsvs.data.images import find_image
from wsvs.nets.model import SegmentationNet, load_net
from wsvs.stages import STAGES
from wsvs.stages._report_page import page
from wsvs.stages._report_pictures import (
    prediction_pictures,
    prediction_scores,
    shot_picture,
    term_pictures,
)
from wsvs.stages._run import Run, rank
from wsvs.video.settings import SegmentSettings

log = logging.getLogger("wsvs")

NEEDS: tuple[str, ...] = ()
SECTIONS = ("report",)
WHOLE = ("shots", "terms", "images", "width")


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
        "name": cfg.name,
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
        counts={"runs": len(found), "shots": len(shots), "images": len(content["predictions"])}, wrote=target,
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


def data_flow(found: dict[str, Path]) -> list[tuple[str, str, Any]]:
    """(step, what is counted, how many), from the tagged images and the videos found to the masks used."""
    counts = {stage: runs.read_summary(path)["counts"] for stage, path in found.items()}
    rows = [
        ("found", "videos", "retrieve", "candidates"), ("downloaded", "videos", "retrieve", "retrieved"),
        ("downloaded", "frames", "retrieve", "frames"), ("relevant", "shots", "relevance", "shots"),
        ("relevant", "frames", "relevance", "relevant frames"), ("segmented", "shots", "segment", "segmented"),
        ("segmented", "frames", "segment", "frames"), ("used", "shots", "decoder", "shots"),
        ("used", "frames", "decoder", "frames"), ("tagged", "images to train on", "encoder", "train images"),
        ("used", "pseudo-labelled images", "adapt", "used for training"), ("predicted", "images", "predict", "masks"),
    ]
    return [(step, what, counts[stage][key]) for step, what, stage, key in rows if key in counts.get(stage, {})]


def curves(path: Path) -> dict[str, list[tuple[float, float]]]:
    """{metric: [(step, value)]} of the losses and the scores in metrics.csv, those of earlier starts included."""
    found: dict[str, list[tuple[float, float]]] = {}
    for file in sorted(path.glob("metrics*.csv")):
        with file.open(newline="") as stream:
            for row in csv.DictReader(stream):
                for key, value in row.items():
                    if key in ("train/loss", "val/loss", "val/map", "val/miou") and value:
                        found.setdefault(key, []).append((float(row["step"]), float(value)))
    return {key: sorted(points) for key, points in found.items()}


def evaluations(cfg: DictConfig) -> list[Path]:
    """All finished runs of stage evaluate, the last first."""
    paths = [path.parent for path in Path(cfg.out, cfg.name, "evaluate").glob(f"*/{runs.SUMMARY}")]
    kept = [path for path in paths if cfg.debug or not runs.read_summary(path).get("debug")]
    return sorted(kept, key=lambda path: -runs.read_summary(path)["finished"])


def evaluation(path: Path) -> dict[str, Any]:
    summary = runs.read_summary(path)
    return {
        "run": path.name, "counts": summary["counts"],
        "results": {key: value for key, value in summary["results"].items() if isinstance(value, int | float)},
        **{key: _table(path / f"{key}.csv") for key in ("per_class", "confusion")},
    }


def _table(path: Path) -> list[list[str]]:
    if not path.is_file():
        return []
    with path.open(newline="") as stream:
        return list(csv.reader(stream))


def shot_cards(path: Path, settings: DictConfig) -> Iterator[dict[str, Any]]:
    """A card for each shot, evenly chosen where there are more than `report.shots`; the classes take turns."""
    if not (path / "shots.jsonl").is_file():  # a run over whole videos has no shots
        return
    shots = list(_turns(read_jsonl(path / "shots.jsonl")))[: settings.shots]
    net, energy = _attention_of(path) if settings.terms else (None, None)
    for number, shot in enumerate(shots):
        done = path / "done" / f"{shot['shot']}.json"
        record = read_json(done) if done.is_file() else {}
        frames = max(1, shot["stop"] - shot["start"])
        card = {
            "shot": shot["shot"], "class": shot["class"], "score": shot["score"], "frames": frames,
            "area": round(sum(shot["areas"]) / max(1, len(shot["areas"])), 4), "url": shot["url"],
            "clip": Path(shot["file"]).as_uri() if Path(shot["file"]).is_absolute() else shot["file"],
            "energy": round(record["energy"]["total"] / frames, 1) if "energy" in record else None,
            "mask": shot_picture(path, shot, settings.width),
        }
        if net is not None and energy is not None and number < settings.terms:
            card |= term_pictures(shot, net, energy, settings.width)
        yield card


def _turns(shots: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    by_class: dict[str, list[dict[str, Any]]] = {}
    for shot in shots:
        by_class.setdefault(shot["class"], []).append(shot)
    for together in zip_longest(*by_class.values()):
        yield from (shot for shot in together if shot is not None)


def _attention_of(path: Path) -> tuple[SegmentationNet | None, SegmentSettings | None]:
    """The encoder that a segment run has used and its settings, if both are still there."""
    encoder = runs.read_summary(path)["inputs"].get("encoder")
    config = path / ".hydra" / "config.yaml"
    checkpoint = Path(encoder or "", "checkpoints", "best.ckpt")
    if encoder is None or not checkpoint.is_file() or not config.is_file():
        return None, None
    cfg = OmegaConf.load(config)
    known = {key: value for key, value in cfg.segment.items() if key in SegmentSettings.__dataclass_fields__}
    return load_net(checkpoint), SegmentSettings(seed=cfg.seed, **known)


def predictions(cfg: DictConfig, settings: DictConfig) -> list[dict[str, Any]]:
    """The best and the worst images of the last evaluation of images, by their own mean IoU."""
    for path in evaluations(cfg):
        config = path / ".hydra" / "config.yaml"
        scored = OmegaConf.load(config) if config.is_file() else None
        if scored is None or scored.evaluate.kind != "image" or not (path / "confusion.csv").is_file():
            continue
        masks, truth = Path(scored.predictions), Path(scored.truth)
        source = masks / ".hydra" / "config.yaml"
        root = OmegaConf.load(source).input if source.is_file() else None
        if not root or not Path(root).is_dir():
            log.info("no pictures of predictions: the images of %s are not there", masks)
            return []
        ids = [file.relative_to(truth).with_suffix("").as_posix() for file in sorted(truth.rglob("*.png"))]
        scores = prediction_scores(masks, truth, ids, len(_table(path / "confusion.csv")) - 1)
        order = sorted(scores, key=lambda name: (-scores[name], name))
        half = settings.images // 2
        chosen = order if len(order) <= 2 * half else order[:half] + order[len(order) - half :]
        cards = []
        for name in chosen:
            image = find_image(Path(root), name)
            pictures = prediction_pictures(image, masks, truth, name, settings.width) if image else {}
            if image and pictures:
                cards.append({"id": name, "iou": round(scores[name], 4), "file": image.absolute().as_uri(), **pictures})
        return cards
    return []
