"""The backbones by name.

To add one: write a `Backbone` and name it in `BACKBONES`, from a module of your own too (docs/extending.md).
"""

from __future__ import annotations

from collections.abc import Callable

import torch

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
    """A backbone of the table, or timm/<name>.

    Args:
        deepest: See `TimmBackbone`.

    Raises:
        ValueError: An unknown name, or a backbone that is not ours and not what it says of itself.
        UserError: See `TimmBackbone`.
    """
    if name not in BACKBONES and not name.startswith(PREFIX):
        raise ValueError(
            f"model.backbone must be one of {', '.join(BACKBONES)} or timm/<name>, got {name!r}; one of your own needs "
            "plugins=[its module]"
        )
    backbone = BACKBONES[name]() if name in BACKBONES else TimmBackbone(name.removeprefix(PREFIX), deepest)
    if name not in _OURS:
        _check(backbone, name)
    return backbone


@torch.no_grad()
def _check(backbone: Backbone, name: str, side: int = 128) -> None:
    """Hold what a backbone says of itself against one forward pass."""
    if not isinstance(backbone, Backbone):
        raise TypeError(f"backbone {name!r} must make a wsvs.nets.backbones.Backbone, got {type(backbone).__name__}")
    training = backbone.training
    found = backbone.eval()(torch.zeros(1, 3, side, side), with_pools=True)
    backbone.train(training)
    channels, cells = found.map.shape[1:3]
    pools = tuple(pool.before.shape[1] for pool in found.pools)
    if channels != backbone.channels:
        raise ValueError(f"backbone {name!r} says channels={backbone.channels}, but makes {channels}")
    if abs(cells - side / backbone.stride) > 1.5:
        raise ValueError(f"backbone {name!r} says stride={backbone.stride}, but makes {cells} cells of {side} px")
    if pools != backbone.pool_channels:
        raise ValueError(
            f"backbone {name!r} says pool_channels={backbone.pool_channels}, but where it halves the size there are "
            f"{pools}"
        )
