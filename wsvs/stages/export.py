"""Stage export: masks in the files of other tools (VOC, COCO, YOLO, DAVIS), and back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from omegaconf import DictConfig

from wsvs.core.classes import BACKGROUND, IGNORE
from wsvs.core.errors import BadItem, UserError
from wsvs.core.export import READ, WRITE
from wsvs.core.files import read_json
from wsvs.core.masks import read_mask, write_mask
from wsvs.core.progress import follow
from wsvs.core.runs import NOT_MASKS, require_run
from wsvs.nets.model import read_checkpoint
from wsvs.stages._run import INPUTS, Run, rank

NEEDS: tuple[str, ...] = ()
SECTIONS = ("export", "predictions")


def run(run: Run) -> None:
    cfg, settings = run.cfg, run.cfg.export
    if rank() != 0:
        return
    if settings.format not in WRITE:
        raise UserError(
            f"export.format must be one of {', '.join(WRITE)}, got {settings.format!r}", where="export.format",
            remedy="choose one of them",
        )
    out = Path(settings.out or run.dir)
    if settings.reverse:
        if not cfg.predictions:
            raise UserError("nothing to read", where="predictions", remedy="give the exported files: predictions=PATH")
        count, read = 0, READ[settings.format](Path(cfg.predictions))
        for count, (name, mask) in enumerate(follow(read, "masks"), 1):  # noqa: B007
            write_mask(out / f"{name}.png", mask)
    else:
        folder = source_of(cfg)
        names = list(settings.names) if settings.names else label_names(folder)
        count = WRITE[settings.format](out, read_masks(run, folder, len(names)), names)
    run.finish(counts={"masks": count, "format": settings.format}, wrote=out)


def source_of(cfg: DictConfig) -> Path:
    """The folder or run that is named, else the last finished run of predict, for DAVIS of segment."""
    if cfg.predictions:
        if not Path(cfg.predictions).is_dir():
            where = f"predictions={cfg.predictions}"
            raise UserError("folder of masks not found", where=where, remedy="check the path")
        return Path(cfg.predictions)
    stage = "segment" if cfg.export.format == "davis" else "predict"
    return require_run(cfg.out, cfg.name, stage, cfg.inputs.get(stage), debug=bool(cfg.debug))


def read_masks(run: Run, folder: Path, labels: int) -> Iterator[tuple[str, np.ndarray]]:
    """(id, mask) of every mask in a folder or run, in the order of the ids; unreadable ones are passed over.

    Raises:
        UserError: There is none, or one holds a label that has no name.
    """
    root = folder / "masks" if (folder / "masks").is_dir() else folder
    files = [path for path in sorted(root.rglob("*.png")) if _is_mask(path.relative_to(root))]
    if not files:
        raise UserError("no mask in this folder", where=root, remedy="masks are PNG files")
    for path in follow(files, "masks"):
        try:
            mask = read_mask(path)
        except BadItem as error:
            run.skip(str(path.relative_to(root)), error.message)
            continue
        highest = int(mask[mask != IGNORE].max(initial=0))
        if highest >= labels:
            raise UserError(
                f"label {highest} has no name", where=path, remedy="give all names: export.names=[background,cat,...]"
            )
        yield path.relative_to(root).with_suffix("").as_posix(), mask


def _is_mask(path: Path) -> bool:
    return path.parts[0] not in NOT_MASKS and not any(part.startswith(".") for part in path.parts)


def label_names(folder: Path) -> list[str]:
    """Names of the labels 0, 1, ...: those of the network that made the masks. Raises `UserError` if none is known."""
    inputs = read_json(folder / INPUTS) if (folder / INPUTS).is_file() else {}
    for run in inputs.values():
        checkpoint = Path(run, "checkpoints", "best.ckpt")
        if checkpoint.is_file():
            return [BACKGROUND, *read_checkpoint(checkpoint)["hyper_parameters"]["net"]["classes"]]
    labels = folder / "labels.txt"
    if labels.is_file():
        return labels.read_text(encoding="utf-8").splitlines()
    raise UserError(
        "the names of the classes are not known", where=folder, remedy="give them: export.names=[background,cat,dog]"
    )
