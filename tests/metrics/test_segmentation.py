"""The data-set confusion matrix, against hand-computed cases and independent programs."""

from __future__ import annotations

import numpy as np
import pytest

from wsvs.metrics import ConfusionMatrix

NAMES = ("background", "cat", "cow")


def mask(*rows: str) -> np.ndarray:
    """'0012' -> a row of labels; '.' is void."""
    return np.array([[255 if c == "." else int(c) for c in row] for row in rows], np.uint8)


TRUTH = mask("0011", "0011", "0022", "0022")
GUESS = mask("0001", "0011", "0122", "0200")


def score(prediction: np.ndarray, truth: np.ndarray) -> ConfusionMatrix:
    matrix = ConfusionMatrix(NAMES)
    matrix.add(prediction, truth)
    return matrix


def test_hand_counted_4x4():
    matrix = score(GUESS, TRUTH)
    assert matrix.counts.tolist() == [[6, 1, 1], [1, 3, 0], [2, 0, 2]]  # rows = truth
    assert matrix.iou().tolist() == [6 / 11, 3 / 5, 2 / 5]
    assert matrix.miou() == pytest.approx((6 / 11 + 3 / 5 + 2 / 5) / 3)
    assert matrix.pixel_accuracy() == 11 / 16
    assert matrix.rows()[1] == {
        "class": "cat",
        "label": 1,
        "iou": 3 / 5,
        "true_pixels": 4,
        "predicted_pixels": 4,
        "correct_pixels": 3,
        "absent": False,
    }


def test_perfect_prediction_scores_one():
    assert score(TRUTH, TRUTH).iou().tolist() == [1, 1, 1]


def test_all_background_scores_its_share():
    matrix = score(np.zeros_like(TRUTH), TRUTH)
    assert matrix.iou().tolist() == [8 / 16, 0, 0]


def test_swapping_two_labels_in_both_swaps_their_scores():
    swap = np.array([0, 2, 1], np.uint8)
    before, after = score(GUESS, TRUTH).iou(), score(swap[GUESS], swap[TRUTH]).iou()
    assert after.tolist() == before[[0, 2, 1]].tolist()


def test_void_pixels_change_nothing():
    truth, guess = np.full((6, 4), 255, np.uint8), np.full((6, 4), 1, np.uint8)
    truth[:4], guess[:4] = TRUTH, GUESS
    assert np.array_equal(score(guess, truth).counts, score(GUESS, TRUTH).counts)


def test_only_void_counts_nothing():
    matrix = score(GUESS, np.full_like(TRUTH, 255))
    assert matrix.counts.sum() == 0 and matrix.iou().tolist() == [0, 0, 0] and matrix.absent.all()
    assert matrix.pixel_accuracy() == 0


def test_class_in_neither_counts_zero_and_is_flagged():
    truth = np.where(TRUTH == 2, 0, TRUTH).astype(np.uint8)
    matrix = score(truth, truth)
    assert matrix.iou().tolist() == [1, 1, 0]
    assert matrix.absent.tolist() == [False, False, True]
    assert matrix.miou() == pytest.approx(2 / 3)
    assert matrix.miou(["background", "cat"]) == 1


def test_predicted_but_never_true_is_not_absent():
    matrix = score(np.full((2, 2), 2, np.uint8), np.zeros((2, 2), np.uint8))
    assert matrix.absent.tolist() == [False, True, False]


def test_unnamed_true_class_is_a_false_positive_of_the_named_one():
    truth, guess = mask("1122"), mask("1111")  # cow is taken for cat
    matrix = score(guess, truth)
    assert matrix.miou(["cat"]) == 2 / 4  # not 2 / 2: the cow's pixels stay
    assert matrix.miou(["background", "cat"]) == 1 / 4


@pytest.mark.parametrize("names", [[], ["dog"], ["cat", "cat"]])
def test_names_must_be_classes(names):
    with pytest.raises(ValueError, match=r"names must be different ones of .*cow"):
        score(GUESS, TRUTH).miou(names)


