"""Seed and speed of every step; trainings that are stopped and resumed."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, WeightAveraging
from torch.optim.swa_utils import get_ema_multi_avg_fn
from torch.utils.data import Dataset

import wsvs.lit.steps
from wsvs.data.training import TrainingData
from wsvs.data.visits import visited
from wsvs.lit.decoder import DecoderModule
from wsvs.lit.encoder import EncoderModule
from wsvs.lit.steps import DataWait, StepSeed, Throughput, ValidateLast


class Items(Dataset):
    """Nine images with all inputs of encoder and decoder; the visit determines each pixel."""

    def __len__(self):
        return 9

    def __getitem__(self, visit):
        number, rng = visited(visit)
        return {
            "id": str(number),
            "image": torch.from_numpy(rng.integers(0, 256, (3, 32, 32), dtype=np.uint8)),
            "y": torch.tensor([1.0, number % 2]),
            "target": torch.from_numpy(rng.integers(0, 2, (32, 32))),
            "class": torch.tensor(number % 2),
            "jitter": torch.from_numpy(rng.uniform(0.7, 1.3, 3)),
        }


class Stop(Callback):
    """Ends the training as a kill would, in the middle of it."""

    def __init__(self, at):
        self.at = at

    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step == self.at:
            raise RuntimeError("stopped")


@pytest.fixture
def trained(config, make_trainer, tmp_path):
    """Train from nothing or from a checkpoint; what the last checkpoint then holds."""

    def train(stage, *, stop=None, start=None, ema=True, seed=0, more_callbacks=(), **more):
        torch.manual_seed(seed)
        net = {**config.asdict(), "dropout": 0.5}
        kind = EncoderModule if stage == "encoder" else DecoderModule
        module = kind(net, lr=1e-2, schedule="cosine", warmup=2)
        path = tmp_path / f"{stage}-{stop or 0}.ckpt"
        keep = ModelCheckpoint(tmp_path, path.stem, enable_version_counter=False)
        callbacks = [*more_callbacks, StepSeed(0), ValidateLast(), keep]
        if ema:
            callbacks.append(WeightAveraging(multi_avg_fn=get_ema_multi_avg_fn(0.9)))
        if stop:
            callbacks.append(Stop(stop))
        length = (
            {"max_epochs": 4}
            if stage == "encoder"
            else {
                "max_epochs": -1,
                "max_steps": 8,
                "val_check_interval": 4,
                "check_val_every_n_epoch": None,
            }
        )
        trainer = make_trainer(
            **{**length, **more},
            accumulate_grad_batches=2,
            callbacks=callbacks,
            enable_checkpointing=True,
        )
        data = TrainingData(Items(), Items(), batch_size=2, workers=0, seed=0)
        try:
            trainer.fit(module, data, ckpt_path=start, weights_only=True)
        except RuntimeError as error:
            assert str(error) == "stopped"
        return path, torch.load(path, weights_only=True)

    return train


def same(one, other):
    """Equal to the bit, at any depth."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


@pytest.mark.parametrize(("stage", "stop", "steps"), [("encoder", 5, 4), ("decoder", 7, 6)])
def test_taken_up_it_ends_where_an_undisturbed_training_ends(trained, stage, stop, steps):
    """To the bit: weights and their average, optimizer and schedule, with dropout, jitter and accumulated batches."""
    _, whole = trained(stage)
    assert whole["global_step"] == 8
    half, stopped = trained(stage, stop=stop)
    assert stopped["global_step"] == steps  # an epoch's end; the middle of the one epoch that steps make
    assert not same(stopped["state_dict"], whole["state_dict"])
    _, again = trained(stage, start=half, seed=5)  # a process of its own starts from other random numbers
    for key in ("state_dict", "current_model_state", "averaging_state", "optimizer_states", "lr_schedulers"):
        assert whole[key] and same(again[key], whole[key]), key


