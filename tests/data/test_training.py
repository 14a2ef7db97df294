"""Data loaders of a training: full batches, whole steps or passes, and resuming at the same place."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

import pytest
import torch
from torch.utils.data import Dataset, DistributedSampler

from wsvs.data.training import TrainingData
from wsvs.data.visits import visited


class Numbers(Dataset):
    def __len__(self):
        return 7

    def __getitem__(self, visit):
        index, rng = visited(visit)
        return {"id": str(index), "crop": torch.tensor(rng.random())}


def data(*, max_epochs=1, max_steps=-1, accumulate=1, rank=0, ranks=1, **more):
    made = TrainingData(Numbers(), Numbers(), **{"batch_size": 2, "workers": 0, "seed": 0, **more})
    made.trainer = SimpleNamespace(
        max_epochs=max_epochs,
        max_steps=max_steps,
        accumulate_grad_batches=accumulate,
        global_rank=rank,
        world_size=ranks,
        current_epoch=0,
        fit_loop=SimpleNamespace(batch_idx=-1),
    )
    return made


def ids(loader):
    return [batch["id"] for batch in loader]


@pytest.mark.parametrize(
    ("settings", "batches"),
    [
        ({}, 3),  # a pass, but for the lone last item, which is the next epoch's first
        ({"accumulate": 3}, 3),
        ({"accumulate": 2}, 2),
        ({"accumulate": 8}, 8),  # whole steps, at least one
        ({"ranks": 2}, 1),
        ({"batch_size": 20}, 1),
        ({"max_epochs": 4}, 3),
        ({"max_steps": 1}, 3),
        ({"max_epochs": -1, "max_steps": 40}, 40),
        ({"max_epochs": -1, "max_steps": 4, "accumulate": 3}, 12),
        ({"max_epochs": -1, "max_steps": 4, "accumulate": 3, "ranks": 2}, 12),
    ],
)
def test_an_epoch_is_a_pass_or_the_whole_training(settings, batches):
    found = ids(data(**settings).train_dataloader())
    assert len(found) == batches and {len(batch) for batch in found} == {settings.get("batch_size", 2)}
    counts = Counter(name for batch in found for name in batch)
    if settings.get("ranks", 1) == 1 and batches > 3:
        assert max(counts.values()) - min(counts.values()) <= 1  # every item equally often


def test_workers_change_nothing():
    one, other = (list(data(workers=workers).train_dataloader()) for workers in (0, 2))
    for a, b in zip(one, other, strict=True):
        assert a["id"] == b["id"] and torch.equal(a["crop"], b["crop"])


@pytest.mark.parametrize("workers", [0, 2])
def test_taken_up_where_it_was_left(workers):
    steps = {"max_epochs": -1, "max_steps": 9, "workers": workers}
    whole = list(data(**steps).train_dataloader())
    stopped = data(**steps)
    stopped.trainer.fit_loop.batch_idx = 3  # four batches are behind it
    again = data(**steps)
    again.load_state_dict(stopped.state_dict())
    rest = list(again.train_dataloader())
    assert [batch["id"] for batch in rest] == [batch["id"] for batch in whole[4:]]
    assert all(torch.equal(a["crop"], b["crop"]) for a, b in zip(rest, whole[4:], strict=True))


def test_validation_is_in_order():
    assert ids(data().val_dataloader()) == [["0", "1"], ["2", "3"], ["4", "5"], ["6"]]
    assert ids(data(val_batch_size=4).val_dataloader()) == [["0", "1", "2", "3"], ["4", "5", "6"]]


@pytest.mark.parametrize("workers", [0, 2])
def test_ranks_validate_every_item_once_in_as_many_batches(workers):
    """7 items: the second rank's last batch is empty, but there; Lightning puts no other sampler over the loader's."""
    loaders = [data(rank=rank, ranks=2, batch_size=1, workers=workers).val_dataloader() for rank in (0, 1)]
    first, second = ([batch.get("id") for batch in loader] for loader in loaders)
    assert first == [["0"], ["2"], ["4"], ["6"]] and second == [["1"], ["3"], ["5"], None]
    assert [len(loader) for loader in loaders] == [4, 4]
    assert all(isinstance(loader.sampler, DistributedSampler) for loader in loaders)


def test_settings_refused():
    with pytest.raises(ValueError, match="batch_size must be a whole number >= 1, got 0"):
        data(batch_size=0)
