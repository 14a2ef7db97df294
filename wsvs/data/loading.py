"""Batches and loaders that skip bad items and report them."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from time import perf_counter
from typing import Any, TypedDict, cast

import cv2
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from wsvs.core.processes import end_with

LUMA = (0.299, 0.587, 0.114)  # of ITU-R BT.601

Sample = TypedDict(
    "Sample",
    {
        "id": str,
        "bad": str,
        "image": Tensor,
        "y": Tensor,
        "target": Tensor,
        "class": Tensor,
        "jitter": Tensor,
        "weight": Tensor,
    },
    total=False,
)
"""An item of a training set: "image" (3, H, W) uint8 with its label vector "y" (C) float32, or with "target" (H, W)
int64 in {0, 1, 255} of "class" int64; with colour jitter "jitter" (3) float32, with item weights "weight" float32. Or
"bad", why it cannot be read."""

Batch = TypedDict(
    "Batch",
    {
        "id": list[str],
        "bad": list[tuple[str, str]],
        "image": Tensor,
        "y": Tensor,
        "target": Tensor,
        "class": Tensor,
        "jitter": Tensor,
        "weight": Tensor,
    },
    total=False,
)
"""`Sample`s, stacked; "bad" are (id, reason) of those that could not be read."""


def collate(items: Sequence[Sample]) -> Batch:
    """Collate items to a batch, stacking tensors; bad items are removed and listed as (id, reason) in batch["bad"]."""
    good = [item for item in items if "bad" not in item]
    batch: dict[str, Any] = {"bad": [(item["id"], item["bad"]) for item in items if "bad" in item]}
    for key in good[0] if good else ():
        values: list[Any] = [cast(dict[str, Any], item)[key] for item in good]
        batch[key] = torch.stack(values) if isinstance(values[0], Tensor) else values
    return cast(Batch, batch)


class TimedLoader(DataLoader[Any]):
    """A DataLoader that measures how long the training waits for each batch.

    Attributes:
        asked: Time of the last request (`time.perf_counter`).
        waited: Seconds until the batch was returned.
    """

    asked = waited = 0.0

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        return self._timed(super().__iter__())  # workers start now, not at the first request

    def _timed(self, batches: Iterator[Any]) -> Iterator[Any]:
        while True:
            self.asked = perf_counter()
            try:
                batch = next(batches)
            except StopIteration:
                return
            self.waited = perf_counter() - self.asked
            yield batch


def make_loader(
    dataset: Dataset[Any], *, batch_size: int, workers: int, sampler: Sampler[Any] | None = None
) -> TimedLoader:
    """A loader with `collate`, single-threaded workers, and persistent workers across epochs."""
    return TimedLoader(
        dataset,
        batch_size=batch_size,
        sampler=sampler,
        num_workers=workers,
        collate_fn=collate,
        persistent_workers=workers > 0,
        worker_init_fn=one_thread,
        pin_memory=torch.cuda.is_available(),
    )


def one_thread(_: int) -> None:
    """Limit a worker to one thread: the workers are the parallelism, and more threads would compete for the cores.

    A worker also ends with its parent: if the parent is killed, it would block forever on its full queue.
    """
    parent = multiprocessing.parent_process()
    if parent is not None and parent.pid is not None:
        end_with(parent.pid)
    cv2.setNumThreads(0)
    torch.set_num_threads(1)


def scaled(images: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """uint8 to float in [0, 1]."""
    return images.to(dtype).div_(255)


def pixels(batch: Batch, dtype: torch.dtype = torch.float32) -> Tensor:
    """Images of a batch in [0, 1], (B, 3, H, W), with the colour jitter of their items."""
    images = scaled(batch["image"], dtype)
    return jittered(images, batch["jitter"]) if "jitter" in batch else images


def jittered(images: Tensor, factors: Tensor) -> Tensor:
    """Apply factors of brightness, contrast and saturation, (B, 3), to images in [0, 1], (B, 3, H, W), on their device.

    Brightness scales, saturation interpolates with grey, contrast with the mean of grey, and the result is clipped. All
    three combine to one weighted sum of the image, its grey version and a constant.
    """
    brightness, contrast, saturation = factors.to(images)[:, :, None, None, None].unbind(1)
    red, green, blue = torch.split(images, 1, 1)
    grey = (LUMA[0] * red).add_(green, alpha=LUMA[1]).add_(blue, alpha=LUMA[2])
    level = brightness * (1 - contrast) * grey.mean((2, 3), keepdim=True)
    grey.mul_(brightness * contrast * (1 - saturation)).add_(level)
    return torch.addcmul(grey, images, brightness * contrast * saturation).clamp_(0, 1)
