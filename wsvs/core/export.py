"""Convert masks to the formats of other tools, and back: PASCAL VOC, MS COCO, YOLO and DAVIS.

Each format has write(out, masks, names) for pairs of an id and (H, W) uint8 labels, and read(path, progress), which
yields such pairs. Reading restores the written masks exactly. Ids are paths without an extension, such as 'cat/7'.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from wsvs.core import export_rle
from wsvs.core.classes import IGNORE
from wsvs.core.errors import UserError
from wsvs.core.export_polygons import fill, outlines
from wsvs.core.files import atomic_path, leads_out, read_json, read_text, write_json, write_text
from wsvs.core.masks import read_mask, write_mask
from wsvs.core.runs import mask_ids

Masks = Iterable[tuple[str, np.ndarray]]
Read = Iterator[tuple[str, np.ndarray]]
Progress = Callable[[Sequence[Any]], Iterable[Any]]
"""Wraps the list of items to show progress."""
VOID = "void"
MOST_PIXELS = 2 * 89_478_485  # Pillow refuses larger images
FRAME = re.compile(r"(.+)/(\d+)")
ANNOTATIONS = "annotations.json"
SIZES = "sizes.tsv"
VOC_IDS = Path("ImageSets", "Segmentation", "all.txt")
DAVIS_MASKS = Path("Annotations", "Full-Resolution")
FRAMES = "frames.json"
_SIZE = re.compile(r"(.+)\t(\d+)\t(\d+)\s*")
_HEADING = re.compile(r"[^\t]*\t[^\t\d]+\t[^\t\d]+")
_NO_LINE = re.compile(r"[\n\r\ud800-\udfff]")  # the range: bytes of a file name that are not UTF-8


def checked(name: str, seen: set[str], where: str) -> str:
    """Check an id from a foreign file; it is added to `seen`, the ids before it.

    Raises:
        UserError: The mask would be outside the folder of masks, or overwrite another one.
    """
    path = Path(name)
    if leads_out(name) or not path.name or "\0" in name:
        raise UserError(
            f"{name!r} is not the name of a file below a folder",
            where=where,
            remedy="names are paths without a leading / and without '..': fix the file",
        )
    name = path.as_posix()  # ./a is a
    if name in seen:
        raise UserError(f"two images would both give {name}.png", where=where, remedy="rename one of them")
    seen.add(name)
    return name


def require_lines(kind: str, ids: Iterable[str], where: object) -> None:
    """Raises `UserError` for an id that cannot be a line of a format's lists, which are UTF-8 text."""
    odd = next((name for name in ids if _NO_LINE.search(name)), None)
    if kind != "coco" and odd is not None:
        raise UserError(
            f"the name {odd!r} has a line break or is not UTF-8, so it cannot be in a list of format {kind}",
            where=where,
            remedy="rename the file and predict its mask again, or use export.format=coco, which supports any name",
        )


def write_voc(out: Path, masks: Masks, names: Sequence[str]) -> int:
    """Write SegmentationClass/<id>.png, ImageSets/Segmentation/all.txt and labels.txt (names, background first)."""
    ids = []
    for name, mask in masks:
        write_mask(out / "SegmentationClass" / f"{name}.png", mask)
        ids.append(name)
    write_text(out / VOC_IDS, "".join(f"{name}\n" for name in ids))
    write_text(out / "labels.txt", "".join(f"{name}\n" for name in names))
    return len(ids)


def read_voc(path: Path, progress: Progress = iter) -> Read:
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


def write_coco(out: Path, masks: Masks, names: Sequence[str], files: Mapping[str, str] | None = None) -> int:
    """Write annotations.json in the format of MS COCO: one annotation with run lengths for each class of an image.

    `category_id` is the label; 255 is written as the category 'void'. `files` gives the file names of images by id; the
    default is <id>.jpg. An id that cannot be derived from the file name is stored as "mask_id".
    """
    images: list[dict[str, Any]] = []
    number, void = 0, False
    with atomic_path(out / ANNOTATIONS) as temporary, temporary.open("w", encoding="utf-8") as stream:
        stream.write('{"annotations": [')
        for name, mask in masks:
            height, width = mask.shape
            file = (files or {}).get(name, f"{name}.jpg")
            image = {"id": len(images) + 1, "file_name": file, "height": height, "width": width}
            images.append(image if _stem(file) == name else image | {"mask_id": name})
            for label in np.unique(mask[mask > 0]).tolist():
                void |= label == IGNORE
                number += 1
                stream.write("\n" if number == 1 else ",\n")
                json.dump(_annotation(number, len(images), label, mask == label), stream)
        labels = {label: name for label, name in enumerate(names) if label} | ({IGNORE: VOID} if void else {})
        categories = [{"id": label, "name": name, "supercategory": "object"} for label, name in labels.items()]
        stream.write(f'],\n"categories": {json.dumps(categories)},\n"images": {json.dumps(images)}}}\n')
    return len(images)


