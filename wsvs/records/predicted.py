"""What stage predict has made: the masks of images, and of videos frame by frame."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from wsvs.core.runs import ITEMS, LOG, mask_ids
from wsvs.core.tars import File
from wsvs.records.masks import MaskSet, TarSet, frame_name
from wsvs.records.row import Row


@dataclass(frozen=True)
class Predicted(Row):
    """An image or a video with masks: a line of items.jsonl.

    Attributes:
        id: Its mask is <id>.png, those of a video are in the folder <id>.
        file: Its name below the input, "" if unknown.
        confidence: {class: mean probability where the mask has it, None where nowhere}; of images.
        frames: Of a video.
    """

    id: str
    file: str = ""
    confidence: Mapping[str, float | None] | None = None
    frames: int | None = None

    @property
    def masks(self) -> list[str]:
        """Names of its masks below the run, without the suffix."""
        return [self.id] if self.frames is None else [frame_name(self.id, number) for number in range(self.frames)]


@dataclass(frozen=True)
class PredictedFile(Row):
    """The line of an image or a video in done/.

    Attributes:
        confidence: As in `Predicted`, by label.
        unshown: Why its overlay alone has failed.
        frames: Of a video.
        broken: Why a video ended before its time.
    """

    confidence: Mapping[str, float | None] | None = None
    unshown: str | None = None
    frames: int | None = None
    broken: str | None = None


@dataclass(frozen=True)
class Wanted:
    """An image or a video to predict, the numbers of its classes if they are known, and its frames, about."""

    id: str
    file: str
    classes: Sequence[int] | None = None
    video: bool = False
    size: int = 1


@dataclass(frozen=True)
class Masks:
    """Masks that a run or a folder has.

    Attributes:
        root: Where they are.
        files: {id: name of the image's file, None if unknown}, sorted.
        find: Id -> its mask.
    """

    root: Path
    files: Mapping[str, str | None]
    find: Callable[[str], File]


def masks_of(folder: str | Path) -> Masks:
    """The masks of a run, or of any folder of them; hidden files are left out.

    A run of stage predict lists its items, since folders of images may be named like its own. A segment run knows
    whether its masks are in archives. Other runs keep them in masks/.
    """
    folder = Path(folder)
    archived = MaskSet.find(folder)
    if isinstance(archived, TarSet):
        return Masks(archived.masks, dict.fromkeys(archived.names()), archived.named)
    if (folder / ITEMS).is_file():
        rows = Predicted.read(folder / ITEMS)
        named = {name: row.file if row.frames is None else None for row in rows for name in row.masks}
        return Masks(folder, dict(sorted(named.items())), partial(_png, folder))
    root = folder / "masks" if (folder / "masks").is_dir() else folder
    unlisted = root == folder and (folder / LOG).is_file()  # a run that did not finish
    names = {name: None for name in mask_ids(root) if not (unlisted and name.startswith("wandb/"))}
    return Masks(root, names, partial(_png, root))


def _png(root: Path, name: str) -> Path:
    return root / f"{name}.png"


@dataclass(frozen=True)
class Bad:
    """An item of which nothing can be made, and why."""

    id: str
    reason: str
