"""The network of a weights file is identified by names and shapes of its tensors, with the override that selects it."""

from __future__ import annotations

import pytest
import torch

from wsvs.core.errors import UserError
from wsvs.engine.explain import advised, model_words
from wsvs.nets.backbones import BACKBONES, build_backbone
from wsvs.nets.published import Owner, owner_of
from wsvs.nets.weights import ForeignWeights, load_backbone_weights


def resnet(blocks: tuple[int, ...], bottleneck: bool, classes: int) -> dict[str, torch.Tensor]:
    """Tensors of a ResNet v1 (He et al. 2016) under torchvision's names, which are timm's too."""
    state = {"conv1.weight": torch.empty(64, 3, 7, 7)}

    def norm(name: str, channels: int) -> None:
        state.update(
            {f"{name}.{part}": torch.empty(channels) for part in ("weight", "bias", "running_mean", "running_var")}
        )
        state[f"{name}.num_batches_tracked"] = torch.tensor(0)

    norm("bn1", 64)
    inputs = 64
    for stage, count in enumerate(blocks):
        width = 64 * 2**stage
        outputs = width * (4 if bottleneck else 1)
        for block in range(count):
            at = f"layer{stage + 1}.{block}"
            sides = ((width, 1), (width, 3), (outputs, 1)) if bottleneck else ((width, 3), (width, 3))
            before = inputs
            for number, (channels, side) in enumerate(sides, 1):
                state[f"{at}.conv{number}.weight"] = torch.empty(channels, before, side, side)
                norm(f"{at}.bn{number}", channels)
                before = channels
            if block == 0 and (stage or inputs != outputs):
                state[f"{at}.downsample.0.weight"] = torch.empty(outputs, inputs, 1, 1)
                norm(f"{at}.downsample.1", outputs)
            inputs = outputs
    return state | {"fc.weight": torch.empty(classes, inputs), "fc.bias": torch.empty(classes)}


@pytest.mark.parametrize(
    ("name", "blocks", "bottleneck"),
    [
        ("resnet18", (2, 2, 2, 2), False),
        ("resnet34", (3, 4, 6, 3), False),
        ("resnet50", (3, 4, 6, 3), True),
        ("resnet101", (3, 4, 23, 3), True),
    ],
)
@pytest.mark.parametrize("classes", [1000, 7])
def test_a_network_of_timm_is_recognised_by_its_tensors(name, blocks, bottleneck, classes):
    with torch.device("meta"):
        state = resnet(blocks, bottleneck, classes)
    owner = owner_of(state)
    assert owner == (f"timm/{name}", name)
    assert model_words(owner.backbone) == ["model=timm", f"model.backbone=timm/{name}"]
    renamed = {f"features.{key}": value for key, value in state.items() if not key.startswith("fc")}
    assert owner_of(renamed) == Owner("", name)  # under names that timm does not take
    assert owner_of(dict(list(state.items())[:20])) is None


@pytest.mark.parametrize("name", ["vgg16", "vgg_small", "squeezenet1_1", "resnet50v2", "efficientnet_lite2"])
def test_our_own_networks_are_named_with_their_override(name):
    assert name in BACKBONES
    with torch.device("meta"):
        state = build_backbone(name).state_dict()
    owner = owner_of({**state, "classifier.weight": torch.empty(1000, 4)})
    assert owner is not None and model_words(owner.backbone) == [f"model={name}"]


def test_weights_of_another_network_are_refused_by_its_name(tmp_path):
    path = tmp_path / "w.pth"
    torch.save(build_backbone("squeezenet1_1").state_dict(), path)
    with pytest.raises(ForeignWeights) as refused:
        load_backbone_weights(build_backbone("vgg16"), str(path))
    assert refused.value.problem == "these are SqueezeNet 1.1's weights, the model is VGG-16"
    assert refused.value.remedy == "give weights of VGG-16"
    assert advised(refused.value).remedy == "use model=squeezenet1_1, or give weights of VGG-16"
    assert refused.value.owner is not None and refused.value.owner.backbone == "squeezenet1_1"


def test_a_checkpoint_of_ours_is_not_taken_for_weights(tmp_path):
    path = tmp_path / "best.ckpt"
    state = {f"net.encoder.backbone.{key}": value for key, value in build_backbone("vgg_small").state_dict().items()}
    torch.save({"state_dict": state, "epoch": 3}, path)
    with pytest.raises(UserError, match="a checkpoint that wsvs trained"):
        load_backbone_weights(build_backbone("vgg_small"), str(path))
