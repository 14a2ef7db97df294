"""Preparing DAVIS and YouTube-Objects from small fake copies, whole and with deliberate faults."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from wsvs.core.errors import UserError
from wsvs.core.masks import read_mask
from wsvs.core.tables import read_tags
from wsvs.data import davis as davis_module
from wsvs.data.davis import TRAIN, VAL, DavisVideos
from wsvs.data.frame_folders import write_video
from wsvs.data.youtube_objects import CLASSES, YouTubeObjects
from wsvs.video.reader import probe, read_frames


def picture(seed: int, size=(32, 16)) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 255, (2, 4, 3), np.uint8)
    return Image.fromarray(noise).resize(size, Image.Resampling.BILINEAR)


def save(image: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def mask(column: int, size=(32, 16)) -> Image.Image:
    values = np.zeros((size[1], size[0]), np.uint8)
    values[:, : 8 * column] = 255
    return Image.fromarray(values)


def test_a_video_holds_the_very_jpegs(tmp_path):
    paths = []
    for k in range(40):
        paths.append(tmp_path / f"{k}.jpg")
        picture(k).save(paths[-1], quality=90)
    write_video(tmp_path / "v.mkv", paths, (32, 16), 24)
    info = probe(tmp_path / "v.mkv")
    assert (info.frames, info.width, info.height, info.fps, info.codec) == (40, 32, 16, 24.0, "mjpeg")
    frames = list(read_frames(tmp_path / "v.mkv"))
    for path, frame in zip(paths, frames, strict=True):  # decoders differ in their rounding of colours alone
        assert np.abs(frame.astype(int) - np.asarray(Image.open(path).convert("RGB"))).mean() < 2
    jpegs = (tmp_path / "v.mkv").read_bytes()
    assert all(path.read_bytes() in jpegs for path in paths)
    assert np.array_equal(next(read_frames(tmp_path / "v.mkv", 37, 38, total=40)), frames[37])


@pytest.fixture
def davis(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(davis_module, "TRAIN", {"bear": (), "train": ("train",)})
    monkeypatch.setattr(davis_module, "VAL", {"dog": ("dog",)})
    root = tmp_path / "DAVIS"
    for name in ("bear", "train", "dog"):
        for k in range(3):
            save(picture(k), root / "JPEGImages" / "480p" / name / f"{k:05d}.jpg")
            save(mask(k), root / "Annotations" / "480p" / name / f"{k:05d}.png")
    return root


def make_davis(root: Path):
    return DavisVideos(folder=str(root), prepared=str(root / "prepared")).make()


def test_davis(davis):
    report = make_davis(davis)
    assert report.problems == []
    assert report.counts == {"videos": 3, "frames": 9, "videos with true masks": 3, "true masks": 9}
    assert report.by_class == {one: {"videos": 1, "frames": 3, "true masks": 3} for one in ("train", "dog")}
    prepared = davis / "prepared"
    assert sorted(path.relative_to(prepared / "videos").as_posix() for path in prepared.rglob("*.mkv")) == [
        "train/bear.mkv",
        "train/train.mkv",
        "val/dog.mkv",
    ]
    assert probe(prepared / "videos" / "val" / "dog.mkv").frames == 3
    assert read_tags(prepared / "train.tsv") == {"bear": (), "train": ("train",)}
    assert np.array_equal(read_mask(prepared / "masks" / "dog" / "00002.png"), np.asarray(mask(2)) // 255)
    assert (prepared / "prepared.json").is_file()


def test_what_is_there_is_left_alone(davis):
    make_davis(davis)
    video = davis / "prepared" / "videos" / "val" / "dog.mkv"
    before = video.stat().st_mtime_ns
    assert make_davis(davis).problems == [] and video.stat().st_mtime_ns == before


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def refuses(folder, make, damage, expected):
    """A damaged download is named for what it is, and nothing counts as prepared."""
    damage(folder)
    report = make(folder)
    assert any(expected in problem.text for problem in report.fatal), [problem.text for problem in report.fatal]
    assert not (folder / "prepared" / "prepared.json").exists()


DAVIS_FAULTS = {
    "a missing folder": (lambda d: (d / "Annotations").rename(d / "x"), "a folder is missing"),
    "a missing sequence": (lambda d: (d / "JPEGImages/480p/dog").rename(d / "x"), "sequences without frames (1): dog"),
    "a missing frame": (
        lambda d: (d / "JPEGImages/480p/dog/00001.jpg").unlink(),
        "sequences with a missing frame (1): dog",
    ),
    "the last frame missing": (
        lambda d: (d / "JPEGImages/480p/dog/00002.jpg").unlink(),
        "true masks without a frame (1): dog/00002.png",
    ),
    "a missing mask": (
        lambda d: (d / "Annotations/480p/bear/00001.png").unlink(),
        "sequences without the true mask of a frame (1): bear",
    ),
    "a truncated frame": (
        lambda d: cut(d / "JPEGImages/480p/bear/00001.jpg"),
        "videos with a frame that cannot be read (1): bear",
    ),
    "a frame of another size": (
        lambda d: picture(1, (64, 32)).save(d / "JPEGImages/480p/bear/00001.jpg"),
        "videos with frames of several sizes (1): bear",
    ),
    "a mask of another size": (
        lambda d: mask(1, (64, 32)).save(d / "Annotations/480p/bear/00001.png"),
        "true masks of another size than their frames (1): bear/00001.png",
    ),
    "a broken mask": (
        lambda d: (d / "Annotations/480p/bear/00001.png").write_bytes(b"no"),
        "true masks that cannot be read (1): bear/00001.png",
    ),
}


@pytest.mark.parametrize("fault", DAVIS_FAULTS)
def test_faults_of_davis(davis, fault):
    refuses(davis, make_davis, *DAVIS_FAULTS[fault])


def test_a_stray_sequence_is_left_out(davis):
    save(picture(0), davis / "JPEGImages" / "480p" / "gold-fish" / "00000.jpg")
    report = make_davis(davis)
    assert [problem.text for problem in report.problems] == [
        "folders that are not sequences of DAVIS 2016, not used (1): gold-fish"
    ]
    assert report.fatal == [] and report.counts["videos"] == 3


def test_the_classes_of_davis(real_data):
    assert len(TRAIN) == 30 and len(VAL) == 20 and not TRAIN.keys() & VAL.keys()
    with (real_data / "data" / "davis_train" / "index.tsv").open() as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    known = {row["sequence"]: tuple(tag for tag in row["pascal_labels"].split(",") if tag) for row in rows}
    assert known == TRAIN


@pytest.fixture
def objects(tmp_path) -> Path:
    root = tmp_path / "yto"
    for name in CLASSES:
        for k in (1, 2, 3):
            save(picture(k), root / "v1" / name / "data" / "0001" / "shots" / "001" / f"frame{k:04d}.jpg")
    cat = root / "v1" / "cat" / "data" / "0002" / "shots" / "005"
    for k in range(7, 20):  # numbers need not begin with 1
        save(picture(k), cat / f"frame{k:04d}.jpg")
    for k in (7, 17):  # half the size, as JPEG
        save(mask(k // 7, (16, 8)), root / "youtube_masks/cat/data/0002/shots/005/labels" / f"{k:05d}.jpg")
    return root


def make_objects(root: Path):
    return YouTubeObjects(folder=str(root), prepared=str(root / "prepared")).make()


def test_youtube_objects(objects):
    report = make_objects(objects)
    assert [problem.text for problem in report.problems] == ["shots with true masks: 1, expected 126"]
    assert report.fatal == []
    assert report.counts == {"videos": 11, "frames": 43, "videos with true masks": 1, "true masks": 2}
    assert report.by_class["cat"] == {"videos": 2, "frames": 16, "true masks": 2}
    prepared = objects / "prepared"
    assert probe(prepared / "videos" / "benchmark" / "cat" / "0002_005.mkv").frames == 13
    assert (prepared / "videos" / "more" / "cat" / "0001_001.mkv").is_file()
    table = read_tags(prepared / "videos.tsv")
    assert table["benchmark/cat/0002_005"] == ("cat",) and table["more/bird/0001_001"] == ("bird",)
    assert read_tags(prepared / "benchmark.tsv") == {"cat/0002_005": ("cat",)}
    masks = sorted(path.name for path in (prepared / "masks" / "cat" / "0002_005").iterdir())
    assert masks == ["00000.png", "00010.png"]  # frames 7 and 17 are the first and the eleventh
    found = read_mask(prepared / "masks" / "cat" / "0002_005" / "00010.png")
    assert np.array_equal(found, np.asarray(mask(2, (16, 8))) // 255)


def test_jpeg_masks_are_cut_at_128(objects):
    """Compression blurs 0 and 255; flat blocks of 8 pixels keep their value."""
    values = np.repeat(np.array([0, 127, 128, 255], np.uint8), 8)[None].repeat(16, 0)
    labels = objects / "youtube_masks" / "cat" / "data" / "0002" / "shots" / "005" / "labels"
    Image.fromarray(values).save(labels / "00007.jpg", quality=100)
    assert np.asarray(Image.open(labels / "00007.jpg")).tolist() == values.tolist()
    make_objects(objects)
    found = read_mask(objects / "prepared" / "masks" / "cat" / "0002_005" / "00000.png")  # the first frame counts too
    assert np.array_equal(found, values >= 128)


def test_a_stray_folder_of_youtube_objects_is_left_out(objects):
    save(picture(0), objects / "v1" / "fox" / "data" / "0001" / "shots" / "001" / "frame0001.jpg")
    report = make_objects(objects)
    assert "folders that are not classes, not used (1): fox" in [problem.text for problem in report.problems]
    assert report.fatal == [] and report.counts["videos"] == 11


OBJECT_FAULTS = {
    "no masks": (lambda d: (d / "youtube_masks").rename(d / "x"), "a folder is missing"),
    "a missing class": (lambda d: (d / "v1/cow").rename(d / "x"), "missing classes (1): cow"),
    "no frames of a shot": (
        lambda d: (d / "v1/cat/data/0002").rename(d / "x"),
        "shots with true masks but without frames (1): cat/0002_005",
    ),
    "a stray mask": (
        lambda d: mask(1, (16, 8)).save(d / "youtube_masks/cat/data/0002/shots/005/labels/00099.jpg"),
        "true masks without a frame (1): cat/0002_005/00099.jpg",
    ),
    "a mask of another shape": (
        lambda d: mask(1, (16, 16)).save(d / "youtube_masks/cat/data/0002/shots/005/labels/00007.jpg"),
        "true masks of another size than their frames (1): cat/0002_005/00007.jpg",
    ),
    "a frame of another size": (
        lambda d: picture(1, (64, 32)).save(d / "v1/dog/data/0001/shots/001/frame0002.jpg"),
        "videos with frames of several sizes (1): dog/0001_001",
    ),
    "a truncated frame": (
        lambda d: cut(d / "v1/dog/data/0001/shots/001/frame0003.jpg"),
        "videos with a frame that cannot be read (1): dog/0001_001 (frame0003.jpg)",
    ),
    "a broken mask": (
        lambda d: cut(d / "youtube_masks/cat/data/0002/shots/005/labels/00017.jpg"),
        "true masks that cannot be read (1): cat/0002_005/00017.jpg",
    ),
    "an empty frame": (
        lambda d: (d / "v1/dog/data/0001/shots/001/frame0002.jpg").write_bytes(b""),
        "videos with a frame that cannot be read (1): dog/0001_001 (frame0002.jpg)",
    ),
}


@pytest.mark.parametrize("fault", OBJECT_FAULTS)
def test_faults_of_youtube_objects(objects, fault):
    refuses(objects, make_objects, *OBJECT_FAULTS[fault])


def test_videos_are_no_tagged_images(tmp_path):
    for one in (YouTubeObjects("a", "b"), DavisVideos("a", "b")):
        with pytest.raises(UserError, match="needs tagged images"):
            one.prepare()
