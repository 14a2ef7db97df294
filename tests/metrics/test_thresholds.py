"""The scan of foreground thresholds against masks labelled one threshold at a time."""

from __future__ import annotations

import json
import re

import cv2
import numpy as np
import pytest

from wsvs.core.errors import UserError
from wsvs.core.masks import write_mask
from wsvs.metrics import ConfusionMatrix, evaluate_images, scan_thresholds, write_image_results

NAMES = ["background", "cat", "cow"]


def save_scores(folder, image, labels, probabilities):
    (folder / "scores").mkdir(parents=True, exist_ok=True)
    np.savez(folder / "scores" / f"{image}.npz", labels=np.array(labels, np.uint8), probabilities=probabilities)


def test_by_hand_at_full_size(tmp_path):
    write_mask(tmp_path / "truth" / "a.png", np.array([[1, 1, 0, 2]], np.uint8))
    maps = np.array([[[0.9, 0.5, 0.25, 0.25]], [[0.1, 0.25, 0.125, 0.75]]], np.float16)
    save_scores(tmp_path, "a", [1, 2], maps)
    scan = scan_thresholds(tmp_path, tmp_path / "truth", NAMES, [0.5, 0, 0.25, 0.75, 0.5])
    assert scan.thresholds == (0, 0.25, 0.5, 0.75)
    # above 0: 1 1 1 2; above 0.25: 1 1 0 2, all right; above 0.5 (0.5 is not): 1 0 0 2; above 0.75: 1 0 0 0
    assert scan.mious == pytest.approx([(0 + 2 / 3 + 1) / 3, 1, (1 / 2 + 1 / 2 + 1) / 3, (1 / 3 + 1 / 2 + 0) / 3])
    assert (scan.oracle_threshold, scan.oracle_miou) == (0.25, 1)


def test_equals_labelling_at_each_threshold(tmp_path):
    rng = np.random.default_rng(0)
    thresholds = [0.2, 0.4, 0.5, 0.6, 0.8]
    expected = [ConfusionMatrix(NAMES) for _ in thresholds]
    for image, shape in (("a", (30, 40)), ("b", (25, 50))):
        truth = rng.integers(0, 3, shape).astype(np.uint8)
        truth[0] = 255
        maps = rng.random((2, 10, 13)).astype(np.float16)
        write_mask(tmp_path / "truth" / f"{image}.png", truth)
        save_scores(tmp_path, image, [2, 1], maps)
        cow, cat = (cv2.resize(plane.astype(np.float32), shape[::-1]) for plane in maps)  # bilinear
        for matrix, t in zip(expected, thresholds, strict=True):
            labels = np.zeros(shape, np.uint8)
            labels[(cow > t) & (cow >= cat)] = 2
            labels[(cat > t) & (cat > cow)] = 1
            matrix.add(labels, truth)
    scan = scan_thresholds(tmp_path, tmp_path / "truth", NAMES, thresholds, named=["background", "cow"])
    assert [matrix.counts.tolist() for matrix in scan.matrices] == [matrix.counts.tolist() for matrix in expected]
    assert scan.mious == [matrix.miou(["background", "cow"]) for matrix in expected]
    assert scan.images == 2 and len(set(scan.mious)) == len(thresholds)


