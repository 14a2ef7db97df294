"""A training stops at the first number that is not finite, and nothing that is not finite is written or read."""

from __future__ import annotations

from contextlib import nullcontext
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, WeightAveraging
from lightning.pytorch.plugins.precision import MixedPrecision
from torch.optim.swa_utils import get_ema_multi_avg_fn

import wsvs
from tests.lit.test_steps import Items
from wsvs.core.errors import BadItem, UserError
from wsvs.data.shots import Described
from wsvs.data.training import TrainingData
from wsvs.lit.clip_frames import End, Frames
from wsvs.lit.decoder import DecoderModule
from wsvs.lit.encoder import EncoderModule
from wsvs.lit.finite import StopOnDivergence, WatchedModule
from wsvs.lit.image_scorer import ImageScorer
from wsvs.lit.predictor import Loaded, PredictorModule
from wsvs.lit.scorer import ScorerModule
from wsvs.lit.segmenter import SegmenterModule
from wsvs.nets.model import load_net, not_finite, require_finite
from wsvs.records.predicted import Bad, Wanted
from wsvs.records.shots import Clip, Piece
from wsvs.video.settings import SegmentSettings

IMAGE = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)


class Spoil(Callback):
    """Does something to the module after a step."""

    def __init__(self, after, what):
        self.after, self.what = after, what

    def on_train_batch_end(self, trainer, module, *_):
        if trainer.global_step == self.after:
            with torch.no_grad():
                self.what(module)


@pytest.fixture
def train(config, make_trainer, tmp_path):
    """Train to the end or to an error; the module, the trainer and the error."""

    def run(kind=EncoderModule, *, lr=1e-3, ema=None, more=(), rates=None, **trainer):
        torch.manual_seed(0)
        module = kind(config.asdict(), lr=lr)
        callbacks = [*more, ModelCheckpoint(tmp_path, "kept", enable_version_counter=False)]
        if ema:
            callbacks.append(WeightAveraging(multi_avg_fn=get_ema_multi_avg_fn(ema)))
        callbacks.append(StopOnDivergence(rates or {"encoder.lr": lr}))
        made = make_trainer(**{"max_epochs": 3, **trainer}, callbacks=callbacks, enable_checkpointing=True)
        error = None
        try:
            made.fit(module, TrainingData(Items(), Items(), batch_size=3, workers=0, seed=0), weights_only=True)
        except UserError as raised:
            error = raised
        return SimpleNamespace(module=module, trainer=made, error=error, kept=tmp_path / "kept.ckpt")

    return run


@pytest.mark.parametrize("kind", [EncoderModule, DecoderModule])
@pytest.mark.parametrize("more", [{}, {"ema": 0.9}, {"accumulate_grad_batches": 3}, {"precision": "bf16-mixed"}])
def test_a_rate_that_is_far_too_high(train, kind, more):
    """The first step makes the weights huge; the second has no finite loss. Three batches make an epoch."""
    found = train(kind, lr=1e30, **more)
    assert isinstance(found.error, UserError) and found.error.where == "encoder.lr=1e+30"
    assert found.error.remedy == "lower the learning rate, for example encoder.lr=0.001"
    if "accumulate_grad_batches" in more:  # the first step ends the epoch
        assert found.error.problem == (
            "the training diverged: the network's output after step 1 is not finite (nan or inf)"
        )
    else:
        assert found.error.problem == "the training diverged: the loss of step 2 is nan"
        assert found.trainer.global_step == 1
    assert not found.kept.exists()


def test_a_usual_training_is_left_alone(train):
    found = train(lr=1e-3)
    assert found.error is None and found.trainer.global_step == 9 and found.kept.exists()
    assert not_finite(torch.load(found.kept, weights_only=True)) is None


def nan_gradient(module):
    module.net.encoder.fc.weight.register_hook(lambda gradient: gradient * float("inf"))


def test_the_gradient_alone(train):
    found = train(more=[Spoil(4, nan_gradient)])
    assert found.error.problem in {
        f"the training diverged: the norm of the gradient of step 5 is {value}" for value in ("inf", "nan")
    }
    kept = torch.load(found.kept, weights_only=True)
    assert kept["global_step"] == 3 and not_finite(kept) is None  # of the epoch before


def test_gradients_too_large_for_their_norm(train):
    """Each is finite in float32, the root of the sum of their squares is not."""
    found = train(more=[Spoil(1, lambda module: module.net.encoder.fc.weight.register_hook(lambda g: g + 1e20))])
    assert found.error.problem == "the training diverged: the norm of the gradient of step 2 is inf"


def poison(module):
    module.net.encoder.fc.weight.fill_(float("nan"))


