"""ResNet-50 v2 against a second writing of it from its state dict."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from wsvs.core.errors import UserError
from wsvs.nets.backbones import build_backbone
from wsvs.nets.decoder import Decoder
from wsvs.nets.encoder import Encoder
from wsvs.nets.weights import load_backbone_weights


def by_hand(state: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """The published network, layer by layer (He et al. 2016, figure 4e), before the scale of the output."""

    def norm(name: str, x: torch.Tensor) -> torch.Tensor:
        mean, var = (state[f"{name}.running_{kind}"].view(1, -1, 1, 1) for kind in ("mean", "var"))
        weight, bias = (state[f"{name}.{kind}"].view(1, -1, 1, 1) for kind in ("weight", "bias"))
        return (x - mean) / (var + 1e-5).sqrt() * weight + bias

    x = F.conv2d(norm("bn_data", x), state["conv1.weight"], stride=2, padding=3)
    x = F.max_pool2d(norm("bn1", x).clamp(min=0), 3, 2, 1)
    for stage, blocks in ((1, 3), (2, 4), (3, 6)):
        for block in range(blocks):
            name, stride = f"stage{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            y = norm(f"{name}.bn1", x).clamp(min=0)
            short = F.conv2d(y, state[f"{name}.downsample.weight"], stride=stride) if block == 0 else x
            y = F.conv2d(y, state[f"{name}.conv1.weight"])
            y = F.conv2d(norm(f"{name}.bn2", y).clamp(min=0), state[f"{name}.conv2.weight"], stride=stride, padding=1)
            x = short + F.conv2d(norm(f"{name}.bn3", y).clamp(min=0), state[f"{name}.conv3.weight"])
    return norm("bn_out", x).clamp(min=0)


def shaken() -> torch.nn.Module:
    """A backbone whose norms do something."""
    torch.manual_seed(0)
    backbone = build_backbone("resnet50v2")
    for name, value in backbone.named_buffers():
        if "running" in name:
            value.uniform_(0.5, 1.5)
    for name, parameter in backbone.named_parameters():
        if "bn" in name:
            torch.nn.init.uniform_(parameter, 0.2, 0.8)
    return backbone


def test_equals_the_published_network_in_both_modes():
    backbone = shaken()
    x = torch.rand(2, 3, 64, 96)
    with torch.no_grad():
        expected = 30 * by_hand(backbone.state_dict(), x)
        torch.testing.assert_close(backbone.eval()(x).map, expected, rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(backbone.train()(x).map, expected, rtol=1e-3, atol=1e-3)  # statistics are fixed


def test_sizes():
    backbone = build_backbone("resnet50v2")
    # convolutions of He et al. without conv5_x and the classifier, and two numbers a channel of each norm
    blocks = sum(
        first * width + 9 * width**2 + 4 * width**2 + (4 * width * inputs if block == 0 else 0)
        for inputs, width, count in ((64, 64, 3), (256, 128, 4), (512, 256, 6))
        for block in range(count)
        for first in ([inputs] if block == 0 else [4 * width])
    )
    norms = 2 * (3 + 64 + 1024) + 2 * sum(
        (inputs if block == 0 else 4 * width) + 2 * width
        for inputs, width, count in ((64, 64, 3), (256, 128, 4), (512, 256, 6))
        for block in range(count)
    )
    assert sum(p.numel() for p in backbone.parameters()) == 3 * 64 * 49 + blocks + norms == 8_539_846
    with torch.no_grad():
        found = backbone(torch.rand(1, 3, 96, 64), with_pools=True)
    assert found.map.shape == (1, 1024, 6, 4)
    assert [tuple(pool.before.shape[1:]) for pool in found.pools] == [(64, 48, 32), (256, 24, 16), (512, 12, 8)]


def test_only_the_last_block_learns():
    encoder = Encoder(backbone="resnet50v2", classes=["a"], hidden=8, trainable="last")
    learning = {name.split(".")[0] for name, p in encoder.backbone.named_parameters() if p.requires_grad}
    assert learning == {"stage3", "bn_out"}


def test_there_are_no_switches_to_guide_a_decoder():
    backbone = build_backbone("resnet50v2")
    with pytest.raises(UserError, match="use features or none"):
        Decoder(backbone, guidance="switches")
    for guidance in ("features", "none"):
        decoder = Decoder(backbone, guidance=guidance, width=0.25).eval()
        with torch.no_grad():
            x = torch.rand(1, 3, 64, 80)
            assert decoder(torch.rand(1, 1, 4, 5), backbone(x, with_pools=True), (64, 80)).shape == (1, 2, 64, 80)


def test_real_weights_give_features_of_order_one(real_data):
    backbone = build_backbone("resnet50v2").eval()
    load_backbone_weights(backbone, str(real_data / "weights" / "resnet50v2_trunk_conv4_fp16.pth"))
    with torch.no_grad():
        found = backbone(torch.randn(1, 3, 128, 128)).map
    assert 0.3 < found.std() < 3
