"""What a source of videos has to offer: candidates of a class, their thumbnails, and the files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

from wsvs.core.errors import BadItem
from wsvs.retrieve.manifest import Row

Kind = Literal["gone", "later", "account", "region", "list", "unusable", "budget", "unknown"]
"""Why a video was not had. `gone`: removed, or never there, for good. `later`: it failed for now, by a rate limit, a
refusal, a broken connection or anything that is not explained; the same command tries it again. `account`: a login is
needed. `region`: not shown in this country. `list`: not a single video. `unusable`: the file is no video, or cannot be
cut. `budget`: a limit of this run was reached. `unknown`: it failed in a run of an earlier version."""
KINDS: tuple[str, ...] = get_args(Kind)
STRIKES = ("later", "account", "region", "list")  # a streak of these says that something is wrong as a whole


class Unwanted(BadItem):
    """A video or an image that could be had but is left out on purpose."""


class Failed(BadItem):
    """A video that could not be had.

    Args:
        kind: Why, as far as it matters for another try.
        problem, where, remedy: As for `UserError`.
    """

    def __init__(self, problem: str, *, kind: Kind = "later", where: object = None, remedy: str | None = None) -> None:
        super().__init__(problem, where=where, remedy=remedy)
        self.kind = kind


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
        thumbnail: URL of its thumbnail.
        unwanted: Why it is left out without another look.
        distractor: It was put among the candidates although it is not of the class.
        identity: The site's name and its id there: the same under whichever address.
        known: Whether it is known to be one video. Else the source's `open` says what the address leads to.
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
    identity: str | None = None
    known: bool = True


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
    """Where videos come from. Every method raises `BadItem` for what concerns one video alone.

    One that gives candidates with known=False also has a method open(candidate) -> list[Candidate].
    """

    def search(self, class_name: str) -> list[Candidate]:
        """Candidates of a class, each video once, best first."""
        ...

    def thumbnail(self, candidate: Candidate) -> bytes | None:
        """Its thumbnail as a file; None if it has none."""
        ...

    def fetch(self, candidate: Candidate, folder: Path) -> Fetched:
        """Get the file, into this folder unless it is already on this machine."""
        ...

    def others(self) -> list[Row]:
        """Rows of videos that are candidates of no class."""
        ...


SOURCES: dict[str, Callable[[Mapping[str, Any], Sequence[str]], Source]] = {}
"""Sources of plugins beside ours, by the name that retrieve.source gives: (section retrieve, classes) -> source."""
