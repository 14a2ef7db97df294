"""Backbones by name.

To add one, write a `Backbone` and register it in `BACKBONES`, also from a module of your own (docs/extending.md).
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from wsvs.core.errors import UserError
from wsvs.nets.backbone import Backbone, PoolingBackbone
from wsvs.nets.efficientnet import efficientnet_lite2
from wsvs.nets.resnet import resnet50v2
from wsvs.nets.squeezenet import squeezenet1_1
from wsvs.nets.timm_backbone import PREFIX, TimmBackbone
from wsvs.nets.vgg import vgg16, vgg_small

__all__ = ["BACKBONES", "Backbone", "PoolingBackbone", "build_backbone"]

BACKBONES: dict[str, Callable[[], Backbone]] = {
    "vgg16": vgg16,
    "vgg_small": vgg_small,
    "squeezenet1_1": squeezenet1_1,
    "resnet50v2": resnet50v2,
    "efficientnet_lite2": efficientnet_lite2,
}

_OURS = frozenset(BACKBONES)


def build_backbone(name: str, deepest: bool = True) -> Backbone:
    """Build a backbone of `BACKBONES`, or timm/<name>.

    Args:
        deepest: See `TimmBackbone`.

    Raises:
        UserError: An unknown name, a plugin's backbone that contradicts its own description, or see `TimmBackbone`.
    """
    if name not in BACKBONES and not name.startswith(PREFIX):
        raise UserError(
            f"there is no backbone {name!r}",
            where=name,
            remedy=f"use one of {', '.join(BACKBONES)} or timm/<name>",
            kind="unknown backbone",
        )
    backbone = BACKBONES[name]() if name in BACKBONES else TimmBackbone(name.removeprefix(PREFIX), deepest)
    if name not in _OURS:
        _check(backbone, name)
    return backbone


@torch.no_grad()
def _check(backbone: Backbone, name: str, side: int = 128) -> None:
    """Check the description of a plugin's backbone with one forward pass."""

    def refusal(problem: str) -> UserError:
        return UserError(f"backbone {name!r} {problem}", where=name, remedy="fix the plugin", kind="backbone")

    if not isinstance(backbone, Backbone):
        raise refusal(f"must be a wsvs.nets.backbones.Backbone, got {type(backbone).__name__}")
    training = backbone.training
    found = backbone.eval()(torch.zeros(1, 3, side, side), with_pools=True)
    backbone.train(training)
    channels, cells = found.map.shape[1:3]
    pools = tuple(pool.before.shape[1] for pool in found.pools)
    if channels != backbone.channels:
        raise refusal(f"declares channels={backbone.channels}, but its map has {channels}")
    if abs(cells - side / backbone.stride) > 1.5:
        raise refusal(f"declares stride={backbone.stride}, but maps {side} px to {cells} cells")
    if pools != backbone.pool_channels:
        raise refusal(f"declares pool_channels={backbone.pool_channels}, but its pools have {pools}")
