"""Adam with a schedule (the paper trains every network with Adam, section 5.1)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
import torch.distributed
from torch import Tensor, nn

POWER = 0.9  # of poly, as in DeepLab (Chen et al., "DeepLab", TPAMI 2018, section 4.1.1)


def factor(schedule: str, step: int, steps: float, warmup: int = 0) -> float:
    """Factor of the learning rate at an optimizer step, in [0, 1].

    Linear warm-up over the first `warmup` steps; the remaining steps follow the schedule: 1, or with p from 0 to 1,
    (1 + cos(pi p)) / 2 or (1 - p)^0.9.
    """
    if step < warmup:
        return (step + 1) / (warmup + 1)
    p = min(1.0, (step - warmup) / max(1.0, steps - warmup))
    return {"constant": 1.0, "cosine": 0.5 * (1 + math.cos(math.pi * p)), "poly": math.pow(1 - p, POWER)}[schedule]


def configure(
    groups: Iterable[tuple[Iterable[nn.Parameter], float]], schedule: str, steps: float, warmup: int = 0
) -> dict[str, Any]:
    """The result of `configure_optimizers`: Adam over (parameters, learning rate) groups, without frozen parameters.

    Args:
        schedule: 'constant' (the paper), or 'cosine' or 'poly' decay to 0.
        steps: Number of optimizer steps of the whole training.
        warmup: Number of warm-up steps.
    """
    listed = [{"params": [p for p in parameters if p.requires_grad], "lr": lr} for parameters, lr in groups]
    optimizer = torch.optim.Adam([group for group in listed if group["params"]])
    if schedule == "constant" and not warmup:
        return {"optimizer": optimizer}
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: factor(schedule, step, steps, warmup))
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def no_loss(module: nn.Module) -> Tensor | None:
    """The loss of a batch without a good item: None; with several ranks 0, since the others wait for its gradient."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return None
    return torch.stack([0 * p.sum() for p in module.parameters() if p.requires_grad]).sum()
