"""Stage evaluate through its own code: names of labels, masks of other tools, relevance."""

from __future__ import annotations

import csv
import json
from types import SimpleNamespace

import numpy as np
import pytest

from wsvs.config.groups import TaggedData
from wsvs.config.stages import EvaluateSettings
from wsvs.core.errors import UserError
from wsvs.core.files import write_json, write_jsonl
from wsvs.core.masks import write_mask
from wsvs.metrics.mask_files import resolve_ids
from wsvs.records.shots import Clip, Shot, Video
from wsvs.stages import evaluate


@pytest.fixture
def masks(tmp_path):
    """Truth with labels 0, 2 and void; a prediction that gets half of label 2."""
    truth = np.array([[0, 0, 2, 2], [0, 255, 2, 2]], np.uint8)
    write_mask(tmp_path / "truth" / "a.png", truth)
    write_mask(tmp_path / "predictions" / "a.png", np.array([[0, 0, 2, 2], [0, 0, 0, 0]], np.uint8))
    return tmp_path


class FakeRun(SimpleNamespace):
    def skip(self, item, reason):
        self.skipped.append(item)

    def finish(self, **said):
        self.said = said


def run_on(folder, **settings) -> FakeRun:
    told = evaluate.Settings(
        TaggedData(), EvaluateSettings(**settings), str(folder / "predictions"), str(folder / "truth")
    )
    run = FakeRun(settings=told, inputs={}, dir=folder / "run", skipped=[], said={})
    evaluate.run(run)
    return run


def test_masks_without_a_data_set_are_scored_by_number(masks):
    run = run_on(masks)
    metrics = json.loads((masks / "run" / "metrics.json").read_text())
    # background: 3 right, 2 too many; label 1 nowhere; label 2: 2 of 4 found
    assert metrics["iou"] == pytest.approx({"background": 3 / 5, "1": 0, "2": 2 / 4})
    assert "mIoU (truth, images: 1)" in run.said["results"]


def test_named_classes_and_names_of_predictions(masks):
    run = run_on(masks, names=["background", "cat", "dog"], classes=["background", "dog"])
    assert run.said["results"]["mIoU (truth, images: 1)"] == pytest.approx((3 / 5 + 2 / 4) / 2)
    write_mask(masks / "predictions" / "a.png", np.array([[0, 0, 1, 1], [0, 0, 0, 0]], np.uint8))
    same = run_on(
        masks,
        names=["background", "cat", "dog"],
        classes=["background", "dog"],
        prediction_names=["background", "dog"],
    )
    assert same.said["results"] == run.said["results"]


def test_a_split_may_name_images_with_their_extension(masks):
    for split in ("a\n", "a.JPG\n"):
        (masks / "val.txt").write_text(split)
        assert run_on(masks, split=str(masks / "val.txt")).said["counts"]["images"] == 1
    write_mask(masks / "truth" / "b.png.png", np.zeros((1, 1), np.uint8))
    write_mask(masks / "predictions" / "b.png.png", np.zeros((1, 1), np.uint8))
    (masks / "val.txt").write_text("b.png\n")  # masks that are called so
    assert run_on(masks, split=str(masks / "val.txt")).said["counts"]["images"] == 1


def test_missing_folders():
    told = evaluate.Settings(TaggedData(), EvaluateSettings(), None, "x")
    with pytest.raises(UserError, match="nothing to score"):
        evaluate.run(SimpleNamespace(settings=told, inputs={}))


def test_true_masks_of_videos_lead_to_their_kind(tmp_path):
    with pytest.raises(UserError, match="no true mask to score against") as images:
        resolve_ids(tmp_path, None)
    write_mask(tmp_path / "bear" / "00000.png", np.zeros((4, 4), np.uint8))
    with pytest.raises(UserError, match=r"evaluate\.kind=video") as videos:
        resolve_ids(tmp_path, None)
    assert "<image id>" in str(images.value) and "<image id>" not in str(videos.value)


def whole(video, kind):
    """A line of videos.jsonl."""
    return Video(video, f"{video}.mp4", kind, [], 1, 1, 4, 4, 25.0, 1.0, 0).to_json()


