"""Tagged images: the images, their tags, and the class list.

Tags come from a table, from folder names, or from VOC XML files. True masks are optional and used for evaluation only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, Self

import numpy as np
import torch
from torch.utils.data import Dataset

from wsvs.core.classes import Classes
from wsvs.core.errors import BadItem, UserError
from wsvs.core.tables import Tags, TagTable, read_ids
from wsvs.data.images import find_image, read_image
from wsvs.data.loading import Sample
from wsvs.data.tag_sources import FOLDERS, read_image_tags
from wsvs.data.transforms import ImageAugmentation, jitter_factors
from wsvs.data.visits import Visit, visited


@dataclass(frozen=True)
class TaggedImages:
    """The set I of weakly annotated images (section 3.1).

    Args:
        root: Folder of the images.
        labels: A table (csv, tsv, json, xml), a folder of VOC XML files, or 'folders': root/<class>/<image>.
        classes: Class names in the order of their labels; by default all tags found, sorted.
        train, val: Files with one id per line. Without `val`, about every tenth training image (chosen by a hash of
            its id) is held out; without `train`, all images that are not in `val` are used. Without both, the splits
            are those of folders called train and val (root/train/<class>/<image>), if there are any.
        unknown_tags: What to do with a tag that is not in `classes`: 'error' or 'drop'.
        masks: Folder of true masks <id>.png; only `stage=evaluate` reads it.
    """

    root: str
    labels: str = FOLDERS
    classes: Sequence[str] | None = None
    train: str | None = None
    val: str | None = None
    unknown_tags: Literal["error", "drop"] = "error"
    masks: str | None = None

    def __post_init__(self) -> None:
        if self.unknown_tags not in ("error", "drop"):
            raise ValueError(f"data.unknown_tags must be error or drop, got {self.unknown_tags!r}")

    def prepare(self) -> None:
        """Generate the data if possible; here it must exist. Raises `UserError`."""
        if not Path(self.root).is_dir():
            raise UserError("folder of images not found", where=f"data.root={self.root}", remedy="check data.root")

    @cached_property
    def table(self) -> TagTable:
        """Parsed tags of all images, including tags that are not classes."""
        self.prepare()
        return read_image_tags(Path(self.root), self.labels, self.classes or ())

    @cached_property
    def tags(self) -> Tags:
        """{id: tags} of all images, only tags that are classes."""
        table = self.table.tags
        if self.classes is None:
            return table
        classes = Classes(self.classes)
        if self.unknown_tags == "error":
            for name, tags in table.items():
                for tag in tags:
                    classes.index(tag, where=f"tags of {name!r} in {self.labels}")
        return {name: tuple(tag for tag in tags if tag in classes) for name, tags in table.items()}

    @cached_property
    def class_list(self) -> Classes:
        if self.classes is not None:
            return Classes(self.classes)
        found = sorted({tag for tags in self.tags.values() for tag in tags})
        if not found:
            raise UserError("no image has a tag", where=self.labels, remedy="give tags, or name data.classes=[...]")
        return Classes(found)

    def with_tags(self, changed: Mapping[str, Sequence[str]]) -> Self:
        """The same images and classes with other tags of some. Raises `UserError` for a tag that is no class."""
        if not changed:
            return self
        for name, tags in changed.items():
            for tag in tags:
                self.class_list.index(tag, where=f"tags of {name!r} as they were corrected in stage review")
        other = copy(self)
        kept = {name: tuple(tags) for name, tags in changed.items() if name in self.tags}
        vars(other).update(class_list=self.class_list, tags=self.tags | kept)
        return other

    @cached_property
    def splits(self) -> dict[str, list[str]]:
        """Ids of 'train' and 'val', all with tags and a file. Raises `UserError` with the first id that lacks one."""
        val = self._ids(self.val, "data.val") if self.val else None
        train = self._ids(self.train, "data.train") if self.train else None
        splits = self.table.splits or {}
        if val is None and train is None and splits:
            val = [name for name in self.tags if splits[name] == "val"] or None
            train = [name for name in self.tags if splits[name] == "train"] or None
        if train is None:
            named = set(val or ())
            train = [name for name in self.tags if name not in named]
        if val is None:
            val = [name for name in train if _held_out(name)] or train[-1:]
            held = set(val)
            train = [name for name in train if name not in held] or train
        if not train:
            remedy = "list fewer images there"
            raise UserError("no image is left to train on", where=f"data.val={self.val}", remedy=remedy)
        for ids in (train, val):
            self._check_files(ids)
        return {"train": train, "val": val}

    def _ids(self, path: str, key: str) -> list[str]:
        ids = read_ids(path)
        unknown = [name for name in ids if name not in self.tags]
        if unknown:
            raise UserError(
                f"ids without tags: {len(unknown)} of {len(ids)}, first {unknown[0]!r}",
                where=f"{key}={path}",
                remedy=f"add them to {self.labels}, or remove them from the list",
            )
        return ids

    def _check_files(self, ids: Sequence[str]) -> None:
        missing = [name for name in ids if find_image(Path(self.root), name) is None]
        if missing:
            raise UserError(
                f"ids without an image file: {len(missing)} of {len(ids)}, first {missing[0]!r}",
                where=self.root,
                remedy="add the files, or remove these ids from the table",
            )

    def path(self, name: str) -> Path:
        found = find_image(Path(self.root), name)
        if found is None:
            raise BadItem(f"id {name!r} has no image file", where=self.root, remedy="add the file, or remove the id")
        return found


def _held_out(name: str) -> bool:
    return hashlib.sha256(name.encode()).digest()[0] % 10 == 0


class TaggedDataset(Dataset[Sample]):
    """Images with their label vectors y.

    Args:
        source: The images.
        ids: The ids to use, in order.
        augmentation: Random crop; None returns the whole image.
    """

    def __init__(self, source: TaggedImages, ids: Sequence[str], augmentation: ImageAugmentation | None) -> None:
        self.source = source
        self.ids = list(ids)
        self.augmentation = augmentation

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, visit: Visit | int) -> Sample:
        index, rng = visited(visit)
        name = self.ids[index]
        try:
            image = read_image(self.source.path(name))
        except BadItem as error:
            return {"id": name, "bad": error.message}
        item: Sample = {"id": name, "y": torch.from_numpy(self.source.class_list.encode(self.source.tags[name]))}
        if self.augmentation is None:
            return {**item, "image": to_tensor(image)}
        return {**item, "image": to_tensor(self.augmentation(image, rng)), **jitter_of(self.augmentation.jitter, rng)}


def jitter_of(strength: float, rng: np.random.Generator) -> Sample:
    """The entry of an item for its colour jitter; empty without jitter."""
    return {"jitter": torch.from_numpy(jitter_factors(strength, rng))} if strength else {}


def to_tensor(image: np.ndarray) -> torch.Tensor:
    """(H, W, 3) uint8 -> (3, H, W) uint8."""
    return torch.from_numpy(np.array(image.transpose(2, 0, 1), order="C"))  # always a copy: Pillow's are read-only
