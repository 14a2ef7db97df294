"""Evaluation of mask files: what is scored, what is recorded as bad, and what is written."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from wsvs.core.errors import UserError
from wsvs.core.masks import write_mask
from wsvs.metrics import evaluate_images, evaluate_video, write_image_results, write_video_results

NAMES = ["background", "cat", "cow"]
TRUTH = np.array([[0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 2, 2], [255, 0, 2, 2]], np.uint8)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Two images: one predicted perfectly, one as all background."""
    predictions, truth = tmp_path / "predictions", tmp_path / "truth"
    for name, guess in (("one", np.where(TRUTH == 255, 0, TRUTH)), ("two", np.zeros_like(TRUTH))):
        write_mask(truth / f"{name}.png", TRUTH)
        write_mask(predictions / f"{name}.png", guess.astype(np.uint8))
    return predictions, truth


def test_images_by_hand(folders):
    results = evaluate_images(*folders, NAMES)
    # twice 15 counted pixels: 7 background, 4 cat, 4 cow
    assert results.matrix.counts.tolist() == [[14, 0, 0], [4, 4, 0], [4, 0, 4]]
    assert results.matrix.iou().tolist() == [14 / 22, 4 / 8, 4 / 8]
    assert results.miou == pytest.approx((14 / 22 + 1) / 3)
    assert (results.images, results.bad) == (2, [])


def test_split_and_named_classes(folders):
    results = evaluate_images(*folders, NAMES, ids=["one"], named=["background", "cow"])
    assert results.images == 1 and results.miou == 1
    metrics = results.metrics()
    assert metrics["averaged_over"] == ["background", "cow"] and list(metrics["iou"]) == ["background", "cow"]
    assert metrics["complete"] and metrics["pixel_accuracy"] == 1


def test_progress_sees_every_id(folders):
    seen: list[str] = []
    evaluate_images(*folders, NAMES, progress=lambda ids: (seen.append(image) or image for image in ids))
    assert seen == ["one", "two"]


def test_labels_of_fewer_classes_are_matched_by_name(folders):
    predictions, truth = folders
    write_mask(predictions / "one.png", np.array([[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]], np.uint8))
    results = evaluate_images(predictions, truth, NAMES, ids=["one"], prediction_classes=["background", "cow"])
    assert results.matrix.iou().tolist() == [7 / 11, 0, 1]


def test_unknown_class_of_the_predictions_is_refused(folders):
    with pytest.raises(ValueError, match="prediction_classes must be different ones of"):
        evaluate_images(*folders, NAMES, prediction_classes=["background", "dog"])


def test_label_beyond_the_classes_of_the_predictions_is_refused(folders):
    write_mask(folders[0] / "one.png", np.full_like(TRUTH, 2))
    with pytest.raises(UserError, match="prediction has label 2, but its 2 classes are labels 0 to 1"):
        evaluate_images(*folders, NAMES, ids=["one"], prediction_classes=["background", "cow"])


def broken_png(path: Path) -> None:
    path.write_bytes(b"\x89PNG\r\n\x1a\nnot a picture")


def truncated_png(path: Path) -> None:
    write_mask(path, np.random.default_rng(0).integers(0, 3, (64, 64)).astype(np.uint8))
    path.write_bytes(path.read_bytes()[:300])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.unlink(), "mask not found"),
        (broken_png, "mask cannot be read"),
        (truncated_png, "mask cannot be read"),
        (lambda path: Image.new("RGB", (4, 4)).save(path), "mode RGB, not labels"),
        (lambda path: Image.new("I;16", (4, 4)).save(path), "not labels"),
        (lambda path: write_mask(path, np.zeros((5, 4), np.uint8)), "prediction is 4x5 but its true mask is 4x4"),
        (lambda path: write_mask(path, np.full((4, 4), 3, np.uint8)), "prediction has label 3"),
        (lambda path: write_mask(path, np.full((4, 4), 255, np.uint8)), "255 marks void in the truth only"),
    ],
)
def test_bad_prediction_is_recorded_and_left_out(folders, spoil, message):
    predictions, truth = folders
    spoil(predictions / "two.png")
    results = evaluate_images(predictions, truth, NAMES)
    assert results.images == 1 and results.miou == 1
    [item] = results.bad
    assert message in item.problem and item.where == str(predictions / "two.png")
    assert results.metrics()["complete"] is False
    assert results.metrics()["bad"] == [{"where": str(predictions / "two.png"), "problem": item.problem}]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.unlink(), "mask not found"),
        (lambda path: write_mask(path, np.full((4, 4), 7, np.uint8)), "true mask has label 7, but the 3 classes"),
    ],
)
def test_bad_truth_is_recorded(folders, spoil, message):
    predictions, truth = folders
    spoil(truth / "two.png")
    results = evaluate_images(predictions, truth, NAMES, ids=["one", "two"])
    assert results.images == 1
    assert message in results.bad[0].problem and results.bad[0].where == str(truth / "two.png")


