"""Batches pass over bad items and keep their reasons."""

from __future__ import annotations

import time
from itertools import pairwise

import cv2
import numpy as np
import pytest
import torch
from torch.utils.data import Dataset

from wsvs.data.loading import collate, jittered, make_loader, one_thread, pixels, scaled


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


@pytest.mark.parametrize("workers", [0, 1])
def test_loader_knows_how_long_it_was_waited_for(workers):
    class Slow(Numbers):
        def __getitem__(self, index):
            time.sleep(0.02)
            return super().__getitem__(index)

    loader, asked = make_loader(Slow(), batch_size=3, workers=workers), []
    for _ in loader:
        now = time.perf_counter()
        assert loader.asked + loader.waited <= now
        asked.append((loader.asked, loader.waited, now))
        if not workers:
            assert loader.waited > 0.02
        time.sleep(0.2)  # a worker fetches the next batch meanwhile
    assert len(asked) == 3 and all(later[0] >= before[2] + 0.2 for before, later in pairwise(asked))
    assert len(list(loader)) == 3  # and once more


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


def test_jitter_against_the_definition():
    """Each image by its own factors, in numpy."""
    rng = np.random.default_rng(0)
    images, factors = rng.random((4, 3, 5, 6)), 1 + 0.3 * rng.uniform(-1, 1, (4, 3))
    found = jittered(torch.from_numpy(images), torch.from_numpy(factors)).numpy()
    for image, (brightness, contrast, saturation), one in zip(images, factors, found, strict=True):
        bright = image * brightness
        grey = np.tensordot((0.299, 0.587, 0.114), bright, 1)  # luma of ITU-R BT.601
        saturated = saturation * bright + (1 - saturation) * grey
        contrasted = contrast * saturated + (1 - contrast) * grey.mean()
        np.testing.assert_allclose(one, contrasted.clip(0, 1), atol=1e-12)
    grey = torch.full((1, 3, 4, 4), 0.4)
    assert torch.allclose(jittered(grey, torch.tensor([[1.1, 0.3, 1.8]])), torch.tensor(0.44))  # grey stays grey
    assert torch.equal(jittered(grey, torch.ones(1, 3)), grey)


def test_pixels_are_jittered_where_items_ask_for_it():
    batch = collate([item(51), item(102)])
    plain = scaled(batch["image"])
    assert torch.equal(pixels(batch), plain) and pixels(batch, torch.float64).dtype == torch.float64
    factors = torch.tensor([[1.5, 1, 1], [0.5, 1, 1]])
    found = pixels({**batch, "jitter": factors})
    assert torch.allclose(found, plain * factors[:, :1, None, None])
