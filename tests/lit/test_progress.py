"""Progress: a line now and then where there is no terminal, with a sane estimate of the time left."""

from __future__ import annotations

import logging
import re
import sys
from types import SimpleNamespace

import pytest
import torch
from torch.utils.data import DataLoader

import wsvs.core.progress
from wsvs.lit.encoder import EncoderModule
from wsvs.lit.progress import Progress


@pytest.fixture
def clock(monkeypatch):
    now = SimpleNamespace(time=1000.0)
    monkeypatch.setattr(wsvs.core.progress, "time", SimpleNamespace(monotonic=lambda: now.time))
    return now


def trainer(**more):
    return SimpleNamespace(
        **{
            "is_global_zero": True,
            "estimated_stepping_batches": 100,
            "global_step": 0,
            "num_predict_batches": [10],
            "progress_bar_metrics": {"train/loss": torch.tensor(0.5)},
            **more,
        }
    )


def test_lines_of_a_training(clock, caplog, capsys):
    caplog.set_level(logging.INFO, "wsvs")
    progress, fake = Progress(every=30), trainer()
    progress.on_train_start(fake, None)
    for step in range(1, 21):
        clock.time += 3.5
        fake.global_step = step
        progress.on_train_batch_end(fake, None, None, None, 0)
    progress.on_train_end(fake, None)
    assert [record.getMessage() for record in caplog.records] == [
        # every 9 steps of 3.5 s, which are 31.5 s: 91 and 82 steps are left
        "9 of 100 steps, 17.1 steps/min, 5 min left  train/loss 0.500",
        "18 of 100 steps, 17.1 steps/min, 5 min left  train/loss 0.500",
    ]
    assert capsys.readouterr().out == ""


def test_estimate_counts_only_what_this_start_did(clock, caplog):
    caplog.set_level(logging.INFO, "wsvs")
    progress, fake = Progress(every=1), trainer(global_step=90)
    progress.on_train_start(fake, None)
    clock.time += 60
    fake.global_step = 91
    progress.on_train_batch_end(fake, None, None, None, 0)
    assert caplog.messages == ["91 of 100 steps, 1.0 steps/min, 9 min left  train/loss 0.500"]


def test_several_batches_a_step(clock, caplog):
    """With accumulated gradients a batch is not a step."""
    caplog.set_level(logging.INFO, "wsvs")
    progress, fake = Progress(every=1), trainer(estimated_stepping_batches=2)
    progress.on_train_start(fake, None)
    for batch in range(1, 9):
        clock.time += 60
        fake.global_step = batch // 4
        progress.on_train_batch_end(fake, None, None, None, 0)
    assert caplog.messages[0] == "0 of 2 steps  train/loss 0.500"
    assert caplog.messages[-1] == "2 of 2 steps, 15.0 steps/h  train/loss 0.500"


def test_predict_loop_and_unknown_length(clock, caplog):
    caplog.set_level(logging.INFO, "wsvs")
    progress, fake = Progress(every=1), trainer(progress_bar_metrics={})
    progress.on_predict_start(fake, None)
    for _ in range(2):
        clock.time += 60
        progress.on_predict_batch_end(fake, None, None, None, 0)
    progress.on_predict_end(fake, None)
    progress.on_train_start(trainer(estimated_stepping_batches=float("inf")), None)
    clock.time += 60
    progress.on_train_batch_end(trainer(global_step=6, progress_bar_metrics={}), None, None, None, 0)
    assert caplog.messages == [
        "1 of 10 batches, 1.0 batches/min, 9 min left",
        "2 of 10 batches, 1.0 batches/min, 8 min left",
        "6 of ? steps, 6.0 steps/min",
    ]


def test_work_of_many_sizes_and_a_part_of_it(clock, caplog):
    """Frames of shots that finish at once, and of a video that is written frame by frame."""
    caplog.set_level(logging.INFO, "wsvs")
    work = SimpleNamespace(amounts=[30, 10], unit="frames")
    progress = Progress(every=1)
    fake = trainer(progress_bar_metrics={}, datamodule=work, num_predict_batches=[2], world_size=2)
    progress.on_predict_start(fake, None)
    clock.time += 2
    progress.on_predict_batch_end(fake, None, None, None, 0)
    clock.time += 2
    progress.within(fake, 1, 6)
    clock.time += 2
    progress.on_predict_batch_end(fake, None, None, None, 1)
    assert caplog.messages == [
        "30 of 40 frames on this rank, 15.0 frames/s, 1 s left",
        "36 of 40 frames on this rank, 9.0 frames/s, 1 s left",
        "40 of 40 frames on this rank, 6.7 frames/s",
    ]


