"""Sources of image tags: a table, folder names, or VOC XML files; and how ids are mapped to files."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

from wsvs.core.errors import UserError
from wsvs.core.files import files_below
from wsvs.core.folders import split_of
from wsvs.core.tables import Tags, TagTable, read_tag_table
from wsvs.data.images import EXTENSIONS, find_image

FOLDERS = "folders"  # instead of a table: root/<class>/<image>, or root/train/<class>/<image>
_UPLOAD = re.compile(r"^[0-9a-f]{8}-(?=.)")  # Label Studio's prefix of uploaded files


def read_image_tags(root: Path, labels: str, known: Collection[str] = ()) -> TagTable:
    """Tags of all images from folder names, VOC XML or a table; `known` are the class names, if given."""
    if labels == FOLDERS:
        return _folder_tags(root)
    if Path(labels).is_dir():
        return TagTable(_xml_tags(Path(labels)), "Pascal VOC XML files")
    if not Path(labels).is_file() and (root / labels).is_file():
        raise UserError("table of tags not found", where=labels, remedy=f"did you mean {root / labels}?")
    return read_tag_table(labels, known, place=lambda name: _place(root, name))


def _place(root: Path, name: str) -> str:
    """The id under which the image of a table's row is found below `root`, else the id unchanged.

    Tables have paths of the system that wrote them: with folders above the root, Windows paths, or URLs of a server.
    """
    if not re.search(r"[/\\]", name) and not _UPLOAD.match(name):
        return name
    return next((one for one in dict.fromkeys(_candidates(name)) if find_image(root, one) is not None), name)


def _candidates(name: str) -> Iterator[str]:
    plain = re.sub(r"^\w+://|^[A-Za-z]:[\\/]", "", name).replace("\\", "/")
    query = re.search(r"\?d=([^&]+)", plain)  # local files served by Label Studio
    for one in dict.fromkeys((name, plain, unquote(query[1] if query else plain.partition("?")[0]))):
        parts = [part for part in one.split("/") if part not in ("", ".")]
        if ".." not in parts:
            yield from ("/".join(parts[first:]) for first in range(len(parts)))
            if parts:
                yield _UPLOAD.sub("", parts[-1])


def _folder_tags(root: Path) -> TagTable:
    """An id is the path without its extension, or with it if the id would be ambiguous otherwise."""
    files = []
    for folder in sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")):
        below = sorted(files_below(folder), key=lambda path: (str(path.parent), path.name))
        files += [path for path in below if path.name.lower().endswith(EXTENSIONS)]
    if not files:
        raise UserError(
            "no images in folders",
            where=root,
            remedy="expected <data.root>/<class>/<image>, or give a table with data.labels=TABLE; "
            f"images end in {', '.join(EXTENSIONS)}",
        )
    parts = [path.relative_to(root).parts for path in files]
    splits = split_of(parts, root)
    table: Tags = {}
    names: dict[str, str] = {}
    for number, (path, own) in enumerate(zip(files, parts, strict=True)):
        short = path.relative_to(root).with_suffix("").as_posix()
        name = short if find_image(root, short) == path else path.relative_to(root).as_posix()
        table[name] = (own[1 if splits else 0],)
        if splits:
            names[name] = splits[number]
    if not splits:
        return TagTable(table, "folders <class>/<image>")
    counts = Counter(names.values())
    uses = {"train": "trained on", "val": "held out", "test": "not used"}
    notes = [f"{split} images, {uses[split]}: {counts[split]}" for split in uses if counts[split]]
    first = " and ".join(dict.fromkeys(own[0] for own in parts))
    return TagTable(table, f"folders <split>/<class>/<image> ({first})", (", ".join(notes),), names)


def _xml_tags(folder: Path) -> Tags:
    """Every <object><name> of VOC files, including difficult ones, but not parts (head, hand, foot)."""
    table: Tags = {}
    for path in sorted(folder.glob("*.xml")):
        try:
            objects = ElementTree.parse(path).getroot().findall("object")
        except ElementTree.ParseError as error:
            raise UserError(f"annotation cannot be read: {error}", where=path) from error
        names = [(o.findtext("name") or "").strip() for o in objects]
        if "" in names:
            raise UserError("an <object> has no <name>", where=path, remedy="name it, or remove it")
        table[path.stem] = tuple(dict.fromkeys(names))
    if not table:
        yolo = any(folder.glob("*.txt"))
        raise UserError(
            "no VOC annotation (*.xml)",
            where=folder,
            remedy="YOLO's text files are not supported: export as COCO or Pascal VOC" if yolo else "check data.labels",
        )
    return table
