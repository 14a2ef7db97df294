"""Interface to an experiment tracking service."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from wsvs.lit.media import LoggedImage


class Tracker(Protocol):
    """Writes one run to a service such as W&B.

    Attributes:
        media: Images of each kind, at most.
    """

    media: int

    @property
    def logger(self) -> Any:
        """The service's run object, for Lightning's metrics; None until it is open."""

    def show(self, key: str, images: Iterable[LoggedImage], names: Sequence[str], step: int | None = None) -> None:
        """Log images with their masks; `names` are those of the labels 0, 1, ..."""

    def finished(self, counts: Mapping[str, Any], results: Mapping[str, Any]) -> None:
        """Log the content of summary.json."""
