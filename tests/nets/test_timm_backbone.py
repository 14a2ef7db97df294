"""Trunks of timm: by a stand-in for it, and by itself where it can be imported."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from wsvs.core.errors import UserError
from wsvs.nets.backbone import IMAGENET_MEAN, IMAGENET_STD
from wsvs.nets.backbones import build_backbone
from wsvs.nets.model import NetConfig, SegmentationNet, load_net
from wsvs.nets.weights import load_backbone_weights

CHANNELS = {2: 4, 4: 6, 8: 8, 16: 10, 32: 12}  # of the level at each stride


class Pyramid(nn.Module):
    """A strided convolution and a norm a level, stages_0 for stages.0; feature_info as timm has it."""

    def __init__(self, out_indices: tuple[int, ...], strides: tuple[int, ...], size: int | None) -> None:
        super().__init__()
        self.size = size
        self.out = out_indices
        inputs = 3
        for index in range(5):
            outputs = list(CHANNELS.values())[index]
            block = nn.Sequential(nn.Conv2d(inputs, outputs, 3, 2, 1), nn.BatchNorm2d(outputs), nn.ReLU())
            self.add_module(f"stages_{index}", block)
            inputs = outputs
        self.feature_info = SimpleNamespace(
            out_indices=out_indices, reduction=lambda: [strides[index] for index in out_indices],
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


class FakeTimm(ModuleType):
    __version__ = "1.0"
    names = ("pyramid", "plain", "sized", "headless")

    def __init__(self) -> None:
        super().__init__("timm")

    def is_model(self, name: str) -> bool:
        return name.partition(".")[0] in self.names

    def list_models(self) -> list[str]:
        return list(self.names)

    def create_model(
        self, name: str, *, features_only: bool, pretrained: bool, out_indices: Any = (0, 1, 2, 3, 4),
    ) -> nn.Module:
        assert features_only
        if name == "headless":
            raise RuntimeError("features_only not implemented for this")
        strides = (16,) * 5 if name == "plain" else tuple(CHANNELS)
        net = Pyramid(tuple(out_indices), strides, 224 if name == "sized" else None)
        if pretrained:
            if name != "pyramid.good":
                raise RuntimeError("No pretrained weights exist for pyramid")
            for parameter in net.parameters():
                nn.init.constant_(parameter, 0.5)
        return net


@pytest.fixture
def fake(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", FakeTimm())


def test_levels_up_to_stride_16(fake):
    backbone = build_backbone("timm/pyramid")
    assert (backbone.stride, backbone.channels, backbone.pool_channels) == (16, 10, (4, 6, 8))
    assert backbone.pool_depths == (1, 2, 2) and not backbone.has_switches and backbone.training
    found = backbone(torch.rand(2, 3, 64, 96), with_pools=True)
    assert found.map.shape == (2, 10, 4, 6)
    assert [tuple(pool.before.shape[1:]) for pool in found.pools] == [(4, 32, 48), (6, 16, 24), (8, 8, 12)]
    assert backbone(torch.rand(2, 3, 64, 64)).pools == []


def test_images_enter_in_its_own_normalisation(fake):
    backbone = build_backbone("timm/pyramid").eval()
    rgb = torch.rand(1, 3, 32, 32)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    backbone((rgb - mean) / std)
    own_mean, own_std = (torch.tensor(backbone.net.pretrained_cfg[key]).view(1, 3, 1, 1) for key in ("mean", "std"))
    torch.testing.assert_close(backbone.net.seen, (rgb - own_mean) / own_std)


@pytest.mark.parametrize(
    ("trainable", "expected"), [("none", ()), ("last", "3"), ("all", "0123")],
)
def test_what_learns(fake, trainable, expected):
    backbone = build_backbone("timm/pyramid")
    backbone.train_only(trainable)
    learning = {name.split(".")[1] for name, parameter in backbone.named_parameters() if parameter.requires_grad}
    assert learning == {f"stages_{index}" for index in expected}  # what lies below stride 16 has no gradient


def norms(backbone: nn.Module) -> list[bool]:
    return [module.training for module in backbone.modules() if isinstance(module, nn.BatchNorm2d)]


def test_weights_of_the_whole_network_from_a_file(fake, tmp_path):
    backbone = build_backbone("timm/pyramid")
    assert all(norms(backbone.train()))  # nothing loaded: they gather their own statistics
    state = {
        key.removeprefix("net.").replace("stages_", "stages."): torch.full_like(value, 0.25)
        for key, value in backbone.state_dict().items() if key.startswith("net.")
    }
    torch.save({**state, "head.weight": torch.zeros(2)}, tmp_path / "w.pth")
    scale = backbone.scale.clone()
    load_backbone_weights(backbone, str(tmp_path / "w.pth"))
    assert all((value == 0.25).all() for value in backbone.net.state_dict().values() if value.is_floating_point())
    assert torch.equal(backbone.scale, scale)
    assert not any(norms(backbone)) and not any(norms(backbone.train())) and backbone.training
    del state["stages.2.0.weight"]
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(UserError, match=r"1 of \d+ tensors is missing, first 'net\.stages_2\.0\.weight'"):
        load_backbone_weights(backbone, str(tmp_path / "w.pth"))


def test_weights_that_timm_downloads(fake):
    backbone = build_backbone("timm/pyramid.good")
    load_backbone_weights(backbone, "timm")
    assert all((parameter == 0.5).all() for parameter in backbone.parameters())
    with pytest.raises(UserError, match="takes no checksum"):
        load_backbone_weights(backbone, "timm", "0" * 64)
    with pytest.raises(UserError, match=r"No pretrained weights exist(.|\n)*model\.weights=FILE"):
        load_backbone_weights(build_backbone("timm/pyramid"), "timm")
    with pytest.raises(UserError, match="weights not found"):  # a file of that name, as for any other
        load_backbone_weights(build_backbone("vgg_small"), "timm")


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("pyramids", r"timm 1\.0 knows no 'pyramids'(.|\n)*did you mean timm/pyramid\?"),
        ("zzz", r"knows no 'zzz'(.|\n)*list_models"),
        ("plain", "plain has levels at strides 16, 16, 16, 16, 16(.|\n)*timm/resnet50"),
        ("sized", r"sized does not take images of any size: Input width \(112\)(.|\n)*timm/resnet50"),
        ("headless", "cannot make a pyramid of headless: features_only not implemented"),
    ],
)
def test_networks_that_will_not_do(fake, name, complaint):
    with pytest.raises(UserError, match=complaint) as caught:
        build_backbone(f"timm/{name}")
    assert f"model.backbone=timm/{name}" in str(caught.value)


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (ModuleNotFoundError("No module named 'timm'"), r"pip install 'wsvs\[timm\]'"),
        (RuntimeError("operator torchvision::nms does not exist"), "torchvision that was built for this torch"),
    ],
)
def test_timm_missing_or_broken(monkeypatch, tmp_path, error, remedy):
    class Refuses:
        def find_spec(self, name, path=None, target=None):
            if name == "timm":
                raise error

    monkeypatch.delitem(sys.modules, "timm", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Refuses(), *sys.meta_path])
    with pytest.raises(UserError, match=remedy) as caught:
        build_backbone("timm/resnet50")
    assert str(error) in str(caught.value)


def learn_one_step(name: str, tmp_path, weights: str | None = None) -> SegmentationNet:
    """An encoder and a decoder take one step each; the checkpoint is read back."""
    config = NetConfig(
        backbone=name, classes=("a", "b"), image_size=64, scales=(1.0,), hidden=32, dropout=0.0,
        guidance="features", decoder_width=0.25,
    )
    torch.manual_seed(0)
    encoder = config.build_encoder(weights)
    net = SegmentationNet(config, encoder, config.build_decoder(encoder)).train()
    images, before = torch.rand(2, 3, 64, 80), {key: value.clone() for key, value in net.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], lr=0.1)
    encoder(images).square().sum().backward()
    (net.masks_of(images, torch.rand(2, 1, 4, 5)) - 1).square().sum().backward()
    without = [key for key, p in net.named_parameters() if p.requires_grad and p.grad is None]
    assert without == []  # else several GPUs would wait for them
    optimizer.step()
    moved = {key.split(".")[0] for key, value in net.state_dict().items() if not torch.equal(value, before[key])}
    assert moved == {"encoder", "decoder"}
    state = {f"net.{key}": value for key, value in net.state_dict().items()}
    torch.save({"hyper_parameters": {"net": config.asdict()}, "state_dict": state}, tmp_path / "c.ckpt")
    read = load_net(tmp_path / "c.ckpt", need_decoder=True)
    _, found, _ = read.probabilities(torch.rand(3, 48, 64), [0, 1])
    assert found.shape == (2, 48, 64) and found.isfinite().all()
    return net


def test_a_step_of_learning_and_the_checkpoint(fake, tmp_path):
    learn_one_step("timm/pyramid", tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", "convnext_atto"])
def test_real_networks(name, tmp_path):
    try:
        import timm
        from safetensors.torch import save_file
    except Exception as error:  # a torchvision that does not fit torch breaks timm's import
        pytest.skip(f"timm cannot be imported: {error}")
    whole = timm.create_model(name).eval()
    for key, value in whole.named_buffers():
        if "running_var" in key:
            value.uniform_(0.5, 1.5)
    save_file(whole.state_dict(), tmp_path / "w.safetensors")
    backbone = build_backbone(f"timm/{name}").eval()
    load_backbone_weights(backbone, str(tmp_path / "w.safetensors"))
    x = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        expected = whole.forward_intermediates(x, intermediates_only=True)
        expected = {x.shape[-1] // level.shape[-1]: level for level in expected}
        found = backbone(x, with_pools=True)
    torch.testing.assert_close(found.map, expected[16])
    torch.testing.assert_close(found.pools[-1].before, expected[8])
    learn_one_step(f"timm/{name}", tmp_path, str(tmp_path / "w.safetensors"))
