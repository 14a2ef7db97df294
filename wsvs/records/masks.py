"""Where the masks of a run are: nothing else knows the names of their files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from wsvs.core.runs import VIDEOS
from wsvs.records.shots import Shot, Video

SHOTS = "shots.jsonl"


def frame_name(video: str, number: int) -> str:
    """Name of a mask of a whole video, true ones too, without its suffix."""
    return f"{video}/{number:05d}"


@dataclass(frozen=True)
class MaskSet:
    """The masks of a segment run, one for each frame of its shots or of its whole videos.

    Attributes:
        folder: The run.
        whole: Are they of whole videos? Their frames are numbered through the video, those of shots through the clip.
    """

    folder: Path
    whole: bool

    @classmethod
    def find(cls, folder: Path) -> MaskSet | None:
        """The masks of a run; None where a folder is no segment run that is finished."""
        kinds = {False: SHOTS, True: VIDEOS}
        return next((cls(folder, whole) for whole, name in kinds.items() if (folder / name).is_file()), None)

    @property
    def masks(self) -> Path:
        return self.folder / "masks"

    @property
    def listing(self) -> Path:
        """The file that says what has masks."""
        return self.folder / (VIDEOS if self.whole else SHOTS)

    def rows(self) -> Iterator[Shot | Video]:
        """What has masks, one at a time."""
        return Video.read(self.listing) if self.whole else Shot.read(self.listing)

    def frame_name(self, name: str, number: int) -> str:
        return frame_name(name, number) if self.whole else f"{name}/{number:06d}"

    def mask(self, name: str, number: int) -> Path:
        """File of the mask of a frame of a shot or a video."""
        return self.masks / f"{self.frame_name(name, number)}.png"

    def frame(self, name: str, number: int) -> Path:
        """File of the frame itself, where the run keeps them."""
        return self.folder / "frames" / f"{self.frame_name(name, number)}.jpg"
