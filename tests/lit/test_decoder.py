"""The decoder's module: only the decoder learns, void counts for nothing, scores by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from wsvs.lit.decoder import DecoderModule, net_of
from wsvs.lit.encoder import EncoderModule
from wsvs.nets.attention import attention
from wsvs.nets.model import load_net


def batch(void=True):
    rng = np.random.default_rng(0)
    target = np.zeros((3, 32, 32), np.int64)
    target[:, 8:24, 8:24] = 1
    if void:
        target[:, :, 20:] = 255
    image = rng.integers(0, 256, (3, 3, 32, 32), dtype=np.uint8)
    image[:, 0, 8:24, 8:24] = 250
    return {
        "id": ["a", "b", "c"],
        "image": torch.from_numpy(image),
        "target": torch.from_numpy(target),
        "class": torch.tensor([0, 1, 1]),
        "bad": [],
    }


def module_of(config, **more) -> DecoderModule:
    torch.manual_seed(0)
    module = DecoderModule(config.asdict(), **more)
    torch.nn.init.normal_(module.net.encoder.fc.weight)
    return module


def state(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def changed(module, before):
    return {name for name, value in module.state_dict().items() if not torch.equal(value, before[name])}


def test_only_the_decoder_learns(config, make_trainer, load):
    module = module_of(config, lr=1e-2)
    before = state(module)
    make_trainer(max_steps=1).fit(module, load([batch()]))
    moved = changed(module, before)
    parameters = {name for name, _ in module.named_parameters() if name.startswith("net.decoder.")}
    # Batch norm follows every deconvolution and takes its bias out again: that one has no gradient.
    without = {name for name in parameters if name.endswith(".0.bias")}
    assert parameters - without <= moved
    assert all(name.startswith("net.decoder.") for name in moved)  # the encoder's running statistics stay too


def test_modes_while_training(config, make_trainer, load, tmp_path, monkeypatch):
    """Frozen means frozen, also after a validation; and a loaded decoder continues in training mode."""
    seen = []
    step = DecoderModule.training_step

    def watched(self, batch, index):
        encoder, decoder = self.net.encoder.modules(), self.net.decoder.modules()
        seen.append(({m.training for m in encoder}, {m.training for m in decoder}))
        return step(self, batch, index)

    monkeypatch.setattr(DecoderModule, "training_step", watched)
    start = None
    for _ in range(2):
        trainer = make_trainer(max_steps=4, val_check_interval=2)
        trainer.fit(DecoderModule(config.asdict(), start=start), load([batch()] * 4), load([batch()]))
        start = str(tmp_path / "decoder.ckpt")
        trainer.save_checkpoint(start)
    assert seen == [({False}, {True})] * 8


def test_learning_rate_0_is_a_no_op(config, make_trainer, load):
    module = module_of(config, lr=0.0)
    before = state(module)
    make_trainer(max_steps=2).fit(module, load([batch()] * 2))
    assert {name for name in changed(module, before) if "running" not in name and "num_batches" not in name} == set()


def test_it_learns(config, make_trainer, load):
    module = module_of(config, lr=1e-2)
    trainer = make_trainer(max_steps=30, num_sanity_val_steps=0)
    first = module.training_step(batch(), 0).item()
    trainer.fit(module, load([batch()] * 30), load([batch()]))
    assert 0.6 < first < 0.8  # log 2 where nothing is known
    assert trainer.callback_metrics["train/loss"] < 0.8 * first


def test_loss_by_hand(config):
    module, data = module_of(config).eval(), batch()
    score = module.score(data).detach().double().numpy()
    target = data["target"].numpy()
    total, count = 0.0, 0
    for b, y, x in zip(*np.nonzero(target != 255), strict=True):
        bg, fg = score[b, :, y, x]
        total += np.log(np.exp(bg) + np.exp(fg)) - (fg if target[b, y, x] else bg)
        count += 1
    assert count == 3 * 32 * 20
    assert module.training_step(data, 0).item() == pytest.approx(total / count, rel=1e-5)


def test_weighted_loss_by_hand(config):
    """The mean of the pixels' losses, each with the weight of its item; equal weights are no weights."""
    module, data = module_of(config).eval(), batch()
    for weight in module.net.decoder.parameters():
        torch.nn.init.normal_(weight, std=0.6)  # a new decoder has scores near 0: one loss for all pixels
    data["target"][1, :16] = 255  # items of different numbers of known pixels
    score, target, weights = module.score(data).detach().double().numpy(), data["target"].numpy(), (1.0, 3.0, 0.5)
    total = count = 0.0
    for b, y, x in zip(*np.nonzero(target != 255), strict=True):
        bg, fg = score[b, :, y, x]
        total += weights[b] * (np.log(np.exp(bg) + np.exp(fg)) - (fg if target[b, y, x] else bg))
        count += weights[b]
    loss = module.training_step(data | {"weight": torch.tensor(weights)}, 0).item()
    plain = module.training_step(data, 0).item()
    assert loss == pytest.approx(total / count, rel=1e-5) and loss != pytest.approx(plain, rel=1e-3)
    assert module.training_step(data | {"weight": torch.full((3,), 2.0)}, 0).item() == pytest.approx(plain, rel=1e-6)


