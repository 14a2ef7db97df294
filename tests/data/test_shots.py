"""Shots for the segmenter: what a loader's worker makes of them."""

from __future__ import annotations

import numpy as np
import pytest

from wsvs.core.errors import BadItem
from wsvs.data.shots import ShotDataset

ITEM = {"file": "v.mp4", "start": 3, "stop": 6, "shot": "v_3"}


def test_item_is_read_described_and_timed():
    asked = []

    def read(*arguments):
        asked.append(arguments)
        return iter(np.full((2, 4, 3), k, np.uint8) for k in range(3, 6))

    def describe(frames):
        return {"frames": len(frames), "mean": float(frames.mean())}

    dataset = ShotDataset([ITEM], describe=describe, read=read)
    assert len(dataset) == 1
    found = dataset[0]
    assert asked == [("v.mp4", 3, 6)]
    assert found["item"] is ITEM and found["graph"] == {"frames": 3, "mean": 4.0}
    assert found["frames"].shape == (3, 2, 4, 3) and found["frames"].dtype == np.uint8
    assert found["frames"][:, 0, 0, 0].tolist() == [3, 4, 5] and 0 <= found["decode"] < 5


def test_unreadable_shot_is_an_item_with_its_reason():
    def torn(*_):
        yield np.zeros((2, 4, 3), np.uint8)
        raise BadItem("video cannot be decoded", where="v.mp4")

    found = ShotDataset([ITEM], describe=None, read=torn)[0]
    assert found["item"] is ITEM and set(found) == {"item", "bad"} and "v.mp4" in found["bad"]
    assert "bad" in ShotDataset([ITEM], describe=None, read=lambda *_: iter(()))[0]  # no frame at all


def test_mistakes_of_ours_are_not_hidden_as_bad_items():
    def wrong(frames):
        raise ValueError("a rule of the graph")

    dataset = ShotDataset([ITEM], describe=wrong, read=lambda *_: iter([np.zeros((2, 4, 3), np.uint8)]))
    with pytest.raises(ValueError, match="a rule of the graph"):
        _ = dataset[0]
