"""What folder names mean: classes, or splits of a data set with the classes below them."""

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
    """ "train", "val" or "test" of each file where a root has folders <split>/<class>/<file>, else None.

    Args:
        files: Parts of the paths below the root, of which each has a folder at least.
        root: Named in an error.

    Raises:
        UserError: Folders of splits that have files without a class, or that are beside other folders.
    """
    tops = {parts[0] for parts in files}
    splits = [SPLITS.get(parts[0].casefold()) for parts in files]
    named = sorted(top for top in tops if top.casefold() in SPLITS)
    if not named or (len(named) < 2 and len(tops) > 1):
        return None  # "train" among other classes is one
    deep = [len(parts) > 2 for parts in files]
    if len(named) == 1 and not all(deep):
        return None
    found = [split for split in splits if split is not None]
    if len(found) < len(splits) or not all(deep):
        raise UserError(
            f"folders of splits ({', '.join(named)}) whose classes are not certain",
            where=root,
            remedy=f"put all files into <split>/<class>/, such as {named[0]}/cat/, or give a table of tags; a class of "
            "such a name has to be called otherwise",
        )
    return found
