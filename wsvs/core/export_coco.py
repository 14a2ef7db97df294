"""MS COCO: annotations.json with run lengths or polygons."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from wsvs.core import export_rle
from wsvs.core.classes import IGNORE
from wsvs.core.errors import UserError
from wsvs.core.export_common import BAD, VOID, Labels, Masks, Progress, Read, blank, checked, stem
from wsvs.core.export_objects import How, Object
from wsvs.core.export_polygons import fill
from wsvs.core.files import atomic_path, read_json

ANNOTATIONS = "annotations.json"


def write_coco(out: Path, masks: Masks, names: Sequence[str], how: How | None = None) -> int:
    """Write annotations.json in the format of MS COCO: one annotation for each object of an image.

    `category_id` is the label; 255 is written as the category 'void'. An id that cannot be derived from the file name
    is stored as "mask_id", a track of a video as "track_id". Run lengths, unless `how.shapes` is "polygons".
    """
    how = how or How()
    images: list[dict[str, Any]] = []
    number, void = 0, False
    with atomic_path(out / ANNOTATIONS) as temporary, temporary.open("w", encoding="utf-8") as stream:
        stream.write('{"annotations": [')
        for name, mask in masks:
            height, width = mask.shape
            file = how.file(name)
            image = {"id": len(images) + 1, "file_name": file, "height": height, "width": width}
            images.append(image if stem(file) == name else image | {"mask_id": name})
            for one in how.of(name, mask):
                void |= one.label == IGNORE
                number += 1
                stream.write("\n" if number == 1 else ",\n")
                json.dump(_annotation(number, len(images), one, how), stream)
        labels = {label: name for label, name in enumerate(names) if label} | ({IGNORE: VOID} if void else {})
        categories = [{"id": label, "name": name, "supercategory": "object"} for label, name in labels.items()]
        stream.write(f'],\n"categories": {json.dumps(categories)},\n"images": {json.dumps(images)}}}\n')
    return len(images)


def _annotation(number: int, image: int, one: Object, how: How) -> dict[str, Any]:
    segmentation: Any
    if how.shapes == "polygons":
        segmentation = [polygon.ravel().tolist() for polygon in how.polygons(one)]
    else:
        segmentation = {"size": list(one.shape), "counts": export_rle.encode(one.mask())}
    return {
        "id": number,
        "image_id": image,
        "category_id": one.label,
        "iscrowd": 0,
        "area": one.area,
        "bbox": list(one.box),
        "segmentation": segmentation,
        **({"track_id": one.track} if one.track else {}),
    }


def read_coco(path: Path, progress: Progress = iter, names: Sequence[str] | None = None) -> Read:
    """Masks of a COCO file, run lengths or polygons; later annotations are drawn over earlier ones.

    With `names`, of the labels 0, 1, ..., categories are known by their names, else by their ids.

    Raises:
        UserError: Not a COCO file, or an image whose mask would be outside the folder or overwrite another.
    """
    path = path / ANNOTATIONS if path.is_dir() else path
    content = read_json(path)
    seen: set[str] = set()
    try:
        labels: dict[Any, int] | None = None
        if names:
            categories = {one["id"]: one["name"] for one in content["categories"]}
            known = Labels(path.parent, names, categories.values())
            labels = {number: known[name] for number, name in categories.items()}
        parts: dict[int, list[dict[str, Any]]] = {}
        for annotation in content["annotations"]:
            parts.setdefault(annotation["image_id"], []).append(annotation)
        for number, image in enumerate(progress(content["images"])):
            where = f"{path}: images[{number}], file_name {image['file_name']!r}"
            name = checked(image.get("mask_id") or stem(image["file_name"]), seen, where)
            mask = blank(image["height"], image["width"])
            for annotation in parts.get(image["id"], ()):
                label = annotation["category_id"] if labels is None else labels[annotation["category_id"]]
                if label not in range(1, IGNORE + 1):
                    raise ValueError(f"category_id {label!r}")
                mask[_area(annotation["segmentation"], *mask.shape)] = label
            yield name, mask
    except BAD as error:
        raise UserError(
            f"not a file of COCO masks: {type(error).__name__} {error}",
            where=path,
            remedy="it needs images (id, file_name, height, width) and annotations (image_id, category_id from 1 to "
            "255, segmentation)",
        ) from error


def _area(segmentation: Any, height: int, width: int) -> np.ndarray:
    if isinstance(segmentation, dict):
        return export_rle.decode(segmentation["counts"], height, width)
    area = np.zeros((height, width), bool)
    for polygon in segmentation:
        fill(area, np.reshape(polygon, (-1, 2)), True)
    return area
