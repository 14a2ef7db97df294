"""Items of a predict loop, dealt to ranks once: nothing twice, nothing left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import lightning.pytorch as pl
from torch.utils.data import DataLoader, Dataset

from wsvs.data.loading import one_thread

Item = dict[str, Any]


class WorkModule(pl.LightningDataModule):
    """Deals the unfinished items to the ranks, the longest first, one item a batch.

    The ranks of a run start at different moments, so rank 0 alone looks at what is finished and tells the others.

    Args:
        items: All items, each with a unique 'id'.
        finished: Says of an item that nothing is left to do.
        dataset: Makes the dataset of a rank's items.
        workers: Loader processes.
        size: Amount of work of an item, for the order.
    """

    def __init__(
        self, items: Sequence[Item], *, finished: Callable[[Item], bool],
        dataset: Callable[[Sequence[Item]], Dataset], workers: int, size: Callable[[Item], float] = lambda _: 1,
    ) -> None:
        super().__init__()
        if workers < 0:
            raise ValueError(f"workers must be >= 0, got {workers}")
        self.items = items
        self.finished = finished
        self.dataset = dataset
        self.workers = workers
        self.size = size
        self.mine: list[Item] = []
        self.allow_zero_length_dataloader_with_multiple_devices = True  # fewer items than ranks: some have none

    def setup(self, stage: str) -> None:
        assert self.trainer is not None
        left: list[Item] | None = None
        if self.trainer.is_global_zero:
            left = [item for item in self.items if not self.finished(item)]
            left.sort(key=lambda item: (-self.size(item), item["id"]))
        left = self.trainer.strategy.broadcast(left)
        self.mine = left[self.trainer.global_rank :: self.trainer.world_size]  # type: ignore[index]

    def predict_dataloader(self) -> DataLoader:
        return DataLoader(
            self.dataset(self.mine), batch_size=None, collate_fn=_as_it_is, num_workers=self.workers,
            worker_init_fn=one_thread, prefetch_factor=1 if self.workers else None,
        )


def _as_it_is(item: Any) -> Any:
    return item  # torch's own conversion would turn every numpy array into a tensor


class ItemDataset(Dataset):
    """Items as they are, or through a function that runs in the loader's workers."""

    def __init__(self, items: Sequence[Item], load: Callable[[Item], Item] | None = None) -> None:
        self.items = items
        self.load = load

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Item:
        return self.load(self.items[index]) if self.load else self.items[index]
