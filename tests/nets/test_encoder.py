"""Backbones, encoder and attention against counts and closed forms."""

from __future__ import annotations

import hashlib

import pytest
import torch
from torch import nn

from wsvs.core.errors import UserError
from wsvs.nets.attention import activations, attention, fit_size, merge_scales, round_size
from wsvs.nets.backbones import BACKBONES, build_backbone, vgg16
from wsvs.nets.encoder import Encoder
from wsvs.nets.weights import load_backbone_weights

TWENTY = [f"class{k}" for k in range(20)]


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.fixture(scope="module")
def small() -> Encoder:
    torch.manual_seed(0)
    return Encoder(backbone="vgg_small", classes=["a", "b", "c"], hidden=24).eval()


def test_vgg16_has_the_published_sizes():
    encoder = Encoder(backbone="vgg16", classes=TWENTY)
    assert count(encoder.backbone) == 14_714_688
    assert count(encoder.conv6) == 4_719_616
    assert count(encoder.fc) == 20_500
    with torch.no_grad():
        x = torch.rand(1, 3, 320, 320)
        features = encoder.backbone_features(x, with_pools=True)
        assert features.map.shape == (1, 512, 20, 20)
        assert encoder.features(x).shape == (1, 1024, 20, 20)
        assert encoder(x).shape == (1, 20)
    assert [tuple(pool.switches.shape[1:]) for pool in features.pools] == [
        (64, 160, 160),
        (128, 80, 80),
        (256, 40, 40),
        (512, 20, 20),
    ]


def test_vgg16_takes_torchvisions_key_names():
    # torchvision numbers vgg16.features from 0 (conv1_1) to 28 (conv5_3), weight and bias each
    convolutions = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
    expected = {f"features.{n}.{kind}" for n in convolutions for kind in ("weight", "bias")}
    assert set(vgg16().state_dict()) == expected


@pytest.mark.parametrize("name", [name for name in BACKBONES if build_backbone(name).has_switches])
def test_switches_are_where_the_maxima_are(name: str):
    torch.manual_seed(0)
    backbone = build_backbone(name).eval()
    with torch.no_grad():
        plain = backbone(torch.rand(1, 3, 96, 80)).map
        found = backbone(torch.rand(1, 3, 96, 80), with_pools=True)
    assert plain.shape[1] == backbone.channels
    assert tuple(pool.before.shape[1] for pool in found.pools) == backbone.pool_channels
    for pool in found.pools:
        values = pool.before.flatten(2).gather(2, pool.switches.flatten(2))
        kernel = 3 if name == "squeezenet1_1" else 2
        pooled = nn.functional.max_pool2d(pool.before, kernel, 2, ceil_mode=kernel == 3)
        assert torch.equal(values, pooled.flatten(2))


def test_mean_of_activation_plus_bias_is_the_logit(small: Encoder):
    with torch.no_grad():
        small.fc.bias.copy_(torch.tensor([0.3, -0.2, 0.1]))
        features = small.features(torch.rand(2, 3, 64, 48))
        torch.testing.assert_close(
            small.activation(features).mean((2, 3)) + small.fc.bias, small.classify(features), rtol=1e-4, atol=1e-6
        )


def test_activation_moves_with_the_image(small: Encoder):
    """A shift by one stride shifts alpha by one cell, away from borders."""
    x = torch.rand(1, 3, 160, 160)
    with torch.no_grad():
        alpha = small.activation(small.features(x))
        shifted = small.activation(small.features(x.roll(small.stride, 3)))
    inner = slice(7, -7)
    torch.testing.assert_close(shifted[..., inner, 8:-6], alpha[..., inner, 7:-7], rtol=1e-4, atol=1e-5)


def test_frozen_layers_do_not_learn():
    for trainable, learns in (("none", 0), ("last", 2), ("all", 8)):
        encoder = Encoder(backbone="vgg_small", classes=["a"], trainable=trainable)
        convolutions = [m for m in encoder.backbone.features if isinstance(m, nn.Conv2d)]
        assert sum(m.weight.requires_grad for m in convolutions) == learns
        assert encoder.conv6.weight.requires_grad


@pytest.mark.parametrize("wrong", [{"hidden": -1}, {"dropout": 1.0}, {"trainable": "some"}, {"backbone": "vgg17"}])
def test_encoder_refuses_bad_settings(wrong: dict):
    with pytest.raises((ValueError, UserError), match=next(iter(wrong))):
        Encoder(**({"backbone": "vgg_small", "classes": ["a"]} | wrong))


def test_known_features_of_the_backbone_are_not_computed_again(small: Encoder, monkeypatch):
    x = torch.rand(2, 3, 64, 48)
    with torch.no_grad():
        expected, logits = activations(small, x, (0.5, 1.0))
        features = small.backbone_features(x, with_pools=True)
        computed = []
        original = Encoder.backbone_features
        monkeypatch.setattr(
            Encoder, "backbone_features", lambda self, x, **k: computed.append(x.shape) or original(self, x, **k)
        )
        found, again = activations(small, x, (0.5, 1.0), features)
    assert computed == [(2, 3, 32, 24)]
    assert torch.equal(logits, again) and all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_one_scale_is_plain_class_activation(small: Encoder):
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        raw = small.activation(small.features(x))[:, 1:2]
        expected = nn.functional.interpolate(raw, size=(64, 64), mode="bilinear", align_corners=False).relu()
        expected = expected / (expected.max() + 1e-5)
        found = attention(small, x, torch.tensor([1]), scales=[1.0])
    torch.testing.assert_close(found, expected)


