"""Batches and loaders that pass over bad items and report them."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from typing import Any

import cv2
import lightning.pytorch as pl
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from wsvs.core.processes import end_with


def collate(items: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Stack what can be stacked; bad items go to batch["bad"] as (id, reason) and leave the rest whole."""
    good = [item for item in items if "bad" not in item]
    batch: dict[str, Any] = {"bad": [(item["id"], item["bad"]) for item in items if "bad" in item]}
    for key in good[0] if good else ():
        values = [item[key] for item in good]
        batch[key] = torch.stack(values) if isinstance(values[0], torch.Tensor) else values
    return batch


def make_loader(
    dataset: Dataset, *, batch_size: int, workers: int, shuffle: bool = False, sampler: Sampler | None = None,
    drop_last: bool = False,
) -> DataLoader:
    """A DataLoader with our collation whose workers leave the cores to one another."""
    return DataLoader(
        dataset, batch_size=batch_size, shuffle=shuffle, sampler=sampler, num_workers=workers, collate_fn=collate,
        drop_last=drop_last, persistent_workers=workers > 0, worker_init_fn=one_thread,
        pin_memory=torch.cuda.is_available(),
    )


def fills_a_batch(module: pl.LightningDataModule, dataset: Dataset, batch_size: int) -> bool:
    """Whether each rank's share of a data set makes a batch: only then may the last, shorter one be dropped."""
    ranks = module.trainer.world_size if module.trainer is not None else 1
    return len(dataset) // ranks >= batch_size  # type: ignore[arg-type]


def one_thread(_: int) -> None:
    """Workers are the parallelism: more threads inside them only fight for the same cores.

    A worker also ends with its run: one whose reader was killed would wait for ever to hand over what it has made.
    """
    parent = multiprocessing.parent_process()
    if parent is not None and parent.pid is not None:
        end_with(parent.pid)
    cv2.setNumThreads(0)
    torch.set_num_threads(1)


def scaled(images: torch.Tensor) -> torch.Tensor:
    """uint8 to float in [0, 1]."""
    return images.float().div_(255)
