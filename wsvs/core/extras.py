"""Packages that only some settings need: what is missing is named with the command that installs it."""

from __future__ import annotations

from wsvs.core.errors import UserError


def missing(package: str, extra: str, where: object, error: ImportError | None = None) -> UserError:
    """What to raise where a package of an extra of ours cannot be imported."""
    broken = error is not None and not (isinstance(error, ModuleNotFoundError) and error.name == package)
    problem = f"{package} cannot be imported: {error}" if broken else f"{package} is not installed"
    return UserError(problem, where=where, remedy=f"pip install 'wsvs[{extra}]'")
