"""Result of a data set check: counts, problems with their remedies, and a table by class."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")
Progress = Callable[[Sequence[Any], str], Iterable[Any]]
"""(work, what is done with it) -> the same work, shown as it goes."""

SHOWN = 5  # items listed for each problem


def quiet(work: Sequence[T], _: str) -> Iterable[T]:
    """A `Progress` that shows nothing."""
    return work


@dataclass(frozen=True)
class Problem:
    """One kind of problem with all items that have it.

    Attributes:
        what: The problem, as a heading of the items: "ids without an image file".
        where: Folder or file.
        remedy: How to fix it, or where to get what is missing.
        items: Ids or file names; empty if the problem concerns the whole set.
        fatal: The data cannot be used as they are; otherwise the items are skipped.
    """

    what: str
    where: str
    remedy: str
    items: tuple[str, ...] = ()
    fatal: bool = True

    @property
    def text(self) -> str:
        """One line: what is wrong, the number of items, the first items."""
        if not self.items:
            return self.what
        more = " ..." if len(self.items) > SHOWN else ""
        return f"{self.what} ({len(self.items)}): {', '.join(self.items[:SHOWN])}{more}"


@dataclass(frozen=True)
class TaggedFile:
    """A row of the table of tags as it was read."""

    file: str
    tags: list[str]


@dataclass
class Report:
    """The result of a check.

    Attributes:
        counts: Numbers of items.
        by_class: {class: {column: number}}.
        problems: All problems found.
        notes: Further information.
        format: Detected format of the tags.
        rows: The first rows of the table.
    """

    counts: dict[str, int] = field(default_factory=dict)
    by_class: dict[str, dict[str, int | float]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    format: str = ""
    rows: list[TaggedFile] = field(default_factory=list)

    def add(self, what: str, where: object, remedy: str, items: Iterable[str] = (), *, fatal: bool = True) -> None:
        """Record a problem."""
        self.problems.append(Problem(what, str(where), remedy, tuple(items), fatal))

    def add_items(self, items: Iterable[str], what: str, where: object, remedy: str, *, fatal: bool = True) -> None:
        """Record a problem of some items; nothing if there are none."""
        items = tuple(items)
        if items:
            self.add(what, where, remedy, items, fatal=fatal)

    @property
    def fatal(self) -> list[Problem]:
        return [problem for problem in self.problems if problem.fatal]

    def asdict(self) -> dict[str, Any]:
        """Content of report.json."""
        return asdict(self)