def test_void_has_no_gradient(config, monkeypatch):
    module, data = module_of(config), batch()
    score = torch.zeros(3, 2, 32, 32, requires_grad=True)
    monkeypatch.setattr(module, "score", lambda _: score)
    module.training_step(data, 0).backward()
    assert (score.grad[:, :, :, 20:] == 0).all() and (score.grad[:, :, :, :20] != 0).all()


def test_score_uses_the_attention_of_the_crop_for_its_class(config):
    module, data = module_of(config).eval(), batch()
    images = data["image"].float() / 255
    alpha = attention(module.net.encoder, images, data["class"], config.scales)
    features = module.net.encoder.backbone_features(images, with_pools=True)
    expected = module.decoder(alpha, features, (32, 32))
    assert torch.equal(module.score(data), expected)
    other = {**data, "class": 1 - data["class"]}
    assert not torch.equal(module.score(other), expected)


def test_nothing_to_learn_from_is_skipped(config):
    module, data = module_of(config), batch()
    assert module.training_step({"bad": [("a", "torn")]}, 0) is None
    assert module.training_step({**data, "target": torch.full((3, 32, 32), 255)}, 0) is None
    assert module.validation_step({"bad": [("a", "torn")]}, 0) is None and not module.confusion.confmat.any()


def test_miou_by_hand(config, make_trainer, load, monkeypatch):
    """Two batches, one confusion matrix: foreground 2 right of 4 marked or meant, background 4 of 6."""
    target = torch.tensor([[[0, 0, 1, 1], [255, 0, 0, 1], [255, 255, 0, 255]]])
    marked = torch.tensor([[[0, 1, 1, 1], [1, 0, 0, 0], [0, 1, 0, 0]]])  # not counted: column 0 and others at 255
    data = []
    for rows in (slice(0, 2), slice(2, 3)):
        shown = marked[:, rows].float()
        data.append(
            {
                "id": ["a"],
                "image": torch.zeros(1),
                "target": target[:, rows],
                "bad": [],
                "score": torch.stack([torch.zeros_like(shown), shown * 2 - 1], 1),
            }
        )
    module = module_of(config)
    monkeypatch.setattr(module, "score", lambda batch: batch["score"])
    for batches, background in (([*data, {"bad": [("x", "torn")]}], 4 / 6), (data[:1], 3 / 5)):  # each from nothing
        (found,) = make_trainer().validate(module, load(batches), verbose=False)
        assert found["val/iou/foreground"] == pytest.approx(2 / 4)
        assert found["val/iou/background"] == pytest.approx(background)
        assert found["val/miou"] == pytest.approx((2 / 4 + background) / 2)


def test_starts_from_an_encoder_and_resumes_from_a_decoder(config, make_trainer, load, tmp_path):
    trained = EncoderModule(config.asdict())
    trainer = make_trainer(max_steps=1)
    y = torch.tensor([[1.0, 0], [0, 1], [0, 1]])
    trainer.fit(trained, load([{"image": batch()["image"], "y": y}]))
    trainer.save_checkpoint(tmp_path / "encoder.ckpt")
    assert net_of(tmp_path / "encoder.ckpt") == config
    module = DecoderModule(config.asdict(), start=str(tmp_path / "encoder.ckpt"))
    for name, value in trained.net.encoder.state_dict().items():
        assert torch.equal(module.net.encoder.state_dict()[name], value)

    trainer = make_trainer(max_steps=1)
    trainer.fit(module, load([batch()]))
    trainer.save_checkpoint(tmp_path / "decoder.ckpt")
    again = DecoderModule(config.asdict(), start=str(tmp_path / "decoder.ckpt"))
    assert all(torch.equal(again.state_dict()[name], value) for name, value in module.state_dict().items())

    (tmp_path / "encoder.ckpt").unlink()  # the decoder's checkpoint holds both
    loaded = DecoderModule.load_from_checkpoint(tmp_path / "decoder.ckpt", weights_only=True)
    net = load_net(tmp_path / "decoder.ckpt", need_decoder=True)
    images, alpha = batch()["image"].float() / 255, torch.rand(3, 1, 4, 4)
    expected = module.eval().net.masks_of(images, alpha)
    assert torch.equal(loaded.eval().net.masks_of(images, alpha), expected)
    assert torch.equal(net.masks_of(images, alpha), expected)
    torch.load(tmp_path / "decoder.ckpt", weights_only=True)


def test_settings_refused(config):
    with pytest.raises(ValueError, match="schedule must be constant, cosine or poly"):
        DecoderModule(config.asdict(), schedule="step")
