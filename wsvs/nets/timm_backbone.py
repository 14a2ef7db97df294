"""Trunks of timm, an extra: model.backbone=timm/<name>, for every network of it that has levels."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from wsvs.core.errors import UserError
from wsvs.core.extras import missing
from wsvs.nets.backbone import IMAGENET_MEAN, IMAGENET_STD, Backbone, Features, Pooled, Trainable

PREFIX = "timm/"
STRIDE = 16  # of the map, at most: attention on coarser cells shows no shapes
_REMEDY = "take a network with levels, such as timm/resnet50 or timm/convnext_tiny"


class _Level(NamedTuple):
    number: int
    channels: int
    stride: int


class TimmBackbone(Backbone):
    """The levels of a timm network up to stride 16: the last is the map, those before are the steps to half the size.

    What is deeper is never built where timm can leave it out, and never learns. Images come in ImageNet's
    normalisation and are brought to the one that the network was trained with. Batch norms keep the statistics of
    weights that were loaded; without any they gather their own.

    Args:
        name: As timm calls it, a tag of weights after a dot: convnext_tiny.in12k_ft_in1k.

    Raises:
        UserError: timm cannot be imported, does not know the name, or the network has no levels of such strides or
            takes images of one size only.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, name: str) -> None:
        timm = _import_timm()
        if not timm.is_model(name):
            near = get_close_matches(name.partition(".")[0], timm.list_models(), n=1)
            raise UserError(
                f"timm {timm.__version__} knows no {name!r}", where=f"model.backbone={PREFIX}{name}",
                remedy=f"did you mean {PREFIX}{near[0]}?" if near else "timm.list_models() lists its names",
            )
        *before, last = _levels(name, _create(timm, name))
        super().__init__(
            channels=last.channels, stride=last.stride, pool_channels=tuple(level.channels for level in before),
            pool_depths=(1, *[2] * (len(before) - 1)), has_switches=False,
        )
        self.name = name
        self.indices = [level.number for level in (*before, last)]
        self.net = _create(timm, name, out_indices=self.indices)
        config: Any = self.net.pretrained_cfg
        mean, std = _pixel(config["mean"]), _pixel(config["std"])
        self.register_buffer("scale", _pixel(IMAGENET_STD) / std)  # checkpoints keep both: timm may change its mind
        self.register_buffer("shift", (_pixel(IMAGENET_MEAN) - mean) / std)
        self.learning, self.learning_last = self._reach()

    def forward(self, x: Tensor, with_pools: bool = False) -> Features:
        *before, out = self.net(x * self.scale + self.shift)
        return Features(out, [Pooled(level, None) for level in before] if with_pools else [])

    def _reach(self) -> tuple[set[str], set[str]]:
        """Names of the parameters that the map depends on, and of those that no earlier level does."""
        names, parameters = zip(*self.named_parameters(), strict=True)
        with torch.enable_grad():
            try:
                # odd numbers of cells, and no square: networks that take one size only are found out
                found = self.eval()(torch.zeros(1, 3, 5 * self.stride, 7 * self.stride), with_pools=True)
            except Exception as error:  # of their code: assertions, sizes that do not match
                raise UserError(
                    f"{self.name} does not take images of any size: {error}",
                    where=f"model.backbone={PREFIX}{self.name}", remedy=_REMEDY,
                ) from error
            used, earlier = (
                {name for name, grad in zip(names, grads, strict=True) if grad is not None}
                for grads in (
                    torch.autograd.grad(level.sum(), parameters, retain_graph=True, allow_unused=True)
                    for level in (found.map, found.pools[-1].before)
                )
            )
        self.train()
        return used, used - earlier

    def train_only(self, trainable: Trainable) -> None:
        learning = {"none": set(), "last": self.learning_last, "all": self.learning}[trainable]
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(name in learning)

    def train(self, mode: bool = True) -> TimmBackbone:
        super().train(mode)
        for module in self.modules():
            if self.pretrained and isinstance(module, _BatchNorm):
                module.eval()
        return self

    def own_names(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """A state dict of the whole network under the names of its pyramid of levels: stages.0 -> stages_0."""
        own = {_flat(key.removeprefix("net.").removeprefix("model.")): key for key in self.state_dict()}
        return {own.get(_flat(key), key): value for key, value in state.items()} | self._normalisation()

    def published(self) -> dict[str, Tensor]:
        """The state dict that timm downloads for this name. Raises `UserError` where it cannot."""
        try:
            net = _create(_import_timm(), self.name, out_indices=self.indices, pretrained=True)
        except Exception as error:  # no such weights, no network, a full disk: each library on the way has its own
            raise UserError(
                f"timm cannot get the weights of {self.name}: {error}", where="model.weights=timm",
                remedy="download the file yourself and give model.weights=FILE",
            ) from error
        return {f"net.{key}": value for key, value in net.state_dict().items()} | self._normalisation()

    def _normalisation(self) -> dict[str, Tensor]:
        return {"scale": self.scale, "shift": self.shift}


def _pixel(values: Sequence[float]) -> Tensor:
    return torch.tensor(values).view(1, -1, 1, 1)


def _flat(key: str) -> str:
    return key.replace(".", "_")


def _import_timm() -> ModuleType:
    try:
        import timm
    except ImportError as error:
        raise missing("timm", "timm", "model.backbone", error) from error
    except Exception as error:  # torchvision, which timm imports: 'operator torchvision::nms does not exist'
        raise UserError(
            f"timm cannot be imported: {error}", where="model.backbone",
            remedy="pip install 'wsvs[timm]' with the torchvision that was built for this torch: the same release and "
            "the same CPU or CUDA index",
        ) from error
    return timm


def _create(timm: ModuleType, name: str, **more: Any) -> nn.Module:
    try:
        return timm.create_model(name, **{"features_only": True, "pretrained": False, **more})
    except (RuntimeError, TypeError, ValueError, AssertionError, AttributeError) as error:
        if more.get("pretrained"):
            raise
        raise UserError(
            f"timm cannot make a pyramid of {name}: {error}", where=f"model.backbone={PREFIX}{name}", remedy=_REMEDY
        ) from error


def _levels(name: str, net: nn.Module) -> list[_Level]:
    """The levels up to STRIDE, shallow to deep. Raises `UserError` for fewer than two."""
    info: Any = net.feature_info
    strides = info.reduction()
    levels = [_Level(*one) for one in zip(info.out_indices, info.channels(), strides, strict=True)]
    levels = [level for level in levels if level.stride <= STRIDE]
    kept = [level.stride for level in levels]
    if len(kept) < 2 or kept != sorted(set(kept)):
        raise UserError(
            f"{name} has levels at strides {', '.join(map(str, strides))}: two or more different ones up to {STRIDE} "
            "are needed", where=f"model.backbone={PREFIX}{name}", remedy=_REMEDY,
        )
    return levels
