"""Backbones from timm (an extra): model.backbone=timm/<name>, for feature pyramids and plain ViTs."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from wsvs.config.groups import Trainable
from wsvs.core.errors import UserError
from wsvs.core.extras import missing
from wsvs.nets.backbone import IMAGENET_MEAN, IMAGENET_STD, Backbone, Features, Pooled, pixel
from wsvs.nets.dilation import NotDilated, dilate
from wsvs.nets.patches import PatchGrid

PREFIX = "timm/"
STRIDE = 16  # maximum stride of the map: coarser attention shows no shapes
_REMEDY = "use a network with levels, such as timm/resnet50 or timm/convnext_tiny, or a plain ViT of patch 14 or 16"


class _Level(NamedTuple):
    number: int
    channels: int
    stride: int


class _Pyramid(NamedTuple):
    """A timm network that maps images to levels, shallow to deep, with the arguments that create it again."""

    net: nn.Module
    levels: list[_Level]
    made: dict[str, Any]


class TimmBackbone(Backbone):
    """The levels of a timm network: the deepest is the feature map, finer ones are the downsampling steps.

    Levels beyond stride 16 are dilated to stride 16: by timm if it can, else by `dilate`. For a plain ViT the map is
    that of its last tokens, with finer levels from `PatchGrid`. Images come with ImageNet's normalisation and are
    converted to the network's own. Batch norms keep the statistics of loaded weights; without any they collect new
    ones.

    Args:
        name: timm's name, with an optional tag of the weights after a dot: convnext_tiny.in12k_ft_in1k.
        deepest: False stops at the last level of stride 16, for checkpoints that were trained this way.

    Raises:
        UserError: timm cannot be imported, does not know the name, or the network has no levels of suitable strides or
            accepts images of one size only.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, name: str, deepest: bool = True) -> None:
        timm = _import_timm()
        if not timm.is_model(name):
            near = get_close_matches(name.partition(".")[0], timm.list_models(), n=1)
            raise UserError(
                f"timm {timm.__version__} has no model {name!r}",
                where=f"{PREFIX}{name}",
                remedy=f"did you mean {PREFIX}{near[0]}?" if near else "timm.list_models() lists its names",
                kind="backbone",
            )
        net, levels, made = _build(timm, name, deepest)
        last, finer = levels[-1], [level for level in levels[:-1] if level.stride < levels[-1].stride]
        super().__init__(
            channels=last.channels,
            stride=last.stride,
            pool_channels=tuple(level.channels for level in finer),
            pool_depths=(1, *[2] * (len(finer) - 1)),
            has_switches=False,
        )
        self.name = name
        self.net = net
        self.made = made
        config: Any = getattr(net, "model", net).pretrained_cfg
        mean, std = pixel(config["mean"]), pixel(config["std"])
        self.register_buffer("scale", pixel(IMAGENET_STD) / std)  # in checkpoints, because timm may change its values
        self.register_buffer("shift", (pixel(IMAGENET_MEAN) - mean) / std)
        self.learning, self.learning_last = self._reach()

    def forward(self, x: Tensor, with_pools: bool = False) -> Features:
        levels = self.net(x * self.scale + self.shift)
        finer = levels[: len(self.pool_channels)] if with_pools else []
        return Features(levels[-1], [Pooled(level, None) for level in finer])

    def _reach(self) -> tuple[set[str], set[str]]:
        """Names of the parameters that the map depends on, and of those of its last stage."""
        names, parameters = zip(*self.named_parameters(), strict=True)
        with torch.enable_grad():
            try:
                # odd numbers of cells, not square: reveals networks that accept one size only
                levels = self.eval().net(torch.zeros(1, 3, 5 * self.stride, 7 * self.stride))
            except Exception as error:  # from timm's code: assertions, mismatched sizes
                raise _refusal(self.name, f"{self.name} does not take images of any size: {error}") from error
            last: set[str] = set()
            used = _parents(levels.pop(), names, parameters)
            while levels and not last:  # the last stage may be a pool without parameters
                last = used - _parents(levels.pop(), names, parameters)
        self.train()
        return used, last

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
        """Rename the state dict of a whole network to the names of its feature pyramid: stages.0 -> stages_0."""
        if isinstance(self.net, PatchGrid):
            state = self.net.own_names(state)
        own = {_flat(key.removeprefix("net.").removeprefix("model.")): key for key in self.state_dict()}
        return {own.get(_flat(key), key): value for key, value in state.items()} | self._normalisation()

    def published(self) -> dict[str, Tensor]:
        """The state dict that timm downloads for this name. Raises `UserError` if the download fails."""
        try:
            net = _create(_import_timm(), self.name, pretrained=True, **self.made)
        except Exception as error:  # no such weights, no network, a full disk: every library has its own types
            raise UserError(
                f"timm cannot get the weights of {self.name}: {error}",
                where="timm",
                remedy="download the file yourself and give its path",
                kind="weights",
            ) from error
        return self.own_names(net.state_dict())

    def _normalisation(self) -> dict[str, Tensor]:
        return {"scale": self.scale, "shift": self.shift}


