"""Backbones of timm: with a stand-in for it, and with timm itself if it can be imported."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.nets.fake_timm import FakeTimm, Pyramid
from wsvs.core.errors import UserError
from wsvs.engine.explain import advised
from wsvs.nets.backbone import IMAGENET_MEAN, IMAGENET_STD
from wsvs.nets.backbones import build_backbone
from wsvs.nets.model import NetConfig, SegmentationNet, load_net
from wsvs.nets.weights import load_backbone_weights


@pytest.fixture
def fake(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", FakeTimm())


@pytest.mark.parametrize("name", ["pyramid", "dilates"])
def test_the_deepest_level_stays_at_stride_16(fake, name):
    backbone = build_backbone(f"timm/{name}").eval()
    assert (backbone.stride, backbone.channels, backbone.pool_channels) == (16, 12, (4, 6, 8))
    assert backbone.pool_depths == (1, 2, 2) and not backbone.has_switches
    x = torch.rand(2, 3, 64, 96)
    with torch.no_grad():
        found = backbone(x, with_pools=True)
        strided = Pyramid((0, 1, 2, 3, 4)).eval()
        strided.load_state_dict(backbone.net.state_dict())
        expected = strided(x * backbone.scale + backbone.shift)
    assert found.map.shape == (2, 12, 4, 6)
    assert [tuple(pool.before.shape[1:]) for pool in found.pools] == [(4, 32, 48), (6, 16, 24), (8, 8, 12)]
    torch.testing.assert_close(found.map[..., ::2, ::2], expected[-1])
    assert all(torch.equal(pool.before, level) for pool, level in zip(found.pools, expected, strict=False))
    assert backbone(x).pools == []


def test_checkpoints_from_before_end_at_stride_16(fake, tmp_path):
    """Their state and their description, as the code of that time wrote them."""
    torch.manual_seed(0)
    backbone = Pyramid((0, 1, 2, 3))
    head = {
        "conv6.weight": torch.randn(7, 10, 3, 3),
        "conv6.bias": torch.randn(7),
        "fc.weight": torch.randn(2, 7),
        "fc.bias": torch.randn(2),
    }
    mean, std, own_mean, own_std = (
        torch.tensor(values).view(1, 3, 1, 1)
        for values in (IMAGENET_MEAN, IMAGENET_STD, backbone.pretrained_cfg["mean"], backbone.pretrained_cfg["std"])
    )
    scale, shift = std / own_std, (mean - own_mean) / own_std
    state = {f"backbone.net.{key}": value for key, value in backbone.state_dict().items()}
    state |= {"backbone.scale": scale, "backbone.shift": shift, **head}
    net = {
        "backbone": "timm/pyramid",
        "classes": ["a", "b"],
        "image_size": 64,
        "scales": [1.0],
        "hidden": 7,
        "dropout": 0.5,
        "trainable": "all",
        "batch_norm": True,
        "guidance": "features",
        "decoder_width": 0.25,
        "class_thresholds": [],
    }
    checkpoint = {"hyper_parameters": {"net": net}, "state_dict": {f"net.encoder.{k}": v for k, v in state.items()}}
    torch.save(checkpoint, tmp_path / "old.ckpt")
    read = load_net(tmp_path / "old.ckpt")
    x = torch.rand(2, 3, 48, 64)
    with torch.no_grad():
        laid = {"memory_format": torch.channels_last}  # as the network lays its numbers out: bit by bit the same
        features = backbone.eval().to(**laid)(((x - mean) / std).contiguous(**laid) * scale + shift)[-1]
        features = F.conv2d(features, head["conv6.weight"].to(**laid), head["conv6.bias"], padding=1).relu()
        expected = F.linear(features.mean((2, 3)), head["fc.weight"], head["fc.bias"])
        assert torch.equal(read.encoder(x), expected)
    assert not read.config.deepest and read.encoder.backbone.pool_channels == (4, 6, 8)
    assert NetConfig(backbone="timm/pyramid", classes=("a",)).deepest and "deepest" in read.config.asdict()


def test_tokens_of_a_plain_vit_are_a_map(fake):
    backbone = build_backbone("timm/plain").eval()
    assert (backbone.stride, backbone.channels, backbone.pool_channels) == (14, 5, (12, 48, 5))
    x = torch.rand(2, 3, 70, 98)
    with torch.no_grad():
        found = backbone(x, with_pools=True)
        other = backbone(torch.full((1, 3, 64, 100), 0.3))
    patches = F.avg_pool2d(x.sum(1, keepdim=True), 14)
    torch.testing.assert_close(found.map, (patches + 0 + 1 + 2 + 3).expand(2, 5, 5, 7))  # after the last block
    halves = F.interpolate(patches + 0 + 1, scale_factor=2, mode="bilinear")  # and after half of them
    torch.testing.assert_close(found.pools[2].before, halves.expand(2, 5, 10, 14))
    half, quarter = found.pools[0].before, found.pools[1].before
    assert torch.equal(F.pixel_shuffle(half, 2), x) and torch.equal(F.pixel_shuffle(quarter, 4)[..., :70, :98], x)
    # another size is brought to whole patches, so that the cells cover all of the image and nothing else
    torch.testing.assert_close(other.map, torch.full((1, 5, 5, 7), 0.9 + 6))
    backbone.train_only("last")
    learning = {name.removeprefix("net.model.") for name, p in backbone.named_parameters() if p.requires_grad}
    assert learning == {f"blocks.{number}.{kind}" for number in (2, 3) for kind in ("weight", "bias")}


def test_images_enter_in_its_own_normalisation(fake):
    backbone = build_backbone("timm/pyramid").eval()
    rgb = torch.rand(1, 3, 32, 32)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    backbone((rgb - mean) / std)
    own_mean, own_std = (torch.tensor(backbone.net.pretrained_cfg[key]).view(1, 3, 1, 1) for key in ("mean", "std"))
    torch.testing.assert_close(backbone.net.seen, (rgb - own_mean) / own_std)


@pytest.mark.parametrize(
    ("trainable", "expected"),
    [("none", ()), ("last", "4"), ("all", "01234")],
)
def test_what_learns(fake, trainable, expected):
    backbone = build_backbone("timm/pyramid")
    backbone.train_only(trainable)
    learning = {name.split(".")[1] for name, parameter in backbone.named_parameters() if parameter.requires_grad}
    assert learning == {f"stages_{index}" for index in expected}


def norms(backbone: nn.Module) -> list[bool]:
    return [module.training for module in backbone.modules() if isinstance(module, nn.BatchNorm2d)]


def test_weights_of_the_whole_network_from_a_file(fake, tmp_path):
    backbone = build_backbone("timm/pyramid")
    assert all(norms(backbone.train()))  # nothing loaded: they gather their own statistics
    state = {
        key.removeprefix("net.").replace("stages_", "stages."): torch.full_like(value, 0.25)
        for key, value in backbone.state_dict().items()
        if key.startswith("net.")
    }
    torch.save({**state, "head.weight": torch.zeros(2)}, tmp_path / "w.pth")
    scale = backbone.scale.clone()
    load_backbone_weights(backbone, str(tmp_path / "w.pth"))
    assert all((value == 0.25).all() for value in backbone.net.state_dict().values() if value.is_floating_point())
    assert torch.equal(backbone.scale, scale)
    assert not any(norms(backbone)) and not any(norms(backbone.train())) and backbone.training
    del state["stages.2.0.weight"]
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(UserError, match=r"missing tensors: 1 of \d+, first 'net\.stages_2\.0\.weight'"):
        load_backbone_weights(backbone, str(tmp_path / "w.pth"))


def test_weights_that_timm_downloads(fake):
    backbone = build_backbone("timm/pyramid.good")
    load_backbone_weights(backbone, "timm")
    assert all((parameter == 0.5).all() for parameter in backbone.parameters())
    with pytest.raises(UserError, match="takes no checksum"):
        load_backbone_weights(backbone, "timm", "0" * 64)
    with pytest.raises(UserError, match=r"No pretrained weights exist(.|\n)*give its path"):
        load_backbone_weights(build_backbone("timm/pyramid"), "timm")
    with pytest.raises(UserError, match="weights not found"):  # a file of that name, as for any other
        load_backbone_weights(build_backbone("vgg_small"), "timm")


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("pyramids", r"timm 1\.0 has no model 'pyramids'(.|\n)*did you mean timm/pyramid\?"),
        ("zzz", r"has no model 'zzz'(.|\n)*list_models"),
        ("wide", "wide is at stride 32 and cannot be kept at 16: its Conv2d makes maps larger(.|\n)*timm/resnet50"),
        ("coarse", "coarse has levels at strides 32, 32, 32, 32(.|\n)*plain ViT of patch 14 or 16"),
        ("fixed", "cannot make a pyramid of fixed: unexpected keyword argument 'dynamic_img_size'"),
        ("sized", r"cannot be kept at 16: Input width \(128\) doesn't match(.|\n)*timm/resnet50"),
        ("headless", "cannot make a pyramid of headless: features_only not implemented"),
    ],
)
def test_networks_that_will_not_do(fake, name, complaint):
    with pytest.raises(UserError, match=complaint) as caught:
        build_backbone(f"timm/{name}")
    assert f"where: timm/{name}" in str(caught.value)
    assert f"where: model.backbone=timm/{name}" in str(advised(caught.value))


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
        backbone=name,
        classes=("a", "b"),
        image_size=64,
        scales=(1.0,),
        hidden=32,
        dropout=0.0,
        guidance="features",
        decoder_width=0.25,
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
    assert found.shape == (2, *read.network_size(48, 64)) and found.isfinite().all()
    return net


def test_a_step_of_learning_and_the_checkpoint(fake, tmp_path):
    learn_one_step("timm/pyramid", tmp_path)


def real_timm() -> ModuleType:
    try:
        import safetensors  # noqa: F401
        import timm
    except Exception as error:  # a torchvision that does not fit torch breaks timm's import
        pytest.skip(f"timm cannot be imported: {error}")
    return timm


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "ours"), [("resnet18", False), ("convnext_atto", False), ("mobilenetv2_100", False), ("densenet121", True)]
)
def test_real_networks(name, ours, tmp_path):
    timm = real_timm()
    from safetensors.torch import save_file

    torch.manual_seed(0)
    whole = timm.create_model(name).eval()
    for key, value in whole.named_buffers():
        if "running_var" in key:
            value.uniform_(0.5, 1.5)
    save_file(whole.state_dict(), tmp_path / "w.safetensors")
    backbone = build_backbone(f"timm/{name}").eval()
    load_backbone_weights(backbone, str(tmp_path / "w.safetensors"))
    assert ("output_stride" not in backbone.made) == ours
    x = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        expected = timm.create_model(name, features_only=True).eval()
        expected.load_state_dict(
            {key.removeprefix("net."): value for key, value in backbone.state_dict().items() if key.startswith("net.")}
        )
        *levels, deepest = expected(x * backbone.scale + backbone.shift)
        found = backbone(x, with_pools=True)
    torch.testing.assert_close(found.map[..., ::2, ::2], deepest, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(found.pools[-1].before, levels[-2])
    learn_one_step(f"timm/{name}", tmp_path, str(tmp_path / "w.safetensors"))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "patch"), [("vit_tiny_patch16_224", 16), ("vit_small_patch14_reg4_dinov2", 14)])
def test_real_vits_at_sizes_they_were_not_trained_at(name, patch, tmp_path):
    timm = real_timm()
    torch.manual_seed(0)
    whole = timm.create_model(name, num_classes=0).eval()
    nn.init.normal_(whole.pos_embed)
    state = dict(whole.state_dict())
    torch.save({**state, "head.weight": torch.zeros(2)}, tmp_path / "w.pth")
    backbone = build_backbone(f"timm/{name}").eval()
    load_backbone_weights(backbone, str(tmp_path / "w.pth"))
    rows, columns = 6, 10
    x = torch.randn(1, 3, rows * patch, columns * patch)
    # the same network made for this size, with its position embeddings interpolated here
    grid = state["pos_embed"]
    extra = 0 if grid.shape[1] == whole.patch_embed.num_patches else 1
    side = round((grid.shape[1] - extra) ** 0.5)
    cells = grid[:, extra:].reshape(1, side, side, -1).movedim(-1, 1)
    cells = F.interpolate(cells, size=(rows, columns), mode="bicubic", antialias=True, align_corners=False)
    state["pos_embed"] = torch.cat([grid[:, :extra], cells.flatten(2).transpose(1, 2)], 1)
    sized = timm.create_model(name, num_classes=0, img_size=tuple(x.shape[-2:])).eval()
    sized.load_state_dict(state)
    with torch.no_grad():
        found = backbone(x, with_pools=True)
        expected = sized.forward_features(x * backbone.scale + backbone.shift)[:, sized.num_prefix_tokens :]
    torch.testing.assert_close(found.map, expected.transpose(1, 2).reshape(1, -1, rows, columns), rtol=1e-3, atol=1e-4)
    assert found.pools[-1].before.shape[-2:] == (2 * rows, 2 * columns)
    learn_one_step(f"timm/{name}", tmp_path, str(tmp_path / "w.pth"))
