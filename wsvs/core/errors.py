"""The one error type that is shown to a user without a stack trace."""

from __future__ import annotations

from typing import Any


class UserError(Exception):
    """An error that the user can fix: a bad file, a missing input, an impossible setting.

    Args:
        problem: What is wrong, in one sentence.
        where: Where it came from: a file, a line, a configuration key.
        remedy: What to do next.
        kind: Of code that does not know the command line: key of what `wsvs.engine.explain` says there instead.
    """

    def __init__(self, problem: str, *, where: object = None, remedy: str | None = None, kind: str = "") -> None:
        self.problem = problem
        self.where = None if where is None else str(where)
        self.remedy = remedy
        self.kind = kind
        super().__init__(self.message)

    @property
    def message(self) -> str:
        lines = [self.problem]
        if self.where:
            lines.append(f"  where: {self.where}")
        if self.remedy:
            lines.append(f"  next:  {self.remedy}")
        return "\n".join(lines)

    def __reduce__(self) -> tuple[Any, ...]:  # the default loses keyword-only arguments when a worker raises it
        return (_rebuild, (type(self), self.problem, self.where, self.remedy, self.kind))


class BadItem(UserError):
    """One bad item among many: a long job records it, counts it and continues."""


def _rebuild(error: type[UserError], problem: str, where: str | None, remedy: str | None, kind: str) -> UserError:
    return error(problem, where=where, remedy=remedy, kind=kind)
