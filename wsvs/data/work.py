"""Items of a predict loop, distributed over the ranks: each item exactly once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from time import perf_counter
from typing import Any, Generic

import lightning.pytorch as pl
from torch.utils.data import DataLoader, Dataset, IterableDataset

from wsvs.config.base import Natural
from wsvs.config.checked import checked
from wsvs.core.shards import W, deal
from wsvs.data.loading import one_thread

log = logging.getLogger("wsvs")


class WorkModule(pl.LightningDataModule, Generic[W]):
    """Deals the unfinished items to the ranks, the longest first, one item a batch.

    The ranks of a run start at different times, so only rank 0 determines the unfinished items and broadcasts them.

    Args:
        items: All items; or a function that finds them, which every rank calls with the
            trainer and whose answer on rank 0 counts.
        finished: Says of an item that nothing is left to do.
        dataset: Makes the dataset of a rank's items.
        workers: Loader processes.
        size: Amount of work of an item, for order and balance.
        unit: Unit of the progress: that of `size`, or of `measure`.
        loader: Makes the loader from dataset and workers. It has a batch for each item.
        begin: Called on rank 0 with all items and the unfinished ones.
        measure: For a dataset that makes several batches of an item: how many units a batch is, and how much of the
            items' sizes.

    Attributes:
        mine: This rank's items, after `setup`.
        amounts: Their sizes.
        begun: Time of the distribution (`time.perf_counter`), about the same on all ranks.
    """

    @checked
    def __init__(
        self,
        items: Sequence[W] | Callable[[pl.Trainer], Sequence[W]],
        *,
        finished: Callable[[W], bool],
        dataset: Callable[[Sequence[W]], Dataset[Any]],
        workers: Natural,
        size: Callable[[W], float] = lambda _: 1,
        unit: str = "items",
        loader: Callable[[Any, int], Iterable[Any]] | None = None,
        begin: Callable[[Sequence[W], Sequence[W]], None] = lambda items, left: None,
        measure: Callable[[Any], tuple[float, float]] | None = None,
    ) -> None:
        super().__init__()
        self.items = items
        self.finished = finished
        self.dataset = dataset
        self.workers = workers
        self.size = size
        self.unit = unit
        self.loader = loader or hand_over
        self.begin = begin
        self.measure = measure
        self.mine: list[W] = []
        self.amounts: list[float] = []
        self.begun = 0.0
        self.allow_zero_length_dataloader_with_multiple_devices = True  # fewer items than ranks: some have none

    def setup(self, stage: str) -> None:
        trainer = self.trainer
        assert trainer is not None
        items = self.items(trainer) if callable(self.items) else self.items
        shares: list[list[W]] | None = None
        if trainer.is_global_zero:
            left = [item for item in items if not self.finished(item)]
            self.begin(items, left)
            shares = deal(left, self.size, trainer.world_size)
            if 0 < len(left) < trainer.world_size:
                log.warning(
                    "ranks without work: %d of %d, because only %d items are left (trainer.devices=%d is enough)",
                    trainer.world_size - len(left),
                    trainer.world_size,
                    len(left),
                    len(left),
                )
        shares = trainer.strategy.broadcast(shares)
        assert shares is not None
        self.mine = shares[trainer.global_rank]
        self.amounts = [self.size(item) for item in self.mine]
        self.begun = perf_counter()

    def predict_dataloader(self) -> Iterable[Any]:
        return self.loader(self.dataset(self.mine), min(self.workers, len(self.mine)))


def hand_over(dataset: Dataset[Any], workers: int, ahead: int = 1) -> DataLoader[Any]:
    """A loader that yields the items of a dataset one by one and unchanged; each worker is `ahead` items in front."""
    return DataLoader(
        dataset,
        batch_size=None,
        collate_fn=_as_it_is,
        num_workers=workers,
        worker_init_fn=one_thread,
        prefetch_factor=ahead if workers else None,
        in_order=not isinstance(dataset, IterableDataset),  # such workers do not wait for each other
    )


def _as_it_is(item: Any) -> Any:
    return item  # torch's default conversion would turn every NumPy array into a tensor


class ItemDataset(Dataset[Any]):
    """Items, optionally mapped by a function in the loader's workers."""

    def __init__(self, items: Sequence[Any], load: Callable[[Any], Any] | None = None) -> None:
        self.items = items
        self.load = load

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        return self.load(self.items[index]) if self.load else self.items[index]