def _annotation(number: int, image: int, label: int, mask: np.ndarray) -> dict[str, Any]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    left, top = int(columns[0]), int(rows[0])
    return {
        "id": number,
        "image_id": image,
        "category_id": label,
        "iscrowd": 0,
        "area": int(np.count_nonzero(mask)),
        "bbox": [left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top],
        "segmentation": {"size": list(mask.shape), "counts": export_rle.encode(mask)},
    }


def read_coco(path: Path, progress: Progress = iter) -> Read:
    """Masks of a COCO file with run lengths or polygons; later annotations are drawn over earlier ones.

    Raises:
        UserError: Not a COCO file, or an image whose mask would be outside the folder or overwrite another.
    """
    path = path / ANNOTATIONS if path.is_dir() else path
    content = read_json(path)
    seen: set[str] = set()
    try:
        parts: dict[int, list[dict[str, Any]]] = {}
        for annotation in content["annotations"]:
            parts.setdefault(annotation["image_id"], []).append(annotation)
        for number, image in enumerate(progress(content["images"])):
            where = f"{path}: images[{number}], file_name {image['file_name']!r}"
            name = checked(image.get("mask_id") or _stem(image["file_name"]), seen, where)
            mask = _blank(image["height"], image["width"])
            for annotation in parts.get(image["id"], ()):
                if annotation["category_id"] not in range(1, IGNORE + 1):
                    raise ValueError(f"category_id {annotation['category_id']!r}")
                mask[_coco_area(annotation["segmentation"], *mask.shape)] = annotation["category_id"]
            yield name, mask
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise UserError(
            f"not a file of COCO masks: {type(error).__name__} {error}",
            where=path,
            remedy="it needs images (id, file_name, height, width) and annotations (image_id, category_id from 1 to "
            "255, segmentation)",
        ) from error


def _blank(height: int, width: int) -> np.ndarray:
    if height < 1 or width < 1 or height * width > MOST_PIXELS:
        raise ValueError(f"{height} x {width} pixels, but an image has from 1 to {MOST_PIXELS}")
    return np.zeros((height, width), np.uint8)


def _stem(file: str) -> str:
    return Path(file).with_suffix("").as_posix()


def _coco_area(segmentation: Any, height: int, width: int) -> np.ndarray:
    if isinstance(segmentation, dict):
        return export_rle.decode(segmentation["counts"], height, width)
    area = np.zeros((height, width), bool)
    for polygon in segmentation:
        fill(area, np.reshape(polygon, (-1, 2)), True)
    return area


def write_yolo(out: Path, masks: Masks, names: Sequence[str]) -> int:
    """Write labels/<id>.txt, data.yaml and sizes.tsv: a line 'class x y x y ...' for each connected part of a class.

    The class is the label - 1; x and y are fractions of the image's width and height. Void pixels become background,
    since the format cannot represent them.
    """
    sizes = ["id\theight\twidth\n"]
    for name, mask in masks:
        height, width = mask.shape
        lines = []
        for label in np.unique(mask[(mask > 0) & (mask != IGNORE)]).tolist():
            for points in outlines(mask == label):
                shares = (points / (width, height)).ravel().tolist()
                lines.append(" ".join([str(label - 1), *(f"{share:.7g}" for share in shares)]) + "\n")
        write_text(out / "labels" / f"{name}.txt", "".join(lines))
        sizes.append(f"{name}\t{height}\t{width}\n")
    listed = "".join(f"  {number}: {json.dumps(name, ensure_ascii=False)}\n" for number, name in enumerate(names[1:]))
    write_text(out / "data.yaml", f"path: .\ntrain: images\nval: images\nnames:\n{listed}")
    write_text(out / SIZES, "".join(sizes))
    return len(sizes) - 1