def test_a_video_with_more_frames_than_its_header_says(clock, caplog):
    caplog.set_level(logging.INFO, "wsvs")
    work = SimpleNamespace(amounts=[60, 40], unit="frames")
    progress = Progress(every=1)
    fake = trainer(progress_bar_metrics={}, datamodule=work, num_predict_batches=[2], world_size=1)
    progress.on_predict_start(fake, None)
    for part in (30, 60, 88):
        clock.time += 2
        progress.within(fake, 0, part)
    clock.time += 2
    progress.on_predict_batch_end(fake, None, None, None, 0)
    assert [message.partition(",")[0] for message in caplog.messages] == [
        "30 of 100 frames",
        "60 of 100 frames",
        "88 of 128 frames",
        "88 of 128 frames",
    ]
    assert work.amounts == [60, 40]


def test_the_total_of_items_that_are_opened_on_the_way(clock, caplog):
    """By the share of the bytes: 10 frames of 20 bytes of 100, and what fails has neither."""
    caplog.set_level(logging.INFO, "wsvs")
    work = SimpleNamespace(amounts=[70, 30], unit="frames", measure=lambda batch: batch)
    progress = Progress(every=1)
    endless = [float("inf")]
    fake = trainer(progress_bar_metrics={}, datamodule=work, num_predict_batches=endless, world_size=2)
    progress.on_predict_start(fake, None)
    for number, batch in enumerate([(0, 0), (10, 20), (30, 40)]):
        clock.time += 2
        progress.on_predict_batch_end(fake, None, None, batch, number)
    assert caplog.messages == [
        "0 of ? frames on this rank",
        "10 of about 50 frames on this rank, 2.5 frames/s, 16 s left",
        "40 of about 67 frames on this rank, 6.7 frames/s, 4 s left",
    ]


def test_other_ranks_are_silent(clock, caplog):
    caplog.set_level(logging.INFO, "wsvs")
    progress, fake = Progress(every=1), trainer(is_global_zero=False)
    progress.on_train_start(fake, None)
    clock.time += 60
    progress.on_train_batch_end(fake, None, None, None, 0)
    progress.on_train_end(fake, None)
    assert caplog.messages == []


def test_through_a_trainer(config, make_trainer, caplog, capsys):
    """Off a terminal nothing reaches the standard output, and every line can be read."""
    caplog.set_level(logging.INFO, "wsvs")
    data = {"image": torch.zeros(2, 3, 32, 32, dtype=torch.uint8), "y": torch.zeros(2, 2)}
    loader = DataLoader([data] * 6, batch_size=None, collate_fn=lambda item: item)
    capsys.readouterr()
    make_trainer(max_epochs=2, callbacks=[Progress(every=1e-9)], logger=False).fit(
        EncoderModule(config.asdict()), loader, loader
    )
    assert capsys.readouterr().out == ""
    line = re.compile(r"(\d+) of 12 steps, [\d.]+ steps/\w+(?:, \d+ \w+ left)?  .*train/loss \d\.\d{3}.*")
    mine = [message for message in caplog.messages if " of 12 " in message]
    assert [int(line.fullmatch(message).group(1)) for message in mine] == list(range(1, 13))


def test_bar_in_a_terminal_is_ended(clock, monkeypatch, capsys):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    progress, fake = Progress(), trainer()
    for end in (progress.on_train_end, lambda *_: progress.on_exception(*_, RuntimeError())):
        progress.on_train_start(fake, None)
        fake.global_step = 7
        progress.on_train_batch_end(fake, None, None, None, 0)
        end(fake, None)
        assert re.search(r"steps .* 7/100", capsys.readouterr().out)
        assert progress._meter is None


def test_settings_refused():
    with pytest.raises(ValueError, match=r"progress.every must be positive, got 0"):
        Progress(every=0)
