"""Shots for the segmenter: what a loader's worker makes of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from wsvs.core.errors import BadItem
from wsvs.data.shots import ShotDataset, ShotStream
from wsvs.data.work import hand_over
from wsvs.records.predicted import Bad
from wsvs.records.shots import Piece

PIECE = Piece("v_3", "v", "v.mp4", 3, 6, 9, 2, 4, 25.0, (), 1, "v.mp4")


def pictures(*numbers):
    return (np.full((2, 4, 3), k, np.uint8) for k in numbers)


def describe(frames):
    return [int(frame.mean()) for frame in frames]


def test_item_is_read_described_and_timed():
    asked = []

    def read(*arguments, **more):
        asked.append((arguments, more))
        return pictures(3, 4, 5)

    dataset = ShotDataset([PIECE], describe=describe, read=read)
    assert len(dataset) == 1
    found = dataset[0]
    assert asked == [(("v.mp4", 3, 6), {"total": 9})]
    assert found.piece is PIECE and found.graph == [3, 4, 5]
    assert found.frames.shape == (3, 2, 4, 3) and found.frames.dtype == np.uint8
    assert found.frames[:, 0, 0, 0].tolist() == [3, 4, 5] and 0 <= found.decode < 5


def test_unneeded_frames_are_freed_one_by_one():
    alive = []

    class Picture(np.ndarray):
        def __del__(self):
            alive.remove(1)

    def read(*_, **__):
        for _ in range(3):
            alive.append(1)
            yield np.zeros((2, 4, 3), np.uint8).view(Picture)

    seen = []
    keep = {"v_3": False}
    dataset = ShotDataset(
        [PIECE],
        describe=lambda frames: [seen.append(len(alive)) for _ in frames],
        read=read,
        keep=lambda item: keep[item.id],
    )
    assert dataset[0].frames is None and max(seen) <= 2


def torn(*numbers):
    def read(*_, **__):
        yield from pictures(*numbers)
        raise BadItem("video cannot be decoded", where="v.mp4")

    return read


def test_unreadable_shot_is_an_item_with_its_reason():
    found = ShotDataset([PIECE], describe=describe, read=torn(3))[0]
    assert isinstance(found, Bad) and found.id == "v_3" and "v.mp4" in found.reason
    for left in ((), (3, 4)):  # less than was there once
        found = ShotDataset([PIECE], describe=describe, read=lambda *_, left=left, **__: pictures(*left))[0]
        assert f"only {len(left)} of its 3 frames" in found.reason


def test_mistakes_of_ours_are_not_hidden_as_bad_items():
    def wrong(frames):
        raise ValueError("a rule of the graph")

    dataset = ShotDataset([PIECE], describe=wrong, read=lambda *_, **__: pictures(1))
    with pytest.raises(ValueError, match="a rule of the graph"):
        _ = dataset[0]


def test_odd_and_blank_frames_are_kept_but_not_described():
    item = replace(PIECE, stop=8, odd=[4], blank=[6])
    found = ShotDataset([item], describe=describe, read=lambda *_, **__: pictures(3, 4, 5, 6, 7))[0]
    assert found.graph == [3, 5, 7] and found.frames[:, 0, 0, 0].tolist() == [3, 4, 5, 6, 7]


class Parts:
    """Opens a task of two pieces, and remembers when."""

    def __init__(self, opened, worker=None):
        self.opened = opened
        self.worker = worker

    def in_worker(self, number):
        return Parts(self.opened, number)

    def __call__(self, task):
        self.opened.append(task)
        yield from (replace(PIECE, id=f"{task}{part}", mark=f"{self.worker}") for part in range(2))


def stream(tasks, opened):
    shots = ShotDataset(tasks, describe=describe, read=lambda *_, **__: pictures(3, 4, 5))
    return ShotStream(shots, tasks, Parts(opened))


def test_tasks_are_opened_on_the_way_the_middle_first():
    opened = []
    found = iter(stream("abcde", opened))
    first = next(found)
    assert opened == ["c"] and (first.piece.id, first.graph) == ("c0", [3, 4, 5])
    assert next(found).piece.id == "c1" and opened == ["c"]
    assert [one.piece.id for one in found] == ["a0", "a1", "b0", "b1", "d0", "d1", "e0", "e1"]
    assert list(stream("", opened)) == []


def test_workers_open_every_task_once():
    """Each knows which one it is. Their pieces may come in any order; those of a task come in turn."""
    found = [one.piece for one in hand_over(stream("abcdefg", []), 2)]
    assert sorted(piece.id for piece in found) == [f"{task}{part}" for task in "abcdefg" for part in range(2)]
    assert {piece.id[0]: piece.mark for piece in found} == dict(zip("abcdefg", "0101010", strict=True))
    assert all(found.index(replace(piece, id=f"{piece.id[0]}0")) <= place for place, piece in enumerate(found))