def read_yolo(path: Path, progress: Progress = iter) -> Read:
    """Masks of labels/<id>.txt at the sizes of sizes.tsv. Raises `UserError` for a bad line or a missing file."""
    if not (path / SIZES).is_file():
        raise UserError(
            f"no {SIZES}: polygons alone do not give the size of an image",
            where=path,
            remedy="give a folder with labels/ and a table of id, height and width, separated by tabs",
        )
    lines = read_text(path / SIZES).split("\n")  # other line separators may be part of a name
    rows = [(place, row) for place, row in enumerate(lines, 1) if row]
    seen: set[str] = set()
    for place, row in progress(rows[1:] if rows and _HEADING.fullmatch(rows[0][1]) else rows):
        where = f"{path / SIZES}:{place}"
        found = _SIZE.fullmatch(row)
        if not found:
            raise UserError(f"not 'id, height, width', separated by tabs: {row!r}", where=where)
        name = checked(found[1], seen, where)
        try:
            mask = _blank(int(found[2]), int(found[3]))
        except ValueError as error:
            raise UserError(f"invalid image size: {error}", where=where) from error
        _draw_yolo(path / "labels" / f"{name}.txt", mask)
        yield name, mask


def _draw_yolo(file: Path, mask: np.ndarray) -> None:
    height, width = mask.shape
    for number, line in enumerate(read_text(file).splitlines() if file.is_file() else (), 1):
        try:
            label, *shares = line.split()
            if int(label) not in range(IGNORE - 1):
                raise ValueError(f"classes are numbers from 0 to {IGNORE - 2}, got {label}")
            points = np.array(shares, np.float64).reshape(-1, 2) * (width, height)
            fill(mask, points, int(label) + 1)
        except (ValueError, OverflowError) as error:
            raise UserError(f"not 'class x y x y ...': {error}", where=f"{file}:{number}") from error


def write_davis(out: Path, masks: Masks, names: Sequence[str]) -> int:
    """Write Annotations/Full-Resolution/<video>/00000.png, ImageSets/all.txt (one video per line) and labels.txt.

    A video is a folder of masks whose names are numbers; they keep their numbers. All other masks are ignored.
    frames.json stores the id of each frame, since its number may have other than five digits.

    Raises:
        UserError: No such mask, or two with the same number.
    """
    videos: dict[str, None] = {}
    ids: dict[str, str] = {}
    written: set[str] = set()
    for name, mask in masks:
        found = FRAME.fullmatch(name)
        if found:
            videos[found[1]] = None
            frame = checked(f"{found[1]}/{int(found[2]):05d}", written, f"mask {name}.png")
            write_mask(out / DAVIS_MASKS / f"{frame}.png", mask)
            ids[frame] = name
    if not written:
        raise UserError(
            "no masks of videos to export",
            where="export.format=davis",
            remedy="give a run of stage segment, or folders <video>/00000.png, with predictions=DIR",
        )
    write_text(out / "ImageSets" / "all.txt", "".join(f"{video}\n" for video in videos))
    write_text(out / "labels.txt", "".join(f"{name}\n" for name in names))
    write_json(out / FRAMES, ids)
    return len(written)


def read_davis(path: Path, progress: Progress = iter) -> Read:
    """Masks of the frames in frames.json, with their ids; without that file, all masks by their file names."""
    file, frames, seen = path / FRAMES, set[str](), set[str]()
    if not file.is_file():
        yield from read_folder(path / DAVIS_MASKS, progress)
        return
    ids = read_json(file)
    if not isinstance(ids, dict) or not all(isinstance(name, str) for name in ids.values()):
        raise UserError("not a table of frames and their ids", where=file, remedy='use {"<video>/00000": "<id>", ...}')
    ids = {checked(frame, frames, f"{file}: {frame}"): name for frame, name in ids.items()}
    for frame, mask in read_folder(path / DAVIS_MASKS, progress, list(ids)):
        yield checked(ids[frame], seen, f"{file}: {frame}"), mask


WRITE = {"voc": write_voc, "coco": write_coco, "yolo": write_yolo, "davis": write_davis}
READ = {"voc": read_voc, "coco": read_coco, "yolo": read_yolo, "davis": read_davis}
