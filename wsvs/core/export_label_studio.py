"""Label Studio: tasks with predicted polygons, and the labelling interface for them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.sax.saxutils import quoteattr

import numpy as np

from wsvs.core.classes import IGNORE, voc_palette
from wsvs.core.errors import UserError
from wsvs.core.export_common import (
    BAD,
    VOID,
    Labels,
    Masks,
    Progress,
    Read,
    blank,
    checked,
    name_of,
    stem,
    write_labels,
)
from wsvs.core.export_objects import How
from wsvs.core.export_polygons import fill
from wsvs.core.files import atomic_path, read_json, write_text

TASKS = "tasks.json"
CONFIG = "config.xml"
LOCAL = "/data/local-files/?d="  # how Label Studio names the files of a local storage


def write_label_studio(out: Path, masks: Masks, names: Sequence[str], how: How | None = None) -> int:
    """tasks.json: a polygon for each connected part, as predictions; config.xml and labels.txt.

    The points are in per cent of the image's sides. The task's data has the id as "mask_id" and the size.
    """
    how = how or How()
    count = 0
    with atomic_path(out / TASKS) as temporary, temporary.open("w", encoding="utf-8") as stream:
        stream.write("[")
        for name, mask in masks:
            height, width = mask.shape
            common = {"from_name": "label", "to_name": "image", "type": "polygonlabels", "image_rotation": 0}
            size = {"original_width": width, "original_height": height}
            result: list[dict[str, Any]] = []
            for one in how.of(name, mask):
                meta = {"meta": {"text": [f"track {one.track}"]}} if one.track else {}
                for polygon in how.polygons(one):
                    points = (100 * polygon / (width, height)).round(8).tolist()
                    labels = [name_of(one.label, names)]
                    value = {"points": points, "closed": True, "polygonlabels": labels}
                    result.append({"id": f"{count}-{len(result)}", **common, **size, **meta, "value": value})
            image = LOCAL + quote(how.file(name), errors="surrogateescape")
            data = {"image": image, "mask_id": name, "height": height, "width": width}
            task = {"data": data, "predictions": [{"model_version": "wsvs", "result": result}]}
            stream.write("\n" if count == 0 else ",\n")
            json.dump(task, stream)
            count += 1
        stream.write("\n]\n")
    write_text(out / CONFIG, _config(names))
    write_labels(out, names)
    return count


def _config(names: Sequence[str]) -> str:
    labels = [*enumerate(names[1:], 1), (IGNORE, VOID)]
    listed = "".join(
        f'    <Label value={quoteattr(name)} background="#{bytes(voc_palette()[label].tolist()).hex()}"/>\n'
        for label, name in labels
    )
    polygons = f'  <PolygonLabels name="label" toName="image">\n{listed}  </PolygonLabels>\n'
    return f'<View>\n  <Image name="image" value="$image"/>\n{polygons}</View>\n'


def read_label_studio(path: Path, progress: Progress = iter, names: Sequence[str] | None = None) -> Read:
    """Masks of the polygons of each task: of its last annotation, without one of its last prediction.

    A later polygon covers an earlier one. Tasks without polygons and sizes in their data are left out.

    Raises:
        UserError: Not such a file, a class without a label, or two tasks of one image.
    """
    path = path / TASKS if path.is_dir() else path
    content = read_json(path)
    seen: set[str] = set()
    try:
        results = [_result(task) for task in content]
        found = {name for result in results for one in result for name in one["value"]["polygonlabels"][:1]}
        labels = Labels(path.parent, names, found)
        for number, task in enumerate(progress(content)):
            data, result = task["data"], results[number]
            where = f"{path}: task {number}, {data['image']!r}"
            sizes = [(one["original_height"], one["original_width"]) for one in result[:1]]
            if not sizes and "height" not in data:
                continue  # nothing was drawn, and no one says how large the image is
            mask = blank(*(sizes[0] if sizes else (data["height"], data["width"])))
            name = checked(data.get("mask_id") or _image(data["image"]), seen, where)
            for one in result:
                points = np.array(one["value"]["points"], np.float64) / 100 * mask.shape[::-1]
                fill(mask, points, labels[one["value"]["polygonlabels"][0]])
            yield name, mask
    except BAD as error:
        raise UserError(
            f"not a file of Label Studio: {type(error).__name__} {error}",
            where=path,
            remedy="export the project from Label Studio as JSON (not JSON-MIN)",
        ) from error


def _result(task: dict[str, Any]) -> list[dict[str, Any]]:
    done = [one for one in task.get("annotations", ()) if not one.get("was_cancelled")]
    last = (done or task.get("predictions") or [{"result": []}])[-1]
    return [one for one in last["result"] if one["type"] == "polygonlabels"]


def _image(address: str) -> str:
    """The id of an image that Label Studio names by an address."""
    parts = urlsplit(address)
    return stem(parse_qs(parts.query).get("d", [unquote(parts.path)])[0].lstrip("/"))
