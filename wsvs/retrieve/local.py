"""Videos of a local folder as candidates that are scored like those of the web."""

from __future__ import annotations

from pathlib import Path

from wsvs.core.classes import Classes
from wsvs.core.errors import BadItem
from wsvs.retrieve.folder import FolderSource, Foreign, plan
from wsvs.retrieve.manifest import Row
from wsvs.retrieve.source import Candidate, Fetched


class LocalSource:
    """A `FolderSource` as a `Source`: no thumbnails, and nothing to fetch.

    Args:
        folder: The videos.
        classes: The classes to retrieve.
        foreign: As for `wsvs.retrieve.folder.retrieve_folder`.
    """

    def __init__(self, folder: FolderSource, classes: Classes, foreign: Foreign = "skip") -> None:
        self._found: dict[str, list[Candidate]] = {name: [] for name in classes}
        self._others: list[Row] = []
        self._paths = {video.id: video.path for video in folder.videos}
        for video, row in plan(folder, classes, foreign):
            if row["class"] is None:
                self._others.append(row)
                continue
            found = self._found[row["class"]]
            found.append(Candidate(
                video.id, row["url"], rank=len(found) + 1, title=row["title"], distractor=row["distractor"],
            ))

    def search(self, class_name: str) -> list[Candidate]:
        return self._found[class_name]

    def thumbnail(self, candidate: Candidate) -> bytes | None:
        return None

    def fetch(self, candidate: Candidate, folder: Path) -> Fetched:
        path = self._paths[candidate.video]
        if path is None or not path.is_file():
            raise BadItem("no such file below the folder", where=candidate.video)
        return Fetched(path, own=False)

    def others(self) -> list[Row]:
        return self._others
