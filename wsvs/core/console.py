"""The screen for tables: it shows names as they are."""

from __future__ import annotations

from rich.console import Console


def plain_console() -> Console:
    """A console that takes nothing in a text for its own: in the class 'dog [old]' rich would see markup."""
    return Console(markup=False, emoji=False)
