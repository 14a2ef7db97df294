"""What of somebody's own tagged images is usable, told before anything long starts."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

from wsvs.core.classes import plainly
from wsvs.core.errors import BadItem, UserError
from wsvs.core.tables import Tags, read_ids
from wsvs.data.image_files import inspect_image
from wsvs.data.images import EXTENSIONS, find_image
from wsvs.data.report import Progress, Report, quiet
from wsvs.data.tagged import FOLDERS, TaggedImages, read_image_tags

FEW = 20  # images of a class


def check_tagged(data: TaggedImages, progress: Progress = quiet) -> Report:
    """Look at every image and tag of a data set; nothing is changed.

    Raises:
        UserError: No such folder, or tags that cannot be read at all.
    """
    report = Report()
    data.prepare()
    root, labels = Path(data.root), data.labels
    table = read_image_tags(root, labels)
    names = list(data.classes) if data.classes is not None else sorted({tag for tags in table.values() for tag in tags})
    found, unreadable = _readable(root, list(table), progress)
    report.add_items(
        [name for name in table if name not in found and name not in unreadable], "ids have no image file", root,
        f"add the files, or take these ids out of {labels}: training stops at them",
    )
    report.add_items(
        [f"{name} ({reason})" for name, reason in unreadable.items()], "images cannot be read and are passed over",
        root, "replace them, or take their ids out of the table", fatal=False,
    )
    unknown = Counter(tag for tags in table.values() for tag in tags if tag not in names)
    report.add_items(
        [f"{tag} ({count} images)" for tag, count in unknown.most_common()], "tags are no classes",
        "data.classes", "mend them, add them to data.classes, or give data.unknown_tags=drop",
        fatal=data.unknown_tags == "error",
    )
    usable = [name for name in found if set(table[name]) & set(names)]
    if len(usable) < len(found):
        report.notes.append(f"{len(found) - len(usable)} images have no tag of a class: they teach what is absent")
    counts = Counter(tag for name in usable for tag in table[name])
    report.by_class = {name: {"images": counts[name]} for name in names}
    report.add_items(
        [name for name in names if not counts[name]], "classes have no image", labels,
        "add images of them, or name the others with data.classes=[...]", fatal=False,
    )
    _note_classes({name: table[name] for name in found}, names, counts, report)
    _check_lists(data, set(table), report)
    _check_masks(data, found, report)
    report.counts = {"ids": len(table), "images": len(found), "usable images": len(usable), "classes": len(names)}
    if not usable:
        report.add("not one image can be used", root, "an image needs a file that can be read and a tag")
    elif labels != FOLDERS:
        _note_untold(root, found, report)
    return report


def _readable(root: Path, names: list[str], progress: Progress) -> tuple[dict[str, Path], dict[str, str]]:
    """({id: file}, {id: why its file cannot be read}); ids without a file are in neither."""
    found, unreadable = {}, {}
    for name in progress(names, "images"):
        path = find_image(root, name)
        if path is not None:
            try:
                inspect_image(path)
                found[name] = path
            except BadItem as item:
                unreadable[name] = item.problem.removeprefix("image cannot be read: ")
    return found, unreadable


def _note_classes(table: Tags, names: list[str], counts: Counter[str], report: Report) -> None:
    """What makes classes hard to learn: two spellings, few images, nothing to tell a class from."""
    spellings: dict[str, list[str]] = {}
    for name in names:
        spellings.setdefault(plainly(name), []).append(name)
    report.notes += [
        f"{' and '.join(map(repr, same))} count as different classes: write them in one way if they are one"
        for same in spellings.values() if len(same) > 1
    ]
    few = [f"{name} ({counts[name]})" for name in names if 0 < counts[name] < FEW]
    if few:
        report.notes.append(f"fewer than {FEW} images: {', '.join(few)}; attention will be rough, more help most")
    report.notes += [
        f"every image shows {name!r}: nothing teaches what it is not; add images without it, with a row of no tags"
        for name in names if len(table) > 1 and counts[name] == len(table)
    ]


def _check_lists(data: TaggedImages, known: set[str], report: Report) -> None:
    for key, path in (("data.train", data.train), ("data.val", data.val)):
        if path:
            try:
                stray = [name for name in read_ids(path) if name not in known]
            except UserError as error:
                report.add(error.problem, path, error.remedy or f"check {key}")
                continue
            report.add_items(stray, "ids of a list have no tags", f"{key}={path}", "tag them, or take them out")


def _check_masks(data: TaggedImages, found: dict[str, Path], report: Report) -> None:
    if data.masks:
        folder = Path(data.masks)
        count = sum((folder / f"{name}.png").is_file() for name in found)
        report.notes.append(f"{count} of {len(found)} images have a true mask in {folder}; only evaluate reads them")


def _note_untold(root: Path, found: dict[str, Path], report: Report) -> None:
    """Images that no id names."""
    named = {path.resolve() for path in found.values()}
    others = 0
    for base, folders, files in os.walk(root):
        folders[:] = [folder for folder in folders if not folder.startswith(".")]
        for file in files:
            if file.lower().endswith(EXTENSIONS) and not file.startswith("."):
                others += Path(base, file).resolve() not in named
    if others:
        report.notes.append(f"{others} images below {root} stand in no table (or cannot be read) and are not used")
