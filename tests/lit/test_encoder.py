"""The encoder's module: it learns, its scores are average precision, its checkpoint is plain data."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

from wsvs.lit.encoder import EncoderModule, TagScores
from wsvs.lit.tracking import BadItems
from wsvs.nets.model import load_net


def batch(count=6):
    """Red images are cats, blue ones dogs; the last one is both."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 40, (count, 3, 32, 32), dtype=np.uint8)
    y = np.zeros((count, 2), np.float32)
    for k in range(count):
        for kind in {k % 2} | ({0, 1} if k == count - 1 else set()):
            y[k, kind] = 1
            images[k, 2 * kind, :, 16 * kind : 16 * kind + 16] += 200
    return {
        "id": [str(k) for k in range(count)],
        "image": torch.from_numpy(images),
        "y": torch.from_numpy(y),
        "bad": [],
    }


def test_learns_and_its_checkpoint_is_plain_data(config, make_trainer, load, tmp_path):
    torch.manual_seed(0)
    module = EncoderModule(config.asdict(), lr=1e-2, lr_backbone=1e-3, weights=None)
    with torch.no_grad():
        first = module.training_step(batch(), 0)
    trainer = make_trainer(max_steps=25)
    trainer.fit(module, load([batch()] * 25), load([batch()]))
    assert first > 0.5 and trainer.callback_metrics["train/loss"] < 0.1
    assert trainer.callback_metrics["val/map"] == 1

    path = tmp_path / "x.ckpt"
    trainer.save_checkpoint(path)
    plain = torch.load(path, weights_only=True)
    thresholds = plain["hyper_parameters"]["net"].pop("class_thresholds")
    assert plain["hyper_parameters"]["net"] | {"class_thresholds": []} == config.asdict()
    assert plain["global_step"] == 25 and all(0 < one < 1 for one in thresholds) and len(thresholds) == 2
    loaded = EncoderModule.load_from_checkpoint(path, weights_only=True).eval()
    net = load_net(path)
    assert net.decoder is None and net.config == config.replaced(class_thresholds=tuple(thresholds))
    images = batch()["image"].float() / 255
    expected = module.eval().net.encoder(images)
    assert torch.equal(loaded.net.encoder(images), expected) and torch.equal(net.encoder(images), expected)


def test_a_linear_classifier_on_a_frozen_backbone(config, make_trainer, load, tmp_path):
    torch.manual_seed(0)
    module = EncoderModule(config.replaced(hidden=0, trainable="none").asdict(), lr=1e-2)
    before = {key: value.clone() for key, value in module.net.state_dict().items()}
    trainer = make_trainer(max_steps=25)
    trainer.fit(module, load([batch()] * 25))
    moved = {key for key, value in module.net.state_dict().items() if not torch.equal(value, before[key])}
    assert moved == {"encoder.fc.weight", "encoder.fc.bias"}
    trainer.save_checkpoint(tmp_path / "x.ckpt")
    encoder = load_net(tmp_path / "x.ckpt").encoder
    images = batch()["image"].float() / 255
    with torch.no_grad():
        features = encoder.backbone_features(images).map
        alpha = encoder.activation(encoder.features(images))
    assert alpha.shape == (len(images), 2, *features.shape[-2:])  # classes are read off the cells of the backbone
    torch.testing.assert_close(alpha, torch.einsum("kc,bchw->bkhw", encoder.fc.weight, features))
    torch.testing.assert_close(encoder(images), alpha.mean((2, 3)) + encoder.fc.bias)


def test_pre_trained_weights_are_not_needed_again(config, make_trainer, load, tmp_path):
    weights = tmp_path / "backbone.pth"
    torch.save(config.build_encoder().backbone.state_dict(), weights)
    module = EncoderModule(config.asdict(), weights=str(weights))
    assert torch.equal(module.net.encoder.backbone.features[0].weight, torch.load(weights)["features.0.weight"])
    trainer = make_trainer(max_steps=1)
    trainer.fit(module, load([batch()]))
    trainer.save_checkpoint(tmp_path / "x.ckpt")
    weights.unlink()
    EncoderModule.load_from_checkpoint(tmp_path / "x.ckpt", weights_only=True)


def test_loss_is_the_sigmoid_cross_entropy_of_every_class(config):
    module = EncoderModule(config.asdict()).eval()
    data = batch()
    p = module.net.encoder(data["image"].float() / 255).sigmoid().detach().double().numpy()
    y = data["y"].numpy()
    expected = -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean()
    assert module.training_step(data, 0).item() == pytest.approx(expected, rel=1e-5)
    assert module.training_step({"bad": [("x", "torn")]}, 0) is None


def test_map_is_over_all_batches_and_classes_that_occur(config, make_trainer, load, monkeypatch):
    """Against scikit-learn; the third class has no positive and counts for nothing."""
    three = {**config.asdict(), "classes": ["cat", "dog", "bus"]}
    module = EncoderModule(three)
    rng = np.random.default_rng(0)
    logits, y = rng.normal(size=(12, 3)).astype(np.float32), rng.integers(0, 2, (12, 3))
    y[:, 2] = 0
    rows = iter(logits)
    monkeypatch.setattr(module.net.encoder, "forward", lambda x: torch.from_numpy(next(rows)[None]))
    data = [
        {
            "id": [str(k)],
            "image": torch.zeros(1, 3, 20, 32, dtype=torch.uint8),
            "bad": [],
            "y": torch.from_numpy(y[k : k + 1].astype(np.float32)),
        }
        for k in range(12)
    ]
    (found,) = make_trainer(num_sanity_val_steps=0).validate(
        module, load([*data, {"bad": [("x", "torn")]}]), verbose=False
    )
    expected = [average_precision_score(y[:, c], logits[:, c]) for c in range(2)]
    assert found["val/ap/cat"] == pytest.approx(expected[0], abs=1e-6)
    assert found["val/ap/dog"] == pytest.approx(expected[1], abs=1e-6)
    assert found["val/map"] == pytest.approx(np.mean(expected), abs=1e-6)
    assert np.isnan(found["val/ap/bus"])  # the key is there all the same


