"""Masks in the files of other tools, and back: PASCAL VOC, DAVIS, and the table of all formats.

Each format is a pair: write(out, masks, names, how) for pairs of an id and (H, W) uint8 labels, and
read(path, progress, names) of such pairs. What is written without simplification gives the same masks when it is read.
Ids are paths without an extension, such as 'cat/7'.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from wsvs.core.classes import IGNORE
from wsvs.core.errors import UserError
from wsvs.core.export_coco import read_coco, write_coco
from wsvs.core.export_common import Masks, Progress, Read, checked, require_lines, write_labels
from wsvs.core.export_cvat import read_cvat, write_cvat
from wsvs.core.export_label_studio import read_label_studio, write_label_studio
from wsvs.core.export_labelme import read_labelme, write_labelme
from wsvs.core.export_objects import How, Shapes
from wsvs.core.export_yolo import read_yolo, write_yolo
from wsvs.core.files import read_json, read_text, write_json, write_text
from wsvs.core.masks import read_mask, write_mask
from wsvs.core.runs import mask_ids

FRAME = re.compile(r"(.+)/(\d+)")
VOC_IDS = Path("ImageSets", "Segmentation", "all.txt")
DAVIS_MASKS = Path("Annotations", "Full-Resolution")
FRAMES = "frames.json"
OBJECTS = "objects.json"
__all__ = ["NAMED", "OBJECTS_OF", "READ", "SHAPES", "WRITE", "How", "require_lines"]


def write_voc(out: Path, masks: Masks, names: Sequence[str], how: How | None = None) -> int:
    """Write SegmentationClass/<id>.png, ImageSets/Segmentation/all.txt and labels.txt (names, background first)."""
    how, ids = how or How(), []
    for name, mask in masks:
        write_mask(out / "SegmentationClass" / f"{name}.png", how.cleaned(name, mask))
        ids.append(name)
    write_text(out / VOC_IDS, "".join(f"{name}\n" for name in ids))
    write_labels(out, names)
    return len(ids)


def read_voc(path: Path, progress: Progress = iter, names: Sequence[str] | None = None) -> Read:
    """Masks of the ids in all.txt; without that file, all masks."""
    file, seen = path / VOC_IDS, set[str]()
    lines = read_text(file).split("\n") if file.is_file() else ()
    ids = [checked(name, seen, f"{file}:{number}") for number, name in enumerate(lines, 1) if name]
    yield from read_folder(path / "SegmentationClass", progress, ids if file.is_file() else None)


def read_folder(root: Path, progress: Progress = iter, ids: Sequence[str] | None = None) -> Read:
    """The masks <id>.png below a folder, of the given ids or all in sorted order.

    Raises:
        UserError: There is no mask, or one is missing or not a mask.
    """
    found = list(mask_ids(root)) if ids is None else ids
    if not found:
        raise UserError("no mask in this folder", where=root, remedy="masks are PNG files")
    for name in progress(found):
        yield name, read_mask(root / f"{name}.png")


def write_davis(out: Path, masks: Masks, names: Sequence[str], how: How | None = None) -> int:
    """Write Annotations/Full-Resolution/<video>/00000.png, ImageSets/all.txt (one video per line) and labels.txt.

    A video is a folder of masks whose names are numbers; they keep their numbers. All other masks are ignored.
    frames.json stores the id of each frame, since its number may have other than five digits. With `how.objects`
    "track" a pixel holds the id of its object, and objects.json the label of each: {"<video>": {"<id>": label}}.

    Raises:
        UserError: No such mask, or two with the same number.
    """
    how = how or How()
    objects: dict[str, dict[int, int]] = {}
    videos: dict[str, None] = {}
    ids: dict[str, str] = {}
    written: set[str] = set()
    for name, mask in masks:
        found = FRAME.fullmatch(name)
        if found:
            videos[found[1]] = None
            frame = checked(f"{found[1]}/{int(found[2]):05d}", written, f"mask {name}.png")
            if how.objects == "track":
                mask = _tracked(name, mask, how, objects.setdefault(found[1], {}))
            else:
                mask = how.cleaned(name, mask)
            write_mask(out / DAVIS_MASKS / f"{frame}.png", mask)
            ids[frame] = name
    if not written:
        raise UserError(
            "no masks of videos to export",
            where="export.format=davis",
            remedy="give a run of stage segment, or folders <video>/00000.png, with predictions=DIR",
        )
    write_text(out / "ImageSets" / "all.txt", "".join(f"{video}\n" for video in videos))
    write_labels(out, names)
    write_json(out / FRAMES, ids)
    if how.objects == "track":
        write_json(out / OBJECTS, objects)
    else:
        (out / OBJECTS).unlink(missing_ok=True)  # of an earlier export
    return len(written)


def _tracked(name: str, mask: np.ndarray, how: How, labels: dict[int, int]) -> np.ndarray:
    """Ids of objects instead of labels; void stays. What belongs to no track is left out."""
    found = np.where(mask == IGNORE, mask, 0)
    for one in how.of(name, mask):
        if one.track:
            labels[one.track] = one.label
            found[one.mask()] = one.track
    return found


def read_davis(path: Path, progress: Progress = iter, names: Sequence[str] | None = None) -> Read:
    """Masks of the frames in frames.json, with their ids; without that file, all masks by their file names."""
    file, frames, seen = path / FRAMES, set[str](), set[str]()
    if not file.is_file():
        yield from read_folder(path / DAVIS_MASKS, progress)
        return
    ids = read_json(file)
    if not isinstance(ids, dict) or not all(isinstance(name, str) for name in ids.values()):
        raise UserError("not a table of frames and their ids", where=file, remedy='use {"<video>/00000": "<id>", ...}')
    ids = {checked(frame, frames, f"{file}: {frame}"): name for frame, name in ids.items()}
    objects = _labels_of_objects(path / OBJECTS)
    for frame, mask in read_folder(path / DAVIS_MASKS, progress, list(ids)):
        if objects is not None:
            table = np.arange(256, dtype=np.uint8)
            for number, label in objects.get(frame.rpartition("/")[0], {}).items():
                table[number] = label
            mask = table[mask]
        yield checked(ids[frame], seen, f"{file}: {frame}"), mask


def _labels_of_objects(file: Path) -> dict[str, dict[int, int]] | None:
    """{video: {id: label}}; None without that file, where pixels hold labels."""
    if not file.is_file():
        return None
    try:
        return {
            video: {int(number): int(np.uint8(label)) for number, label in labels.items()}
            for video, labels in read_json(file).items()
        }
    except (AttributeError, TypeError, ValueError, OverflowError) as error:
        raise UserError(
            f"not a table of videos and their objects: {error}",
            where=file,
            remedy='use {"<video>": {"<id>": label}}',
        ) from error


SHAPES: dict[str, tuple[Shapes, ...]] = {
    "voc": ("masks",),
    "davis": ("masks",),
    "coco": ("masks", "polygons"),
    "cvat": ("polygons", "masks"),
}
"""How a format can write objects, its default first; all others have polygons."""
OBJECTS_OF = {"voc": ("class",), "davis": ("class", "track")}
"""What one object can be; in all others class, part or track."""
NAMED = ("labelme", "label_studio", "cvat")
"""Formats that have the names of classes, not their labels."""
WRITE = {
    "voc": write_voc,
    "coco": write_coco,
    "yolo": write_yolo,
    "davis": write_davis,
    "labelme": write_labelme,
    "label_studio": write_label_studio,
    "cvat": write_cvat,
}
READ = {
    "voc": read_voc,
    "coco": read_coco,
    "yolo": read_yolo,
    "davis": read_davis,
    "labelme": read_labelme,
    "label_studio": read_label_studio,
    "cvat": read_cvat,
}