class Draw(Callback):
    """Draws from the generator that dropout draws from, between the steps."""

    def on_train_batch_end(self, *_):
        torch.rand(3)


def test_dropout_is_that_of_the_step_whatever_else_is_drawn(trained):
    _, whole = trained("encoder", max_epochs=1)
    _, other = trained("encoder", max_epochs=1, more_callbacks=[Draw()])
    assert same(whole["state_dict"], other["state_dict"])


@pytest.mark.parametrize(
    ("stage", "length"),
    [
        ("decoder", {"max_steps": 5, "val_check_interval": 4}),
        ("decoder", {"max_steps": 3, "val_check_interval": 16}),
        ("decoder", {"max_steps": 4, "val_check_interval": 8}),
        ("encoder", {"max_epochs": sys.maxsize, "max_steps": 3}),
    ],
)
def test_the_last_step_is_in_the_checkpoint(trained, stage, length):
    """Two batches make a step, and intervals count batches; two steps are a pass over the encoder's images."""
    _, found = trained(stage, **length)
    assert found["global_step"] == length["max_steps"]
    assert not any(found["lr_schedulers"][0]["_last_lr"])  # the cosine's end


def test_checkpoints_hold_the_average(trained, config):
    """By the formula, from the weights after each step, accumulated batches being one."""
    seen, plain = [], EncoderModule.optimizer_step

    def step(self, *arguments, **more):
        plain(self, *arguments, **more)
        seen.append(self.net.encoder.fc.weight.detach().clone())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EncoderModule, "optimizer_step", step)
        _, averaged = trained("encoder")
    assert len(seen) == 8
    average = seen[0].double()  # the first is taken whole
    for weight in seen[1:]:
        average = 0.9 * average + 0.1 * weight.double()
    name = "net.encoder.fc.weight"
    assert torch.allclose(averaged["state_dict"][name].double(), average, atol=1e-6)
    assert torch.equal(averaged["current_model_state"][name], seen[-1])
    assert not torch.allclose(seen[-1].double(), average, atol=1e-4)


def test_an_average_leaves_the_frozen_encoder_as_it_is(trained, config):
    torch.manual_seed(0)
    frozen = DecoderModule({**config.asdict(), "dropout": 0.5}).net.encoder.state_dict()
    _, found = trained("decoder")
    assert all(torch.equal(found["state_dict"][f"net.encoder.{name}"], value) for name, value in frozen.items())


def test_validation_of_an_average_counts_every_pixel(trained, monkeypatch):
    scored = []
    ended = DecoderModule.on_validation_epoch_end

    def watched(self):
        scored.append(int(self.confusion.confmat.sum()))
        ended(self)

    monkeypatch.setattr(DecoderModule, "on_validation_epoch_end", watched)
    trained("decoder")
    assert scored[1:] == [9 * 32 * 32] * 4  # the counts are not swapped with the weights; the first is the sanity check


@pytest.fixture
def clock(monkeypatch):
    now = SimpleNamespace(time=100.0)
    monkeypatch.setattr(wsvs.lit.steps, "perf_counter", lambda: now.time)
    return now


