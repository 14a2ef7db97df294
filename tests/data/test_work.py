"""Items of a predict loop are dealt once: nothing twice, nothing left out, the longest first."""

from __future__ import annotations

from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest
from torch.utils.data import Dataset

from wsvs.data.work import ItemDataset, WorkModule
from wsvs.data.work import deal as deal_out


class Item(NamedTuple):
    id: str
    length: int = 0
    array: np.ndarray | None = None


ITEMS = [Item(f"i{k:02d}", (k * 7) % 5) for k in range(23)]


def deal(world: int, items=ITEMS, done=(), workers=0):
    """What each rank gets; rank 0 alone looks at what is finished."""
    asked = [0] * world
    sent = []
    modules = []
    for rank in range(world):

        def finished(item, rank=rank):
            asked[rank] += 1
            return item.id in done

        module = WorkModule(
            items, finished=finished, dataset=ItemDataset, workers=workers, size=lambda item: item.length
        )
        strategy = SimpleNamespace(broadcast=lambda value: sent.append(value) or sent[0])  # rank 0 comes first
        module.trainer = SimpleNamespace(
            is_global_zero=rank == 0, global_rank=rank, world_size=world, strategy=strategy
        )
        module.setup("predict")
        modules.append(module)
    assert callable(items) or asked == [len(items)] + [0] * (world - 1)
    assert sent[1:] == [None] * (world - 1)
    return modules


@pytest.mark.parametrize("world", [1, 2, 3, 8, 23, 30])
def test_everything_exactly_once_and_the_longest_first(world):
    shares = [module.mine for module in deal(world)]
    assert sorted(item.id for share in shares for item in share) == [item.id for item in ITEMS]
    loads = [sum(item.length for item in share) for share in shares]
    assert max(loads) - min(loads) <= max(item.length for item in ITEMS)
    for share in shares:
        lengths = [item.length for item in share]
        assert lengths == sorted(lengths, reverse=True)
    firsts = sorted((share[0].length for share in shares if share), reverse=True)
    assert firsts == sorted((item.length for item in ITEMS), reverse=True)[: len(firsts)]


def test_order_does_not_depend_on_the_order_of_the_manifest():
    assert deal(2)[1].mine == deal(2, items=ITEMS[::-1])[1].mine


def test_finished_items_are_left_out_before_dealing():
    done = {item.id for item in ITEMS if item.length == 4} | {"i00"}
    shares = [module.mine for module in deal(3, done=done)]
    assert sorted(item.id for share in shares for item in share) == sorted(
        item.id for item in ITEMS if item.id not in done
    )
    loads = [sum(item.length for item in share) for share in shares]
    assert max(loads) - min(loads) <= 3
    assert [module.mine for module in deal(2, done={item.id for item in ITEMS})] == [[], []]


def test_loader_hands_items_over_one_by_one_and_as_they_are():
    for workers in (0, 1):
        module = deal(1, items=ITEMS[:3], workers=workers)[0]
        module.dataset = Loaded
        items = list(module.predict_dataloader())
        assert [item.id for item in items] == [item.id for item in module.mine]
        assert all(isinstance(item.array, np.ndarray) for item in items)
    with pytest.raises(ValueError, match="workers must be a whole number >= 0"):
        WorkModule(ITEMS, finished=bool, dataset=ItemDataset, workers=-1)


def test_shares_are_balanced():
    """By hand: in turn, each rank taking the next, the first would have 7 + 4 + 3 of 22."""
    sizes = {"a": 7, "b": 4, "c": 4, "d": 4, "e": 3}
    shares = deal_out([Item(name) for name in "edcba"], lambda item: sizes[item.id], 2)
    assert [[item.id for item in share] for share in shares] == [["a", "d"], ["b", "c", "e"]]
    equal = deal_out([Item(f"{k}") for k in range(7)], lambda _: 0, 3)  # nothing to tell them apart
    assert [len(share) for share in equal] == [3, 2, 2]


def test_items_may_be_found_by_the_ranks_together():
    asked = []

    def find(trainer):
        asked.append(trainer.global_rank)
        return ITEMS[:4] if trainer.is_global_zero else []

    modules = deal(2, items=find)
    assert asked == [0, 1] and sum(len(module.mine) for module in modules) == 4
    assert [module.amounts for module in modules] == [[item.length for item in m.mine] for m in modules]


def test_fewer_items_than_ranks_are_reported(caplog):
    deal(3, items=ITEMS[:2])
    assert caplog.messages == [
        "ranks without work: 1 of 3, because only 2 items are left (trainer.devices=2 is enough)"
    ]


class Loaded(Dataset):
    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index]._replace(array=np.zeros(2))


def test_item_dataset():
    assert [ItemDataset(ITEMS)[k] for k in range(len(ItemDataset(ITEMS)))] == ITEMS
    assert ItemDataset(ITEMS, lambda item: 2 * item.length)[1] == 4
