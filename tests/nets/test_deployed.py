"""A deployed network gives what the segmenter gives, for any number and size of images."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from wsvs.nets.deployed import Deployed, DeployedOutput, area, export
from wsvs.nets.model import NetConfig, SegmentationNet
from wsvs.nets.segmenter import Segmenter


def net_of(backbone="vgg_small", **more) -> SegmentationNet:
    torch.manual_seed(0)
    config = NetConfig(
        **{
            "backbone": backbone,
            "classes": ("cat", "dog", "owl"),
            "image_size": 64,
            "scales": (0.5, 1.0, 1.5),
            "hidden": 8,
            **more,
        }
    )
    encoder = config.build_encoder()
    net = SegmentationNet(config, encoder, config.build_decoder(encoder)).eval()
    with torch.no_grad():
        net.encoder.fc.weight.mul_(50)  # scores on both sides of the thresholds
    return net


def images(count, height, width):
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(height + width))


@pytest.mark.parametrize("method", ["decoder", "attention", "mean"])
@pytest.mark.parametrize("size", [(2, 64, 48), (1, 32, 64)])
def test_all_classes_at_once_give_the_same_masks(method, size):
    segmenter = Segmenter(net_of(), method=method, class_threshold=0.5, background=0.3)
    deployed = Deployed(segmenter.net, [0, 1, 2], method, [0.5] * 3, 0.3)
    assert deployed.multiple == 16
    with torch.inference_mode():
        ours, expected = DeployedOutput(*deployed(images(*size))), segmenter(images(*size))
    torch.testing.assert_close(ours.scores, expected.scores)
    assert (ours.labels == expected.labels).float().mean() > 0.999 and ours.labels.any()
    assert torch.equal(ours.probabilities.argmax(1), ours.labels.long())


def test_some_of_the_classes_are_a_model_of_those():
    """Where none reaches its threshold the best of them is predicted, and labels follow the list's order."""
    net = net_of()
    with torch.inference_mode():
        ours = DeployedOutput(*Deployed(net, [2, 0], "attention", [1.1, 1.1], 0.0)(images(4, 64, 64)))
        every = Segmenter(net, method="attention")(images(4, 64, 64))
    torch.testing.assert_close(ours.scores, every.scores[:, [2, 0]])
    for labels, best in zip(ours.labels, ours.scores.argmax(1).tolist(), strict=True):
        assert set(labels.unique().tolist()) <= {0, best + 1}
    assert ours.labels.any()


@pytest.mark.parametrize("size", [(8, 8), (4, 5), (7, 3), (1, 2)])
def test_cell_means_as_products_are_adaptive_pooling(size):
    x = torch.rand(2, 1, 8, 13)
    torch.testing.assert_close(area(x, size), F.adaptive_avg_pool2d(x, size))


@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    [
        pytest.param({"guidance": "none"}, id="none"),
        pytest.param({"backbone": "squeezenet1_1"}, id="switches of overlapping windows"),
        pytest.param({"backbone": "resnet50v2", "guidance": "features", "decoder_width": 0.1}, id="features"),
    ],
)
def test_torch_export_at_sizes_it_has_not_seen(more):
    deployed = Deployed(net_of(**more), [0, 1], "decoder", [0.5, 0.5], 0.3)
    program = export(deployed).module()
    with torch.inference_mode():
        for count, rows, columns in ((1, 3, 4), (3, 6, 3)):
            x = images(count, rows * deployed.multiple, columns * deployed.multiple)
            for found, expected in zip(program(x), deployed(x), strict=True):
                torch.testing.assert_close(found, expected)