def test_speed_and_waiting_by_hand(clock):
    """Batches of 1 s, 0.25 s of it waiting, in lines of two steps; a validation of 50 s between them counts nothing."""
    lines, loader = [], SimpleNamespace(asked=0.0, waited=0.25)
    trainer = SimpleNamespace(
        global_step=0,
        log_every_n_steps=2,
        train_dataloader=loader,
        world_size=1,
        strategy=SimpleNamespace(root_device="cpu", reduce=lambda tensor, reduce_op: tensor),
    )
    module = SimpleNamespace(log=lambda name, value, **how: lines.append((name, value, how.get("reduce_fx", "mean"))))
    speed = Throughput()
    speed.on_train_start(trainer, module)
    for k in range(5):
        loader.asked = clock.time
        clock.time += 0.25
        speed.on_train_batch_start(trainer, module, None, k)
        clock.time += 0.75
        trainer.global_step = k + 1
        batch = {"image": torch.zeros(6, 1)} if k != 3 else {"bad": [("x", "torn")]}  # one batch without an image
        speed.on_train_batch_end(trainer, module, None, batch, k)
        if k == 2:
            speed.on_validation_start(trainer, module)
            clock.time += 50
            speed.on_train_epoch_end(trainer, module)
            clock.time += 7
    assert lines == [
        ("train/images_per_second", pytest.approx(6), "sum"),
        ("train/data_wait", pytest.approx(0.25), "mean"),
        ("train/images_per_second", pytest.approx(3), "sum"),
        ("train/data_wait", pytest.approx(0.25), "mean"),
    ]
    speed.on_train_end(trainer, module)
    assert speed.results() == {"train/images_per_second": pytest.approx(24 / 5), "train/data_wait": pytest.approx(0.25)}
    assert speed.seconds == pytest.approx(5)
    taken_up = Throughput()
    taken_up.load_state_dict(speed.state_dict())
    assert taken_up.results() == speed.results()  # nothing was left to train


def test_wait_of_a_predict_loop_by_hand(make_trainer, monkeypatch):
    """A loader that takes 2 s for each of three batches, steps of 5 s: the fourth request finds no batch."""
    now = 0.0
    monkeypatch.setattr(wsvs.lit.steps, "perf_counter", lambda: now)

    class Slow:
        def __len__(self):
            return 3

        def __iter__(self):
            nonlocal now
            for _ in range(3):
                now += 2
                yield torch.zeros(1)

    class Step(LightningModule):
        def predict_step(self, batch, batch_idx):
            nonlocal now
            now += 5
            return batch

    wait = DataWait()
    make_trainer(callbacks=[wait]).predict(Step(), Slow(), return_predictions=False)
    assert wait.seconds == 6


def test_speed_of_a_training_of_two_starts(clock):
    """Two ranks, of which one is looked at: 6 images in 1 s, then, from its checkpoint on, 6 images in 2 s."""
    loader, state = SimpleNamespace(asked=0.0, waited=0.5), None
    module = SimpleNamespace(log=lambda *_, **__: None)
    trainer = SimpleNamespace(
        global_step=0,
        log_every_n_steps=10,
        train_dataloader=loader,
        world_size=2,
        strategy=SimpleNamespace(root_device="cpu", reduce=lambda tensor, reduce_op: 2 * tensor),
    )
    for seconds in (1, 2):
        speed = Throughput()
        if state is not None:
            speed.load_state_dict(state)
        speed.on_train_start(trainer, module)
        loader.asked = clock.time
        speed.on_train_batch_start(trainer, module, None, 0)
        clock.time += seconds
        speed.on_train_batch_end(trainer, module, None, {"image": [0] * 6}, 0)
        speed.on_validation_start(trainer, module)
        state = speed.state_dict()
    resumed = Throughput()
    resumed.load_state_dict(state)
    expected = {"train/images_per_second": pytest.approx(2 * 12 / 3), "train/data_wait": pytest.approx(1 / 3)}
    assert resumed.results() == expected
    speed.on_train_end(trainer, module)
    assert speed.results() == expected


def test_accumulated_batches_are_one_step(clock):
    lines, loader = [], SimpleNamespace(asked=100.0, waited=0.0)
    trainer = SimpleNamespace(global_step=0, log_every_n_steps=1, train_dataloader=loader, world_size=1)
    module = SimpleNamespace(log=lambda name, value, **how: lines.append(value))
    speed = Throughput()
    speed.on_train_start(trainer, module)
    for k in range(8):
        speed.on_train_batch_start(trainer, module, None, k)
        clock.time += 1
        trainer.global_step = (k + 1) // 4
        speed.on_train_batch_end(trainer, module, None, {"image": [0, 0]}, k)
    assert lines == [pytest.approx(2), 0, pytest.approx(2), 0]
