"""Stage data on the user's own images and videos and on a download; stage submit."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.films import make_film, pictures
from wsvs.core.masks import write_mask
from wsvs.engine import status as statuses
from wsvs.nets.backbones import build_backbone
from wsvs.nets.weights import load_backbone_weights
from wsvs.stages.data import SMALL, SMALL_BACKBONE


def save(path: Path, size=(12, 8)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), np.uint8)).save(path)


@pytest.fixture
def own(tmp_path) -> Path:
    for name in ("cat/1.jpg", "cat/2.jpg", "dog/1.png"):
        save(tmp_path / "images" / name)
    make_film(tmp_path / "videos" / "cat" / "a.mp4", 50)
    make_film(tmp_path / "videos" / "fox" / "a.mp4", 5)
    (tmp_path / "videos" / "dog").mkdir()
    (tmp_path / "videos" / "dog" / "broken.mp4").write_bytes(b"no video")
    return tmp_path


def report(out: Path) -> dict:
    [path] = out.glob("outputs/default/data/*/report.json")
    return json.loads(path.read_text())


def test_own_data_passes_over_what_cannot_be_used(wsvs, own):
    status, said, _ = wsvs("stage=data", "data=tags", "data.root=images", "retrieve.root=videos")
    assert status == 3
    found = report(own)
    assert found["counts"] == {
        "ids": 3,
        "images": 3,
        "usable images": 3,
        "classes": 2,
        "videos": 3,
        "usable videos": 1,
    }
    assert found["by_class"] == {
        "cat": {"images": 2, "videos": 1, "minutes of video": 0.03},
        "dog": {"images": 1, "videos": 0, "minutes of video": 0.0},
    }
    told = [problem["what"] for problem in found["problems"]]
    assert told == [
        "videos that cannot be read",
        "videos without a class of the images",
        "classes without a video, whose shapes the decoder cannot learn",
    ]
    assert "fox/a" in said and "dog/broken" in said and "minutes of video" in said
    [skipped] = own.glob("outputs/default/data/*/skipped.json")
    assert len(json.loads(skipped.read_text())) == 3


@pytest.mark.parametrize(
    ("backbone", "given", "told", "words"),
    [
        ("efficientnet_lite2", [], "these are EfficientNet-Lite2's weights, the model is VGG-16", ["experiment=small"]),
        ("squeezenet1_1", ["decoder.steps=9"], "these are Squeeze", ["decoder.steps=9", "model=squeezenet1_1"]),
        ("efficientnet_lite2", ["experiment=small"], None, ["experiment=small"]),
        (
            "squeezenet1_1",  # of a command written for an earlier version
            ["experiment=small"],
            "these are SqueezeNet 1.1's weights, the model is EfficientNet-Lite2",
            ["experiment=small", "model=squeezenet1_1"],
        ),
        (
            "resnet50v2",
            ["experiment=small"],
            "these are ResNet-50 v2's weights, the model is EfficientNet-Lite2",
            ["experiment=small", "model=resnet50v2"],
        ),
    ],
)
def test_the_next_command_names_the_model_of_the_weights(
    wsvs, own, composed, monkeypatch, caplog, backbone, given, told, words
):
    caplog.set_level("INFO", "wsvs")
    path = own / "my weights.pth"
    torch.save(build_backbone(backbone).state_dict(), path)
    (own / "images").rename(own / "it's [mine]")
    root = "data.root='it\\'s [mine]'"
    base = [root, "retrieve.root=videos", "model.weights='my weights.pth'"]
    status, said, _ = wsvs("stage=data", *base, *given)
    assert status == 3
    assert (told is None and "weights, the model is" not in said) or told in said
    proposed = shlex.split(caplog.messages[-1].removeprefix("next: "))
    assert proposed == ["wsvs", "stage=pipeline", *base, *words]
    cfg = composed(*proposed[1:])
    load_backbone_weights(build_backbone(cfg.model.backbone), cfg.model.weights)
    monkeypatch.setattr(statuses, "_part", [])
    statuses.begin_part()  # as a step of a pipeline, whose next step would refuse them
    status, _, complaint = wsvs("stage=data", *base, *given)
    assert (status == 2 and told in complaint) if told else status == 3


def test_weights_against_the_named_model_are_refused(wsvs, own):
    torch.save(build_backbone("squeezenet1_1").state_dict(), own / "w.pth")
    base = ["stage=data", "data.root=images", "model.weights=w.pth"]
    status, _, complaint = wsvs(*base, "model=vgg16")
    assert status == 2 and "these are SqueezeNet 1.1's weights, the model is VGG-16" in complaint
    assert "use model=squeezenet1_1, or give weights of VGG-16" in complaint
    assert "where: model.weights=w.pth" in complaint
    (own / "w.pth").write_bytes(b"half")
    status, _, complaint = wsvs(*base, "model=squeezenet1_1")
    assert status == 2 and "weights cannot be read" in complaint


def test_small_experiment_has_the_proposed_backbone(composed):
    assert composed("stage=data", f"experiment={SMALL}").model.backbone == SMALL_BACKBONE


def test_truncated_videos_are_skipped(wsvs, own):
    for name in ("b.mp4", "c.mkv"):
        path = make_film(own / "videos" / "cat" / name, 120, faststart=name.endswith("mp4"))
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    status, said, _ = wsvs("stage=data", "data.root=images", "retrieve.root=videos")
    assert status == 3 and "cat/c (the video breaks off" in said
    counts = report(own)["counts"]
    assert (counts["videos"], counts["usable videos"]) == (5, 1)


def problems(out: Path) -> dict[str, list[str]]:
    return {problem["what"]: problem["items"] for problem in report(out)["problems"]}


def test_short_videos_are_reported(wsvs, own):
    make_film(own / "videos" / "dog" / "short.mp4", 5)
    assert wsvs("stage=data", "data.root=images", "retrieve.root=videos")[0] == 3
    told = problems(own)
    assert told["videos with fewer than relevance.min_frames=6 frames, which are not used"] == ["dog/short (frames: 5)"]


def test_folder_in_another_spelling_is_no_class_but_proposed(wsvs, own):
    (own / "videos" / "fox").rename(own / "videos" / "Dog")
    assert wsvs("stage=data", "data.root=images", "retrieve.root=videos")[0] == 3
    [foreign] = [items for what, items in problems(own).items() if "without a class" in what]
    assert foreign == ["Dog/a (did you mean 'dog'?)"]


def test_videos_of_no_class_can_distract(wsvs, own):
    said = wsvs("stage=data", "data.root=images", "retrieve.root=videos", "retrieve.foreign=assign")[1]
    assert "videos without a class, assigned to classes as distractors: 1" in said


def test_weights_that_are_not_there_are_a_fault(wsvs, own):
    status, said, complaint = wsvs("stage=data", "data.root=images", "model.weights=none.pth")
    assert status == 2 and "problems to fix first: 1; weights file not found" in complaint
    assert "model.weights is not given" not in said


def test_weights_that_are_not_given_are_reported(wsvs, own):
    assert "model.weights is not given" in wsvs("stage=data", "data.root=images", "experiment=small")[1]


def test_few_images_get_the_small_experiment_proposed(wsvs, own):
    assert "experiment=small" in wsvs("stage=data", "data.root=images", "retrieve.root=videos")[1]


def test_images_alone_and_without_a_fault(wsvs, own):
    status, said, _ = wsvs("stage=data", "data.root=images")
    assert status == 0 and "usable images" in said and "videos" not in report(own)["counts"]


def test_faults_that_stop_a_training_stop_here(wsvs, own):
    (own / "labels.tsv").write_text("id\ttags\ncat/1\tcat\ncat/7\tcat\n")
    status, said, complaint = wsvs("stage=data", "data.root=images", "data.labels=labels.tsv")
    assert status == 2
    assert "problems to fix first: 1; ids without an image file (1): cat/7" in complaint
    assert "must be fixed: ids without an image file (1)" in said
    assert report(own)["problems"][0]["fatal"] and not list(own.glob("outputs/default/data/*/summary.json"))


def test_videos_none_of_which_can_be_used(wsvs, own):
    (own / "videos" / "cat" / "a.mp4").write_bytes(b"")
    status, _, complaint = wsvs("stage=data", "data.root=images", "retrieve.root=videos")
    assert status == 2 and "no video can be used" in complaint


@pytest.mark.parametrize("data", ["voc12", "davis", "youtube_objects"])
def test_a_download_that_is_not_there(wsvs, data):
    status, said, complaint = wsvs("stage=data", f"data={data}")
    assert status == 2 and "a folder is missing" in complaint and "datasets/" in complaint
    assert "http" in said and "data.folder=DIR" in said


def test_stages_say_that_a_set_is_not_prepared_or_no_images(wsvs):
    status, _, complaint = wsvs("stage=encoder", "data=voc12", "trainer=cpu")
    assert status == 2 and "wsvs stage=data data=voc12 data.folder=datasets/VOC2012" in complaint
    status, _, complaint = wsvs("stage=encoder", "data=davis", "trainer=cpu")
    assert status == 2 and "data=davis are videos" in complaint


def test_submit(wsvs, own):
    write_mask(own / "masks" / "x.png", np.zeros((8, 12), np.uint8))
    save(own / "pictures" / "x.jpg")
    (own / "test.txt").write_text("x\n")
    words = ["stage=submit", "predictions=masks", "submit.ids=test.txt"]
    assert wsvs(*words, "input=pictures")[0] == 0
    assert len(list(own.glob("outputs/default/submit/*/comp6_test.tar.gz"))) == 1
    assert wsvs(*words[:2])[0] == 2 and "submit.ids=FILE" in wsvs(*words[:2])[2]
    assert "predictions=DIR" in wsvs("stage=submit")[2]


@pytest.mark.slow
def test_prepared_shots_are_segmented_and_scored(wsvs, own):
    """The way of Table 4 from a download to its two averages, by motion and colour alone."""
    classes = ("aeroplane", "bird", "boat", "car", "cat", "cow", "dog", "horse", "motorbike", "train")
    place = Path("data", "0001", "shots", "002")
    for name in classes:
        for number, image in enumerate(pictures(12, 96, 64), 1):
            path = own / "yto" / "v1" / name / place / f"frame{number:04d}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path, quality=95)
    for name in ("cat", "dog"):
        for number in (1, 11):
            truth = np.zeros((64, 96), np.uint8)
            left = 2 * (number - 1)
            truth[21:42, left : left + 21] = 255  # the place of the square in the frames
            path = own / "yto" / "youtube_masks" / name / place / "labels" / f"{number:05d}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(truth).save(path)
    words = ("data=youtube_objects", "data.folder=yto", "name=t4", "trainer=cpu")
    assert wsvs("stage=data", *words)[0] == 3  # 2 shots, not 126
    assert wsvs("stage=segment", "experiment=motion", "segment.superpixels=150", "segment.workers=0", *words)[0] == 0
    assert wsvs("stage=evaluate", *words)[0] == 0
    [path] = own.glob("outputs/t4/evaluate/*/metrics.json")
    metrics = json.loads(path.read_text())
    assert metrics["complete"] and (metrics["videos"], metrics["frames"]) == (2, 4)
    assert set(metrics["by_class"]) == {"cat", "dog"}
    assert metrics["class_average"] == pytest.approx(metrics["video_average"]) and metrics["class_average"] > 0.5
