"""What a run tells a tracking service, whichever it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from wsvs.lit.media import Picture


class Tracker(Protocol):
    """Writes one run to a service such as W&B.

    Attributes:
        media: Images of each kind, at most.
    """

    media: int

    @property
    def logger(self) -> Any:
        """What the service calls its run, for Lightning's metrics; None until it is open."""

    def show(self, key: str, pictures: Iterable[Picture], names: Sequence[str], step: int | None = None) -> None:
        """Log images with their masks; `names` are those of the labels 0, 1, ..."""

    def finished(self, counts: Mapping[str, Any], results: Mapping[str, Any]) -> None:
        """Log what summary.json says."""
