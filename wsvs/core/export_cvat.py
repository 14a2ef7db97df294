"""CVAT for images 1.1: annotations.xml with polygons or masks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.etree import ElementTree
from xml.sax.saxutils import escape, quoteattr

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
from wsvs.core.export_objects import How, Object
from wsvs.core.export_polygons import fill
from wsvs.core.export_rle import runs_of
from wsvs.core.files import atomic_path

FILE = "annotations.xml"
_NOT_XML = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


def write_cvat(out: Path, masks: Masks, names: Sequence[str], how: How | None = None) -> int:
    """annotations.xml: a polygon for each connected part, those of one object in one group; or masks; and labels.txt.

    Raises:
        UserError: An image's name that XML cannot hold.
    """
    how = how or How()
    count, group = 0, 0
    with atomic_path(out / FILE) as temporary, temporary.open("w", encoding="utf-8") as stream:
        stream.write(f'<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n{_meta(names)}')
        for name, mask in masks:
            height, width = mask.shape
            file = how.file(name)
            if _NOT_XML.search(name + file):
                raise UserError(f"no XML file can hold the name {file!r}", where=file, remedy="rename the image's file")
            known = "" if stem(file) == name else f" mask_id={quoteattr(name)}"
            size = f'width="{width}" height="{height}"'
            stream.write(f'<image id="{count}" name={quoteattr(file)} {size}{known}>\n')
            for one in how.of(name, mask):
                group += 1
                together = one.track or (group if len(one.parts) > 1 and how.shapes != "masks" else 0)
                stream.writelines(_shapes(one, how, name_of(one.label, names), together))
            stream.write("</image>\n")
            count += 1
        stream.write("</annotations>\n")
    write_labels(out, names)
    return count


def _meta(names: Sequence[str]) -> str:
    labels = [*enumerate(names[1:], 1), (IGNORE, VOID)]
    colours = {label: "#{:02x}{:02x}{:02x}".format(*voc_palette()[label].tolist()) for label, _ in labels}
    listed = "".join(
        f"<label><name>{escape(name)}</name><color>{colours[label]}</color><attributes></attributes></label>\n"
        for label, name in labels
    )
    return f"<meta><task><name>wsvs</name><labels>\n{listed}</labels></task></meta>\n"


def _shapes(one: Object, how: How, name: str, group: int) -> Iterator[str]:
    common = f'label={quoteattr(name)} source="auto" occluded="0"'
    last = 'z_order="0"' + (f' group_id="{group}"' if group else "")
    if how.shapes == "masks":
        left, top, width, height = one.box
        runs = ", ".join(map(str, runs_of(one.mask()[top : top + height, left : left + width].ravel())))
        box = f'left="{left}" top="{top}" width="{width}" height="{height}"'
        yield f'<mask {common} rle="{runs}" {box} {last}></mask>\n'
        return
    for polygon in how.polygons(one):
        points = ";".join(f"{x:.2f},{y:.2f}" for x, y in polygon.tolist())
        yield f'<polygon {common} points="{points}" {last}></polygon>\n'


def read_cvat(path: Path, progress: Progress = iter, names: Sequence[str] | None = None) -> Read:
    """Masks of polygons, boxes and masks of CVAT for images, those of a higher z_order above others; more is left out.

    Raises:
        UserError: Not such a file, a class without a label, or an image whose mask would overwrite another.
    """
    path = path / FILE if path.is_dir() else path
    seen: set[str] = set()
    try:
        images = ElementTree.parse(path).getroot().findall("image")
        shapes = [[shape for shape in image if shape.tag in ("polygon", "box", "mask")] for image in images]
        labels = Labels(path.parent, names, {shape.attrib["label"] for found in shapes for shape in found})
        for number, image in enumerate(progress(images)):
            file = image.attrib["name"]
            name = checked(image.get("mask_id") or stem(file), seen, f"{path}: image {number}, {file!r}")
            mask = blank(int(image.attrib["height"]), int(image.attrib["width"]))
            for shape in sorted(shapes[number], key=lambda shape: int(shape.get("z_order", 0))):
                _draw(mask, shape, labels[shape.attrib["label"]])
            yield name, mask
    except (*BAD, OSError, ElementTree.ParseError) as error:
        raise UserError(
            f"not a file of CVAT for images: {type(error).__name__} {error}",
            where=path,
            remedy="export the task from CVAT as 'CVAT for images 1.1', and unpack the archive",
        ) from error


def _draw(mask: np.ndarray, shape: ElementTree.Element, label: int) -> None:
    given = shape.attrib
    if shape.tag == "polygon":
        points = [[float(value) for value in point.split(",")] for point in given["points"].split(";")]
        fill(mask, np.array(points), label)
    elif shape.tag == "box":
        (x0, y0), (x1, y1) = (float(given["xtl"]), float(given["ytl"])), (float(given["xbr"]), float(given["ybr"]))
        fill(mask, np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]]), label)
    else:
        left, top, width, height = (int(given[key]) for key in ("left", "top", "width", "height"))
        runs = [int(value) for value in given["rle"].split(",")]
        inside = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(height, width)
        mask[top : top + height, left : left + width][inside] = label
