"""All that is asked of a GPU, in at most eight minutes: speed of each loop, share of the peak, and what bounds it.

Inputs are made: noisy JPEGs of 500x375 and H.264 videos of 400x224, random weights. Trainings run in this process,
through Lightning with loader workers, callbacks and augmentation, without validation (`benchmarks.gpu_loops` has the
other loops). Beside each loop the bare network is timed on data that are on the device already.

A loop waits for data, or keeps the device busy (its speed over that of the bare network), or does neither: writing,
copies, graph cuts. The largest of these three shares of its time bounds it.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import lightning.pytorch as pl
import torch
from omegaconf import OmegaConf
from rich.table import Table
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.gpu_loops import commands
from benchmarks.gpu_rows import CLASSES, FULL, TINY, Device, Row, Sizes, make_images, rate
from benchmarks.options import Options
from benchmarks.train import decoder_loss, encoder_loss
from wsvs.core.console import show
from wsvs.data.frames import PseudoLabelDataset
from wsvs.data.loading import collate
from wsvs.data.tagged import TaggedDataset, TaggedImages
from wsvs.data.training import TrainingData
from wsvs.data.transforms import ImageAugmentation
from wsvs.lit.decoder import DecoderModule
from wsvs.lit.encoder import EncoderModule
from wsvs.lit.steps import StepSeed, Throughput
from wsvs.lit.tracking import BadItems
from wsvs.nets.model import NetConfig

MODELS = Path(__file__).parents[1] / "conf" / "model"
STAGES: dict[str, tuple[Any, Callable[..., Tensor]]] = {
    "encoder": (EncoderModule, encoder_loss),
    "decoder": (DecoderModule, decoder_loss),
}


def bench(options: Options) -> dict[str, float]:
    """gpu.*: see docs/training.md."""
    if not torch.cuda.is_available() and not options.tiny:
        print("gpu: skipped, for torch finds no CUDA GPU here")
        return {}
    device, sizes = Device.here(), TINY if options.tiny else FULL
    end = time.perf_counter() + sizes.limit
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    peak = peak_of(device, sizes)
    cores = min(sizes.cores, available_cores())
    figures: dict[str, float] = {"gpu.peak_tflops": peak / 1e12, "gpu.cores": cores}
    rows: list[Row] = []
    with TemporaryDirectory() as folder:
        images = Path(folder) / "images"
        make_images(images, sizes)
        for name in sizes.models:
            for stage in STAGES:
                rows.append(training(stage, network(name, sizes), images, cores, peak, device, sizes))
        rows += commands(network(sizes.models[0], sizes), Path(folder), images, cores, device, sizes, end)
    for row in rows:
        figures |= row.figures()
    print_table(rows, f"{device.name}: {device.precision}, {peak / 1e12:.1f} TFLOP/s in a matmul; {cores} cores")
    return figures


def available_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def network(name: str, sizes: Sizes) -> NetConfig:
    """That of a file of conf/model."""
    given = OmegaConf.to_container(OmegaConf.load(MODELS / f"{name}.yaml"))
    assert isinstance(given, dict)
    known = {str(key): value for key, value in given.items() if key in NetConfig.model_fields}
    return NetConfig(**{**known, **sizes.net, "classes": CLASSES})


def peak_of(device: Device, sizes: Sizes) -> float:
    """Operations a second of a product of large square matrices in the precision of the trainings."""
    side = sizes.matrix
    one, other = (torch.randn(side, side, device=device.kind, dtype=device.dtype) for _ in range(2))
    return rate(lambda: one @ other, 2 * side**3, sizes.bare_seconds, device)


def training(stage: str, net: NetConfig, images: Path, cores: int, peak: float, device: Device, sizes: Sizes) -> Row:
    """One stage and network."""
    make, loss = STAGES[stage]
    torch.manual_seed(0)
    module = make(net.asdict(), lr=1e-4)
    data = training_data(stage, net, images, cores, sizes)
    batch = next(iter(DataLoader(data.train_set, batch_size=sizes.batch, collate_fn=collate)))
    flops, bare = bare_steps(make(net.asdict(), lr=1e-4), loss, batch, device, sizes)
    speed, waited = fitted(module, data, device, sizes)
    return Row(
        f"train.{stage}_{net.backbone}",
        "images",
        speed=speed,
        bare=bare * sizes.batch,
        waited=waited,
        peak_share=speed * flops / sizes.batch / peak,
    )


def training_data(stage: str, net: NetConfig, images: Path, cores: int, sizes: Sizes) -> TrainingData:
    """Tagged images for the encoder, images with masks for the decoder, from files."""
    source = TaggedImages(str(images / "jpeg"), classes=list(CLASSES))
    ids, augmentation = list(source.tags), ImageAugmentation(net.image_size)
    dataset: Any = TaggedDataset(source, ids, augmentation)
    if stage == "decoder":
        dataset = PseudoLabelDataset(
            ids,
            path=source.path,
            mask=lambda name: images / "masks" / f"{name}.png",
            numbers=lambda name: [source.class_list.index(source.tags[name][0])],
            augmentation=augmentation,
        )
    workers = 0 if cores == 1 else cores - 1
    return TrainingData(dataset, dataset, batch_size=sizes.batch, workers=workers, seed=0)


def bare_steps(module: Any, loss: Callable[..., Tensor], batch: Any, device: Device, sizes: Sizes) -> tuple[int, float]:
    """Operations of a step, forward and backward, and steps a second, of one batch on the device."""
    module = module.to(device.kind)
    there = {key: value.to(device.kind) if isinstance(value, Tensor) else value for key, value in batch.items()}
    optimizer = torch.optim.Adam([p for p in module.parameters() if p.requires_grad], lr=1e-4)
    scaler = torch.amp.GradScaler(enabled=device.half)

    def step() -> None:
        with device.autocast():
            value = loss(module, there)
        optimizer.zero_grad()
        torch.autograd.backward(scaler.scale(value))
        scaler.step(optimizer)
        scaler.update()

    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops(), rate(step, 1, sizes.bare_seconds, device)


class Steady(Throughput):
    """Without the first steps, in which workers start and kernels are chosen, up to the end of the last kernel.

    Args:
        device: Where the steps run.
        first: Number of steps that do not count.
    """

    def __init__(self, device: Device, first: int) -> None:
        super().__init__()
        self.device = device
        self.first = first

    def on_train_batch_end(self, trainer: pl.Trainer, *others: Any, **named: Any) -> None:
        super().on_train_batch_end(trainer, *others, **named)
        if trainer.global_step == self.first:
            self.device.wait()
            self._take()
            self.images, self.seconds, self.waited = 0, 0.0, 0.0

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.device.wait()
        super().on_train_end(trainer, module)


def fitted(module: Any, data: TrainingData, device: Device, sizes: Sizes) -> tuple[float, float]:
    """Images a second of a training as stages run it, until its seconds are over, and its data_wait."""
    speed = Steady(device, sizes.warm)
    with TemporaryDirectory() as place:
        trainer = pl.Trainer(
            accelerator="gpu" if device.kind == "cuda" else "cpu",
            devices=1,
            precision="16-mixed" if device.half else "32-true",
            max_time=timedelta(seconds=sizes.loop_seconds),
            min_steps=sizes.warm + 2,
            max_epochs=-1,
            limit_val_batches=0,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=[StepSeed(0), BadItems(), speed],
            default_root_dir=Path(place),
        )
        trainer.fit(module, data)
    found = speed.results()
    return found["train/images_per_second"], found["train/data_wait"]


def print_table(rows: Sequence[Row], title: str) -> None:
    table = Table("", "a second", "bare network", "busy", "waits for data", "share of peak", "bound by", title=title)
    for row in rows:
        table.add_row(*row.cells())
    show(table)
    for row in rows:
        if row.missing:
            print(f"without a figure: {row.name}: {row.missing}")
