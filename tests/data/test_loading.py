"""Batches pass over bad items and keep their reasons."""

from __future__ import annotations

import cv2
import pytest
import torch
from torch.utils.data import Dataset

from wsvs.data.loading import collate, make_loader, one_thread, scaled
from wsvs.data.steps import StepDataModule


def item(number):
    return {"id": str(number), "image": torch.full((3, 2, 2), number, dtype=torch.uint8), "class": torch.tensor(number)}


def test_collate_passes_over_bad_items():
    batch = collate([item(1), {"id": "x", "bad": "torn"}, item(3), {"id": "y", "bad": "empty"}])
    assert batch["id"] == ["1", "3"] and batch["bad"] == [("x", "torn"), ("y", "empty")]
    assert batch["image"].shape == (2, 3, 2, 2) and batch["class"].tolist() == [1, 3]
    assert batch["image"][1].unique().tolist() == [3]
    assert set(batch) == {"id", "bad", "image", "class"}


def test_batch_without_a_good_item_holds_reasons_only():
    assert collate([{"id": "x", "bad": "torn"}]) == {"bad": [("x", "torn")]}
    assert collate([item(0)])["bad"] == []


class Numbers(Dataset):
    def __len__(self):
        return 7

    def __getitem__(self, index):
        if index == 3:
            return {"id": "3", "bad": "torn"}
        return {**item(index), "threads": torch.tensor([torch.get_num_threads(), cv2.getNumThreads()])}


def test_loader_gives_every_item_once_with_and_without_workers():
    for workers in (0, 2):
        batches = list(make_loader(Numbers(), batch_size=3, workers=workers))
        assert [batch["id"] for batch in batches] == [["0", "1", "2"], ["4", "5"], ["6"]]
        assert [batch["bad"] for batch in batches] == [[], [("3", "torn")], []]
        if workers:
            assert torch.cat([batch["threads"] for batch in batches]).max() == 1
    assert [len(b["id"]) for b in make_loader(Numbers(), batch_size=3, workers=0, drop_last=True)] == [3, 2]


def test_shuffling_follows_the_seed():
    def order(seed):
        torch.manual_seed(seed)
        return [name for batch in make_loader(Numbers(), batch_size=1, workers=0, shuffle=True)
                for name in batch.get("id", ["3"])]

    assert order(0) == order(0) != order(1) and sorted(order(0)) == [str(k) for k in range(7)]


def test_scaled_is_between_0_and_1_and_leaves_its_input():
    image = torch.tensor([0, 51, 255], dtype=torch.uint8)
    assert torch.allclose(scaled(image), torch.tensor([0, 0.2, 1])) and image.tolist() == [0, 51, 255]


def test_one_thread_is_for_workers():
    before = torch.get_num_threads(), cv2.getNumThreads()
    try:
        one_thread(0)
        assert torch.get_num_threads() == 1 and cv2.getNumThreads() == 1
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])


def test_step_module():
    module = StepDataModule(Numbers(), Numbers(), batch_size=2, workers=0)
    torch.manual_seed(0)
    assert len(list(module.train_dataloader())) == 3  # the lone last item is left out
    assert [b.get("id", []) for b in module.val_dataloader()] == [["0", "1"], ["2"], ["4", "5"], ["6"]]
    large = StepDataModule(Numbers(), Numbers(), batch_size=20, workers=0)
    (batch,) = large.train_dataloader()  # fewer items than a batch are a batch
    assert len(batch["id"]) == 6
    for settings in ({"batch_size": 0, "workers": 0}, {"batch_size": 1, "workers": -1}):
        with pytest.raises(ValueError, match="batch_size must be >= 1 and workers >= 0"):
            StepDataModule(Numbers(), Numbers(), **settings)