SIZE = (64, 96)


@pytest.fixture
def scaled(small: Encoder) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Activation maps of one image at three scales, and the same at the size of the image."""
    x = torch.rand(1, 3, *SIZE)
    with torch.no_grad():
        maps, logits = activations(small, x, [0.5, 1.0, 2.0])
        torch.testing.assert_close(logits, small(x))  # those of scale 1
        up = [nn.functional.interpolate(m, size=SIZE, mode="bilinear", align_corners=False) for m in maps]
    return maps, up


def test_order_of_scales_does_not_matter(scaled):
    maps, _ = scaled
    assert torch.equal(merge_scales(maps, SIZE), merge_scales(maps[::-1], SIZE))


def test_merged_scales_are_their_normalised_maximum(scaled):
    maps, up = scaled
    together = torch.stack(up).amax(0).relu()
    torch.testing.assert_close(merge_scales(maps, SIZE), together / (together.amax((2, 3), keepdim=True) + 1e-5))


def test_more_scales_never_lower_raw_attention(scaled):
    maps, up = scaled
    raw = merge_scales(maps, SIZE) * (torch.stack(up).amax((0, 3, 4)).relu()[..., None, None] + 1e-5)
    for one, alone in zip(maps, up, strict=True):
        peak = alone.relu().amax((2, 3), keepdim=True)
        assert (raw >= merge_scales([one], SIZE) * (peak + 1e-5) - 1e-6).all()


def test_attention_peaks_at_one_or_is_nothing():
    assert merge_scales([torch.full((1, 1, 4, 4), -2.0)], (8, 8)).abs().max() == 0
    one = torch.zeros(1, 1, 4, 4)
    one[0, 0, 1, 2] = 3.0
    assert merge_scales([one], (4, 4)).max().item() == pytest.approx(1, abs=1e-4)


def test_sizes():
    assert round_size(225, 400, 16) == (224, 400)
    assert round_size(3, 3, 16) == (16, 16)
    assert fit_size(500, 375, 320, 16) == (320, 240)
    assert fit_size(100, 1, 64, 8) == (64, 8)


def fake_weights(path, dtype=torch.float16) -> dict[str, torch.Tensor]:
    """A state dict with torchvision's keys and shapes: backbone and ImageNet classifier."""
    state = {key: torch.randn_like(value) for key, value in build_backbone("squeezenet1_1").state_dict().items()}
    state |= {"classifier.1.weight": torch.zeros(1000, 512, 1, 1), "classifier.1.bias": torch.zeros(1000)}
    torch.save({key: value.to(dtype) for key, value in state.items()}, path)
    return state


def test_weights_of_half_precision_with_checksum(tmp_path):
    path = tmp_path / "weights.pth"
    state = fake_weights(path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    backbone = build_backbone("squeezenet1_1")
    load_backbone_weights(backbone, str(path), digest)
    loaded = backbone.state_dict()["features.3.squeeze.weight"]
    assert loaded.dtype == torch.float32
    torch.testing.assert_close(loaded, state["features.3.squeeze.weight"].half().float())


def test_weights_that_do_not_fit_are_refused(tmp_path):
    backbone = build_backbone("squeezenet1_1")
    path = tmp_path / "weights.pth"
    with pytest.raises(UserError, match="not found"):
        load_backbone_weights(backbone, str(path))
    fake_weights(path)
    with pytest.raises(UserError, match="checksum"):
        load_backbone_weights(backbone, str(path), "0" * 64)
    state = torch.load(path, weights_only=True)
    del state["features.3.squeeze.bias"]
    torch.save(state, path)
    with pytest.raises(UserError, match=r"weights of SqueezeNet 1\.1: missing tensors: 1 of 50, first 'features\.3"):
        load_backbone_weights(backbone, str(path))
    torch.save(state | {"features.3.squeeze.bias": torch.zeros(3)}, path)
    with pytest.raises(UserError, match=r"features\.3\.squeeze\.bias has shape \(3,\), expected \(16,\)"):
        load_backbone_weights(backbone, str(path))
    fake_weights(path)
    with pytest.raises(UserError, match="need a checksum"):
        load_backbone_weights(backbone, "https://example.org/weights.pth")
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UserError, match="cannot be read"):
        load_backbone_weights(backbone, str(path))
    torch.save([1, 2], path)
    with pytest.raises(UserError, match="state dict"):
        load_backbone_weights(backbone, str(path))


def test_real_squeezenet_weights_load(real_data):
    backbone = build_backbone("squeezenet1_1")
    load_backbone_weights(backbone, str(real_data / "weights" / "squeezenet1_1_fp16.pth"))
    assert backbone.features[0].weight.abs().max() > 0.1
