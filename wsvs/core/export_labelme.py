"""labelme and X-AnyLabeling: a JSON file beside each image."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from wsvs.core.errors import UserError
from wsvs.core.export_common import BAD, LABELS, Labels, Masks, Progress, Read, blank, checked, name_of, write_labels
from wsvs.core.export_objects import How
from wsvs.core.export_polygons import fill
from wsvs.core.files import files_below, read_json, read_text, write_json, write_text

_VERSION = "5.5.0"  # of labelme: the form of the file
_AREAS = ("polygon", "rectangle", "mask")
LIST = "images.txt"


def write_labelme(out: Path, masks: Masks, names: Sequence[str], how: How | None = None) -> int:
    """<id>.json, one polygon for each connected part; those of one object have one group_id. Also labels.txt.

    The image is looked for beside its file. images.txt lists the ids, so that files of an earlier export are not read.
    """
    how = how or How()
    ids = []
    for name, mask in masks:
        shapes: list[dict[str, Any]] = []
        for group, one in enumerate(how.of(name, mask), 1):
            together = one.track or (group if len(one.parts) > 1 else None)
            shapes += [
                {
                    "label": name_of(one.label, names),
                    "points": polygon.tolist(),
                    "group_id": together,
                    "description": "",
                    "shape_type": "polygon",
                    "flags": {},
                }
                for polygon in how.polygons(one)
            ]
        write_json(
            out / f"{name}.json",
            {
                "version": _VERSION,
                "flags": {},
                "shapes": shapes,
                "imagePath": Path(how.file(name)).name,
                "imageData": None,
                "imageHeight": mask.shape[0],
                "imageWidth": mask.shape[1],
            },
        )
        ids.append(name)
    write_text(out / LIST, "".join(f"{name}\n" for name in ids))
    write_labels(out, names)
    return len(ids)


def read_labelme(path: Path, progress: Progress = iter, names: Sequence[str] | None = None) -> Read:
    """Masks of the polygons, rectangles and masks in the files of images.txt, without it in all JSON files of a folder.

    A later shape covers an earlier one; lines, points and circles are left out.

    Raises:
        UserError: No such file, one of another form, or a class without a label.
    """
    if (path / LIST).is_file():
        seen: set[str] = set()
        listed = enumerate(read_text(path / LIST).split("\n"), 1)
        files = [path / f"{checked(name, seen, f'{path / LIST}:{number}')}.json" for number, name in listed if name]
    else:
        files = sorted(file for file in files_below(path) if file.suffix == ".json")
    if not files:
        raise UserError("no JSON file in this folder", where=path, remedy="give the folder with labelme's files")
    labels = Labels(path, names, [] if names or (path / LABELS).is_file() else _classes(files))
    for file in progress(files):
        yield file.relative_to(path).with_suffix("").as_posix(), _mask(file, path, names, labels)


def _mask(file: Path, root: Path, names: Sequence[str] | None, labels: Labels) -> np.ndarray:
    content = read_json(file)
    try:
        shapes = [shape for shape in content["shapes"] if shape.get("shape_type", "polygon") in _AREAS]
        mask = blank(content["imageHeight"], content["imageWidth"])
        labels.require({shape["label"] for shape in shapes})
        for shape in shapes:
            _draw(mask, shape, labels[shape["label"]])
        return mask
    except BAD as error:
        raise UserError(
            f"not a file of labelme: {type(error).__name__} {error}",
            where=file,
            remedy="it needs imageHeight, imageWidth and shapes (label, points)",
        ) from error


def _classes(files: Sequence[Path]) -> set[str]:
    """The class names in files of labelme; files of another form are reported later, by `_mask`."""
    found: set[str] = set()
    for file in files:
        content = read_json(file)
        shapes = content.get("shapes", ()) if isinstance(content, dict) else ()
        found |= {str(shape.get("label")) for shape in shapes if isinstance(shape, dict)}
    return found


def _draw(mask: np.ndarray, shape: dict[str, Any], label: int) -> None:
    points = np.array(shape["points"], np.float64).reshape(-1, 2)
    kind = shape.get("shape_type", "polygon")
    if kind == "mask":
        with Image.open(BytesIO(base64.b64decode(shape["mask"]))) as image:
            inside = np.asarray(image.convert("L")) > 0
        left, top = np.rint(points[0]).astype(int).tolist()
        if left < 0 or top < 0:
            raise ValueError(f"a mask begins outside the image, at {left}, {top}")
        place = mask[top : top + inside.shape[0], left : left + inside.shape[1]]
        place[inside[: place.shape[0], : place.shape[1]]] = label
        return
    if kind == "rectangle" and len(points) == 2:  # X-AnyLabeling has all four corners
        (x0, y0), (x1, y1) = points
        points = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
    fill(mask, points, label)
