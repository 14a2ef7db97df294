"""The interface of what writes a run to a tracking service."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from wsvs.core.files import Json

if TYPE_CHECKING:
    from wsvs.lit.media import LoggedImage


class Tracker(Protocol):
    """Writes one run to a service such as W&B.

    Attributes:
        media: Images of each kind, at most.
    """

    media: int

    def open(self) -> None:
        """Start, or resume the record of an earlier start of this job. Raises `UserError` if it cannot."""

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Metrics of a training."""

    def show(self, key: str, images: Iterable[LoggedImage], names: Sequence[str], step: int | None = None) -> None:
        """Images with their masks; `names` are those of the labels 0, 1, ..."""

    def finished(self, counts: Mapping[str, Json], results: Mapping[str, Json]) -> None:
        """What summary.json says, the tables of an evaluation, and videos."""

    def close(self, code: int) -> None:
        """All is written when this returns; code 0: the job is done."""
