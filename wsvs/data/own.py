"""Check of a user's own tagged images: which are usable, and what is wrong with the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from wsvs.core.classes import Classes, plainly
from wsvs.core.errors import BadItem, UserError
from wsvs.core.files import files_below
from wsvs.core.tables import Tags, read_ids
from wsvs.data.image_files import JPEG, inspect_image
from wsvs.data.images import EXTENSIONS, deep_bits, find_image, mask_name, unread
from wsvs.data.report import SHOWN, Progress, Report, TaggedFile, quiet
from wsvs.data.tag_sources import FOLDERS
from wsvs.data.tagged import TaggedImages

FEW = 20  # images of a class
ROWS = 10  # first rows of the table that are shown as parsed


def check_tagged(data: TaggedImages, progress: Progress = quiet) -> Report:
    """Check every image and tag of a data set; nothing is changed.

    Raises:
        UserError: No such folder, or tags that cannot be read at all.
    """
    report = Report()
    data.prepare()
    root, labels = Path(data.root), data.labels
    table = data.table.tags
    report.format, report.notes = data.table.format, list(data.table.notes)
    report.rows = [TaggedFile(name, list(tags)) for name, tags in islice(table.items(), ROWS)]
    names = list(data.classes) if data.classes is not None else sorted({tag for tags in table.values() for tag in tags})
    _check_classes(names, "data.classes" if data.classes is not None else root if labels == FOLDERS else labels, report)
    files = {name: file for name in table if (file := find_image(root, name)) is not None}
    report.add_items(
        [name for name in table if name not in files],
        "ids without an image file",
        root,
        "replace these broken links, or remove them: training stops at them"
        if labels == FOLDERS
        else f"add the files, or take these ids out of {labels}: training stops at them",
    )
    _check_names(root, files, report)
    unreadable = _unreadable(files, progress)
    found = {name: file for name, file in files.items() if name not in unreadable}
    report.add_items(
        [f"{name} ({reason})" for name, reason in unreadable.items()],
        "images that cannot be read",
        root,
        "replace them, or remove them" if labels == FOLDERS else f"replace them, or take their ids out of {labels}",
        fatal=False,
    )
    unknown = Counter(tag for tags in table.values() for tag in tags if tag not in names)
    report.add_items(
        [f"{tag} (images: {count})" for tag, count in unknown.most_common()],
        "tags that are not classes",
        "data.classes",
        "fix them, add them to data.classes, or give data.unknown_tags=drop",
        fatal=data.unknown_tags == "error",
    )
    usable = [name for name in found if set(table[name]) & set(names)]
    if len(usable) < len(found):
        report.notes.append(f"images without a tag of a class, used as negative examples: {len(found) - len(usable)}")
    counts = Counter(tag for name in usable for tag in table[name])
    report.by_class = {name: {"images": counts[name]} for name in names}
    report.add_items(
        [name for name in names if not counts[name]],
        "classes without an image",
        labels,
        "add images of them, or name the others with data.classes=[...]",
        fatal=False,
    )
    _note_classes({name: table[name] for name in found}, names, counts, report)
    _check_lists(data, set(table), report)
    _note_deep(found.values(), report)
    _check_masks(data, found, report)
    report.counts = {"ids": len(table), "images": len(found), "usable images": len(usable), "classes": len(names)}
    if not usable:
        report.add("no image can be used", root, "an image needs a readable file and a tag")
    _note_untold(root, labels, files, report)
    return report


def _check_classes(names: list[str], where: object, report: Report) -> None:
    """Class names that the encoder would refuse. (Without classes no image can be used, which is reported anyway.)"""
    try:
        if names:
            Classes(names)
    except UserError as error:
        report.add(error.problem, where, error.remedy or "name it once")


def _check_names(root: Path, files: dict[str, Path], report: Report) -> None:
    """Report images with the same name, whose masks from stage predict would be the same file."""
    images: dict[str, list[str]] = {}
    for name, file in files.items():
        images.setdefault(mask_name(root, name, file), []).append(file.name)
    report.add_items(
        [f"{mask}.png ({' and '.join(names)})" for mask, names in images.items() if len(names) > 1],
        "masks shared by two images",
        root,
        "rename one of the two files, or list an image only once: masks are named <image>.png",
    )


def _unreadable(files: dict[str, Path], progress: Progress) -> dict[str, str]:
    """{id: why its file cannot be read}."""
    reasons = {}
    for name in progress(list(files), "images"):
        try:
            inspect_image(files[name])
        except BadItem as item:
            reasons[name] = item.problem.removeprefix("image cannot be read: ")
    return reasons


def _note_classes(table: Tags, names: list[str], counts: Counter[str], report: Report) -> None:
    """Classes that are hard to learn: two spellings, few images, no negative examples."""
    spellings: dict[str, list[str]] = {}
    for name in names:
        spellings.setdefault(plainly(name), []).append(name)
    report.notes += [
        f"{' and '.join(map(repr, same))} count as different classes: write them in one way if they are one"
        for same in spellings.values()
        if len(same) > 1
    ]
    few = [f"{name} ({counts[name]})" for name in names if 0 < counts[name] < FEW]
    if few:
        report.notes.append(f"classes with fewer than {FEW} images, attention will be rough: {', '.join(few)}")
    report.notes += [
        f"every image shows {name!r}: there are no negative examples; add images without it, as rows without tags"
        for name in names
        if len(table) > 1 and counts[name] == len(table)
    ]


def _check_lists(data: TaggedImages, known: set[str], report: Report) -> None:
    for key, path in (("data.train", data.train), ("data.val", data.val)):
        if path:
            try:
                stray = [name for name in read_ids(path) if name not in known]
            except UserError as error:
                report.add(error.problem, path, error.remedy or f"check {key}")
                continue
            report.add_items(stray, "ids of a list without tags", f"{key}={path}", "tag them, or remove them")


def _note_deep(files: Iterable[Path], report: Report) -> None:
    """Images of more than 8 bits per channel: they are scaled by the range of their values."""
    bits = Counter(deep for file in files if file.suffix.lower() not in JPEG and (deep := deep_bits(file)) is not None)
    if bits:
        said = ", ".join(f"{count} of {depth} bits" for depth, count in sorted(bits.items()))
        report.notes.append(f"images with 16 bits per channel, scaled by the range of their values: {said}")


def _check_masks(data: TaggedImages, found: dict[str, Path], report: Report) -> None:
    if data.masks:
        folder = Path(data.masks)
        root = Path(data.root)
        count = sum((folder / f"{mask_name(root, name, file)}.png").is_file() for name, file in found.items())
        report.notes.append(f"images with a true mask in {folder}, read by evaluate only: {count} of {len(found)}")


def _note_untold(root: Path, labels: str, files: dict[str, Path], report: Report) -> None:
    """Images that are not in the table, and files in image formats that are not supported."""
    named = {path.resolve() for path in files.values()}
    names = {path.with_suffix("") for path in named}
    others, twins = 0, []
    below = list(files_below(root))
    for path in below:
        if path.suffix.lower() in EXTENSIONS and path.resolve() not in named:
            if path.resolve().with_suffix("") in names:
                twins.append(path.name)
            elif path.is_file():  # a broken link is reported as an id without a file
                others += 1
    if others:
        where = "outside the class folders" if labels == FOLDERS else "that are not in the table"
        report.notes.append(f"images {where}, not used: {others} below {root}")
    if twins:
        listed = ", ".join(sorted(twins)[:SHOWN])
        report.notes.append(f"images with the name of another, which is used instead: {len(twins)} ({listed})")
    if said := unread(below):
        report.notes.append(said)
