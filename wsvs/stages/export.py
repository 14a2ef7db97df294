"""Stage export: convert masks to the formats of other tools, and back; the model itself as a file."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from wsvs.config.results import ExportSettings
from wsvs.config.stages import PredictSettings
from wsvs.core.classes import BACKGROUND, IGNORE
from wsvs.core.errors import BadItem, UserError
from wsvs.core.files import explain_os_error, read_json, read_text
from wsvs.core.masks import read_mask, write_mask
from wsvs.core.progress import follow
from wsvs.core.runs import INSTANCES, Home
from wsvs.data.images import find_image
from wsvs.engine.choose import network_stage
from wsvs.engine.run import INPUTS, Run
from wsvs.engine.stage import Stage
from wsvs.records.predicted import Masks, masks_of

if TYPE_CHECKING:
    from wsvs.core.export import How

log = logging.getLogger("wsvs")

MASKS = partial(follow, unit="masks")
WITH_FILES = ("coco", "labelme", "label_studio", "cvat")  # formats that say which file the image is
MODELS = ("onnx", "torch_export")  # formats of the model itself


@dataclass(frozen=True)
class Settings:
    export: ExportSettings
    predict: PredictSettings
    predictions: str | None
    input: str | None


def needs(settings: Settings, home: Home) -> tuple[str, ...]:
    """The stage whose checkpoint is exported; masks are found later."""
    return network_stage(settings.predict, home) if settings.export.format in MODELS else ()


def run(run: Run[Settings]) -> None:
    if run.settings.export.format in MODELS:
        run_model(run)
    else:
        run_masks(run)


def run_model(run: Run[Settings]) -> None:
    """Write the model itself."""
    settings = run.settings.export
    given = {
        "export.reverse": settings.reverse,
        "export.names": settings.names,
        "predictions": run.settings.predictions,
    }
    if wrong := [key for key, value in given.items() if value]:
        raise UserError(
            f"{settings.format} holds a model, not masks",
            where=wrong[0],
            remedy=f"leave {wrong[0]} out; export.classes chooses the model's classes, predict.checkpoint its file",
        )
    from wsvs.engine.deploy import export_model

    out = Path(settings.out or run.dir)
    make_writable(out, "export.out" if settings.out else "out")
    export_model(run, settings, run.settings.predict, out)


def run_masks(run: Run[Settings]) -> None:
    """Write masks in another format, or read them."""
    from wsvs.core.export import READ, WRITE, require_lines

    settings, predictions = run.settings.export, run.settings.predictions
    out = Path(settings.out or run.dir)
    results: dict[str, Any] = {}
    if settings.reverse:
        if not predictions:
            raise UserError("nothing to read", where="predictions", remedy="give the exported files: predictions=PATH")
        make_writable(out, "export.out" if settings.out else "out")
        count = 0
        names = list(settings.names) if settings.names else None
        for count, (name, mask) in enumerate(READ[settings.format](Path(predictions), MASKS, names), 1):  # noqa: B007
            write_mask(out / f"{name}.png", mask)
    else:
        how = how_of(settings)
        folder = source_of(run.settings, run.home)
        labels = list(settings.names) if settings.names else label_names(folder)
        found = masks_of(folder)
        require_lines(settings.format, found.files, found.root)
        if settings.objects == "track":
            how.tracks = partial(read_track, track_folder(folder))
        make_writable(out, "export.out" if settings.out else "out")
        if settings.format in WITH_FILES:
            how.files = image_files(found.files, run.settings.input)
        count = WRITE[settings.format](out, read_masks(run, found, len(labels)), labels, how)
        results = how.errors.results()
    run.finish(counts={"masks": count, "format": settings.format}, results=results, wrote=out)


def how_of(settings: ExportSettings) -> How:
    """How masks become objects. Raises `UserError` for what the format cannot hold."""
    from wsvs.core.export import OBJECTS_OF, SHAPES, How

    kind, shapes = settings.format, SHAPES.get(settings.format, ("polygons",))
    chosen = shapes[0] if settings.shapes == "auto" else settings.shapes
    if chosen not in shapes:
        raise UserError(f"{kind} files have no {chosen}", where="export.shapes", remedy=f"export.shapes={shapes[0]}")
    if settings.tolerance and chosen != "polygons":
        raise UserError(
            f"there are no polygons to simplify: {kind} is written as masks",
            where="export.tolerance",
            remedy="export.shapes=polygons" if "polygons" in shapes else "export.tolerance=0, or another export.format",
        )
    possible = OBJECTS_OF.get(kind, (settings.objects,))
    if settings.objects not in possible:
        raise UserError(
            f"{kind} files have no objects of the kind {settings.objects!r}",
            where="export.objects",
            remedy=f"export.objects={possible[-1]}, or another export.format, such as coco",
        )
    return How(settings.objects, chosen, settings.tolerance, settings.min_area)


def track_folder(folder: Path) -> Path:
    """The masks of track ids of a segment run. Raises `UserError` if it has none."""
    if not (folder / INSTANCES).is_dir():
        raise UserError(
            "these masks have no tracks",
            where=folder,
            remedy="segment the videos with segment.instances=true, or choose export.objects=part",
        )
    return folder / INSTANCES


def read_track(root: Path, name: str) -> np.ndarray | None:
    """Track ids of a mask, if there is a file of them."""
    path = root / f"{name}.png"
    return read_mask(path) if path.is_file() else None


def make_writable(out: Path, key: str) -> None:
    """Create the folder of a setting if it does not exist. Raises `UserError` if it is not writable."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=out).close()
    except OSError as error:
        raise explain_os_error(error, out, key) from error