@pytest.mark.parametrize("ema", [None, 0.5])
def test_weights_of_a_last_step(train, monkeypatch, ema):
    """Between the last step and the checkpoint is the validation alone, which here gives no output to look at."""
    monkeypatch.setattr(EncoderModule, "validation_step", lambda self, batch, number: None)
    found = train(ema=ema, more=[Spoil(9, poison)])
    assert found.error.problem == (
        "the training diverged: the weights after step 9 are not finite (nan or inf): net.encoder.fc.weight"
    )
    kept = torch.load(found.kept, weights_only=True)
    assert kept["global_step"] == 6 and not_finite(kept) is None


def test_weights_that_are_trained_beside_a_good_average(net):
    state = {f"net.{key}": value for key, value in net.state_dict().items()}
    bad = {**state, "net.decoder.score.bias": torch.full((2,), float("inf"))}
    assert not_finite({"state_dict": state}) is None
    assert not_finite({"state_dict": state, "current_model_state": bad}) == "net.decoder.score.bias"
    assert not_finite({"state_dict": bad}) == "net.decoder.score.bias"


class Scaled(MixedPrecision):
    """float16 on a CPU, with a scaler of its own."""

    def __init__(self, scale):
        super().__init__("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=scale, growth_interval=10**6))


def test_steps_that_the_scaler_leaves_out_do_not_count(train):
    """Gradients of float16 overflow at 65504: the scale is halved until they do not, and the training continues."""
    precision = Scaled(2.0**60)
    weights = []

    class Watch(Callback):
        def on_train_batch_end(self, trainer, module, *_):
            weights.append(module.net.encoder.fc.weight.detach().clone())

    found = train(more=[Watch()], max_epochs=40, plugins=[precision])
    assert found.error is None and found.trainer.global_step == 120
    left_out = 1 + sum(torch.equal(one, other) for one, other in pairwise(weights))  # the first one, too
    assert 5 < left_out < 119 and precision.scaler.get_scale() == 2.0 ** (60 - left_out)


def test_a_scale_of_one_cannot_be_blamed(train):
    """Left out are the steps at scales of 4 and 2; at 1 the gradient itself is not finite."""
    found = train(more=[Spoil(1, nan_gradient)], plugins=[Scaled(8.0)], max_epochs=9)
    assert found.error.problem.startswith("the training diverged: the norm of the gradient of step 5 is ")
    assert found.error.remedy == (
        "lower the learning rate, for example encoder.lr=0.0001, or use trainer.precision=bf16-mixed: "
        "the maximum of float16 is 65504"
    )


def test_no_scaler_excuses_a_loss(train):
    """It is computed before it is scaled."""
    found = train(more=[Spoil(2, poison)], plugins=[Scaled(2.0**60)])
    assert found.error.problem == "the training diverged: the loss of step 3 is nan"


def test_before_the_first_step_the_rate_is_not_to_blame(train, monkeypatch):
    plain = EncoderModule.configure_optimizers

    def spoiled(self):
        with torch.no_grad():
            poison(self)
        return plain(self)

    monkeypatch.setattr(EncoderModule, "configure_optimizers", spoiled)
    found = train()
    assert found.error.problem == "the training diverged: the network's output after step 0 is not finite (nan or inf)"
    assert found.error.remedy == "start from other weights (model.weights, or the runs under inputs)"
    found = train(num_sanity_val_steps=0)
    assert found.error.problem == "the training diverged: the loss of step 1 is nan"


def test_the_highest_of_two_rates_is_the_one_to_lower(train):
    found = train(lr=1e30, rates={"model.lr": 1e30, "encoder.lr_backbone": 1e-4})
    assert found.error.where == "model.lr=1e+30, encoder.lr_backbone=0.0001"
    assert "for example model.lr=0.001" in found.error.remedy
    found = train(lr=1e30, rates={"encoder.lr": 1e-3, "encoder.lr_backbone": 1e-3})
    assert "for example encoder.lr=0.0001 encoder.lr_backbone=0.0001" in found.error.remedy


def test_an_infinite_loss_spoils_every_gradient():
    """Its own gradient may be finite: the other ranks must see it in theirs."""
    module = WatchedModule()
    weight = torch.tensor([2.0, 3.0], requires_grad=True)
    module.watched((weight * 4).sum() + float("inf")).backward()
    assert weight.grad.isnan().all() and [float(loss) for loss in module.losses] == [float("inf")]
    weight.grad = None
    loss = module.watched((weight * 4).sum())
    loss.backward()
    assert loss.item() == 20 and weight.grad.tolist() == [4, 4]


def test_a_loss_of_another_rank(monkeypatch):
    """The gradients are NaN on both; only one knows of a loss."""
    stop = StopOnDivergence({"adapt.lr": 0.5})
    weight = torch.nn.Parameter(torch.ones(2))
    weight.grad = torch.full((2,), float("nan"))
    asked = []

    def reduce(decision, all):
        asked.append((decision, all))
        return True

    trainer = SimpleNamespace(
        global_step=6, strategy=SimpleNamespace(reduce_boolean_decision=reduce), precision_plugin=None
    )
    module = WatchedModule()
    module.losses = [torch.tensor(0.7)]
    with pytest.raises(UserError, match="the loss of step 7 is nan or inf on another rank"):
        stop.on_before_optimizer_step(trainer, module, torch.optim.Adam([weight]))
    assert asked == [(False, False)] and module.losses == []


@pytest.mark.parametrize("kind", [EncoderModule, DecoderModule])
def test_a_figure_of_nothing_chooses_no_checkpoint(config, make_trainer, tmp_path, kind):
    """No held-out image shows a class, or no held-out frame has a pixel to score."""

    class Nothing(Items):
        def __getitem__(self, visit):
            item = super().__getitem__(visit)
            return {**item, "y": torch.zeros(2), "target": torch.full_like(item["target"], 255)}

    figure = "val/map" if kind is EncoderModule else "val/miou"
    data = TrainingData(Items(), Nothing(), batch_size=3, workers=0, seed=0)
    for monitor in (figure, None):
        keep = ModelCheckpoint(tmp_path / str(monitor), "best", monitor=monitor, mode="max")
        trainer = make_trainer(max_epochs=1, callbacks=[StopOnDivergence({"l": 1}), keep], enable_checkpointing=True)
        with pytest.raises(UserError, match=f"{figure} is nan") if monitor else nullcontext():
            trainer.fit(kind(config.asdict()), data)
        assert trainer.callback_metrics[figure].isnan()
        assert (tmp_path / str(monitor)).exists() == (monitor is None)


@pytest.fixture
def huge(net):
    """Finite weights that give no finite output."""
    with torch.no_grad():
        for weight in net.encoder.parameters():
            weight.mul_(1e20)
    return net


def test_what_networks_say_is_looked_at(huge):
    """Predicted probabilities, attention of videos, scores of frames and of thumbnails."""
    pixels = torch.from_numpy(IMAGE).permute(2, 0, 1)
    for classes in (None, [0], []):
        for method in ("decoder", "attention", "mean"):
            module = PredictorModule(huge, method=method)
            with pytest.raises(BadItem, match="not finite"):
                module.segment(pixels, classes)
            told = module.predict_step(Loaded(Wanted("a", "a.png", classes), pixels), 0)
            assert isinstance(told, Bad) and "not finite" in told.reason
    segmenter = SegmenterModule(huge, SegmentSettings(superpixels=30, flow="dis_ultrafast"))
    piece = Piece("p", "v", "v.mp4", 0, 1, 1, 8, 8, 25.0, ["cat"], 1, "p.mp4")
    told = segmenter.predict_step(Described(piece, None, 0.0, IMAGE[None]), 0)
    assert isinstance(told, Bad) and "not finite" in told.reason
    clip = Clip("c", "v", "dog", 0, 1, file="f")
    frames = [Frames(clip, torch.from_numpy(IMAGE[None])), End(clip, None, None)]
    told = ScorerModule(huge).predict_step(iter(frames), 0)
    assert "not finite" in told.reason
    with pytest.raises(UserError, match="so no video can be scored") as raised:
        ImageScorer(huge, "cpu")([IMAGE], "dog")
    assert not isinstance(raised.value, BadItem)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_checkpoints_that_are_not_finite_are_not_loaded(net, config, tmp_path, value):
    path = tmp_path / "best.ckpt"

    def write(**spoiled):
        state = {f"net.{key}": value for key, value in net.state_dict().items()}
        torch.save({"state_dict": state | spoiled, "hyper_parameters": {"net": config.asdict()}}, path)

    write()
    load_net(path, need_decoder=True)
    name = "net.decoder.score.weight"
    weight = net.state_dict()["decoder.score.weight"].clone()
    weight.view(-1)[-1] = value
    write(**{name: weight})
    for read in (
        load_net,
        lambda path: wsvs.load(path, method="attention"),
        lambda path: DecoderModule(config.asdict(), start=str(path)),
    ):
        with pytest.raises(UserError) as raised:
            read(path)
        assert raised.value.problem == f"weights of this checkpoint are not finite (nan or inf): {name}"
        assert raised.value.where == str(path) and "train again with a lower learning rate" in raised.value.remedy


def test_numbers_by_hand():
    require_finite(torch.tensor([0.0, 1e38]), torch.zeros(0))
    for bad in (float("nan"), float("inf"), -float("inf")):
        with pytest.raises(BadItem):
            require_finite(torch.zeros(3), torch.tensor([0.0, bad]))
