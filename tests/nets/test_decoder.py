"""The decoder and the whole network."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch

from wsvs.core.errors import UserError
from wsvs.nets.attention import resize
from wsvs.nets.backbone import Features, Pooled
from wsvs.nets.backbones import build_backbone, vgg16
from wsvs.nets.decoder import Decoder, foreground, marked, unpool
from wsvs.nets.model import NetConfig, SegmentationNet, label_map, load_net


def small_net(**settings) -> SegmentationNet:
    torch.manual_seed(0)
    config = NetConfig(
        backbone="vgg_small", classes=("a", "b", "c"), image_size=64, hidden=24, scales=(1.0,), **settings
    )
    encoder = config.build_encoder()
    return SegmentationNet(config, encoder, config.build_decoder(encoder)).eval()


def test_vgg16_decoder_has_the_published_size():
    def count(batch_norm: bool) -> int:
        return sum(p.numel() for p in Decoder(vgg16(), batch_norm=batch_norm).parameters())

    assert count(False) == 7_675_202
    assert count(True) == 7_675_202 + 5_504


@pytest.mark.parametrize("backbone", ["vgg_small", "squeezenet1_1"])
@pytest.mark.parametrize("guidance", ["switches", "features", "none"])
def test_output_has_the_size_of_the_image(backbone: str, guidance: str):
    backbone = build_backbone(backbone).eval()
    decoder = Decoder(backbone, guidance=guidance).eval()
    with torch.no_grad():
        for size in ((64, 64), (96, 64), (72, 104)):
            score = decoder(torch.rand(2, 1, *size), backbone(torch.rand(2, 3, *size), with_pools=True), size)
            assert score.shape == (2, 2, *size)


def test_unpooling_keeps_maxima_and_zeroes_the_rest():
    x = torch.rand(2, 3, 6, 8)
    pooled, switches = torch.nn.functional.max_pool2d(x, 2, 2, return_indices=True)
    back = unpool(pooled, switches, (6, 8))
    torch.testing.assert_close(back, torch.nn.functional.max_unpool2d(pooled, switches, 2, 2))
    kept = back != 0
    assert kept.sum() == pooled.numel()
    assert torch.equal(back[kept], x[kept])


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("size", [(6, 8), (7, 9)])
def test_marks_unpool_as_torch_does_gradients_too(size, layout):
    before = torch.rand(2, 3, *size).contiguous(memory_format=layout)
    pooled, switches = torch.nn.functional.max_pool2d(before, 2, 2, return_indices=True)
    one, other = (torch.rand(pooled.shape, generator=torch.manual_seed(0)).requires_grad_() for _ in range(2))
    back = unpool(one, marked(switches, before), size)
    expected = torch.nn.functional.max_unpool2d(other, switches, 2, 2, output_size=size)
    assert torch.equal(back, expected)
    weights = torch.rand(back.shape)
    (back * weights).sum().backward()
    (expected * weights).sum().backward()
    assert torch.equal(one.grad, other.grad)


def test_a_decoder_of_marks_is_one_of_switches():
    """Loss and gradients of a whole decoder: by the marks of 2x2 windows, and by scattering to the switches."""
    backbone = build_backbone("vgg_small").eval().double()  # float32 sums in another order flip a ReLU near 0
    decoder, images = Decoder(backbone).double(), torch.rand(2, 3, 72, 104, dtype=torch.float64)
    features = backbone(images, with_pools=True)
    features = Features(features.map.detach(), [pool._replace(before=pool.before.detach()) for pool in features.pools])
    assert all(pool.apart for pool in features.pools)
    scattered = Features(features.map, [Pooled(pool.before, pool.switches) for pool in features.pools])
    alpha, target, found = torch.rand(2, 1, 72, 104, dtype=torch.float64), torch.randint(2, (2, 72, 104)), []
    for given in (features, scattered):
        decoder.zero_grad()
        loss = torch.nn.functional.cross_entropy(decoder(alpha, given, (72, 104)), target)
        loss.backward()
        found.append([loss.detach(), *(p.grad.clone() for p in decoder.parameters())])
    torch.testing.assert_close(found[0], found[1], rtol=1e-9, atol=1e-12)


def test_unpooling_overlapping_windows_keeps_the_larger_value():
    # 3x3 windows of stride 2 over one row: both windows see the maximum in the middle column
    switches = torch.tensor([[[[2, 2]]]])
    back = unpool(torch.tensor([[[[1.0, 5.0]]]]), switches, (1, 5))
    assert back.flatten().tolist() == [0, 0, 5, 0, 0]


def test_no_attention_gives_half_everywhere_without_batch_norm():
    backbone = build_backbone("vgg_small").eval()
    decoder = Decoder(backbone, batch_norm=False)
    with torch.no_grad():
        score = decoder(torch.zeros(1, 1, 8, 8), backbone(torch.rand(1, 3, 64, 64), with_pools=True), (64, 64))
    assert torch.equal(foreground(score), torch.full((1, 64, 64), 0.5))


def test_gradient_reaches_the_attention():
    backbone = build_backbone("vgg_small").eval()
    alpha = torch.rand(2, 1, 8, 8, requires_grad=True)
    Decoder(backbone)(alpha, backbone(torch.rand(2, 3, 64, 64), with_pools=True), (64, 64))[:, 1].sum().backward()
    assert alpha.grad.abs().sum() > 0


@pytest.mark.parametrize("wrong", [{"guidance": "edges"}, {"width": 0.0}, {"width": 0.5}])
def test_decoder_refuses_bad_settings(wrong: dict):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Decoder(build_backbone("vgg_small"), **wrong)


@pytest.mark.parametrize("guidance", ["switches", "features"])
def test_decoder_can_fit_one_image(guidance: str):
    """Over-fit one image: attention on the left part of a disc, mask = the whole disc. IoU > 0.95."""
    torch.manual_seed(0)
    rows, columns = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    disc = ((rows - 32) ** 2 + (columns - 32) ** 2 < 18**2).float()
    image = 0.2 + 0.6 * disc.expand(1, 3, -1, -1) + 0.02 * torch.rand(1, 3, 64, 64)
    alpha = (disc * (columns < 28))[None, None]
    backbone = build_backbone("vgg_small").eval()
    decoder = Decoder(backbone, guidance=guidance)
    features = backbone(image, with_pools=True)
    pools = [pool._replace(before=pool.before.detach()) for pool in features.pools]
    features = features._replace(map=features.map.detach(), pools=pools)
    optimiser = torch.optim.Adam(decoder.parameters(), lr=3e-3)
    for _ in range(150):
        loss = torch.nn.functional.cross_entropy(decoder(alpha, features, (64, 64)), disc[None].long())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    mask = foreground(decoder(alpha, features, (64, 64)))[0] > 0.5
    truth = disc > 0
    assert (mask & truth).sum() / (mask | truth).sum() > 0.95


@pytest.mark.parametrize(("background", "expected"), [(0.5, [[5, 0]]), (0.95, [[0, 0]])])
def test_label_map_is_the_largest_class_above_background(background, expected):
    probabilities = torch.tensor([[[0.9, 0.4]], [[0.6, 0.3]]])
    assert label_map(probabilities, [4, 1], (1, 2), background).tolist() == expected


def test_label_map_of_no_class_is_background():
    assert label_map(torch.zeros(0, 1, 2), [], (1, 2), 0.5).tolist() == [[0, 0]]


def test_label_map_has_the_given_size():
    assert label_map(torch.rand(2, 1, 2), [4, 1], (3, 7), 0.5).shape == (3, 7)


def test_without_classes_the_best_predicted_one_is_taken():
    net = small_net()
    classes, probabilities, scores = net.probabilities(torch.rand(3, 50, 75), None, class_threshold=0.999)
    assert classes == [int(scores.argmax())]  # nothing reaches the threshold
    assert probabilities.shape == (1, *net.network_size(50, 75))


def test_given_classes_have_their_own_probabilities():
    net = small_net()
    image = torch.rand(3, 50, 75)
    given, both, _ = net.probabilities(image, [2, 0])
    assert given == [2, 0] and both.shape[0] == 2
    torch.testing.assert_close(net.probabilities(image, [0])[1][0], both[1])
    assert net.probabilities(image, [], method="mean")[1].shape[0] == 0


def test_method_mean_is_that_of_attention_and_decoder():
    net = small_net()
    image = torch.rand(3, 50, 75)
    attention, decoder, mean = (
        net.probabilities(image, [2, 0], method=method)[1] for method in ("attention", "decoder", "mean")
    )
    torch.testing.assert_close(mean, (attention + decoder) / 2)


def test_flip_averages_with_the_mirrored_image():
    net = small_net()
    image = torch.rand(3, 64, 64)
    plain = net.probabilities(image, [1])[1]
    mirrored = net.probabilities(image.flip(-1), [1])[1].flip(-1)
    torch.testing.assert_close(net.probabilities(image, [1], flip=True)[1], (plain + mirrored) / 2)


def test_zooms_average_over_sizes_of_the_image():
    net = small_net()
    image = torch.rand(3, 64, 48)
    size = net.network_size(64, 48)
    larger = resize(image[None], (96, 72))[0]
    net_at_96 = SegmentationNet(net.config.replaced(image_size=96), net.encoder, net.decoder)
    enlarged = resize(net_at_96.probabilities(larger, [1])[1][None], size)[0]
    plain = net.probabilities(image, [1])[1]
    torch.testing.assert_close(net.probabilities(image, [1], zooms=(1.0, 1.5))[1], (plain + enlarged) / 2)


def test_thresholds_of_the_checkpoint_choose_the_classes():
    net = small_net()
    scores = torch.tensor([0.3, 0.5, 0.6])
    with pytest.raises(UserError, match="no class thresholds"):
        net.classes_shown(scores, "auto")
    net.config = net.config.replaced(class_thresholds=(0.2, 0.6, 0.6))
    assert net.classes_shown(scores, "auto") == [0, 2]
    assert net.classes_shown(scores, 0.5) == [1, 2]
    assert net.classes_shown(scores / 10, "auto") == [2]  # the best one always is


def save_net(net: SegmentationNet, path: Path, without: str = "no part") -> None:
    state = {f"net.{key}": value for key, value in net.state_dict().items() if without not in key}
    torch.save({"hyper_parameters": {"net": net.config.asdict()}, "state_dict": state}, path)


def test_checkpoint_builds_the_same_net(tmp_path):
    net = small_net(guidance="features", decoder_width=0.5)
    save_net(net, tmp_path / "net.ckpt")
    again = load_net(tmp_path / "net.ckpt", need_decoder=True)
    image = torch.rand(3, 64, 64)
    assert again.config == net.config
    torch.testing.assert_close(again.probabilities(image, [1])[1], net.probabilities(image, [1])[1])


def test_a_decoder_is_wider_than_a_light_backbone():
    narrow, wide = (small_net(guidance="features", decoder_width=width).decoder for width in (1, 3))
    assert narrow is not None and wide is not None
    assert wide.first[0].out_channels == 3 * narrow.first[0].out_channels
    assert wide.score.in_channels == 3 * narrow.score.in_channels


def test_checkpoint_of_an_encoder_has_no_decoder(tmp_path):
    save_net(small_net(guidance="features", decoder_width=0.5), tmp_path / "net.ckpt", without="decoder")
    assert load_net(tmp_path / "net.ckpt").decoder is None
    with pytest.raises(UserError, match="encoder only"):
        load_net(tmp_path / "net.ckpt", need_decoder=True)


def test_checkpoints_that_are_none_are_refused(tmp_path):
    path = tmp_path / "net.ckpt"
    with pytest.raises(UserError, match="not found"):
        load_net(path)
    path.write_bytes(b"nothing")
    with pytest.raises(UserError, match="cannot be read"):
        load_net(path)
    path.write_bytes(pickle.dumps(Path("x")))  # torch would advise to load it, whatever it does
    with pytest.raises(UserError, match="cannot be read: it is damaged, or holds more than numbers") as caught:
        load_net(path)
    assert "weights_only" not in str(caught.value)
    with pytest.raises(UserError, match="cannot be read: Is a directory"):
        load_net(tmp_path)
    torch.save({"state_dict": {}}, path)
    with pytest.raises(UserError, match="not a checkpoint"):
        load_net(path)