def test_relevance_counts_frames_by_hand(masks):
    """Clip of 6 frames, 2 to 5 show the class; the shot has frames 3 to 5: precision 3/3, recall 3/4."""
    folder = masks / "predictions"
    write_jsonl(folder / "clips.jsonl", [Clip("c", "v", "cat", 0, 6).to_json()])
    write_jsonl(folder / "shots.jsonl", [Shot("s", "v", "cat", 3, 6).to_json()])
    table = masks / "truth.tsv"
    rows = [f"v\t{t}\t{int(t >= 2)}" for t in range(6)]
    table.write_text("\n".join(["video\tframe\trelevant", *rows]) + "\n")
    told = evaluate.Settings(TaggedData(), EvaluateSettings(kind="relevance"), str(folder), str(table))
    run = FakeRun(settings=told, inputs={}, dir=masks / "run", skipped=[], said={})
    evaluate.run(run)
    assert run.said["results"] == {"precision": 1.0, "recall": 0.75}
    assert run.said["counts"] == {"frames": 6, "relevant": 4, "chosen": 3}


def test_skipped_shots_are_reported_and_not_averaged(tmp_path):
    for shot in ("cat/a", "cat/b"):
        write_mask(tmp_path / "truth" / shot / "00000.png", np.ones((4, 4), np.uint8))
    write_mask(tmp_path / "predictions" / "masks" / "cat" / "a" / "00000.png", np.ones((4, 4), np.uint8))
    write_jsonl(tmp_path / "predictions" / "videos.jsonl", [whole("cat/a", "cat")])
    skipped = [{"item": name, "reason": "a reason"} for name in ("cat/a", "cat/b", "dog/c")]
    write_json(tmp_path / "predictions" / "skipped.json", skipped)  # the first is only shorter, the last has no truth
    run = run_on(tmp_path, kind="video")
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["video_average"] == 1 and metrics["complete"] is False
    where = str(tmp_path / "predictions" / "masks" / "cat" / "b")
    assert metrics["bad"] == [{"where": where, "problem": "not segmented: a reason"}] and run.skipped == [where]


@pytest.mark.parametrize("kind", ["folder", "shots", "whole videos"])
def test_boundary_f_of_videos_on_request(tmp_path, kind):
    """An edge at column 50, found; two more at 80 and 90, which are not there: P = 1/3, R = 1, F = 1/2, J = 50/60.

    In the second frame the one edge is 3 px off, and at 100 x 100 px 2 px are forgiven: F = 0, J = 50/53.
    """
    first, second, truth = (np.zeros((100, 100), np.uint8) for _ in range(3))
    truth[:, :50] = first[:, :50] = first[:, 80:90] = second[:, :53] = 1
    predictions, digits = tmp_path / "predictions", 5
    where = predictions / "a"
    if kind == "shots":
        shot = {"shot": "a_0", "class": "cat", "video": "a", "start": 0, "stop": 2, "clip_start": 0}
        write_jsonl(predictions / "shots.jsonl", [shot])
        where, digits = predictions / "masks" / "a_0", 6
    elif kind == "whole videos":
        write_jsonl(predictions / "videos.jsonl", [whole("a", "")])
        where = predictions / "masks" / "a"
    for number, mask in enumerate((first, second)):
        write_mask(where / f"{number:0{digits}d}.png", mask)
        write_mask(tmp_path / "truth" / "a" / f"{number:05d}.png", truth)

    def scored(boundary):
        said = run_on(tmp_path, kind="video", boundary=boundary).said["results"]
        metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
        columns = []
        for name in ("per_video.csv", "per_frame.csv"):
            with (tmp_path / "run" / name).open() as stream:
                columns += [row["boundary_f"] for row in csv.DictReader(stream)]
        assert said["J, video average"] == metrics["video_average"] == pytest.approx((50 / 60 + 50 / 53) / 2)
        return said.get("boundary F, video average"), metrics["boundary_video_average"], columns

    average, stored, columns = scored(True)
    assert average == stored == pytest.approx(0.25)
    assert [float(value) for value in columns] == pytest.approx([0.25, 0.5, 0])  # of the video, then of its frames
    assert scored(False) == (None, None, ["", "", ""])
