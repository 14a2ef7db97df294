"""What the benchmark of a GPU measures on, with and as."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from benchmarks.loop import texture
from wsvs.core.files import write_bytes
from wsvs.core.masks import write_mask

CLASSES = ("cat", "dog", "bus")
HEIGHT, WIDTH = 375, 500  # px of the images, PASCAL VOC's size
TOGETHER = 5  # steps between two looks at the clock


@dataclass(frozen=True)
class Sizes:
    """How much of everything.

    Attributes:
        models: Files of conf/model; the first is also that of relevance, segment and predict.
        net: Settings of the network that differ.
        batch: Images of a training step.
        matrix: Side of the matrices whose product gives the peak.
        images: Image files of trainings; `predict` gets each `copies` times.
        frames: Of a video.
        videos: For each core.
        cores: At most.
        bare_seconds, loop_seconds: Of the bare network, and of each training.
        command_seconds: At most of each command.
        limit: Seconds after which no command runs; what is left to do takes no more than a few.
        warm: Training steps that do not count.
    """

    models: tuple[str, ...] = ("vgg16", "resnet50v2")
    net: dict[str, Any] = field(default_factory=dict)
    batch: int = 14
    matrix: int = 8192
    images: int = 32
    copies: int = 16
    frames: int = 100
    videos: int = 3
    cores: int = 16
    bare_seconds: float = 4
    loop_seconds: float = 15
    command_seconds: float = 60
    limit: float = 465
    warm: int = 10


FULL = Sizes()
TINY = Sizes(
    models=("vgg_small",),
    net={"image_size": 32, "scales": (1.0,), "hidden": 8},
    batch=2,
    matrix=64,
    images=4,
    copies=1,
    frames=8,
    videos=1,
    cores=1,
    bare_seconds=0.1,
    loop_seconds=0.1,
    command_seconds=900,
    limit=3600,
    warm=1,
)


@dataclass(frozen=True)
class Device:
    """Where it is measured, "cuda" or "cpu"."""

    kind: str
    name: str

    @classmethod
    def here(cls) -> Device:
        return cls("cuda", torch.cuda.get_device_name()) if torch.cuda.is_available() else cls("cpu", "CPU")

    @property
    def half(self) -> bool:
        return self.kind == "cuda"

    @property
    def dtype(self) -> torch.dtype:
        return torch.float16 if self.half else torch.float32

    @property
    def precision(self) -> str:
        return "16-mixed" if self.half else "32-true"

    def autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast(self.kind, torch.float16, enabled=self.half)

    def wait(self) -> None:
        """Until all kernels have ended."""
        if self.kind == "cuda":
            torch.cuda.synchronize()


@dataclass(frozen=True)
class Row:
    """What was measured of a loop. Speeds are units a second; None: it was not measured.

    Attributes:
        name: For bench.json, without "gpu.".
        unit: "images" or "frames".
        speed: Of the loop.
        bare: Of the network alone.
        waited: Fraction of its time in which the loop waits for data.
        peak_share: Operations a second of the loop / those of the device.
        missing: Why there is nothing.
    """

    name: str
    unit: str
    speed: float | None = None
    bare: float | None = None
    waited: float | None = None
    peak_share: float | None = None
    missing: str = ""

    @property
    def busy(self) -> float | None:
        """Fraction of the loop's time that the bare network would take for as much."""
        return None if self.speed is None or not self.bare else self.speed / self.bare

    @property
    def bound(self) -> str:
        """The largest share of its time."""
        if self.busy is None or self.waited is None:
            return "-"
        shares = {"data": self.waited, "device": self.busy, "its process": 1 - self.waited - self.busy}
        return max(shares, key=shares.__getitem__)

    def figures(self) -> dict[str, float]:
        named = {
            f"{self.unit}_per_second": self.speed,
            "busy_share": self.busy,
            "data_wait": self.waited,
            "peak_share": self.peak_share,
        }
        return {f"gpu.{self.name}.{key}": value for key, value in named.items() if value is not None}

    def cells(self) -> list[str]:
        speeds = ["-" if value is None else f"{value:.1f} {self.unit}" for value in (self.speed, self.bare)]
        shares = [
            "-" if value is None else f"{100 * value:.1f} %" for value in (self.busy, self.waited, self.peak_share)
        ]
        return [self.name, *speeds, *shares, self.bound]


def rate(step: Callable[[], Any], amount: float, seconds: float, device: Device) -> float:
    """Amount a second of a step that is repeated for some seconds, after some to warm up."""
    for _ in range(TOGETHER):
        step()
    device.wait()
    steps, begun = 0, time.perf_counter()
    while (spent := time.perf_counter() - begun) < seconds or not steps:
        for _ in range(TOGETHER):
            step()
        device.wait()
        steps += TOGETHER
    return steps * amount / spent


def make_images(folder: Path, sizes: Sizes) -> None:
    """jpeg/<class>/<number>.jpg and masks/<class>/<number>.png: a textured disc on a textured ground."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[-1 : 1 : HEIGHT * 1j, -1.3 : 1.3 : WIDTH * 1j]
    inside = x * x + y * y <= 0.4
    for number in range(sizes.images):
        name = f"{CLASSES[number % len(CLASSES)]}/{number:03d}"
        ground, skin = (texture(rng, HEIGHT, WIDTH, tuple(rng.integers(60, 190, 3))) for _ in range(2))
        image = np.where(inside[..., None], skin, ground)
        write_bytes(folder / "jpeg" / f"{name}.jpg", cv2.imencode(".jpg", image)[1].tobytes())
        write_mask(folder / "masks" / f"{name}.png", inside * np.uint8(1 + number % len(CLASSES)))
