"""What a source of videos has to offer: candidates of a class, their thumbnails, and the files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from wsvs.core.errors import BadItem
from wsvs.retrieve.manifest import Row


class Unwanted(BadItem):
    """A video or a picture that could be had but is left out on purpose."""


@dataclass(frozen=True)
class Candidate:
    """A video that a source proposes for a class; what is not known is None.

    Attributes:
        video: Id, the same whichever class or query the video was found for. Files are named after it.
        url: Its page or file.
        query: What was searched for.
        rank: Place among the results, from 1.
        title, uploader: As the source gives them.
        duration: Seconds.
        thumbnail: URL of its picture.
        unwanted: Why it is left out without another look.
        distractor: It was put among the candidates although it is not of the class.
    """

    video: str
    url: str
    query: str | None = None
    rank: int | None = None
    title: str | None = None
    uploader: str | None = None
    duration: float | None = None
    thumbnail: str | None = None
    unwanted: str | None = None
    distractor: bool = False


@dataclass(frozen=True)
class Fetched:
    """A video's file.

    Attributes:
        path: The file.
        facts: Columns of the manifest that are known better now.
        own: Whether the file is ours, to be moved and deleted.
    """

    path: Path
    facts: dict[str, Any] = field(default_factory=dict)
    own: bool = True


class Source(Protocol):
    """Where videos come from. Every method raises `BadItem` for what concerns one video alone."""

    def search(self, class_name: str) -> list[Candidate]:
        """Candidates of a class, each video once, best first."""
        ...

    def thumbnail(self, candidate: Candidate) -> bytes | None:
        """Its picture as a file; None if it has none."""
        ...

    def fetch(self, candidate: Candidate, folder: Path) -> Fetched:
        """Get the file, into this folder unless it lies on this machine already."""
        ...

    def others(self) -> list[Row]:
        """Rows of videos that are candidates of no class."""
        ...


SOURCES: dict[str, Callable[[Mapping[str, Any], Sequence[str]], Source]] = {}
"""Sources of plugins beside ours, by the name that retrieve.source gives: (section retrieve, classes) -> source."""
