"""Tags in files of annotation tools: COCO, Label Studio, CVAT, and json in the formats of pandas."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from wsvs.core.errors import UserError
from wsvs.core.tag_cells import labels_of, read_cells
from wsvs.core.tag_columns import HELP, Entries, Row, read_columns

_ID_KEYS = ("id", "image", "img", "image_id", "filename", "file_name", "file", "path", "name")
_IMAGE = re.compile(r"\.(jpe?g|png|webp|bmp|tiff?|gif)$", re.IGNORECASE)
_VOID = ("void", 255)  # written by stage export for pixels without a class


def read_json_text(text: str, path: Path, known: Collection[str] = ()) -> Entries:
    """Tags of a json file, or of one with one object per line.

    Raises:
        UserError: Not JSON, a duplicate key, or an unsupported format.
    """
    if path.suffix.lower() in (".jsonl", ".ndjson"):
        lines = [(f"{path}:{number}", line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
        return _records([(where, _load(line, where)) for where, line in lines], path, known)
    content = _load(text, path)
    if isinstance(content, list) and content and all(isinstance(one, dict) for one in content):
        if any(isinstance(one.get("data"), dict) and {"annotations", "completions"} & set(one) for one in content):
            return read_label_studio(content, path, known)
        rows = [(f"{path}, entry {number}", one) for number, one in enumerate(content, 1)]
        return _records(rows, path, known)
    if not isinstance(content, dict):
        raise UserError("a json table must be an object", where=path, remedy=HELP)
    if isinstance(content.get("images"), list):
        return read_coco(content, path)
    if {"shapes", "imagePath"} <= set(content) or "_via_img_metadata" in content:
        raise _refused("LabelMe" if "shapes" in content else "VGG Image Annotator", path)
    values = list(content.values())
    if set(content) >= {"columns", "data"} and isinstance(content["data"], list):  # pandas, orient="split"
        cells = [(f"{path}, row {number}", list(map(_cell, row))) for number, row in enumerate(content["data"], 1)]
        return _said(read_columns(list(map(str, content["columns"])), cells, str(path), known), "json of pandas")
    if values and all(isinstance(value, dict) for value in values):
        return _nested(content, path, known)
    return _plain(content, path, known)


def _load(text: str, where: Path | str) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        twice = [key for key, count in Counter(key for key, _ in pairs).items() if count > 1]
        if twice:
            raise UserError(f"id {twice[0]!r} is in the table twice", where=where, remedy="merge the two")
        return dict(pairs)

    try:
        return json.loads(text, object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        raise UserError(f"not JSON: {error}", where=where, remedy=HELP) from error


def _refused(tool: str, path: Path) -> UserError:
    return UserError(
        f"files of {tool} are not supported",
        where=path,
        remedy="export as COCO, Pascal VOC (a folder of XML files) or a csv table of images and tags",
    )


def _said(found: Entries, kind: str) -> Entries:
    found.format = f"{kind}, {found.format}"
    return found


def _cell(value: Any) -> str:
    """A value as a cell of a table; lists as JSON."""
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False)
    return "" if value is None else str(value)


def _records(rows: Sequence[tuple[str, Any]], path: Path, known: Collection[str]) -> Entries:
    """A list of objects with an image and its tags: `to_json(orient="records")`, JSON lines, JSON-MIN."""
    wrong = next((where for where, row in rows if not isinstance(row, dict)), None)
    if wrong is not None:
        raise UserError("not an object with an image and its tags", where=wrong, remedy=HELP)
    keys = list(dict.fromkeys(key for _, row in rows for key in row))
    if "region_attributes" in keys or "shapes" in keys:
        raise _refused("VGG Image Annotator" if "region_attributes" in keys else "LabelMe", path)
    names = [key for key in keys if key.casefold() in _ID_KEYS and not _counter(rows, key)]
    found = (names or keys or [""])[0]
    heading = [found, *(key for key in keys if key != found)]
    cells: list[Row] = [(where, [_cell(row.get(key)) for key in heading]) for where, row in rows]
    return _said(read_columns(heading, cells, str(path), known), "JSON records")


def _counter(rows: Sequence[tuple[str, Any]], key: str) -> bool:
    return all(isinstance(row.get(key), int) for _, row in rows)


def _nested(content: Mapping[str, Any], path: Path, known: Collection[str]) -> Entries:
    """An object of objects: {id: {class: 1, ...}}, or {column: {row: value}}, the default of pandas."""
    values = list(content.values())
    if any("regions" in value and "filename" in value for value in values):
        raise _refused("VGG Image Annotator", path)
    keys = list(dict.fromkeys(key for value in values for key in value))
    if any(key.casefold() in _ID_KEYS for key in content) and all(list(value) == keys for value in values):
        rows: list[Row] = [(f"{path}, row {key}", [_cell(value[key]) for value in values]) for key in keys]
        return _said(read_columns(list(content), rows, str(path), known), "json of pandas")
    rows = [(f"{path}, {name!r}", [name, *(_cell(value.get(key)) for key in keys)]) for name, value in content.items()]
    return _said(read_columns(["id", *keys], rows, str(path), known), "JSON object")


def _plain(content: Mapping[str, Any], path: Path, known: Collection[str]) -> Entries:
    """{id: [tags]} or {id: "tag,tag"}; or {class: [files]}."""
    for name, tags in content.items():
        inner = [part for part in tags if isinstance(part, list | dict)] if isinstance(tags, list) else []
        if inner or not isinstance(tags, str | list):
            raise UserError(f"tags of {name!r} must be a list or a string", where=path, remedy=HELP)
    if content and all(_are_images(value) and not _IMAGE.search(key) for key, value in content.items()):
        found = Entries("JSON object of classes and their images", single=True)
        found.rows = [(f"{path}, {name!r}", image, (name,)) for name, images in content.items() for image in images]
        return found
    cells = [(f"{path}:{line}", _cell(tags)) for line, tags in enumerate(content.values(), 1)]
    read = read_cells(cells, known)
    said = ["JSON object of ids and tags", *(kind for kind in read.kinds if kind != "JSON lists")]
    rows = [(where, name, tags) for (where, _), name, tags in zip(cells, content, read.tags, strict=True)]
    return Entries(", ".join(said), rows)


def _are_images(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, str) and _IMAGE.search(v) for v in value)


def read_coco(content: Mapping[str, Any], path: Path) -> Entries:
    """The categories of each image's annotations; an image without annotations has no tags.

    Raises:
        UserError: An image or a category that is not in the file, or captions, which have no categories.
    """
    found = Entries("COCO instances")
    try:
        names = {one["id"]: str(one["name"]) for one in content.get("categories") or ()}
        files = {one["id"]: _coco_file(one) for one in content["images"]}
        tags: dict[Any, list[str]] = {number: [] for number in files}
        if content.get("annotations") and not names:
            raise UserError(
                "a COCO file without categories, such as of captions",
                where=path,
                remedy="give the file of instances, which has categories",
            )
        for one in content.get("annotations") or ():
            parts = one.get("segments_info") or [one]  # of a panoptic file
            for part in parts:
                if (names[part["category_id"]], part["category_id"]) != _VOID:
                    tags[one["image_id"]].append(names[part["category_id"]])
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"an incomplete COCO file: {type(error).__name__} {error}",
            where=path,
            remedy='every image needs "id" and "file_name", every annotation the "image_id" and "category_id" of '
            "listed ones",
        ) from error
    for number, name in files.items():
        found.rows.append((f"{path}, image {number}", name, tuple(dict.fromkeys(tags[number]))))
    _note_without(found)
    unused = sorted(set(names.values()) - {tag for some in tags.values() for tag in some} - {_VOID[0]})
    if unused:
        shown = ", ".join(unused[:10]) + (" ..." if len(unused) > 10 else "")
        found.notes.append(f"categories without an image ({len(unused)}): {shown}")
    return found


def _coco_file(image: Mapping[str, Any]) -> str:
    return str(image["file_name"] if "file_name" in image else Path(image["coco_url"]).name)


def _note_without(found: Entries) -> None:
    count = sum(not tags for _, _, tags in found.rows)
    if count:
        found.notes.append(f"images without annotations, read as without tags: {count}")


def read_label_studio(tasks: Sequence[Mapping[str, Any]], path: Path, known: Collection[str]) -> Entries:
    """Choices and labels (of boxes, polygons, brushes, ...) of every annotated task.

    Skipped annotations are ignored; if one is marked as ground truth, only that one counts.

    Raises:
        UserError: Annotators disagree, or there are choices of several questions and it is unclear which are tags.
    """
    found, without = Entries("Label Studio export"), 0
    differ: list[str] = []
    controls: dict[str, set[str]] = {}
    for number, task in enumerate(tasks, 1):
        given = [one for one in task.get("annotations", task.get("completions")) or () if not one.get("was_cancelled")]
        given = [one for one in given if one.get("ground_truth")] or given
        name = _label_studio_file(task, f"{path}, task {number}")
        if not given:
            without += 1
            continue
        answers = []
        for one in given:
            labels: list[str] = []
            for result in one.get("result") or ():
                some = labels_of(result.get("value") or {})
                labels += some
                if some:
                    kind = "choices" if result.get("type") == "choices" else "labels"
                    control = result.get("from_name", "") if kind == "choices" else "labels"
                    controls.setdefault(control, set()).update(some)
            answers.append(tuple(dict.fromkeys(labels)))
        if len({frozenset(answer) for answer in answers}) > 1:
            differ.append(f"{name} ({' / '.join(','.join(answer) or 'nothing' for answer in answers)})")
        found.rows.append((f"{path}, task {number}", name, answers[0]))
    if differ:
        raise UserError(
            f"Label Studio: images on which annotators disagree: {len(differ)}, first {differ[0]}",
            where=path,
            remedy="mark the right annotation as ground truth, or delete the others, and export again",
        )
    foreign = {control for control, labels in controls.items() if not labels & set(known)} if known else set()
    if len(controls) - len(foreign) > 1:
        said = "; ".join(f"{control}: {', '.join(sorted(labels)[:3])}" for control, labels in controls.items())
        raise UserError(
            f"Label Studio: several questions, and it is unclear which are tags ({said})",
            where=path,
            remedy="name the classes, so that others are ignored: data.classes=[...]",
        )
    drop = {label for control in foreign for label in controls[control]}
    found.rows = [(where, name, tuple(tag for tag in tags if tag not in drop)) for where, name, tags in found.rows]
    if without:
        found.notes.append(f"tasks without annotations, not used: {without}")
    return found


def _label_studio_file(task: Mapping[str, Any], where: str) -> str:
    data = [value for value in (task.get("data") or {}).values() if isinstance(value, str)]
    names = [task.get("file_upload"), *(value for value in data if _IMAGE.search(value)), *data]
    name = next((str(one) for one in names if one), "")
    if not name:
        raise UserError("Label Studio: a task without an image", where=where, remedy="export only tasks with images")
    return name


def read_xml_text(text: str, path: Path) -> Entries:
    """Tags, boxes, polygons and masks of "CVAT for images"; an image without any has no tags.

    Raises:
        UserError: Another format, or CVAT's format for videos, whose frames have no names.
    """
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise UserError(f"not XML: {error}", where=path, remedy=HELP) from error
    images = root.findall("image")
    if root.tag == "annotation":
        raise UserError("a single file of Pascal VOC", where=path, remedy=f"give the folder of them: {path.parent}")
    if root.tag != "annotations" or not images:
        kind = "CVAT for video, whose tracks name no image files" if root.findall("track") else "an unknown XML format"
        raise UserError(kind, where=path, remedy="export as 'CVAT for images 1.1' or as COCO")
    found = Entries("CVAT for images")
    for image in images:
        tags = tuple(dict.fromkeys(str(one.get("label")) for one in image if one.get("label")))
        found.rows.append((f"{path}, image {image.get('id')}", image.get("name", ""), tags))
    _note_without(found)
    return found
