"""CPU time of a training step now, over that of a plain reference loop: the steps of commit 87955aa.

Reference and code of now take turns in processes of their own, for what a process does with freed memory counts too.
CPU time of the system is included; one thread.

    python -m benchmarks.speedup {old,new} {encoder,decoder} {toy,small} STEPS      prints the seconds of one process
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from rich.table import Table
from torch import Tensor

from benchmarks.options import Options
from wsvs.core.classes import IGNORE
from wsvs.core.console import show
from wsvs.core.memory import keep_freed_memory
from wsvs.data.loading import Batch, pixels
from wsvs.lit.decoder import DecoderModule
from wsvs.lit.encoder import EncoderModule
from wsvs.nets.attention import attention, resize
from wsvs.nets.model import NetConfig

STEPS, WARM, BATCH = 10, 3, 8
CLASSES = ("cat", "dog", "bus")
SCALES = (0.5, 1.0, 1.5)
# Network and side of the crops in px: of the toy world, and SqueezeNet for tens of photographs
WORLDS = {
    "toy": (
        NetConfig(backbone="vgg_small", classes=CLASSES, image_size=128, scales=SCALES, hidden=96, dropout=0.2),
        128,
    ),
    "small": (
        NetConfig(
            backbone="squeezenet1_1",
            classes=CLASSES,
            image_size=224,
            scales=SCALES,
            hidden=256,
            trainable="none",
            guidance="features",
            decoder_width=0.5,
        ),
        160,
    ),
}
FIGURES = {
    "train.decoder_speedup": ("decoder", "toy"),
    "train.decoder_speedup_small": ("decoder", "small"),
    "train.encoder_speedup": ("encoder", "toy"),
}


def bench(options: Options) -> dict[str, float]:
    """The medians of `options.repeats` turns."""
    table = Table("stage", "world", "ms a step, 87955aa", "now", "speed-up", title="Training steps, one CPU thread")
    figures = {}
    for name, (stage, world) in FIGURES.items():
        turns = [[cpu_seconds(which, stage, world, STEPS) for which in ("old", "new")] for _ in range(options.repeats)]
        figures[name] = statistics.median(old / new for old, new in turns)
        old, new = (1000 * statistics.median(column) / STEPS for column in zip(*turns, strict=True))
        table.add_row(stage, world, f"{old:.0f}", f"{new:.0f}", f"{figures[name]:.2f}")
    show(table)
    return figures


def cpu_seconds(which: str, stage: str, world: str, steps: int) -> float:
    """CPU seconds of a number of steps, in a separate process."""
    command = [sys.executable, "-m", "benchmarks.speedup", which, stage, world, str(steps)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=Path(__file__).parents[1], env=environment, check=True, stdout=subprocess.PIPE, text=True
    )
    return float(done.stdout)


def made(world: str) -> Batch:
    """A batch of random images, targets and tags."""
    generator, side = torch.Generator().manual_seed(0), WORLDS[world][1]
    return {
        "image": torch.randint(256, (BATCH, 3, side, side), dtype=torch.uint8, generator=generator),
        "target": torch.randint(2, (BATCH, side, side), generator=generator),
        "y": torch.randint(2, (BATCH, len(CLASSES)), generator=generator).float(),
        "class": torch.arange(BATCH) % len(CLASSES),
        "jitter": 0.7 + 0.6 * torch.rand(BATCH, 3, generator=generator),
    }


def reference_score(module: DecoderModule, batch: Batch) -> Tensor:
    """f_dec(alpha) of a batch as it was: unpooling scatters to the switches."""
    images, encoder, decoder = pixels(batch), module.net.encoder, module.decoder
    with torch.no_grad():
        features = encoder.backbone_features(images, with_pools=True)
        alpha = attention(encoder, images, batch["class"], module.net.config.scales, features=features)
    guided = decoder.guidance == "features"
    x = decoder.first(F.interpolate(alpha, size=features.map.shape[-2:], mode="area"))
    if guided:
        x = x + decoder.laterals[0](features.map)
    for number, block in enumerate(decoder.blocks):
        pool = features.pools[-1 - number]
        size = pool.before.shape[-2:]
        if decoder.guidance == "switches":
            assert pool.switches is not None
            flat = x.new_zeros(*x.shape[:2], size[0] * size[1])
            flat = flat.scatter_reduce(2, pool.switches.flatten(2), x.flatten(2), "amax", include_self=True)
            x = flat.view(*x.shape[:2], *size)
        else:
            x = F.interpolate(x, size=size, mode="bilinear", align_corners=False)
        if guided:
            x = x + decoder.laterals[number + 1](pool.before)
        x = block(x)
    return resize(decoder.score(x), (images.shape[-2], images.shape[-1]))


def loss_of(which: str, module: Any, batch: Batch) -> Tensor:
    if isinstance(module, EncoderModule):  # its graph is what it was
        return F.binary_cross_entropy_with_logits(module.net.encoder(pixels(batch)), batch["y"])
    score = reference_score(module, batch) if which == "old" else module.score(batch)
    return F.cross_entropy(score, batch["target"], ignore_index=IGNORE)


def main(which: str, stage: str, world: str, steps: int) -> float:
    if which == "new":
        keep_freed_memory()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    module: Any = (DecoderModule if stage == "decoder" else EncoderModule)(WORLDS[world][0].asdict())
    optimizer, batch = torch.optim.Adam([p for p in module.parameters() if p.requires_grad]), made(world)
    begun = 0.0
    for step in range(WARM + steps):
        if step == WARM:
            begun = time.process_time()
        optimizer.zero_grad()
        torch.autograd.backward(loss_of(which, module, batch))
        optimizer.step()
    return time.process_time() - begun


if __name__ == "__main__":
    print(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
