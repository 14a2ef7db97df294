"""A stand-in for timm: networks of its shape, with the attributes that wsvs reads of them."""

from __future__ import annotations

from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from torch import nn

from wsvs.nets.backbone import IMAGENET_MEAN, IMAGENET_STD

CHANNELS = {2: 4, 4: 6, 8: 8, 16: 10, 32: 12}  # of the level at each stride


class Pyramid(nn.Module):
    """A strided convolution and a norm a level, stages_0 for stages.0; feature_info as timm has it."""

    def __init__(
        self,
        out_indices: tuple[int, ...],
        size: int | None = None,
        output_stride: int = 32,
        last: int = 3,
    ) -> None:
        super().__init__()
        self.size = size
        self.out = out_indices
        inputs = 3
        for index, (stride, outputs) in enumerate(CHANNELS.items()):
            kernel = last if stride == 32 else 3
            convolution = nn.Conv2d(inputs, outputs, kernel, 2 if stride <= output_stride else 1, 1)
            self.add_module(f"stages_{index}", nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU()))
            inputs = outputs
        strides = [min(stride, output_stride) for stride in CHANNELS]
        self.feature_info = SimpleNamespace(
            out_indices=out_indices,
            reduction=lambda: [strides[index] for index in out_indices],
            channels=lambda: [list(CHANNELS.values())[index] for index in out_indices],
        )
        self.pretrained_cfg = {"mean": (0.5, 0.25, 0.125), "std": (0.5, 0.25, 0.5)}

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        assert self.size in (None, x.shape[-1]), f"Input width ({x.shape[-1]}) doesn't match model ({self.size})."
        self.seen = x
        levels = []
        for index in range(5):
            x = self.get_submodule(f"stages_{index}")(x)
            levels.append(x)
        return [levels[index] for index in self.out]


class Tokens(nn.Module):
    """A ViT of blocks that add their number, so that the map is the mean of each patch and a known number."""

    def __init__(self, patch: int, depth: int = 4) -> None:
        super().__init__()
        self.patch_embed = nn.Conv2d(3, 5, patch, patch)
        self.patch_embed.patch_size = (patch, patch)
        self.blocks = nn.ModuleList(nn.Linear(5, 5) for _ in range(depth))
        for number, block in enumerate(self.blocks):
            nn.init.eye_(block.weight)
            nn.init.constant_(block.bias, number)
        nn.init.constant_(self.patch_embed.weight, 1 / patch**2)
        nn.init.zeros_(self.patch_embed.bias)
        self.embed_dim = 5
        self.pretrained_cfg = {"mean": IMAGENET_MEAN, "std": IMAGENET_STD}

    def forward_intermediates(
        self,
        x: torch.Tensor,
        *,
        indices: list[int],
        norm: bool,
        output_fmt: str,
        intermediates_only: bool,
    ) -> list[torch.Tensor]:
        assert norm and intermediates_only and output_fmt == "NCHW"
        assert all(side % self.patch_embed.patch_size[0] == 0 for side in x.shape[-2:])
        x = self.patch_embed(x).movedim(1, -1)
        found = []
        for block in self.blocks:
            x = block(x)
            found.append(x.movedim(-1, 1))
        return [found[index] for index in indices]


class FakeTimm(ModuleType):
    __version__ = "1.0"
    names = ("pyramid", "dilates", "wide", "plain", "coarse", "fixed", "sized", "headless")

    def __init__(self) -> None:
        super().__init__("timm")

    def is_model(self, name: str) -> bool:
        return name.partition(".")[0] in self.names

    def list_models(self) -> list[str]:
        return list(self.names)

    def create_model(
        self,
        name: str,
        *,
        features_only: bool = False,
        pretrained: bool,
        out_indices: Any = (0, 1, 2, 3, 4),
        output_stride: int = 32,
        dynamic_img_size: bool = False,
        num_classes: int = 1000,
    ) -> nn.Module:
        if name == "headless":
            raise RuntimeError("features_only not implemented for this")
        if name in ("plain", "coarse", "fixed"):
            if features_only:
                info = {
                    "out_indices": range(4),
                    "reduction": lambda: [32 if name == "coarse" else 14] * 4,
                    "channels": lambda: [5] * 4,
                }
                return SimpleNamespace(feature_info=SimpleNamespace(**info))
            if name == "fixed" and dynamic_img_size:
                raise TypeError("unexpected keyword argument 'dynamic_img_size'")
            assert num_classes == 0
            return Tokens(14)
        assert features_only
        if name != "dilates" and output_stride != 32:
            raise TypeError("unexpected keyword argument 'output_stride'")
        net = Pyramid(
            tuple(out_indices), 224 if name == "sized" else None, output_stride, last=1 if name == "wide" else 3
        )
        if pretrained:
            if name != "pyramid.good":
                raise RuntimeError("No pretrained weights exist for pyramid")
            for parameter in net.parameters():
                nn.init.constant_(parameter, 0.5)
        return net
