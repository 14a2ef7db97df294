"""Where the masks of a run are: nothing else knows the names of their files, or whether they are in archives."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from wsvs.core.runs import VIDEOS, mask_ids
from wsvs.core.tars import File, Member
from wsvs.records.journal import JournalLedger
from wsvs.records.ledger import Ledger
from wsvs.records.shots import Shot, Video
from wsvs.records.spans import parse_piece, piece_name

SHOTS = "shots.jsonl"
TARS = "tars"  # of a segment run with store=shards
Store = Literal["files", "shards"]


def frame_name(video: str, number: int) -> str:
    """Name of a mask of a whole video, true ones too, without its suffix."""
    return f"{video}/{number:05d}"


@dataclass(frozen=True)
class MaskSet:
    """The masks of a segment run, one for each frame of its shots or of its whole videos, in files of their own.

    A `File` of a frame that has none does not exist, as `is_file` says.

    Attributes:
        folder: The run.
        whole: Are they of whole videos? Their frames are numbered through the video, those of shots through the clip.
    """

    folder: Path
    whole: bool

    @staticmethod
    def of(folder: Path, *, whole: bool, store: Store | None = None) -> MaskSet:
        """The masks of a run that is stored like this; None: as it is on disk."""
        found = ("shards" if (folder / TARS).is_dir() else "files") if store is None else store
        return (TarSet if found == "shards" else MaskSet)(folder, whole)

    @staticmethod
    def find(folder: Path) -> MaskSet | None:
        """The masks of a run, or of its folder of archives; None where a folder is no segment run that is finished."""
        kinds = {False: SHOTS, True: VIDEOS}
        for place in (folder, folder.parent) if folder.name == TARS else (folder,):
            for whole, name in kinds.items():
                if (place / name).is_file():
                    return MaskSet.of(place, whole=whole)
        return None

    @property
    def masks(self) -> Path:
        """The folder of the masks."""
        return self.folder / "masks"

    @property
    def ledger(self) -> Ledger:
        """Of the finished pieces."""
        return Ledger(self.folder)

    @cached_property
    def seen(self) -> JournalLedger:
        """Of the videos that were looked at."""
        return JournalLedger(self.folder / "seen")

    @property
    def has_frames(self) -> bool:
        """Whether the run keeps the frames themselves."""
        return (self.folder / "frames").is_dir()

    @property
    def listing(self) -> Path:
        """The file that says what has masks."""
        return self.folder / (VIDEOS if self.whole else SHOTS)

    def rows(self) -> Iterator[Shot | Video]:
        """What has masks, one at a time."""
        return Video.read(self.listing) if self.whole else Shot.read(self.listing)

    def frame_name(self, name: str, number: int) -> str:
        return frame_name(name, number) if self.whole else f"{name}/{number:06d}"

    def mask(self, name: str, number: int) -> File:
        """The mask of a frame of a shot or a video."""
        return self.named(self.frame_name(name, number))

    def frame(self, name: str, number: int) -> File:
        """The frame itself, where the run keeps them."""
        return self.folder / "frames" / f"{self.frame_name(name, number)}.jpg"

    def term(self, piece: str, term: str) -> File:
        """The image of a term of a piece: "attention" or "motion"."""
        return self.folder / "terms" / piece / f"{term}.jpg"

    def named(self, name: str) -> File:
        """The mask with this name, that of its frame."""
        return self.masks / f"{name}.png"

    def names(self) -> Iterator[str]:
        """Names of all masks, sorted."""
        return mask_ids(self.masks)

    def numbered(self, name: str) -> Mapping[int, File]:
        """{number of its frame: mask} of a shot or a video."""
        paths = sorted((self.masks / name).glob("[!.]*.png"))
        return {int(path.stem): path for path in paths if path.stem.isdecimal()}

    def tidy(self) -> None:
        """Remove what a killed start has left; call it when all pieces are finished."""


class TarSet(MaskSet):
    """The same in archives, one for a chunk of pieces: tars/<first piece>.tar, in the layout of WebDataset.

    <shot or video>/<number>.png, .jpg, .json of every frame, and .attention.jpg, .motion.jpg of the middle one of a
    piece. The record of a piece in the journal has the place of each file: {"tar": <name>, "first": <frame>, "index":
    {<suffix>: [[offset, size], ...]}}.
    """

    @property
    def masks(self) -> Path:
        return self.folder / TARS

    @cached_property
    def ledger(self) -> JournalLedger:
        return JournalLedger(self.folder)

    @property
    def has_frames(self) -> bool:
        indexes = (self._record(piece).get("index") for piece in self.ledger.items())
        return "jpg" in next(filter(None, indexes), ())  # all pieces of a run have the same kinds of files

    def frame(self, name: str, number: int) -> Member:
        return self._member(name, number, "jpg")

    def term(self, piece: str, term: str) -> Member:
        record = self._record(piece)
        return self._placed(record, f"{term}.jpg", 0, f"{piece}.{term}.jpg")

    def named(self, name: str) -> Member:
        video, _, number = name.rpartition("/")
        return self._member(video, int(number), "png")

    def names(self) -> Iterator[str]:
        found = (self.frame_name(row.name, number) for row in self.rows() for number in self.numbered(row.name))
        return iter(sorted(found, key=PurePosixPath))

    def numbered(self, name: str) -> Mapping[int, Member]:
        pieces = [piece_name(name, first) for first in self._starts.get(name, ())] if self.whole else [name]
        records = [record for piece in pieces if "index" in (record := self._record(piece))]
        return {
            number: self._member(name, number, "png")
            for record in records
            for number in range(record["first"], record["first"] + len(record["index"]["png"]))
        }

    def tidy(self) -> None:
        """Archives that have their name but no line in the journal: their pieces are in others by now."""
        known = {self.masks / f"{piece}.tar" for piece in self.ledger.groups()}
        for path in self.masks.rglob("*.tar"):
            if path not in known:
                path.unlink()

    @cached_property
    def _starts(self) -> Mapping[str, list[int]]:
        """{video: first frames of its pieces}, by the names of the pieces."""
        found: dict[str, list[int]] = {}
        for piece in self.ledger.items():
            video, first = parse_piece(piece)
            found.setdefault(video, []).append(first)
        return {video: sorted(starts) for video, starts in found.items()}

    def _record(self, piece: str) -> Mapping[str, Any]:
        return self.ledger.read(piece) if self.ledger.has(piece) else {}

    def _member(self, name: str, number: int, kind: str) -> Member:
        piece = name
        if self.whole:
            starts = self._starts.get(name, ())
            place = bisect_right(starts, number)
            piece = piece_name(name, starts[place - 1]) if place else ""
        record = self._record(piece)
        return self._placed(record, kind, number - record.get("first", 0), f"{self.frame_name(name, number)}.{kind}")

    def _placed(self, record: Mapping[str, Any], kind: str, number: int, name: str) -> Member:
        """File `number` of a kind; one that does not exist where the index has none."""
        places = record.get("index", {}).get(kind, ())
        if not 0 <= number < len(places):
            return Member(self.masks, name)
        return Member(self.masks / record["tar"], name, *places[number])
