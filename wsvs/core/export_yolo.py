"""YOLO segmentation: a text file of polygons for each image."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from wsvs.core.classes import IGNORE
from wsvs.core.errors import UserError
from wsvs.core.export_common import Masks, Progress, Read, blank, checked
from wsvs.core.export_objects import How
from wsvs.core.export_polygons import fill
from wsvs.core.files import read_text, write_text

SIZES = "sizes.tsv"
_SIZE = re.compile(r"(.+)\t(\d+)\t(\d+)\s*")
_HEADING = re.compile(r"[^\t]*\t[^\t\d]+\t[^\t\d]+")


def write_yolo(out: Path, masks: Masks, names: Sequence[str], how: How | None = None) -> int:
    """Write labels/<id>.txt, data.yaml and sizes.tsv: a line 'class x y x y ...' for each connected part of a class.

    The class is the label - 1; x and y are fractions of the image's width and height. Void pixels become background,
    since the format cannot represent them.
    """
    how = how or How()
    sizes = ["id\theight\twidth\n"]
    for name, mask in masks:
        height, width = mask.shape
        lines = []
        for one in how.of(name, mask, void=False):
            for points in how.polygons(one):
                shares = (points / (width, height)).ravel().tolist()
                lines.append(" ".join([str(one.label - 1), *(f"{share:.7g}" for share in shares)]) + "\n")
        write_text(out / "labels" / f"{name}.txt", "".join(lines))
        sizes.append(f"{name}\t{height}\t{width}\n")
    listed = "".join(f"  {number}: {json.dumps(name, ensure_ascii=False)}\n" for number, name in enumerate(names[1:]))
    write_text(out / "data.yaml", f"path: .\ntrain: images\nval: images\nnames:\n{listed}")
    write_text(out / SIZES, "".join(sizes))
    return len(sizes) - 1


def read_yolo(path: Path, progress: Progress = iter, names: Sequence[str] | None = None) -> Read:
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
            mask = blank(int(found[2]), int(found[3]))
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
