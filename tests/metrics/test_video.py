"""Scores of video masks: J, boundary F and the averages over frames, shots, classes and videos."""

from __future__ import annotations

import numpy as np
import pytest

from wsvs.metrics import VideoScores, boundary_f, jaccard, precision_recall


def bits(*rows: str) -> np.ndarray:
    return np.array([[c == "1" for c in row] for row in rows])


FULL, EMPTY = bits("11", "11"), bits("00", "00")


def test_jaccard_by_hand():
    assert jaccard(bits("1100", "1100"), bits("0110", "0110")) == 2 / 6
    assert jaccard(FULL, FULL) == 1
    assert jaccard(FULL, EMPTY) == 0
    assert jaccard(EMPTY, EMPTY) == 1  # nothing to find and nothing found


@pytest.mark.parametrize(
    ("prediction", "truth"), [(FULL, bits("111")), (FULL.astype(np.uint8), FULL), (FULL[0], FULL[0])]
)
def test_jaccard_refuses(prediction, truth):
    with pytest.raises(ValueError, match="prediction"):
        jaccard(prediction, truth)
    with pytest.raises(ValueError, match="prediction"):
        boundary_f(prediction, truth)


def square(top: int, left: int, side: int = 20) -> np.ndarray:
    mask = np.zeros((100, 100), bool)
    mask[top : top + side, left : left + side] = True
    return mask


def test_boundary_f_of_shifted_squares():
    # the tolerance is ceil(0.008 * 141.4) = 2 pixels
    assert boundary_f(square(10, 10), square(10, 10)) == 1
    assert boundary_f(square(10, 10), square(10, 12)) == 1  # every contour pixel lies within 2 px
    assert 0 < boundary_f(square(10, 10), square(10, 16)) < 1
    assert boundary_f(square(10, 10), square(60, 60)) == 0
    assert boundary_f(np.zeros((9, 9), bool), np.zeros((9, 9), bool)) == 1
    assert boundary_f(square(10, 10), np.zeros((100, 100), bool)) == 0


def test_boundary_f_equals_distances_taken_one_by_one():
    rng = np.random.default_rng(0)
    prediction, truth = square(20, 20, 30), square(24, 17, 31)
    prediction ^= rng.random(truth.shape) < 0.002

    def contour(mask: np.ndarray) -> np.ndarray:
        height, width = mask.shape
        return np.array(
            [
                (y, x)
                for y in range(height)
                for x in range(width)
                if any(
                    mask[y, x] != mask[min(y + dy, height - 1), min(x + dx, width - 1)]
                    for dy, dx in ((0, 1), (1, 0), (1, 1))
                )
            ]
        )

    ours, true = contour(prediction), contour(truth)
    distance = np.sqrt(((ours[:, None] - true[None]) ** 2).sum(-1))
    precision, recall = (distance.min(1) <= 2).mean(), (distance.min(0) <= 2).mean()
    assert 0.2 < recall < 1 and 0.2 < precision < 1
    assert boundary_f(prediction, truth) == pytest.approx(2 * precision * recall / (precision + recall))


def test_class_average_and_video_average_weigh_shots_differently():
    scores = VideoScores()
    scores.add("a/0", "cat", "0", FULL, FULL)
    for shot in range(9):
        scores.add(f"b/{shot}", "cow", "0", EMPTY, FULL)
    assert scores.class_average() == 0.5
    assert scores.video_average() == pytest.approx(0.1)
    assert scores.by_class() == {"cat": 1.0, "cow": 0.0}


def test_shot_is_the_mean_of_frames_and_pooled_takes_the_pixels():
    scores = VideoScores()
    assert scores.add("s", "cat", "0", bits("1000"), bits("1000")) == 1
    assert scores.add("s", "cat", "1", bits("1111"), bits("1110")) == 3 / 4
    assert scores.add("s", "cat", "2", bits("0000"), bits("1111")) == 0
    scores.add("t", "cat", "0", bits("0000"), bits("0000"))
    assert scores.by_shot() == {"s": pytest.approx(7 / 12), "t": 1}
    assert scores.by_shot(pooled=True) == {"s": (1 + 3 + 0) / (1 + 4 + 4), "t": 1}
    assert scores.by_class(pooled=True) == {"cat": pytest.approx((4 / 9 + 1) / 2)}
    assert scores.class_average(pooled=True) == pytest.approx((4 / 9 + 1) / 2)
    assert scores.video_average(pooled=True) == pytest.approx((4 / 9 + 1) / 2)
    assert scores.frame_average() == pytest.approx((1 + 3 / 4 + 0 + 1) / 4)


def test_shots_without_class_have_no_class_average():
    scores = VideoScores()
    assert scores.video_average() is None and scores.class_average() is None and scores.frame_average() is None
    scores.add("s", "", "0", FULL, FULL)
    assert scores.by_class() == {} and scores.class_average() is None and scores.video_average() == 1
    assert scores.boundary_by_shot() == {}


def test_boundary_is_kept_on_request():
    scores = VideoScores(boundary=True)
    scores.add("s", "", "0", square(10, 10), square(10, 10))
    scores.add("s", "", "1", square(10, 10), square(60, 60))
    assert scores.boundary_by_shot() == {"s": 0.5}


def test_shot_keeps_its_class_and_bad_frames_are_not_kept():
    scores = VideoScores()
    with pytest.raises(ValueError, match="truth"):
        scores.add("s", "cat", "0", FULL, bits("1"))
    assert scores.by_shot() == {}
    scores.add("s", "cat", "0", FULL, FULL)
    with pytest.raises(ValueError, match="'s' must have one class, got 'cat' and 'cow'"):
        scores.add("s", "cow", "1", FULL, FULL)


def test_precision_recall_by_hand():
    found = precision_recall(bits("1110000")[0], bits("0110001")[0])
    assert (found.precision, found.recall) == (2 / 3, 2 / 3)
    assert (found.chosen, found.relevant, found.correct) == (3, 3, 2)
    nothing = precision_recall(np.zeros(4, bool), np.ones(4, bool))
    assert (nothing.precision, nothing.recall) == (0, 0)
    with pytest.raises(ValueError, match="bool arrays"):
        precision_recall(np.zeros(3), np.zeros(3, bool))
    with pytest.raises(ValueError, match="one length"):
        precision_recall(np.zeros(3, bool), np.zeros(4, bool))
