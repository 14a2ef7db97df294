from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from wsvs.core.errors import UserError
from wsvs.core.masks import read_mask
from wsvs.core.tables import read_ids, read_tags
from wsvs.data import synthetic
from wsvs.data.scenes import make_video
from wsvs.data.synthetic import WorldSettings, make_world
from wsvs.video.reader import probe, read_frames

SMALL = WorldSettings(
    images=20,
    image_sides=(64, 96),
    clips_per_class=5,
    video_size=(96, 64),
    frames=(16, 20),
    partial_videos=0.4,
    irrelevant_videos=0.4,
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_world(tmp_path_factory.mktemp("made") / "world", SMALL)


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def frame_table(root: Path) -> dict[str, list[dict[str, str]]]:
    videos: dict[str, list[dict[str, str]]] = {}
    with (root / "video_frames.tsv").open() as stream:
        for row in csv.DictReader(stream, delimiter="\t"):
            videos.setdefault(row["video"], []).append(row)
    return videos


def test_the_same_settings_give_the_same_bytes(world: Path, tmp_path: Path) -> None:
    assert contents(make_world(tmp_path / "again", SMALL)) == contents(world)
    other = make_world(tmp_path / "other", SMALL, seed=1)
    image = "images/image_0003.jpg"
    assert (other / image).read_bytes() != (world / image).read_bytes()


def test_counts_and_splits(world: Path) -> None:
    tags = read_tags(world / "labels.tsv")
    images = sorted(path.stem for path in (world / "images").iterdir())
    assert sorted(tags) == images == sorted(path.stem for path in (world / "masks").iterdir())
    assert Counter(len(t) for t in tags.values()) == {0: 2, 1: 10, 2: 8}  # 0.1, the rest and 0.4 of 20
    train, val = read_ids(world / "train.txt"), read_ids(world / "val.txt")
    assert len(val) == 5 and sorted(train + val) == images
    per_class = Counter(tag for t in tags.values() for tag in t)
    assert sum(per_class.values()) == 26 and max(per_class.values()) - min(per_class.values()) <= 2
    videos = read_tags(world / "videos.tsv")
    assert Counter(videos.values()) == {(name,): 5 for name in SMALL.classes}
    assert sorted(videos) == sorted(path.stem for path in (world / "videos").iterdir())


def test_tags_are_the_labels_of_the_masks(world: Path) -> None:
    for name, tags in read_tags(world / "labels.tsv").items():
        mask = read_mask(world / "masks" / f"{name}.png")
        with Image.open(world / "images" / f"{name}.jpg") as image:
            assert image.size == mask.shape[::-1] and all(64 <= side <= 96 for side in image.size)
        assert {SMALL.classes[label - 1] for label in np.unique(mask) if label} == set(tags)
        for tag in tags:
            assert (mask == SMALL.classes.index(tag) + 1).mean() > 0.03


def test_videos_have_the_frames_of_the_table(world: Path) -> None:
    table = frame_table(world)
    assert sorted(table) == sorted(read_tags(world / "videos.tsv"))
    for name, rows in table.items():
        info = probe(world / "videos" / f"{name}.mp4")
        assert (info.width, info.height, info.codec) == (96, 64, "h264") and 16 <= info.frames <= 20
        assert round(info.fps) in SMALL.rates
        assert [int(row["frame"]) for row in rows] == list(range(info.frames))
        masks = sorted((world / "video_masks" / name).iterdir())
        assert [path.name for path in masks] == [f"{k:05d}.png" for k in range(info.frames)]
        for row, path in zip(rows, masks, strict=True):
            mask = read_mask(path)
            assert mask.shape == (64, 96) and set(np.unique(mask)) <= {0, 1}
            assert int(row["relevant"]) == mask.any()
            assert float(row["object"]) == pytest.approx(mask.mean(), abs=1e-4)


def test_how_many_frames_show_their_class(world: Path) -> None:
    videos = json.loads((world / "world.json").read_text())["videos"]
    kinds = Counter(video["kind"] for video in videos.values())
    assert kinds["whole"] == 3 and kinds["leaves"] + kinds["cut"] == kinds["other"] + kinds["nothing"] == 6
    assert min(kinds.values()) >= 3
    for name, rows in frame_table(world).items():
        relevant = np.array([int(row["relevant"]) for row in rows])
        kind = videos[name]["kind"]
        if kind in ("other", "nothing"):
            assert not relevant.any()
        elif kind == "whole":
            assert relevant.all()
        else:
            away = 1 - relevant.mean()
            assert 0.2 <= away <= 0.55  # gap of 0.25 to 0.4, rounded, and the frames of a leave-taking
            assert np.abs(np.diff(relevant)).sum() == 1  # at one end
            assert len(relevant) == videos[name]["frames"]


def test_the_encoded_frames_are_the_ones_of_the_masks(world: Path) -> None:
    """Frame k of the file must be most similar to frame k of the scene, rendered again.

    Where nothing moves, its neighbours are equally similar, so not every frame is decisive.
    """
    telling = total = 0
    videos = list(read_tags(world / "videos.tsv").items())
    kinds = json.loads((world / "world.json").read_text())["videos"]
    for number, (name, (label,)) in enumerate(videos[:5]):
        film = make_video(np.random.default_rng([0, 4, 0, number]), label, kinds[name]["kind"], SMALL)
        decoded = [frame.astype(int) for frame in read_frames(world / "videos" / f"{name}.mp4")]
        for k in range(2, len(decoded) - 2):
            errors = [np.abs(decoded[k] - film.frames[j]).mean() for j in range(k - 2, k + 3)]
            assert errors[2] < 6 and errors[2] < 1.1 * min(errors)
            telling += np.argmin(errors) == 2
            total += 1
    assert telling > 0.7 * total


def test_a_ready_world_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = SMALL.replaced(images=2, clips_per_class=1)
    root = make_world(tmp_path / "deep" / "world", tiny)
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    with monkeypatch.context() as patch:
        patch.setattr(synthetic, "_build", lambda *_: pytest.fail("built again"))
        assert make_world(root, tiny) == root
        assert make_world(root, tiny, classes=list(tiny.classes)) == root  # as a configuration gives them
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before
    make_world(root, tiny, images=3)
    assert len(list((root / "images").iterdir())) == 3
    assert sorted(path.name for path in root.parent.iterdir()) == ["world"]


def test_a_killed_build_leaves_no_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(path: Path, settings: WorldSettings) -> None:
        (path / "images").mkdir()
        raise KeyboardInterrupt

    monkeypatch.setattr(synthetic, "_build", killed)
    with pytest.raises(KeyboardInterrupt):
        make_world(tmp_path / "world", SMALL)
    assert list(tmp_path.iterdir()) == []


def test_another_process_was_quicker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = SMALL.replaced(images=1, clips_per_class=0)
    build = synthetic._build

    def slow(path: Path, settings: WorldSettings) -> None:
        build(path, settings)
        monkeypatch.setattr(synthetic, "_build", build)
        make_world(tmp_path / "world", tiny)
        (tmp_path / "world" / "val.txt").write_text("the first one stays")

    monkeypatch.setattr(synthetic, "_build", slow)
    root = make_world(tmp_path / "world", tiny)
    assert (root / "val.txt").read_text() == "the first one stays"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["world"]


@pytest.mark.parametrize("file", ["images/holiday.jpg", "notes.txt"])
def test_a_users_folder_is_never_overwritten(tmp_path: Path, file: str) -> None:
    path = tmp_path / "mine" / file
    path.parent.mkdir(parents=True)
    path.write_text("precious")
    with pytest.raises(UserError, match="contains other files"):
        make_world(tmp_path / "mine", SMALL)
    assert path.read_text() == "precious"


def test_a_file_added_to_a_world_protects_it(tmp_path: Path) -> None:
    root = make_world(tmp_path / "world", SMALL, images=1, clips_per_class=0)
    (root / "notes.txt").write_text("precious")
    with pytest.raises(UserError, match=r"notes\.txt"):
        make_world(root, SMALL, images=2, clips_per_class=0)


def test_bad_places(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="a file is in the place"):
        make_world(tmp_path / "file", SMALL)
    with pytest.raises(UserError, match="cannot write here"):
        make_world(tmp_path / "file" / "world", SMALL)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"classes": ("tiger", "unicorn")}, "classes"),
        ({"classes": ()}, "classes"),
        ({"classes": ("tiger", "tiger")}, "classes"),
        ({"val_share": 1.5}, "val_share"),
        ({"two_objects": 0.7, "empty_images": 0.4}, "at most 1"),
        ({"image_area": (0.4, 0.2)}, "image_area"),
        ({"partial_videos": 0.9, "irrelevant_videos": 0.2}, "at most 1"),
        ({"frames": (4, 20)}, "frames"),
        ({"video_size": (127, 96)}, "multiple of 2"),
        ({"rates": ()}, "rates"),
        ({"head_size": 0.6}, "head_size"),
        ({"noise": -1.0}, "noise"),
        ({"images": 0}, "images"),
        ({"gap": (0.5, 1.0)}, "gap"),
    ],
)
def test_impossible_settings(tmp_path: Path, change: dict, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        make_world(tmp_path / "world", **change)