def source_of(settings: Settings, home: Home) -> Path:
    """The given folder or run, else the last finished run of stage predict (segment for DAVIS and tracks)."""
    if settings.predictions:
        return Path(settings.predictions)
    videos = settings.export.format == "davis" or settings.export.objects == "track"
    return home.require("segment" if videos else "predict")


def read_masks(run: Run[Settings], found: Masks, labels: int) -> Iterator[tuple[str, np.ndarray]]:
    """(id, mask) of all masks; unreadable ones are skipped.

    Raises:
        UserError: There is no mask, or one has a label without a name.
    """
    if not found.files:
        raise UserError("no mask in this folder", where=found.root, remedy="masks are PNG files")
    for name in MASKS(list(found.files)):
        path = found.find(name)
        try:
            mask = read_mask(path)
        except BadItem as error:
            run.skip(f"{name}.png", error.message)
            continue
        highest = int(mask[mask != IGNORE].max(initial=0))
        if highest >= labels:
            raise UserError(
                f"label {highest} has no name", where=path, remedy="give all names: export.names=[background,cat,...]"
            )
        yield name, mask


def image_files(names: Mapping[str, str | None], given: str | None) -> dict[str, str]:
    """{id: file name of its image}, recorded by the run, else found in the folder `given`."""
    files = {}
    for name, file in names.items():
        if file is None and given and (found := find_image(Path(given), name)):
            file = Path(name).with_name(found.name).as_posix()
        if file is not None:
            files[name] = file
    if len(files) < len(names):
        log.info(
            "masks whose image is unknown: %d of %d; their file_name is <id>.jpg; input=DIR names the folder of images",
            len(names) - len(files),
            len(names),
        )
    return files


def label_names(folder: Path) -> list[str]:
    """Names of the labels 0, 1, ... of the network that made the masks. Raises `UserError` if they are unknown."""
    inputs = read_json(folder / INPUTS) if (folder / INPUTS).is_file() else {}
    for run in inputs.values():
        checkpoint = Path(run, "checkpoints", "best.ckpt")
        if checkpoint.is_file():
            from wsvs.nets.model import read_checkpoint

            return [BACKGROUND, *read_checkpoint(checkpoint)["hyper_parameters"]["net"]["classes"]]
    labels = folder / "labels.txt"
    if labels.is_file():
        return read_text(labels).splitlines()
    raise UserError("the class names are unknown", where=folder, remedy="give them: export.names=[background,cat,dog]")


STAGE = Stage("export", Settings, run, needs=needs, paths=("predictions", "input", "predict.checkpoint"), ranks="first")
