"""A step of each training in half precision, on the processor and, where there is one, on a GPU."""

from __future__ import annotations

import pytest
import torch

import wsvs.lit.decoder
import wsvs.lit.encoder
from wsvs.lit.decoder import DecoderModule
from wsvs.lit.encoder import EncoderModule

GPU = pytest.param(
    "cuda",
    marks=[
        pytest.mark.gpu,
        pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA GPU here"),
    ],
)


def batch():
    generator = torch.Generator().manual_seed(0)
    return {
        "id": ["0", "1", "2", "3"],
        "image": torch.randint(0, 256, (4, 3, 32, 32), generator=generator).byte(),
        "y": torch.eye(2).repeat(2, 1),
        "class": torch.tensor([0, 1, 0, 1]),
        "bad": [],
        "target": torch.randint(0, 2, (4, 32, 32), generator=generator),
        "jitter": 0.7 + 0.6 * torch.rand(4, 3, generator=generator),
    }


@pytest.mark.parametrize("device", ["cpu", GPU])
@pytest.mark.parametrize("kind", [EncoderModule, DecoderModule])
def test_one_step_in_mixed_precision(config, make_trainer, load, monkeypatch, kind, device):
    torch.manual_seed(0)
    module = kind(config.asdict(), lr=1e-2)
    seen = []
    for place in (wsvs.lit.encoder, wsvs.lit.decoder):

        def pixels(given, *more, plain=place.pixels):
            images = plain(given, *more)
            seen.append((given["image"], given["jitter"], images))
            return images

        monkeypatch.setattr(place, "pixels", pixels)
    computed = []
    module.net.encoder.backbone.register_forward_hook(lambda *_: computed.append(torch.get_autocast_dtype(device)))
    before = {name: weight.detach().clone() for name, weight in module.named_parameters() if weight.requires_grad}
    trainer = make_trainer(accelerator="gpu" if device == "cuda" else device, precision="bf16-mixed", max_steps=1)
    trainer.fit(module, load([batch()]))
    assert trainer.global_step == 1 and trainer.callback_metrics["train/loss"].isfinite()
    [(image, factors, images)] = seen
    assert {image.device.type, factors.device.type, images.device.type} == {device}  # jittered where the batch is
    assert not torch.allclose(images, image / 255, atol=0.01)
    assert computed and set(computed) == {torch.bfloat16}
    after = dict(module.named_parameters())
    assert before and all(after[name].dtype == torch.float32 for name in before)
    assert any(not torch.equal(after[name].cpu(), weight) for name, weight in before.items())