def test_one_matrix_over_the_set_is_not_the_mean_of_images():
    matrix = ConfusionMatrix(("background", "cat"))
    matrix.add(mask("11", "11"), mask("11", "11"))  # cat 1.0
    matrix.add(mask("10", "00"), mask("01", "00"))  # cat 0.0
    assert matrix.iou()[1] == 4 / 6  # not the mean 0.5


def test_merging_equals_counting_together():
    first, second, both = score(GUESS, TRUTH), score(TRUTH, GUESS), ConfusionMatrix(NAMES)
    both.add(GUESS, TRUTH)
    both.add(TRUTH, GUESS)
    total = first + second
    assert np.array_equal(total.counts, both.counts)
    assert first.counts.sum() == 16  # the sum left its terms alone
    first += second
    assert np.array_equal(first.counts, both.counts)
    with pytest.raises(ValueError, match="different classes"):
        first += ConfusionMatrix(("background", "cat", "dog"))


@pytest.mark.parametrize(
    ("prediction", "truth", "message"),
    [
        (mask("03"), mask("00"), r"prediction has label 3, but the 3 classes are labels 0 to 2$"),
        (mask("0."), mask("00"), r"prediction has label 255, .*255 marks void in the truth only"),
        (mask("0."), mask("0."), r"prediction has label 255"),  # also where the truth is void
        (mask("00"), mask("79"), r"truth has label 7, 9, but"),
        (mask("00"), mask("000"), r"prediction is 2x1 but truth is 3x1 \(width x height\)"),
        (mask("00").astype(int), mask("00"), r"prediction must be \(H, W\) uint8 labels, got \(1, 2\) int64"),
        (mask("00"), mask("00")[None], r"truth must be \(H, W\) uint8 labels, got \(1, 1, 2\)"),
    ],
)
def test_bad_masks_are_named_and_not_counted(prediction, truth, message):
    matrix = ConfusionMatrix(NAMES)
    with pytest.raises(ValueError, match=message):
        matrix.add(prediction, truth)
    assert matrix.counts.sum() == 0


@pytest.mark.parametrize("names", [[], ["a", "a"], [str(k) for k in range(256)]])
def test_bad_class_lists(names):
    with pytest.raises(ValueError, match="class_names must"):
        ConfusionMatrix(names)


def test_254_classes_fit():
    matrix = ConfusionMatrix([str(k) for k in range(255)])
    labels = np.arange(255, dtype=np.uint8)[None]
    matrix.add(labels, labels)
    assert np.array_equal(matrix.counts, np.eye(255, dtype=np.int64))


def test_equals_torchmetrics_and_sklearn():
    torch = pytest.importorskip("torch")
    from sklearn.metrics import confusion_matrix
    from torchmetrics import JaccardIndex

    rng = np.random.default_rng(0)
    ours = ConfusionMatrix([str(k) for k in range(21)])
    metric = JaccardIndex(task="multiclass", num_classes=21, ignore_index=255, average="none")
    predictions, truths = [], []
    for height, width in ((40, 50), (33, 27), (64, 20)):
        truth = rng.integers(0, 21, (height, width)).astype(np.uint8)
        prediction = np.where(rng.random(truth.shape) < 0.6, truth, rng.integers(0, 21, truth.shape)).astype(np.uint8)
        truth[rng.random(truth.shape) < 0.1] = 255
        ours.add(prediction, truth)
        metric.update(torch.from_numpy(prediction).long(), torch.from_numpy(truth).long())
        predictions.append(prediction[truth != 255])
        truths.append(truth[truth != 255])
    assert np.allclose(ours.iou(), metric.compute().numpy(), atol=1e-6)
    assert np.array_equal(ours.counts, confusion_matrix(np.concatenate(truths), np.concatenate(predictions)))
