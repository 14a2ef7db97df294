"""Send the metrics of a training to the trackers of the run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities import rank_zero_only


class Metrics(Logger):
    """Hands on metrics only: the configuration has been logged where the tracking was opened.

    Args:
        log: Takes {name: value} and the step, on rank 0; None on the other ranks.
    """

    def __init__(self, log: Callable[[Mapping[str, float], int], None] | None) -> None:
        super().__init__()
        self._log = log

    @property
    def name(self) -> str:
        return ""

    @property
    def version(self) -> str:
        return ""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        if self._log is not None:
            self._log(metrics, step or 0)

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        pass
