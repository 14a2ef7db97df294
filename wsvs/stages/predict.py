"""Stage predict: masks of any folder of images, with tags given or predicted (section 3.4)."""

from __future__ import annotations

import os
from pathlib import Path

from omegaconf import DictConfig

from wsvs.core import runs
from wsvs.core.classes import Classes
from wsvs.core.errors import UserError
from wsvs.core.tables import read_ids, read_tags
from wsvs.data.images import EXTENSIONS, find_image
from wsvs.data.work import Item
from wsvs.lit.predictor import PredictorModule
from wsvs.nets.model import load_net
from wsvs.stages._predict import predict_all
from wsvs.stages._run import Run

SECTIONS = ("predict", "input", "labels")
SOURCES = ("adapt", "decoder", "encoder")  # the last stage that is finished comes first


def needs(cfg: DictConfig) -> tuple[str, ...]:
    """The stage whose checkpoint is used."""
    if cfg.predict.checkpoint:
        return ()
    if cfg.predict.model != "auto":
        if cfg.predict.model not in SOURCES:
            raise UserError(
                f"{cfg.predict.model!r} has no checkpoint to predict with", where="predict.model",
                remedy=f"choose one of auto, {', '.join(SOURCES)}",
            )
        return (cfg.predict.model,)
    for stage in SOURCES[:2]:
        if cfg.inputs[stage] or runs.find_run(cfg.out, cfg.name, stage, debug=bool(cfg.debug)):
            return (stage,)
    return ("encoder",) if cfg.predict.method == "attention" else ("decoder",)


def run(run: Run) -> None:
    cfg, settings = run.cfg, run.cfg.predict
    checkpoint = settings.checkpoint or run.checkpoint(next(iter(run.inputs)))
    net = load_net(checkpoint, need_decoder=settings.method != "attention")
    items = list_images(cfg, Classes(net.classes))
    module = PredictorModule(
        net, method=settings.method, class_threshold=settings.class_threshold, background=settings.background,
        flip=settings.flip,
    )
    written = predict_all(run, items, module, run.dir, workers=settings.workers, scores=settings.scores)
    run.finish(
        counts={"images": len(items), "masks": len(written)}, wrote=run.dir,
        supervision=f"image tags; tags of the predicted images {'given' if cfg.labels else 'predicted'}",
    )


def list_images(cfg: DictConfig, classes: Classes) -> list[Item]:
    """Items {"id", "file", "classes"}; what cannot be predicted is an item with its reason.

    Raises:
        UserError: No folder, no image in it, or a tag that is not a class.
    """
    if not cfg.input:
        raise UserError("nothing to predict", where="input", remedy="give a folder of images: input=DIR")
    root = Path(cfg.input)
    if not root.is_dir():
        raise UserError("folder of images not found", where=f"input={cfg.input}", remedy="check the path")
    names = read_ids(cfg.predict.ids) if cfg.predict.ids else None
    tags = read_tags(cfg.labels) if cfg.labels else None
    files: dict[str, Path | None] = {}
    if names is None:
        files.update((name, find_image(root, name)) for name in tags or ())
        listed = set(files.values())  # a table may name images with their extension
        files.update((name, path) for name, path in _ids_below(root).items() if path not in listed)
    else:
        files.update((name, find_image(root, name)) for name in names)
    if not files:
        raise UserError(
            "no image in this folder", where=root, remedy=f"images end in {', '.join(EXTENSIONS)}"
        )
    items: list[Item] = []
    for name, found in sorted(files.items()) if names is None else files.items():
        if found is None:
            items.append({"id": name, "bad": f"no image file for id {name!r} in {root}"})
        elif tags is None:
            items.append({"id": name, "file": str(found), "classes": None})
        elif name not in tags:
            items.append({"id": name, "bad": f"no tags for image {name!r} in {cfg.labels}"})
        else:
            numbers = [classes.index(tag, where=f"tags of {name!r} in {cfg.labels}") for tag in tags[name]]
            items.append({"id": name, "file": str(found), "classes": numbers})
    return items


def _ids_below(root: Path) -> dict[str, Path]:
    """{id: file} of all images below a folder, hidden ones left out; an id is the path without its extension.

    Raises:
        UserError: Two images would be one mask.
    """
    seen: dict[str, Path] = {}
    for base, folders, files in os.walk(root):
        folders[:] = [folder for folder in folders if not folder.startswith(".")]
        for file in files:
            path = Path(base, file)
            if path.suffix.lower() in EXTENSIONS and not file.startswith("."):
                name = str(path.relative_to(root).with_suffix(""))
                if name in seen:
                    raise UserError(
                        f"two images would both give {name}.png", where=f"{seen[name]} and {path}",
                        remedy="rename one of them",
                    )
                seen[name] = path
    return seen