def test_no_label_is_background_and_labels_are_matched_by_name(tmp_path):
    write_mask(tmp_path / "truth" / "a.png", np.zeros((4, 4), np.uint8))
    write_mask(tmp_path / "truth" / "b.png", np.full((4, 4), 2, np.uint8))
    save_scores(tmp_path, "a", [], np.zeros((0, 2, 2), np.float16))
    save_scores(tmp_path, "b", [1], np.ones((1, 2, 2), np.float16))
    arguments = (tmp_path, tmp_path / "truth", NAMES, [0.5])
    scan = scan_thresholds(*arguments, prediction_classes=["background", "cow"])
    assert scan.matrices[0].iou().tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("labels", "maps", "message"),
    [
        ([1, 1], np.zeros((2, 2, 2), np.float16), "labels must differ"),
        ([0], np.zeros((1, 2, 2), np.float16), "none be 0"),
        ([3], np.zeros((1, 2, 2), np.float16), "label 3 has no class: there are 3"),
        ([1], np.zeros((2, 2, 2), np.float16), "one map per label"),
        ([1], np.zeros((1, 0, 2), np.float16), "one map per label"),
        ([1], np.zeros((2, 2), np.float16), r"probabilities \(K, h, w\) float"),
        ([1], np.zeros((1, 2, 2), np.uint8), r"probabilities \(K, h, w\) float"),
        ([1], np.full((1, 2, 2), np.nan, np.float16), r"must be in \[0, 1\]"),
        ([1], np.full((1, 2, 2), 1.5, np.float16), r"must be in \[0, 1\]"),
    ],
)
def test_bad_scores_are_recorded(tmp_path, labels, maps, message):
    for image in ("a", "b"):
        write_mask(tmp_path / "truth" / f"{image}.png", np.zeros((4, 4), np.uint8))
    save_scores(tmp_path, "a", [1], np.zeros((1, 2, 2), np.float16))
    save_scores(tmp_path, "b", labels, maps)
    scan = scan_thresholds(tmp_path, tmp_path / "truth", NAMES, [0.5])
    [item] = scan.bad
    assert scan.images == 1 and item.where == str(tmp_path / "scores" / "b.npz")
    assert re.search(message, item.problem)


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 cut short"])
def test_unreadable_scores(tmp_path, content):
    write_mask(tmp_path / "truth" / "a.png", np.zeros((4, 4), np.uint8))
    (tmp_path / "scores").mkdir()
    (tmp_path / "scores" / "a.npz").write_bytes(content)
    with pytest.raises(UserError, match="nothing could be scored: 1 bad; the first: scores cannot be read"):
        scan_thresholds(tmp_path, tmp_path / "truth", NAMES, [0.5])


def test_other_files_are_no_scores(tmp_path):
    write_mask(tmp_path / "truth" / "a.png", np.zeros((4, 4), np.uint8))
    arguments = (tmp_path, tmp_path / "truth", NAMES, [0.5])
    with pytest.raises(UserError, match="folder of predicted masks not found"):
        scan_thresholds(*arguments)
    (tmp_path / "scores").mkdir()
    with pytest.raises(UserError, match="scores not found"):
        scan_thresholds(*arguments)
    np.savez(tmp_path / "scores" / "a.npz", labels=np.zeros(0, np.uint8))
    with pytest.raises(UserError, match="scores cannot be read"):
        scan_thresholds(*arguments)
    np.savez(tmp_path / "scores" / "a.npz", labels=np.array([None]), probabilities=np.zeros((1, 2, 2)))
    with pytest.raises(UserError, match="scores cannot be read"):  # a pickle is never opened
        scan_thresholds(*arguments)
    with (tmp_path / "scores" / "a.npz").open("wb") as stream:
        np.save(stream, np.zeros(3))
    with pytest.raises(UserError, match="scores cannot be read"):
        scan_thresholds(*arguments)


@pytest.mark.parametrize("thresholds", [[], [0.5, 1.5], [-0.1], [float("nan")]])
def test_bad_thresholds(tmp_path, thresholds):
    with pytest.raises(ValueError, match=r"thresholds must be at least one number in \[0, 1\]"):
        scan_thresholds(tmp_path, tmp_path, NAMES, thresholds)


def test_written_beside_the_metrics_and_named_oracle(tmp_path):
    truth = np.array([[0, 1], [2, 0]], np.uint8)
    write_mask(tmp_path / "truth" / "a.png", truth)
    write_mask(tmp_path / "a.png", truth)
    save_scores(tmp_path, "a", [1], np.full((1, 2, 2), 0.4, np.float16))
    results = evaluate_images(tmp_path, tmp_path / "truth", NAMES)
    scan = scan_thresholds(tmp_path, tmp_path / "truth", NAMES, [0.25, 0.75])
    write_image_results(tmp_path / "out", results, scan)
    found = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert found["miou"] == 1  # the result stays what the masks give
    assert found["threshold_scan"]["oracle_threshold"] == 0.75
    assert found["threshold_scan"]["oracle_miou"] == pytest.approx(0.5 / 3)
    assert (tmp_path / "out" / "thresholds.csv").read_text().splitlines()[0] == "threshold,miou"
