"""Log the metrics of a training to an open W&B run."""

from __future__ import annotations

from typing import Any

from lightning.pytorch.loggers import WandbLogger


class Metrics(WandbLogger):
    """Logs metrics only: the configuration was logged when the run was opened.

    Args:
        experiment: The W&B run on rank 0; None on the other ranks, which do not use W&B.
        save_dir: Run directory.
    """

    def __init__(self, experiment: Any, save_dir: str) -> None:
        super().__init__(experiment=experiment, save_dir=save_dir)

    def log_hyperparams(self, params: Any) -> None:
        pass
