"""Backbones of plugins."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from torch import nn

from wsvs.core.errors import UserError
from wsvs.engine.explain import advised
from wsvs.nets.backbones import BACKBONES, Backbone, PoolingBackbone, build_backbone


@dataclass(frozen=True)
class Said:
    channels: int = 12
    stride: int = 4
    pool_channels: tuple[int, ...] = (6, 8)
    pool_depths: tuple[int, ...] = (1, 2)

    def __call__(self) -> Backbone:
        layers = nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 8, 3, padding=1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(8, 12, 3, padding=1),
            nn.ReLU(),
        )
        return PoolingBackbone(layers, **vars(self), last_block=7)


def test_a_backbone_of_ones_own(monkeypatch):
    monkeypatch.setitem(BACKBONES, "own", Said())
    built = build_backbone("own")
    assert built.training and built.features[4].num_batches_tracked == 0  # the look at it left no trace


@pytest.mark.parametrize(
    ("made", "complaint"),
    [
        (replace(Said(), channels=13), "declares channels=13, but its map has 12"),
        (replace(Said(), stride=8), "declares stride=8, but maps 128 px to 32 cells"),
        (replace(Said(), pool_channels=(6,), pool_depths=(1,)), r"its pools have \(6, 8\)"),
    ],
)
def test_one_that_is_not_what_it_says(monkeypatch, made, complaint):
    monkeypatch.setitem(BACKBONES, "own", made)
    with pytest.raises(UserError, match=complaint):
        build_backbone("own")


def test_pools_of_different_number_and_depth(monkeypatch):
    monkeypatch.setitem(BACKBONES, "own", replace(Said(), pool_depths=(1,)))
    with pytest.raises(ValueError, match="differ in length"):
        build_backbone("own")


def test_one_of_another_kind_and_an_unknown_one(monkeypatch):
    monkeypatch.setitem(BACKBONES, "own", lambda: nn.Identity())
    with pytest.raises(UserError, match=r"must be a wsvs\.nets\.backbones\.Backbone, got Identity"):
        build_backbone("own")
    with pytest.raises(UserError, match=r"no backbone 'none'(.|\n)*vgg16.*own") as caught:
        build_backbone("none")
    assert "plugins" not in caught.value.message
    assert "own needs plugins=[its module]" in advised(caught.value).message
