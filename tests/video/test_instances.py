"""Ids stay with their objects: two objects of one class stay two, through touching, hiding, leaving and cuts."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.instances import scores
from wsvs.video.crossings import uncrossed
from wsvs.video.instance_masks import Segment, id_maps, limited, linked, load, over, save
from wsvs.video.instances import components_of, track
from wsvs.video.nodes import Nodes


def nodes_of(masks: np.ndarray, colours: np.ndarray | None = None) -> tuple[Nodes, np.ndarray]:
    """Pixels of (T, H, W) masks as nodes that the flow does not move, and their maps."""
    count = (masks > 0).sum()
    numbers = np.zeros(masks.shape, np.int64)
    numbers[masks > 0] = np.arange(1, count + 1)
    maps = np.zeros(masks.shape, np.uint16)
    for t, frame in enumerate(masks):
        maps[t][frame > 0] = np.arange(1, (frame > 0).sum() + 1)
    across = [(numbers[:, :, :-1], numbers[:, :, 1:]), (numbers[:, :-1], numbers[:, 1:])]
    spatial = np.concatenate([np.stack([a[(a > 0) & (b > 0)], b[(a > 0) & (b > 0)]], 1) for a, b in across]) - 1
    before, after = numbers[:-1], numbers[1:]
    same = (before > 0) & (after > 0)
    frame, row, column = np.nonzero(masks)
    return Nodes(
        frames=len(masks),
        frame=frame,
        size=np.ones(count, np.int64),
        centre=np.stack([row, column], 1).astype(float),
        colour=np.full((count, 3), 100.0) if colours is None else colours[masks[masks > 0]],
        spatial=spatial,
        temporal=np.stack([before[same], after[same]], 1) - 1,
        links=np.ones(same.sum(), np.int64),
        shot=np.zeros(len(masks), np.int64),
    ), maps


def video(*ways: list[int], width: int = 40, size: int = 5) -> np.ndarray:
    """(T, H, W) true ids of squares in one row each; a way lists the left columns, -1 where it is not there."""
    found = np.zeros((len(ways[0]), size, width), np.uint8)
    for number, way in reversed(list(enumerate(ways, 1))):  # the first is in front
        for t, left in enumerate(way):
            if left >= 0:
                found[t, :, left : left + size] = number
    return found


def tracked(masks: np.ndarray, colours: np.ndarray | None = None) -> np.ndarray:
    nodes, maps = nodes_of(masks, colours)
    return id_maps(maps, nodes, track(nodes))


def test_two_that_never_touch():
    masks = video([2] * 12, [20] * 12)
    assert np.array_equal(tracked(masks), masks)


@pytest.mark.parametrize("gap", [[6] * 8, [5] * 8])
def test_two_that_touch_for_some_frames_and_part_again(gap):
    """They are one component then; the flow says which pixel is whose."""
    right = [11, 10, 9, 8, 8, 8, *[2 + one for one in gap], 8, 9, 10, 11, 11, 11, 11]
    masks = video([2] * len(right), right)
    found = tracked(masks)
    assert scores(masks, found) | {"J": 1.0} == {"J": 1.0, "IDF1": 1.0, "switches": 0, "ids": 2}


def test_two_that_are_together_at_first():
    right = [7] * 8 + [8, 9, 10, 11, 12, 13, 14, 15]
    masks = video([2] * len(right), right)
    found = scores(masks, tracked(masks))
    assert found["IDF1"] == 1 and found["switches"] == 0 and found["J"] > 0.9


def colourful(masks: np.ndarray, ids: np.ndarray) -> np.ndarray:
    nodes, maps = nodes_of(masks)
    components = components_of(nodes)
    return id_maps(maps, nodes, uncrossed(nodes, ids[masks > 0].astype(np.int32), components))


@pytest.mark.parametrize("pause", [0, 6])
def test_ids_left_behind_at_a_crossing_are_exchanged(pause):
    """Two squares pass one behind the other; the one that comes out on the left was given the left one's id."""
    there = [*range(2, 24), *[23] * pause, *range(23, 42)]
    masks = video(there, there[::-1], width=50)
    met = int(np.argmin(np.abs(np.array(there) - np.array(there[::-1]))))
    wrong = masks.copy()
    wrong[met:] = np.array([0, 2, 1], np.uint8)[masks[met:]]
    assert scores(masks, colourful(masks, wrong))["IDF1"] > 0.97
    assert np.array_equal(colourful(masks, masks), masks)  # right ones stay


def test_two_that_meet_and_turn_back_are_not_exchanged():
    """Neither hides the other, so the flow is believed, although each goes back from where it came."""
    way = [2, 4, 6, 8, 10, 12, 12, 12, 10, 8, 6, 4, 2]
    masks = video(way, [34 - left - 5 for left in way], width=40)
    assert (np.diff(masks[6, 0].nonzero()[0]) == 1).all()  # they touch
    assert np.array_equal(colourful(masks, masks), masks)