def average_precision(logits, y) -> float:
    scores = TagScores(1)
    scores.update(torch.tensor(logits)[:, None], torch.tensor(y)[:, None])
    return float(scores.compute()[0, 0])


def test_average_precision_by_hand():
    assert average_precision([2.0, 1.0, 0.5, -1.0], [1, 0, 1, 0]) == pytest.approx(5 / 6)  # (1/1 + 2/3) / 2


def test_images_of_one_score_enter_average_precision_together():
    assert average_precision([0.0] * 4, [0, 0, 0, 1]) == pytest.approx(1 / 4)


def test_average_precision_equals_that_of_scikit_learn():
    rng = np.random.default_rng(1)
    for _ in range(20):
        logits, y = rng.integers(-4, 4, 50).astype(np.float32), rng.integers(0, 2, 50)
        assert average_precision(logits, y) == pytest.approx(average_precision_score(y, logits), abs=1e-6)


def test_one_class_is_enough(config, make_trainer, load):
    one = {**config.asdict(), "classes": ["cat"]}
    data = batch()
    data["y"] = data["y"][:, :1]
    trainer = make_trainer(max_steps=2)
    trainer.fit(EncoderModule(one), load([data] * 2), load([data]))
    assert 0 <= trainer.callback_metrics["val/map"] <= 1 and "val/ap/cat" in trainer.callback_metrics


def test_learning_rates_of_old_and_new_layers(config, make_trainer, load):
    module = EncoderModule(config.asdict(), lr=1e-2, lr_backbone=0.0)
    before = {name: value.clone() for name, value in module.named_parameters()}
    make_trainer(max_steps=2).fit(module, load([batch()] * 2))
    changed = {name for name, value in module.named_parameters() if not torch.equal(value, before[name])}
    assert changed == {name for name in before if ".backbone." not in name} and len(changed) == 4


def test_frozen_backbone(config, make_trainer, load):
    module = EncoderModule({**config.asdict(), "trainable": "last"}, lr=1e-2, lr_backbone=1e-2)
    before = {name: value.clone() for name, value in module.named_parameters()}
    make_trainer(max_steps=1).fit(module, load([batch()]))
    changed = {name for name, value in module.named_parameters() if not torch.equal(value, before[name])}
    assert any(".backbone." in name for name in changed)
    first = min((name for name in before if ".backbone." in name), key=lambda name: int(name.split(".")[4]))
    assert first not in changed


@pytest.mark.parametrize(("trainable", "moving"), [("none", 0), ("last", 2), ("all", 8)])
def test_running_statistics_of_frozen_layers_do_not_move(config, make_trainer, load, trainable, moving):
    """Nor after a validation, from which the trainer goes back to training."""
    module = EncoderModule({**config.asdict(), "trainable": trainable}, lr=1e-2)
    norms = [m for m in module.net.encoder.backbone.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    before = [(norm.running_mean.clone(), norm.running_var.clone()) for norm in norms]
    make_trainer(max_epochs=2, num_sanity_val_steps=1).fit(module, load([batch()] * 2), load([batch()]))
    moved = [
        not (torch.equal(norm.running_mean, mean) and torch.equal(norm.running_var, var))
        for norm, (mean, var) in zip(norms, before, strict=True)
    ]
    assert moved == [False] * (8 - moving) + [True] * moving
    assert module.net.encoder.dropout.training  # what learns is in training mode


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lr": -1.0}, "lr must be a number >= 0, got -1.0"),
        ({"lr_backbone": float("inf")}, "lr_backbone must be a number >= 0, got inf"),
        ({"schedule": "linear"}, "schedule must be constant, cosine or poly, got 'linear'"),
        ({"warmup": -1}, "warmup must be a whole number >= 0, got -1"),
    ],
)
def test_settings_refused(config, settings, message):
    with pytest.raises(ValueError, match=message):
        EncoderModule(config.asdict(), **settings)


def test_bad_items_of_all_batches_are_collected(config, make_trainer, load):
    bad = BadItems()
    data = {**batch(), "bad": [("t", "torn")]}
    trainer = make_trainer(max_steps=2, callbacks=[bad])
    train, val = load([data, {"bad": [("u", "empty")]}]), load([{**batch(), "bad": [("v", "text")]}])
    trainer.fit(EncoderModule(config.asdict()), train, val)
    assert bad.found == {"t": "torn", "u": "empty", "v": "text"}


def test_a_checkpoint_has_the_bad_items_of_all_ranks(monkeypatch):
    """It is written after the validation, from what rank 0 knows."""

    def gather(everywhere, found):
        everywhere[:] = [found, {"b": "empty"}]

    monkeypatch.setattr("torch.distributed.all_gather_object", gather)
    bad = BadItems()
    bad.found["a"] = "torn"
    bad.on_validation_epoch_end(SimpleNamespace(world_size=2), None)
    assert bad.state_dict() == {"a": "torn", "b": "empty"}


def test_training_of_bad_items_alone_ends(config, make_trainer, load):
    trainer = make_trainer(max_steps=3)
    bad = load([{"bad": [("x", "torn")]}])
    trainer.fit(EncoderModule(config.asdict()), bad, bad)
    assert trainer.global_step == 3 and trainer.callback_metrics["val/map"].isnan()