def test_nothing_to_score_is_an_error(folders, tmp_path):
    predictions, truth = folders
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="nothing could be scored: 2 bad; the first: mask not found"):
        evaluate_images(tmp_path / "empty", truth, NAMES)
    with pytest.raises(UserError, match="no true mask"):
        evaluate_images(predictions, tmp_path / "empty", NAMES)
    with pytest.raises(UserError, match="no true mask"):
        evaluate_images(predictions, truth, NAMES, ids=[])
    with pytest.raises(UserError, match="folder of predicted masks not found"):
        evaluate_images(tmp_path / "nowhere", truth, NAMES)
    with pytest.raises(UserError, match="folder of true masks not found"):
        evaluate_images(predictions, tmp_path / "nowhere", NAMES)
    with pytest.raises(ValueError, match="names must be different ones"):
        evaluate_images(predictions, truth, NAMES, named=["dog"])


def test_written_files(folders, tmp_path):
    predictions, truth = folders
    results = evaluate_images(predictions, truth, NAMES, named=["background", "cat"])
    out = tmp_path / "out"
    paths = write_image_results(out, results)
    assert [path.name for path in paths] == ["per_class.csv", "confusion.csv", "metrics.json"]
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["miou"] == pytest.approx((14 / 22 + 1 / 2) / 2) and metrics["images"] == 2
    with (out / "confusion.csv").open() as stream:
        heading, *rows = list(csv.reader(stream))
    assert heading[1:] == NAMES
    assert rows == [["background", "14", "0", "0"], ["cat", "4", "4", "0"], ["cow", "4", "0", "4"]]
    with (out / "per_class.csv").open() as stream:
        table = list(csv.DictReader(stream))
    assert [(row["class"], float(row["iou"]), row["averaged"]) for row in table] == [
        ("background", 14 / 22, "True"),
        ("cat", 0.5, "True"),
        ("cow", 0.5, "False"),
    ]
    assert sorted(path.name for path in out.iterdir()) == sorted(path.name for path in paths)  # no temporary file


# ---- videos

LEFT = np.array([[True, True, False, False]] * 4)


