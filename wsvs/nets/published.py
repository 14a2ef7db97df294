"""Identify the network of a weights file by the names and shapes of its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from wsvs.nets.backbone import Backbone
from wsvs.nets.backbones import BACKBONES
from wsvs.nets.timm_backbone import PREFIX, TimmBackbone

TITLES = {
    "vgg16": "VGG-16",
    "vgg_small": "the small VGG",
    "squeezenet1_1": "SqueezeNet 1.1",
    "resnet50v2": "ResNet-50 v2",
    "efficientnet_lite2": "EfficientNet-Lite2",
}
_CLASSIFIER = ("classifier", "head", "fc", "pre_logits")

# timm 1.0.22: {name of the first convolution: {network: (tensors without the classifier's, elements of convolutions)}}
_TIMM = {
    "conv1.weight": {
        "resnet18": (100, 11166912),
        "resnet34": (180, 21267648),
        "resnet50": (265, 23454912),
        "resnet101": (520, 42394816),
        "resnet152": (775, 57992384),
        "resnet26": (145, 13915328),
        "resnext50_32x4d": (265, 22911680),
        "resnext101_32x8d": (520, 86539456),
        "wide_resnet50_2": (265, 66766016),
        "seresnet50": (329, 25969856),
    },
    "conv1.0.weight": {
        "resnet50d": (275, 23474016),
        "resnet101d": (530, 42413920),
    },
    "stem.conv.weight": {
        "resnetv2_50": (249, 23454912),
        "regnetx_002": (220, 2294944),
        "regnety_004": (329, 3870784),
        "regnety_008": (291, 5458784),
        "regnety_016": (538, 10250592),
        "regnety_032": (424, 17844768),
    },
    "features.0.weight": {
        "vgg11": (16, 9217728),
        "vgg11_bn": (48, 9217728),
        "vgg13": (20, 9402048),
        "vgg13_bn": (60, 9402048),
        "vgg16_bn": (78, 14710464),
        "vgg19": (32, 20018880),
        "vgg19_bn": (96, 20018880),
    },
    "features.conv0.weight": {
        "densenet121": (604, 6870208),
        "densenet169": (844, 12326080),
        "densenet201": (1004, 17863872),
    },
    "conv_stem.weight": {
        "mobilenetv2_100": (260, 2189760),
        "mobilenetv3_small_100": (208, 1501832),
        "mobilenetv3_large_100": (264, 4171272),
        "mobilenetv4_conv_small": (230, 2467936),
        "mobilenetv4_conv_medium": (385, 8366608),
        "efficientnet_b0": (309, 3956192),
        "efficientnet_b1": (437, 6436976),
        "efficientnet_b2": (437, 7618016),
        "efficientnet_b3": (494, 10588856),
        "efficientnet_b4": (608, 17394376),
        "efficientnet_lite0": (245, 3328992),
        "tf_efficientnetv2_s": (670, 19988424),
        "tf_efficientnetv2_b0": (359, 5784576),
        "mnasnet_100": (260, 3064392),
        "ghostnet_100": (430, 3873336),
    },
    "stem.0.weight": {
        "convnext_atto": (124, 3356080),
        "convnext_pico": (124, 8503168),
        "convnext_nano": (142, 14909920),
        "convnext_tiny": (178, 1877472),
        "convnext_small": (340, 2216160),
        "convnext_base": (340, 3643008),
        "convnextv2_atto": (136, 3356080),
        "convnextv2_nano": (156, 14909920),
        "convnextv2_tiny": (196, 1877472),
        "convnextv2_base": (376, 3643008),
    },
}


class Owner(NamedTuple):
    """A network that weights belong to.

    Attributes:
        backbone: Its name for `build_backbone`; empty if no backbone of wsvs accepts these weights.
        title: Its display name.
    """

    backbone: str
    title: str


def owner_of(state: Mapping[str, Tensor]) -> Owner | None:
    """The network whose published weights these are; None if it is not one of the known ones."""
    for name, title in TITLES.items():
        with torch.device("meta"):
            wanted = BACKBONES[name]().state_dict()
        if not misfits(wanted, state):
            return Owner(name, title)
    own = {key: value for key, value in state.items() if not key.startswith(_CLASSIFIER)}
    size = sum(not key.endswith("num_batches_tracked") for key in own), _convolutions(own)
    for stem, networks in _TIMM.items():
        for name, theirs in networks.items():
            if size == theirs and stem in own:
                return Owner(PREFIX + name, name)
    # torchvision's names, or a modified layer: the same network, but timm's own version does not accept them
    near = {name: theirs for networks in _TIMM.values() for name, theirs in networks.items() if _alike(size, theirs)}
    return Owner("", min(near, key=lambda name: abs(near[name][1] - size[1]))) if near else None


def _convolutions(state: Mapping[str, Tensor]) -> int:
    """Elements of all convolutions."""
    return sum(value.numel() for value in state.values() if value.ndim == 4)


def _alike(size: tuple[int, int], other: tuple[int, int]) -> bool:
    return abs(size[0] - other[0]) <= 5 and abs(size[1] - other[1]) <= other[1] // 500


def misfits(wanted: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> list[str]:
    """Names of the tensors that are missing or have another shape."""
    return [
        key
        for key, value in wanted.items()
        if (key not in state or state[key].shape != value.shape) and not key.endswith("num_batches_tracked")
    ]


def title_of(backbone: Backbone) -> str:
    """The display name of a backbone."""
    if isinstance(backbone, TimmBackbone):
        return backbone.name
    owner = owner_of(backbone.state_dict())
    return owner.title if owner else type(backbone).__name__
