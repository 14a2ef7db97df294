"""Folder names: classes, or splits of a data set with the classes below them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from wsvs.core.errors import UserError

SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
    "eval": "test",
}


def split_of(files: Sequence[Sequence[str]], root: Path) -> list[str] | None:
    """ "train", "val" or "test" for each file if the root has folders <split>/<class>/<file>, else None.

    Args:
        files: Parts of the paths below the root, each with at least one folder.
        root: For error messages.

    Raises:
        UserError: Split folders with files without a class, or next to other folders.
    """
    tops = {parts[0] for parts in files}
    splits = [SPLITS.get(parts[0].casefold()) for parts in files]
    named = sorted(top for top in tops if top.casefold() in SPLITS)
    if not named or (len(named) < 2 and len(tops) > 1):
        return None  # "train" among other classes is a class
    deep = [len(parts) > 2 for parts in files]
    if len(named) == 1 and not all(deep):
        return None
    found = [split for split in splits if split is not None]
    if len(found) < len(splits) or not all(deep):
        raise UserError(
            f"folders of splits ({', '.join(named)}) with unclear classes",
            where=root,
            remedy=f"put all files into <split>/<class>/, such as {named[0]}/cat/, or give a table of tags; rename "
            "classes with the name of a split",
        )
    return found
