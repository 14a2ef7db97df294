"""Training through `wsvs` on several ranks, with accumulated batches and in other precisions: the same training."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch

from tests.processes import TWO_RANKS, Toy, only_run, summary

pytestmark = pytest.mark.slow
# Nothing that depends on a batch as a whole (batch norm, dropout), and rounding that Adam's first steps do not blow up
PLAIN = ("model.batch_norm=false", "model.dropout=0", "trainer.precision=64-true", "trainer.log_every_n_steps=1")
ENCODER = ("stage=encoder", "model=squeezenet1_1", "model.scales=[1.0]", "encoder.epochs=2")
DECODER = ("stage=decoder", "decoder.steps=4", "decoder.val_every=2", "decoder.crop=frame")  # as much void in each crop

CHOICE = {"encoder": "val/map", "decoder": "val/miou"}


def trained(run: Path) -> tuple[dict[str, torch.Tensor], list[torch.Tensor]]:
    """The weights at the end, and Adam's mean gradients of those that learned."""
    checkpoint = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    return checkpoint["state_dict"], [one["exp_avg"] for one in checkpoint["optimizer_states"][0]["state"].values()]


def lines(run: Path, *columns: str) -> list[dict[str, str]]:
    """Lines of the metrics that have these columns."""
    with (run / "metrics.csv").open() as stream:
        return [row for row in csv.DictReader(stream) if all(row.get(column) for column in columns)]


@pytest.mark.parametrize(("stage", "held"), [("encoder", 5), ("decoder", 3), ("decoder", 1)])
def test_two_ranks_train_as_one_with_twice_the_batch(toy, cli, tmp_path, stage, held):
    """The decoder's one rank takes two batches a step instead, which is the same again.

    So is what they are judged by, on an odd number of items, or where one rank has none of them.
    """
    names = [line.split("\t")[0] for line in (toy.data / "labels.tsv").read_text().splitlines()[1:]]
    (tmp_path / "val.txt").write_text("".join(f"{name}\n" for name in names[:held]))
    own = (
        (*ENCODER, f"data.val={tmp_path / 'val.txt'}")
        if stage == "encoder"
        else (
            *DECODER,
            *toy.inputs("encoder", "segment"),
            f"decoder.val_items={held}",
        )
    )
    words = [word for word in toy.words() if stage == "decoder" or word != "model=vgg_small"]
    words += [*own, *PLAIN, "name=n"]
    split = ["trainer.accumulate_grad_batches=2"] if stage == "decoder" else []
    alone = [*split, f"{stage}.batch_size={4 if split else 8}"]
    cli.run(*words, f"out={tmp_path / 'one'}", *alone)
    cli.run(*words, f"out={tmp_path / 'two'}", f"{stage}.batch_size=4", *TWO_RANKS)
    one, two = (only_run(tmp_path / name, stage) for name in ("one", "two"))
    (first, gradients), (second, others) = trained(one), trained(two)
    assert first.keys() == second.keys() and gradients and any(gradient.any() for gradient in gradients)
    assert all(torch.allclose(a, b, rtol=1e-6, atol=1e-12) for a, b in zip(gradients, others, strict=True))
    for key, value in first.items():
        assert torch.allclose(value, second[key], rtol=0, atol=1e-9), key
    figures = [
        [{key: float(value) for key, value in row.items() if key.startswith("val/") and value} for row in rows]
        for rows in (lines(run, CHOICE[stage]) for run in (one, two))
    ]
    assert len(figures[0]) == 2 and len(figures[0][0]) >= 3
    for alone_found, found in zip(*figures, strict=True):
        assert found == pytest.approx(alone_found, abs=1e-6, nan_ok=True)
    losses = [[float(row["train/loss"]) for row in lines(run, "train/loss")] for run in (one, two)]
    assert len(losses[0]) == len(losses[1]) >= 4  # steps, whatever makes them
    speed = lines(two, "train/images_per_second", "train/data_wait")
    assert len(speed) == len(losses[1])
    assert all(0 <= float(row["train/data_wait"]) <= 1 < float(row["train/images_per_second"]) for row in speed)


@pytest.mark.parametrize("stage", ["encoder", "adapt"])  # adapt trains the decoder
def test_precision_accumulation_and_averages_work_together(toy, cli, tmp_path, stage):
    """Steps are the optimizer's, by which validations and the schedule go."""
    said = cli.run(
        f"stage={stage}",
        *toy.words(),
        *toy.inputs("encoder", "segment", "decoder"),
        "name=n",
        f"out={tmp_path}",
        "trainer.precision=bf16-mixed",
        "trainer.accumulate_grad_batches=3",
        "trainer.log_every_n_steps=1",
        f"{stage}.schedule=poly",
        f"{stage}.warmup=1",
        f"{stage}.ema=0.5",
        f"{stage}.batch_size=2",
    )
    run = only_run(tmp_path, stage)
    assert "images_per_second" in said and "data_wait" in said
    checkpoint = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    assert checkpoint["averaging_state"]["n_averaged"] == checkpoint["global_step"]
    average, current = checkpoint["state_dict"], checkpoint["current_model_state"]
    learned = "net.decoder.score.weight" if stage != "encoder" else "net.encoder.fc.weight"
    assert average[learned].dtype == torch.float32 and not torch.equal(average[learned], current[learned])
    if stage != "encoder":
        assert [row["step"] for row in lines(run, "val/miou")] == ["1", "3"]  # after two and four steps
    last = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    steps = last["global_step"]
    assert len(lines(run, "train/loss")) == steps == (4 if stage != "encoder" else max(1, images(toy) // 6))
    assert last["lr_schedulers"][0]["last_epoch"] == steps
    assert last["lr_schedulers"][0]["_last_lr"][0] == 0  # the schedule's end is that of the training


def images(toy: Toy) -> int:
    return summary(toy.run("encoder"))["counts"]["train images"]


def test_a_rank_whose_images_are_all_bad_keeps_step(toy, cli, tmp_path):
    """It has no loss, but the other one waits for its gradient."""
    root = tmp_path / "images"
    root.mkdir()
    names = [line.split("\t")[0] for line in (toy.data / "labels.tsv").read_text().splitlines()[1:]]
    for number, name in enumerate(names):
        source = toy.data / "images" / f"{name}.jpg"
        (root / source.name).write_bytes(b"" if number % 3 else source.read_bytes())
    cli.run(
        "stage=encoder",
        *toy.words(),
        *TWO_RANKS,
        f"data.root={root}",
        "name=n",
        f"out={tmp_path / 'out'}",
        "encoder.batch_size=1",
        "encoder.epochs=1",
        status=3,
    )
    assert (only_run(tmp_path / "out", "encoder") / "summary.json").is_file()
