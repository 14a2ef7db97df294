"""EfficientNet-Lite2 against a second writing of it from its state dict, and against timm's."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wsvs.nets.backbone import IMAGENET_MEAN, IMAGENET_STD
from wsvs.nets.backbones import build_backbone
from wsvs.nets.encoder import Encoder
from wsvs.nets.weights import load_backbone_weights

# of each stage of the published network: blocks, side of the kernel, stride of the first block
STAGES = ((1, 3, 1), (3, 3, 2), (3, 5, 2), (4, 3, 2), (4, 5, 1), (5, 5, 2), (1, 3, 1))


def convolve(x: Tensor, weight: Tensor, stride: int = 1, dilation: int = 1) -> Tensor:
    """TensorFlow's 'same'."""
    pads: list[int] = []
    for side in (x.shape[-1], x.shape[-2]):
        total = max((-(-side // stride) - 1) * stride + (weight.shape[-1] - 1) * dilation + 1 - side, 0)
        pads += [total // 2, total - total // 2]
    groups = x.shape[1] // weight.shape[1]
    return F.conv2d(F.pad(x, pads), weight, stride=stride, dilation=dilation, groups=groups)


def by_hand(state: dict[str, Tensor], x: Tensor, strided: bool) -> list[Tensor]:
    """The output of each stage and of the last convolution; RGB in [-1, 1] in."""

    def norm(name: str, x: Tensor) -> Tensor:
        mean, var, weight, bias = (
            state[f"{name}.{key}"].view(1, -1, 1, 1) for key in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / (var + 0.001).sqrt() * weight + bias

    x = norm("bn1", convolve(x, state["conv_stem.weight"], 2)).clamp(0, 6)
    found = []
    dilation = 1
    for stage, (blocks, _, stride) in enumerate(STAGES):
        for block in range(blocks):
            at, kept = f"blocks.{stage}.{block}", x
            step, wide = (stride, dilation) if block == 0 else (1, dilation)
            if stage == 5 and block == 0 and not strided:
                step, dilation = 1, 2  # this block still sees the finer map; those after it look twice as wide
            if stage == 0:
                x = norm(f"{at}.bn1", convolve(x, state[f"{at}.conv_dw.weight"])).clamp(0, 6)
                x = norm(f"{at}.bn2", convolve(x, state[f"{at}.conv_pw.weight"]))
                continue
            x = norm(f"{at}.bn1", convolve(x, state[f"{at}.conv_pw.weight"])).clamp(0, 6)
            x = norm(f"{at}.bn2", convolve(x, state[f"{at}.conv_dw.weight"], step, wide)).clamp(0, 6)
            x = norm(f"{at}.bn3", convolve(x, state[f"{at}.conv_pwl.weight"]))
            if kept.shape == x.shape and block > 0:
                x = x + kept
        found.append(x)
    return [*found, norm("bn2", convolve(x, state["conv_head.weight"])).clamp(0, 6)]


def shaken() -> nn.Module:
    """A backbone whose norms do something, and whose values stay in their range."""
    torch.manual_seed(0)
    backbone = build_backbone("efficientnet_lite2")
    for name, value in backbone.named_buffers():
        if "running" in name:
            value.uniform_(0.5, 1.5) if "var" in name else value.uniform_(-0.5, 0.5)
    for name, parameter in backbone.named_parameters():
        if "bn" in name:
            nn.init.uniform_(parameter, 0.5, 1.5)
        elif parameter.ndim == 4:
            nn.init.kaiming_normal_(parameter)
    return backbone


def entered(rgb: Tensor) -> Tensor:
    """As the encoder hands images to a backbone."""
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    return (rgb - mean) / std


@pytest.mark.parametrize("size", [(64, 96), (75, 98)])
@torch.no_grad()
def test_equals_the_published_network_dilated(size):
    backbone = shaken()
    rgb = torch.rand(2, 3, *size)
    expected = by_hand(backbone.state_dict(), 2 * rgb - 1, strided=False)
    for mode in (True, False):  # statistics are fixed
        found = backbone.train(mode)(entered(rgb), with_pools=True)
        torch.testing.assert_close(found.map, expected[-1], rtol=1e-3, atol=1e-3)
        for pool, level in zip(found.pools, (expected[0], expected[1], expected[2]), strict=True):
            torch.testing.assert_close(pool.before, level, rtol=1e-3, atol=1e-3)


@torch.no_grad()
def test_holds_what_the_strided_network_computes():
    backbone = shaken()
    rgb = torch.rand(1, 3, 128, 192)
    strided = by_hand(backbone.state_dict(), 2 * rgb - 1, strided=True)[-1]
    # a step of two over an even size begins one cell later than a step of one (TensorFlow's padding)
    torch.testing.assert_close(backbone(entered(rgb)).map[..., 1::2, 1::2], strided, rtol=1e-3, atol=1e-3)


def test_sizes_and_what_learns():
    encoder = Encoder(backbone="efficientnet_lite2", classes=["a"], hidden=8, trainable="last")
    backbone = encoder.backbone
    with torch.no_grad():
        found = backbone(torch.rand(1, 3, 96, 64), with_pools=True)
    assert (found.map.shape, backbone.stride, backbone.channels) == ((1, 1280, 6, 4), 16, 1280)
    assert [tuple(pool.before.shape[1:]) for pool in found.pools] == [(16, 48, 32), (24, 24, 16), (48, 12, 8)]
    learning = {".".join(name.split(".")[:2]) for name, p in backbone.named_parameters() if p.requires_grad}
    assert learning == {"blocks.5", "blocks.6", "conv_head.weight", "bn2.weight", "bn2.bias"}


@pytest.mark.slow
@torch.no_grad()
def test_equals_timms_network_and_takes_its_weights(tmp_path):
    try:
        import timm
    except Exception as error:  # a torchvision that does not fit torch breaks timm's import
        pytest.skip(f"timm cannot be imported: {error}")
    theirs = timm.create_model("tf_efficientnet_lite2", output_stride=16, global_pool="").eval()
    theirs.load_state_dict(shaken().state_dict(), strict=False)
    torch.save(theirs.state_dict(), tmp_path / "w.pth")
    ours = build_backbone("efficientnet_lite2").eval()
    load_backbone_weights(ours, str(tmp_path / "w.pth"))
    for size in ((96, 128), (75, 98)):
        rgb = torch.rand(1, 3, *size)
        expected = theirs.bn2(theirs.conv_head(theirs.blocks(theirs.bn1(theirs.conv_stem(2 * rgb - 1)))))
        torch.testing.assert_close(ours(entered(rgb)).map, expected, rtol=1e-3, atol=1e-3)


def test_real_weights_fit(real_data):
    backbone = build_backbone("efficientnet_lite2").eval()
    load_backbone_weights(backbone, str(real_data / "weights" / "tf_efficientnet_lite2_fp16.pth"))
    with torch.no_grad():
        found = backbone(torch.randn(1, 3, 128, 128)).map
    assert 0.1 < found.std() < 3 and found.min() == 0 and found.max() <= 6