def save(path: Path, mask: np.ndarray, how: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if how == "1-bit":
        Image.fromarray(mask.astype(np.uint8) * 255).convert("1", dither=Image.Dither.NONE).save(path)
    elif how == "0/255":
        Image.fromarray(mask.astype(np.uint8) * 255).save(path)
    elif how == "indexed":
        write_mask(path, mask.astype(np.uint8) * 8)
    else:  # jpeg, blurred values on both sides of the middle
        Image.fromarray(np.where(mask, 200, 60).astype(np.uint8)).save(path, quality=95)


@pytest.mark.parametrize("how", ["1-bit", "0/255", "indexed", "jpeg"])
def test_every_kind_of_true_mask(tmp_path, how):
    big = np.kron(LEFT, np.ones((8, 8), bool))
    save(tmp_path / "truth" / "v" / ("00000.jpg" if how == "jpeg" else "00000.png"), big, how)
    save(tmp_path / "ours" / "v" / "00000.png", big, "1-bit")
    assert evaluate_video(tmp_path / "ours", tmp_path / "truth").scores.by_shot() == {"v": 1.0}


def test_videos_by_hand(tmp_path):
    ours, truth = tmp_path / "ours", tmp_path / "truth"
    for frame, guess in ((0, LEFT), (10, ~LEFT)):
        save(truth / "cats" / "a" / f"{frame:05d}.png", LEFT, "1-bit")
        save(ours / "cats" / "a" / f"{frame:06d}.png", guess, "indexed")  # six digits meet five
    save(ours / "cats" / "a" / "000005.png", LEFT, "indexed")  # no true mask: not scored
    save(truth / "b" / "00003.png", LEFT, "0/255")
    save(ours / "b" / "00003.png", LEFT[:2, :], "1-bit")  # half the height: rows are doubled
    results = evaluate_video(ours, truth, {"cats/a": "cat", "b": "bus"}, boundary=True)
    assert results.scores.by_shot() == {"cats/a": 0.5, "b": 1.0}
    metrics = results.metrics()
    assert metrics["by_class"] == {"bus": 1.0, "cat": 0.5} and metrics["class_average"] == 0.75
    assert (metrics["videos"], metrics["frames"], metrics["complete"]) == (2, 3, True)
    assert metrics["frame_average"] == pytest.approx(2 / 3)

    paths = write_video_results(tmp_path / "out", results)
    assert [path.name for path in paths] == ["per_class.csv", "per_video.csv", "per_frame.csv", "metrics.json"]
    with (tmp_path / "out" / "per_video.csv").open() as stream:
        rows = {row["video"]: row for row in csv.DictReader(stream)}
    assert rows["cats/a"]["class"] == "cat" and float(rows["cats/a"]["j"]) == 0.5 and rows["b"]["frames"] == "1"
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["video_average"] == 0.75

    without = evaluate_video(ours, truth)
    assert list(without.scores.frames) == ["b", "cats/a"]
    assert without.metrics()["class_average"] is None and without.metrics()["by_class"] == {}


def test_bad_frames_and_videos_are_recorded(tmp_path):
    ours, truth = tmp_path / "ours", tmp_path / "truth"
    for frame in range(3):
        save(truth / "a" / f"{frame:05d}.png", LEFT, "1-bit")
        save(truth / "b" / f"{frame:05d}.png", LEFT, "1-bit")
        save(truth / "c" / f"{frame:05d}.png", LEFT, "1-bit")
        save(ours / "a" / f"{frame:05d}.png", LEFT, "1-bit")
    save(ours / "b" / "frame0.png", LEFT, "1-bit")
    (ours / "a" / "00001.png").unlink()
    broken_png(ours / "a" / "00002.png")
    results = evaluate_video(ours, truth)
    assert results.scores.by_shot() == {"a": 1.0}
    assert [(item.where, item.problem.split(":")[0]) for item in results.bad] == [
        (str(ours / "a" / "00001.png"), "mask not found"),
        (str(ours / "a" / "00002.png"), "mask cannot be read"),
        (str(ours / "b" / "frame0.png"), "a mask's name must be its frame's number"),
        (str(ours / "c"), "no predicted masks of this video"),
    ]
    assert results.metrics()["complete"] is False


def test_bad_true_masks_and_two_masks_of_a_frame(tmp_path):
    ours, truth = tmp_path / "ours", tmp_path / "truth"
    for video in ("a", "b", "c"):
        save(truth / video / "00000.png", LEFT, "1-bit")
        save(ours / video / "00000.png", LEFT, "1-bit")
    save(ours / "b" / "000.png", LEFT, "1-bit")
    (truth / "c" / "00001.jpg").write_bytes(b"no picture")
    results = evaluate_video(ours, truth, dict.fromkeys(["a", "b", "c", "d"], "cat"))
    assert results.scores.by_shot() == {"a": 1.0, "c": 1.0}
    assert [item.problem.split(":")[0] for item in results.bad] == [
        "two masks of frame 0",
        "mask cannot be read",
        "no true masks of this video",
    ]


def test_linked_folders_of_masks_are_videos(tmp_path):
    mask = np.eye(4, dtype=np.uint8)
    write_mask(tmp_path / "elsewhere" / "00000.png", mask)
    write_mask(tmp_path / "predictions" / "cat" / "v" / "00000.png", mask)
    (tmp_path / "truth" / "cat").mkdir(parents=True)
    (tmp_path / "truth" / "cat" / "v").symlink_to(tmp_path / "elsewhere")
    results = evaluate_video(tmp_path / "predictions", tmp_path / "truth")
    assert list(results.scores.by_shot()) == ["cat/v"] and results.metrics()["frame_average"] == 1


def test_no_videos_is_an_error(tmp_path):
    ours, truth = tmp_path / "ours", tmp_path / "truth"
    ours.mkdir()
    with pytest.raises(UserError, match="folder of true masks not found"):
        evaluate_video(ours, truth)
    truth.mkdir()
    with pytest.raises(UserError, match="no true masks here"):
        evaluate_video(ours, truth)
    save(truth / "a" / "00000.png", LEFT, "1-bit")
    with pytest.raises(UserError, match="nothing could be scored: 1 bad; the first: no predicted masks"):
        evaluate_video(ours, truth)


def test_real_masks_against_themselves(real_data, tmp_path):
    truth = real_data / "data" / "voc_animals" / "SegmentationClass"
    davis = real_data / "data" / "davis_train" / "masks"
    if not truth.is_dir() or not davis.is_dir():
        pytest.skip("no VOC or DAVIS masks in WSVS_REAL_DATA")
    ids = sorted(path.stem for path in truth.glob("*.png"))[:20]
    names = [str(label) for label in range(21)]
    with pytest.raises(UserError, match="255 marks void in the truth only"):  # true masks hold void
        evaluate_images(truth, truth, names, ids=ids)
    for image in ids:
        labels = np.asarray(Image.open(truth / f"{image}.png"))
        write_mask(tmp_path / f"{image}.png", np.where(labels == 255, 0, labels).astype(np.uint8))
    results = evaluate_images(tmp_path, truth, names, ids=ids)
    assert results.images == 20 and results.matrix.iou().tolist() == (~results.matrix.absent).tolist()
    assert results.matrix.iou().sum() > 5
    scores = evaluate_video(davis, davis, {"bear": "bear"}).scores
    assert scores.by_shot() == {"bear": 1.0} and len(scores.frames["bear"]) > 50
