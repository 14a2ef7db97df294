"""Adam with a schedule (the paper trains every network with Adam, section 5.1)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Literal

import torch
from torch import nn

Schedule = Literal["constant", "cosine"]


def check_schedule(schedule: str) -> None:
    if schedule not in ("constant", "cosine"):
        raise ValueError(f"schedule must be constant or cosine, got {schedule!r}")


def configure(groups: Iterable[tuple[Iterable[nn.Parameter], float]], schedule: str, steps: float) -> dict[str, Any]:
    """What `configure_optimizers` returns: Adam over (parameters, learning rate) groups that learn.

    Args:
        schedule: 'constant' (the paper) or 'cosine' to 0.
        steps: Number of steps of the whole training.
    """
    listed = [
        {"params": [p for p in parameters if p.requires_grad], "lr": lr} for parameters, lr in groups
    ]
    optimizer = torch.optim.Adam([group for group in listed if group["params"]])
    if schedule == "constant":
        return {"optimizer": optimizer}

    def cosine(step: int) -> float:
        return 0.5 * (1 + math.cos(math.pi * min(1.0, step / max(1.0, steps))))

    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, cosine)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}
