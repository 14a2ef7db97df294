"""The order of items in a training and their crops: functions of the seed and a running number only.

A resumed run, and one with another number of workers, or with more ranks and smaller batches, gets the same crops in
the same steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from torch.utils.data import Dataset, DistributedSampler


class Visit(NamedTuple):
    """One use of an item of a training set: its number, the number of earlier passes, and the run's seed."""

    item: int
    turn: int
    seed: int


def visited(visit: Visit | int) -> tuple[int, np.random.Generator]:
    """Number of the item, and the random generator of the visit; also for a plain number."""
    if isinstance(visit, Visit):
        return visit.item, np.random.default_rng(tuple(visit))
    return visit, np.random.default_rng(visit)


class Visits(DistributedSampler[Visit]):
    """Endless passes over a set, each in a new random order, distributed round-robin over the ranks, cut into epochs.

    An epoch continues where the last one ended, possibly in the middle of a pass: every batch is full, and all items
    are used equally often. It is a `DistributedSampler` so that Lightning does not replace it.

    Args:
        size: Number of items of the set.
        length: Visits per epoch and rank.
        seed: Seed of the order and of every visit.
        rank, ranks: The share of the visits.
    """

    def __init__(self, size: int, *, length: int, seed: int, rank: int = 0, ranks: int = 1) -> None:
        if size < 1 or length < 1:
            raise ValueError(f"a training set needs items and an epoch visits, got {size} and {length}")
        super().__init__(range(size), ranks, rank, seed=seed)  # type: ignore[arg-type]  # only its length is used
        self.length = length
        self.start = 0

    def go_to(self, epoch: int, start: int) -> None:
        """Start with visit number `start` of an epoch."""
        self.epoch, self.start = epoch + start // self.length, start % self.length

    def set_epoch(self, epoch: int) -> None:
        if epoch != self.epoch:
            self.epoch, self.start = epoch, 0

    def __len__(self) -> int:
        return self.length  # of a whole epoch, also when resumed: loops count batches from the start of the epoch

    def __iter__(self) -> Iterator[Visit]:
        size, last = len(self.dataset), -1  # type: ignore[arg-type]
        first, end = self.epoch * self.length + self.start, (self.epoch + 1) * self.length
        for place in range(first, end):
            turn, k = divmod(place * self.num_replicas + self.rank, size)
            if turn != last:
                order, last = np.random.default_rng((turn, self.seed)).permutation(size), turn
            yield Visit(int(order[k]), turn, self.seed)


class Once(DistributedSampler[int | None]):
    """Every item once, distributed round-robin over the ranks, padded with None.

    All ranks have the same number of batches, each a collective call of DDP (rank 0 broadcasts its buffers), and no
    item is scored twice, unlike with PyTorch's padding. With a `Present` set, None is skipped in a batch.
    """

    def __init__(self, size: int, *, rank: int, ranks: int) -> None:
        super().__init__(range(size), ranks, rank, shuffle=False)  # type: ignore[arg-type]  # only its length is used

    def __iter__(self) -> Iterator[int | None]:
        size = len(self.dataset)  # type: ignore[arg-type]
        for place in range(self.rank, self.total_size, self.num_replicas):
            yield place if place < size else None


class Present(Dataset[Any]):
    """A set indexed by whole batches of indices, in which None is skipped."""

    def __init__(self, dataset: Dataset[Any]) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]

    def __getitems__(self, numbers: Sequence[int | None]) -> list[Any]:
        return [self.dataset[number] for number in numbers if number is not None]
