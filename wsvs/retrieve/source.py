"""Interface of a source of videos: candidates of a class, their thumbnails, and the files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

from wsvs.core.errors import BadItem
from wsvs.records.retrieved import Candidate, FoundVideo

Kind = Literal["gone", "later", "account", "region", "list", "unusable", "budget", "unknown"]
"""Why a video was not had. `gone`: removed, or never there, for good. `later`: it failed for now, by a rate limit, a
refusal, a broken connection or anything that is not explained; the same command tries it again. `account`: a login is
needed. `region`: not shown in this country. `list`: not a single video. `unusable`: the file is no video, or cannot be
cut. `budget`: a limit of this run was reached. `unknown`: it failed in a run of an earlier version."""
KINDS: tuple[str, ...] = get_args(Kind)
STRIKES = ("later", "account", "region", "list")  # consecutive failures of these kinds indicate a general problem


class Unwanted(BadItem):
    """A video or image that is available but skipped on purpose."""


class Failed(BadItem):
    """A video that is not available.

    Args:
        kind: Kind of failure, which decides whether it is tried again.
        problem, where, remedy: As for `UserError`.
    """

    def __init__(self, problem: str, *, kind: Kind = "later", where: object = None, remedy: str | None = None) -> None:
        super().__init__(problem, where=where, remedy=remedy)
        self.kind = kind


@dataclass(frozen=True)
class Fetched:
    """A video's file.

    Attributes:
        path: The file.
        facts: Updated columns of the manifest.
        own: Whether the file was downloaded, and may be moved and deleted.
    """

    path: Path
    facts: dict[str, Any] = field(default_factory=dict)
    own: bool = True


class Source(Protocol):
    """A source of videos. Every method raises `BadItem` for problems of a single video.

    A source with candidates with known=False also has a method open(candidate) -> list[Candidate].
    """

    def search(self, class_name: str) -> list[Candidate]:
        """Candidates of a class, each video once, best first."""
        ...

    def thumbnail(self, candidate: Candidate) -> bytes | None:
        """Its thumbnail as a file; None if it has none."""
        ...

    def fetch(self, candidate: Candidate, folder: Path) -> Fetched:
        """Download the file to this folder, unless it is local."""
        ...

    def others(self) -> list[FoundVideo]:
        """Rows of videos that are not candidates of any class."""
        ...


SOURCES: dict[str, Callable[[Mapping[str, Any], Sequence[str]], Source]] = {}
"""Sources of plugins beside ours, by the name that retrieve.source gives: (section retrieve, classes) -> source."""