def _parents(level: Tensor, names: Sequence[str], parameters: Sequence[nn.Parameter]) -> set[str]:
    """Names of the parameters that a level depends on."""
    if not level.requires_grad:
        return set()
    grads = torch.autograd.grad(level.sum(), parameters, retain_graph=True, allow_unused=True)
    return {name for name, grad in zip(names, grads, strict=True) if grad is not None}


def _flat(key: str) -> str:
    return key.replace(".", "_")


def _import_timm() -> ModuleType:
    try:
        import timm
    except ImportError as error:
        raise missing("timm", "timm", f"the {PREFIX} backbones", error) from error
    except Exception as error:  # torchvision, which timm imports: 'operator torchvision::nms does not exist'
        raise UserError(
            f"timm cannot be imported: {error}",
            where=f"the {PREFIX} backbones",
            remedy="pip install 'wsvs[timm]' with the torchvision that was built for this torch: the same release and "
            "the same CPU or CUDA index",
        ) from error
    return timm


def _create(timm: ModuleType, name: str, **more: Any) -> nn.Module:
    try:
        return timm.create_model(name, **{"pretrained": False, **more})
    except (RuntimeError, TypeError, ValueError, AssertionError, AttributeError) as error:
        if more.get("pretrained"):
            raise
        raise _refusal(name, f"timm cannot make a pyramid of {name}: {error}") from error


def _refusal(name: str, problem: str) -> UserError:
    return UserError(problem, where=f"{PREFIX}{name}", remedy=_REMEDY, kind="backbone")


def _build(timm: ModuleType, name: str, deepest: bool) -> _Pyramid:
    """Raises `UserError` for a network without levels, or one that cannot be dilated to STRIDE."""
    net = _create(timm, name, features_only=True)
    levels = _levels(net)
    strides = [level.stride for level in levels]
    kept = [level for level in levels if level.stride <= STRIDE]
    if deepest and kept and len(set(strides)) == 1:
        return _patch_grid(timm, name)
    if len(kept) < 2 or strides != sorted(set(strides)):
        raise _refusal(
            name,
            f"{name} has levels at strides {', '.join(map(str, strides))}: two or more different ones up to "
            f"{STRIDE} are needed",
        )
    made: dict[str, Any] = {"features_only": True, "out_indices": [level.number for level in levels]}
    if not deepest:
        made["out_indices"] = [level.number for level in kept]
        return _Pyramid(_create(timm, name, **made), kept, made)
    if strides[-1] <= STRIDE:
        return _Pyramid(net, levels, made)
    try:
        dilated = {**made, "output_stride": STRIDE}
        net = _create(timm, name, **dilated)
        if _levels(net)[-1].stride == STRIDE:
            return _Pyramid(net, _levels(net), dilated)
    except UserError:  # it does not know the argument, or not this value of it
        pass
    net = _create(timm, name, **made)
    try:
        dilate(net, STRIDE, strides[-1])
    except NotDilated as error:
        raise _refusal(
            name, f"the deepest level of {name} is at stride {strides[-1]} and cannot be kept at {STRIDE}: {error}"
        ) from error
    return _Pyramid(net, [level._replace(stride=min(level.stride, STRIDE)) for level in levels], made)


def _patch_grid(timm: ModuleType, name: str) -> _Pyramid:
    made = {"num_classes": 0, "dynamic_img_size": True}
    net = PatchGrid(_create(timm, name, **made))
    return _Pyramid(net, [_Level(number, *level) for number, level in enumerate(net.levels)], made)


def _levels(net: nn.Module) -> list[_Level]:
    info: Any = net.feature_info
    return [_Level(*one) for one in zip(info.out_indices, info.channels(), info.reduction(), strict=True)]
