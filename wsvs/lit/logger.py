"""Metrics of a training into a W&B run that is open already."""

from __future__ import annotations

from typing import Any

from lightning.pytorch.loggers import WandbLogger


class Metrics(WandbLogger):
    """Logs metrics only: the code that opened the run has already logged the whole configuration.

    Args:
        experiment: The W&B run on rank 0; None on the other ranks, which never touch W&B.
        save_dir: Run directory.
    """

    def __init__(self, experiment: Any, save_dir: str) -> None:
        super().__init__(experiment=experiment, save_dir=save_dir)

    def log_hyperparams(self, params: Any) -> None:
        pass
