"""Schedules against their formulas."""

from __future__ import annotations

import math

import pytest
import torch

from wsvs.lit.optim import configure, no_loss

FORMULAS = {
    "constant": lambda p: 1.0,
    "cosine": lambda p: (1 + math.cos(math.pi * p)) / 2,
    "poly": lambda p: (1 - p) ** 0.9,
}


def rates(schedule, steps, warmup, more=2):
    """The learning rate of every step and of some after the last, as a training loop would use it."""
    weight = torch.nn.Parameter(torch.zeros(1))
    frozen = torch.nn.Parameter(torch.zeros(1), requires_grad=False)
    made = configure([([weight], 0.4), ([frozen], 1.0)], schedule, steps, warmup)
    optimizer = made["optimizer"]
    assert isinstance(optimizer, torch.optim.Adam) and len(optimizer.param_groups) == 1
    found = []
    for _ in range(steps + more):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if "lr_scheduler" in made:
            assert made["lr_scheduler"]["interval"] == "step"
            made["lr_scheduler"]["scheduler"].step()
    return found


@pytest.mark.parametrize("schedule", FORMULAS)
@pytest.mark.parametrize("warmup", [0, 4])
def test_schedules(schedule, warmup):
    climb = [0.4 * k / (warmup + 1) for k in range(1, warmup + 1)]
    fall = [0.4 * FORMULAS[schedule](k / (20 - warmup)) for k in range(20 - warmup)]
    end = 0.4 if schedule == "constant" else 0.0
    assert rates(schedule, 20, warmup) == pytest.approx([*climb, *fall, end, end], abs=1e-12)


def test_warmup_longer_than_the_training_only_climbs():
    assert rates("cosine", 3, 9, more=0) == pytest.approx([0.04, 0.08, 0.12])


def test_constant_without_warmup_needs_no_schedule():
    assert set(configure([([torch.nn.Parameter(torch.zeros(1))], 0.4)], "constant", 10)) == {"optimizer"}


def test_no_loss_is_none_alone_and_0_among_ranks(monkeypatch):
    """With a gradient of 0 for all that learns: the other ranks wait for it."""
    net = torch.nn.Linear(2, 1)
    net.bias.requires_grad_(False)
    assert no_loss(net) is None
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    loss = no_loss(net)
    loss.backward()
    assert loss == 0 and not net.weight.grad.any() and net.bias.grad is None
