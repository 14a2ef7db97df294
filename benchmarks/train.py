"""Our training of encoder and decoder against a bare torch loop with the same net, loader and optimizer.

The two take turns in one process, some steps each, so that whatever else the machine does falls on both. What is
compared is CPU time, without a GPU, and wall time with one; of the ratios of all turns the median counts.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from itertools import chain, repeat
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
import torch.nn.functional as F
from lightning.fabric.utilities.throughput import get_available_flops
from lightning.pytorch.loggers import CSVLogger
from rich.table import Table
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.options import Options
from wsvs.core.classes import IGNORE
from wsvs.core.console import show
from wsvs.data.loading import Batch, Sample, pixels
from wsvs.data.training import TrainingData
from wsvs.data.visits import Visit, visited
from wsvs.lit.decoder import DecoderModule
from wsvs.lit.encoder import EncoderModule
from wsvs.lit.progress import Progress
from wsvs.lit.steps import StepSeed, Throughput
from wsvs.lit.tracking import BadItems
from wsvs.nets.model import NetConfig

TURN = 10  # steps of each before the other takes over; one line of the log
TURNS = 4  # of each, for one repeat
WARM = 5  # steps before the first turn
CLASSES = ("cat", "dog", "bus")
# The network of the toy data set on a CPU, and the paper's network: backbone, side in px, batch, precision
SIZES = {"cpu": ("vgg_small", 128, 8, "32-true"), "cuda": ("vgg16", 320, 14, "16-mixed")}


class RandomImages(Dataset[Sample]):
    """Random images with tags and masks, in memory: loading is not measured."""

    def __init__(self, size: int) -> None:
        rng = np.random.default_rng(0)
        self.images = torch.from_numpy(rng.integers(0, 256, (64, 3, size, size), dtype=np.uint8))
        self.targets = torch.from_numpy(rng.integers(0, 2, (64, size, size)))
        self.tags = torch.from_numpy(rng.integers(0, 2, (64, len(CLASSES))).astype(np.float32))

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, visit: Visit | int) -> Sample:
        number, rng = visited(visit)
        return {
            "id": str(number),
            "image": self.images[number],
            "target": self.targets[number],
            "y": self.tags[number],
            "class": torch.tensor(number % len(CLASSES)),
            "jitter": torch.from_numpy(rng.uniform(0.7, 1.3, 3)),
        }


def encoder_loss(module: Any, batch: Batch) -> Tensor:
    return F.binary_cross_entropy_with_logits(module.net.encoder(pixels(batch)), batch["y"])


def decoder_loss(module: Any, batch: Batch) -> Tensor:
    return F.cross_entropy(module.score(batch), batch["target"], ignore_index=IGNORE)


class Turns(pl.Callback):
    """After a turn of steps, stop the clock and let the bare loop do the same number."""

    def __init__(self, bare: Callable[[int], None], clock: Callable[[], float]) -> None:
        self.bare = bare
        self.clock = clock
        self.ours: list[float] = []
        self.theirs: list[float] = []
        self._begun = 0.0

    def on_train_batch_start(self, trainer: pl.Trainer, module: Any, batch: Any, batch_idx: int) -> None:
        if trainer.global_step == WARM and not self._begun:
            self.bare(WARM)
            self._begun = self.clock()

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        done = trainer.global_step - WARM
        if done > 0 and done % TURN == 0:
            now = self.clock()
            self.ours.append(now - self._begun)
            self.bare(TURN)
            self._begun = self.clock()
            self.theirs.append(self._begun - now)


def bench(options: Options) -> dict[str, float]:
    """train.overhead_<stage>: ratio - 1 to the bare loop; train.images_per_second_<stage>; on a GPU its share too."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu":
        torch.set_num_threads(1)
    name = torch.cuda.get_device_name() if device == "cuda" else "CPU, one thread"
    backbone, size, batch_size, precision = SIZES[device]
    table = Table(
        "stage",
        "overhead",
        "images/s",
        "bare images/s",
        "share of the peak",
        title=f"Training on {name}: {backbone}, {size} px, batches of {batch_size}, {precision}",
    )
    figures: dict[str, float] = {}
    for stage, make, loss in (("encoder", EncoderModule, encoder_loss), ("decoder", DecoderModule, decoder_loss)):
        ours, theirs, step = measure(make, loss, options.repeats, device)
        ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
        speeds = [batch_size * TURN / statistics.median(seconds) for seconds in (ours, theirs)]
        figures[f"train.overhead_{stage}"] = statistics.median(ratios) - 1
        figures[f"train.images_per_second_{stage}"] = speeds[0]
        share = None
        if device == "cuda" and (peak := get_available_flops(torch.device("cuda"), torch.float16)):
            share = figures[f"train.peak_share_{stage}"] = step * speeds[0] / batch_size / peak
        table.add_row(
            stage,
            f"{100 * (statistics.median(ratios) - 1):+.1f} %",
            *(f"{one:.1f}" for one in speeds),
            "-" if share is None else f"{100 * share:.1f} %",
        )
    show(table)
    return figures


def measure(make: Any, loss: Callable[..., Tensor], repeats: int, device: str) -> tuple[list[float], list[float], int]:
    """Seconds of each turn of ours and of the bare loop, and the floating-point operations of a step."""
    backbone, size, batch_size, precision = SIZES[device]
    half = precision == "16-mixed"
    net = NetConfig(backbone=backbone, classes=CLASSES, image_size=size, scales=(0.5, 1.0, 1.5), hidden=96).asdict()
    steps = WARM + repeats * TURNS * TURN
    data = TrainingData(RandomImages(size), RandomImages(size), batch_size=batch_size, workers=0, seed=0)
    module, other = make(net, lr=1e-4), make(net, lr=1e-4).to(device)
    batches = chain.from_iterable(repeat(DataLoader(data.train_set, batch_size=batch_size, shuffle=True)))
    scaler = torch.amp.GradScaler(enabled=half)
    optimizer = torch.optim.Adam([p for p in other.parameters() if p.requires_grad], lr=1e-4)

    def one() -> None:
        batch = {
            key: value.to(device, non_blocking=True) if isinstance(value, Tensor) else value
            for key, value in next(batches).items()
        }
        with torch.autocast(device, torch.float16, enabled=half):
            value = loss(other, batch)
        optimizer.zero_grad()
        torch.autograd.backward(scaler.scale(value))
        scaler.step(optimizer)
        scaler.update()

    def bare(count: int) -> None:
        for _ in range(count):
            one()

    def clock() -> float:
        if device == "cuda":
            torch.cuda.synchronize()
            return time.perf_counter()
        return time.process_time()

    with FlopCounterMode(display=False) as counter:
        one()
    turns = Turns(bare, clock)
    with TemporaryDirectory() as place:
        trainer = pl.Trainer(
            accelerator="gpu" if device == "cuda" else "cpu",
            devices=1,
            precision="16-mixed" if half else "32-true",
            max_steps=steps,
            max_epochs=-1,
            limit_val_batches=0,
            logger=CSVLogger(place),
            log_every_n_steps=10,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=[StepSeed(0), Progress(), turns, BadItems(), Throughput()],
            default_root_dir=Path(place),
        )
        trainer.fit(module, data)
    return turns.ours, turns.theirs, counter.get_total_flops()