def test_colours_tell_who_turned_back_behind_another():
    colours = np.array([[0, 0, 0], [220, 40, 40], [40, 40, 220]])
    way = [*range(2, 18, 2), *range(16, 0, -2)]
    masks = video(way, [30 - left for left in way], width=40)
    nodes, maps = nodes_of(masks, colours)
    ids = masks[masks > 0].astype(np.int32)
    assert np.array_equal(id_maps(maps, nodes, uncrossed(nodes, ids, components_of(nodes))), masks)


def test_a_part_that_comes_off_for_a_moment_is_no_object():
    masks = video([2] * 20, [-1] * 20)
    masks[8:11, :, 6] = 0  # a gap in it: the column at its right is apart for three frames
    masks[8:11, :, 7] = 0
    masks[:, :, 7:9] = np.where(masks[:, :, 4:5] > 0, 1, 0)
    assert set(np.unique(tracked(masks))) == {0, 1}


def test_one_that_comes_back_has_its_id_and_another_has_not():
    colours = np.array([[0, 0, 0], [100, 100, 100], [250, 0, 0], [0, 250, 0]])
    back = [20] * 8 + [-1] * 12 + [30] * 8
    masks = video([2] * 28, back)
    assert np.array_equal(tracked(masks, colours), masks)
    masks[20:][masks[20:] == 2] = 3  # of another colour
    assert np.array_equal(tracked(masks, colours), masks)


def test_ids_end_at_a_cut():
    masks = video([2] * 8)
    nodes, maps = nodes_of(masks)
    for shots, follows, expected in (((1, 1), True, 1), ((1, 2), True, 2), ((1, 1), False, 1)):
        pieces = [Segment(nodes, maps[0], maps[-1], shot, follows) for shot in shots]
        assert track(linked(pieces)).max() == expected


def test_pieces_give_what_the_whole_video_gives(tmp_path):
    right = [15, 14, 13, 12, 11, 10, 9, 8, 7, 7, 7, 8, 9, 10, 11, 12, 13, 14]
    masks = video([2] * len(right), right)
    whole, pieces, maps = tracked(masks), [], []
    for number, (start, stop) in enumerate(((0, 5), (5, 10), (10, 18))):
        save(tmp_path / "deep" / f"{number}.npz", *nodes_of(masks[start:stop]))
        nodes, map_ = load(tmp_path / "deep" / f"{number}.npz")
        pieces.append(Segment(nodes, map_[0], map_[-1], 1, start > 0))
        maps.append((map_, nodes))
    ids, begin, found = track(linked(pieces)), 0, []
    for map_, nodes in maps:
        found.append(id_maps(map_, nodes, ids[begin : begin + len(nodes.frame)]))
        begin += len(nodes.frame)
    assert np.array_equal(np.concatenate(found), whole)


def test_nothing_and_more_than_a_mask_holds():
    nodes, maps = nodes_of(np.zeros((3, 4, 4), np.uint8))
    assert not id_maps(maps, nodes, limited(nodes, track(nodes))).any()
    masks = np.zeros((6, 33, 40), np.uint8)
    masks[:, ::2, ::2] = 1  # 340 pixels that do not touch
    nodes, maps = nodes_of(masks)
    ids = track(nodes)
    assert ids.max() == 340
    kept = limited(nodes, ids)
    assert kept.max() == 254 and (np.bincount(kept)[1:] == 6).all()


def test_every_pixel_of_a_mask_has_the_id_of_the_nearest():
    rng = np.random.default_rng(0)
    ids = np.zeros((9, 12), np.uint8)
    ids[2, 3], ids[7, 10], ids[1, 11] = 5, 7, 255
    mask = rng.random((9, 12)) < 0.7
    y, x = np.indices(ids.shape)
    places = np.argwhere(ids)
    distances = np.stack([np.hypot(y - row, x - column) for row, column in places])
    nearest = ids[tuple(places[distances.argmin(0)].reshape(-1, 2).T)].reshape(ids.shape)
    sure = np.sort(distances, 0)[1] - np.sort(distances, 0)[0] > 0.5  # OpenCV's distances are near
    found = over(mask, ids)
    assert np.array_equal(found[sure], (nearest * mask)[sure]) and not found[~mask].any()
    large = over(np.ones((18, 24), bool), ids)
    assert np.array_equal(large[::2, ::2], over(np.ones((9, 12), bool), ids))


def test_scores_by_hand():
    truth = video([2] * 10, [20] * 10)
    swapped = truth.copy()
    swapped[5:] = np.array([0, 2, 1], np.uint8)[truth[5:]]
    assert scores(truth, truth) == {"J": 1.0, "IDF1": 1.0, "switches": 0.0, "ids": 2.0}
    assert scores(truth, swapped) == {"J": 0.5, "IDF1": 0.5, "switches": 2.0, "ids": 2.0}
    assert scores(truth, (truth > 0).astype(np.uint8))["IDF1"] == 0  # one id over both: IoU of neither is over 0.5
