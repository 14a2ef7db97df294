"""Videos of a local folder as candidates that are scored like web videos."""

from __future__ import annotations

from pathlib import Path

from wsvs.config.groups import Foreign
from wsvs.core.classes import Classes
from wsvs.core.errors import BadItem
from wsvs.records.retrieved import Candidate, FoundVideo
from wsvs.retrieve.folder import PACKED, FolderSource, Pack, plan
from wsvs.retrieve.manifest import safe_name
from wsvs.retrieve.source import Fetched


class LocalSource:
    """A `FolderSource` as a `Source`: no thumbnails or downloads; folders of images are packed into files.

    Args:
        folder: The videos.
        classes: The classes to retrieve.
        foreign, pack: As for `wsvs.retrieve.folder.retrieve_folder`.
    """

    def __init__(
        self, folder: FolderSource, classes: Classes, foreign: Foreign = "skip", pack: Pack | None = None
    ) -> None:
        self._pack = pack
        self._found: dict[str, list[Candidate]] = {name: [] for name in classes}
        self._others: list[FoundVideo] = []
        self._videos = {video.id: video for video in folder.videos}
        for video, row in plan(folder, classes, foreign):
            if row.class_name is None:
                self._others.append(row)
                continue
            found = self._found[row.class_name]
            found.append(
                Candidate(
                    video.id,
                    row.url,
                    rank=len(found) + 1,
                    title=row.title,
                    distractor=row.distractor,
                )
            )

    def search(self, class_name: str) -> list[Candidate]:
        return self._found[class_name]

    def thumbnail(self, candidate: Candidate) -> bytes | None:
        return None

    def fetch(self, candidate: Candidate, folder: Path) -> Fetched:
        video = self._videos[candidate.video]
        if video.path is None or not video.path.exists():
            raise BadItem("no such file below the folder", where=candidate.video)
        if not video.packed or self._pack is None:
            return Fetched(video.path, own=False)
        target = folder / f"{safe_name(video.id)}{PACKED}"
        self._pack(video.path, target)
        return Fetched(target)

    def others(self) -> list[FoundVideo]:
        return self._others
