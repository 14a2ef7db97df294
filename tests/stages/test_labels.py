"""What labels of true and predicted masks mean: names decide, and what is not certain is refused or told."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from wsvs.config.groups import TaggedData
from wsvs.config.stages import EvaluateSettings
from wsvs.core.classes import voc_palette
from wsvs.core.errors import UserError
from wsvs.core.masks import write_mask
from wsvs.stages import evaluate

TWO = ["background", "cat"]
THREE = ["background", "cat", "dog"]
OBJECT = np.array([[0, 0, 1, 1], [0, 0, 1, 1]], np.uint8)
BOTH = np.array([[0, 1, 2, 2], [0, 0, 1, 2]], np.uint8)


class FakeRun(SimpleNamespace):
    def skip(self, item, reason):
        self.skipped.append(reason)

    def finish(self, **said):
        self.said = said


def scored(
    folder: Path, kind: str = "image", truth: str = "truth", predictions: str = "predictions", **settings
) -> tuple[dict, FakeRun]:
    told = evaluate.Settings(
        TaggedData(), EvaluateSettings(kind=kind, **settings), str(folder / predictions), str(folder / truth)
    )
    run = FakeRun(settings=told, inputs={}, dir=folder / "run", skipped=[], said={})
    evaluate.run(run)
    return json.loads((folder / "run" / "metrics.json").read_text()), run


def save(path: Path, pixels: np.ndarray, **options) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


def masks(folder: Path, truth: np.ndarray, prediction: np.ndarray = OBJECT, suffix: str = "png", **options) -> None:
    for name in ("a", "b"):
        save(folder / "truth" / f"{name}.{suffix}", truth, **options)
        write_mask(folder / "predictions" / f"{name}.png", prediction)


@pytest.mark.parametrize("names", [TWO, None])
@pytest.mark.parametrize("predicted", [1, 255])
def test_a_truth_of_0_and_255_is_one_object(tmp_path, caplog, names, predicted):
    masks(tmp_path, OBJECT * 255, OBJECT * predicted)
    metrics, run = scored(tmp_path, names=names)
    assert metrics["miou"] == 1 and metrics["complete"] and run.said["counts"]["images"] == 2
    assert "true masks hold only 0 and 255: 255 is read as the object" in metrics["notes"]
    assert ("predictions hold only 0 and 255" in caplog.text) == (predicted == 255)
    half = OBJECT.copy()
    half[0] = 0  # 2 of 4 pixels found: object 2/4, background 4/6
    masks(tmp_path, OBJECT * 255, half)
    assert scored(tmp_path, names=names)[0]["miou"] == pytest.approx((2 / 4 + 4 / 6) / 2)


def test_a_truth_of_0_and_255_with_more_names_is_refused(tmp_path):
    masks(tmp_path, OBJECT * 255)
    with pytest.raises(UserError, match="only 0 and 255: 255 is void") as caught:
        scored(tmp_path, names=THREE)
    assert "evaluate.names=[background,object]" in str(caught.value.remedy)


def test_void_stays_void_where_there_are_labels(tmp_path):
    truth = OBJECT.copy()
    truth[:, 1] = 255
    masks(tmp_path, truth)
    metrics, _ = scored(tmp_path, names=TWO)
    assert metrics["iou"] == {"background": 1, "cat": 1} and metrics["notes"] == [
        "the predictions have no labels.txt: their labels are those of evaluate.names: 0 background, 1 cat"
    ]


@pytest.mark.parametrize(
    "form", ["jpeg", "grey as colour", "palette as colour", "opaque", "grey with alpha", "16 bits"]
)
def test_true_masks_that_are_not_indexed(tmp_path, form):
    big = np.kron(OBJECT if form == "jpeg" else BOTH, np.ones((16, 16), np.uint8))
    colour = {
        "jpeg": big * 255,
        "grey as colour": np.repeat(big[..., None], 3, 2),
        "palette as colour": voc_palette()[big],
        "opaque": np.dstack([voc_palette()[big], np.full_like(big, 255)]),
        "16 bits": big.astype(np.uint16),
        "grey with alpha": np.dstack([big, np.full_like(big, 255)]),
    }[form]
    masks(tmp_path, colour, big, "jpg" if form == "jpeg" else "png")
    metrics, _ = scored(tmp_path, names=TWO if form == "jpeg" else THREE)
    assert metrics["miou"] == 1 and metrics["images"] == 2
    assert "true masks are" in metrics["notes"][0]


def test_true_masks_in_colours_of_no_known_palette_are_refused(tmp_path):
    masks(tmp_path, np.array([[3, 4, 5], [9, 9, 200]], np.uint8)[OBJECT])
    with pytest.raises(UserError, match=r"an unknown palette: \(3, 4, 5\), \(9, 9, 200\)"):
        scored(tmp_path, names=TWO)
    masks(tmp_path, np.dstack([voc_palette()[OBJECT], OBJECT * 255]))  # half transparent
    with pytest.raises(UserError, match="an unknown palette"):
        scored(tmp_path, names=TWO)
    masks(tmp_path, np.kron(BOTH, np.ones((9, 9), np.uint8)), suffix="jpg")
    for name in ("a", "b"):
        (tmp_path / "truth" / f"{name}.png").unlink()
    with pytest.raises(UserError, match="true masks are JPEG files"):
        scored(tmp_path, names=THREE)


def test_labels_from_1_are_refused_with_their_offset(tmp_path):
    masks(tmp_path, BOTH + 1, BOTH)
    with pytest.raises(UserError, match="labels from 1 to 3 and nowhere 0") as caught:
        scored(tmp_path, names=THREE)
    assert "evaluate.truth_offset=1" in str(caught.value.remedy)


def test_labels_from_1_are_read_with_their_offset(tmp_path):
    masks(tmp_path, BOTH + 1, BOTH)
    assert scored(tmp_path, names=THREE, truth_offset=1)[0]["iou"] == {"background": 1, "cat": 1, "dog": 1}
    truth = BOTH + 1
    truth[0, 0] = 0  # below the first label: void
    masks(tmp_path, truth, BOTH)
    assert scored(tmp_path, names=THREE, truth_offset=1)[0]["miou"] == 1


def test_labels_that_may_be_from_1_get_a_note(tmp_path):
    masks(tmp_path, OBJECT + 1, OBJECT)
    assert "numbered from 1 give evaluate.truth_offset=1" in scored(tmp_path, names=THREE)[0]["notes"][0]


def test_both_means_and_the_classes_that_are_absent(tmp_path):
    masks(tmp_path, OBJECT)
    metrics, run = scored(tmp_path, names=[*THREE, "fox"])
    assert (metrics["miou"], metrics["miou_present"], metrics["absent"]) == (2 / 4, 1, ["dog", "fox"])
    assert run.said["results"]["mIoU (truth, images: 2)"] == 0.5
    assert run.said["results"]["mIoU (truth), over the classes that occur: 2"] == 1
    assert run.said["counts"]["classes in no mask, 0 in the mIoU"] == "dog, fox"
    metrics, run = scored(tmp_path, names=TWO)
    assert metrics["miou"] == metrics["miou_present"] == 1 and metrics["absent"] == []
    assert not any("present" in key for key in run.said["results"])


def test_names_beside_the_predictions_decide(tmp_path):
    swapped = np.array([0, 2, 1], np.uint8)[BOTH]
    masks(tmp_path, BOTH, swapped)
    (tmp_path / "predictions" / "labels.txt").write_text("background\ndog\ncat\n")
    assert scored(tmp_path, names=THREE)[0]["miou"] == 1
    with pytest.raises(UserError, match="those of the true masks have none") as caught:
        scored(tmp_path)
    assert "'evaluate.names=[background,dog,cat]'" in str(caught.value.remedy)
    (tmp_path / "truth" / "labels.txt").write_text("background\ncat\ndog\n")
    metrics, _ = scored(tmp_path)
    assert metrics["miou"] == 1 and metrics["prediction_names"] == ["background", "dog", "cat"]
    assert scored(tmp_path, prediction_names=THREE)[0]["miou"] < 0.5  # what the user says goes before the file
    (tmp_path / "predictions" / "labels.txt").write_text("background\nDog\nfox\n")
    with pytest.raises(UserError, match=r"does not name: Dog, fox \(did you mean 'dog' for 'Dog'\?\)") as caught:
        scored(tmp_path)
    assert "evaluate.prediction_names" in str(caught.value.remedy)


def test_names_above_a_folder_of_masks(tmp_path):
    """As stage export writes VOC, and as stages adapt and segment keep their masks."""
    masks(tmp_path, BOTH, BOTH)
    (tmp_path / "voc").mkdir()
    (tmp_path / "truth").rename(tmp_path / "voc" / "SegmentationClass")
    (tmp_path / "voc" / "labels.txt").write_text("background\ncat\ndog\n")
    (tmp_path / "run").mkdir()
    (tmp_path / "predictions").rename(tmp_path / "run" / "masks")
    (tmp_path / "run" / "labels.txt").write_text("background\ndog\ncat\n")
    metrics, _ = scored(tmp_path, truth="voc/SegmentationClass", predictions="run/masks")
    # label 1 is dog here and cat there: 4 of 8 pixels are wrong
    assert metrics["iou"] == {"background": 1, "cat": 0, "dog": 0}


def test_labels_beyond_the_names_of_the_data_are_refused(tmp_path):
    masks(tmp_path, BOTH, BOTH)
    (tmp_path / "truth" / "labels.txt").write_text("background\ncat\n")
    with pytest.raises(UserError, match=r"true masks hold label 2, but labels.txt .* name labels 0 to 1"):
        scored(tmp_path)


def test_sizes_that_are_swapped_are_reported(tmp_path):
    masks(tmp_path, OBJECT.T.copy(), OBJECT)
    masks(tmp_path / "x", OBJECT, OBJECT)
    (tmp_path / "x" / "truth" / "a.png").rename(tmp_path / "truth" / "c.png")
    (tmp_path / "x" / "predictions" / "a.png").rename(tmp_path / "predictions" / "c.png")
    metrics, run = scored(tmp_path, names=TWO)
    assert metrics["images"] == 1 and not metrics["complete"]
    assert all("width and height are swapped" in reason and "EXIF" in reason for reason in run.skipped)


def frames(folder: Path, numbers: range, left: int = 0) -> None:
    """An object that moves one pixel a frame."""
    for place, number in enumerate(numbers):
        mask = np.zeros((4, 16), np.uint8)
        mask[:, place + left : place + left + 4] = 1
        write_mask(folder / f"{number:05d}.png", mask)


def test_true_frames_that_are_numbered_from_1(tmp_path, caplog):
    """One frame off, 3 of 5 pixels meet; the first true frame has no mask then, and the last mask no true one."""
    frames(tmp_path / "truth" / "v", range(1, 9))
    frames(tmp_path / "predictions" / "v", range(8))
    metrics, _ = scored(tmp_path, "video")
    assert metrics["video_average"] == 1 and metrics["truth_offset"] == 1 and metrics["complete"]
    assert "mask 1 is scored as frame 0" in caplog.text
    metrics, _ = scored(tmp_path, "video", truth_offset=0)
    assert metrics["video_average"] == pytest.approx(3 / 5) and not metrics["complete"]


def test_true_frames_that_may_be_numbered_from_1(tmp_path, caplog):
    frames(tmp_path / "truth" / "v", range(1, 5))
    frames(tmp_path / "predictions" / "v", range(8))
    metrics, _ = scored(tmp_path, "video")
    assert metrics["truth_offset"] == 0 and metrics["video_average"] == pytest.approx(3 / 5)
    assert "if they are numbered from 1 give evaluate.truth_offset=1" in caplog.text
    assert scored(tmp_path, "video", truth_offset=1)[0]["video_average"] == 1
    caplog.clear()
    frames(tmp_path / "truth" / "w", range(4))
    frames(tmp_path / "predictions" / "w", range(4))
    assert scored(tmp_path, "video")[0]["truth_offset"] == 0 and "numbered from 1" not in caplog.text


def test_predicted_labels_that_the_truth_lacks_have_numbers_too(tmp_path):
    masks(tmp_path, OBJECT, OBJECT * 2)
    metrics, _ = scored(tmp_path)
    assert metrics["iou"] == {"background": 1, "1": 0, "2": 0} and metrics["complete"]
