"""Rows of the paper's tables from downloads to verdicts, on a handful of fake images and shots."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.films import pictures
from tests.processes import TINY, Cli, summary
from wsvs.core.masks import read_mask, write_mask
from wsvs.data.voc import VOC2012, Expected, digest, prepare_voc
from wsvs.data.youtube_objects import CLASSES

COLOURS = {"bird": (220, 40, 40), "cat": (40, 220, 40), "dog": (40, 40, 220)}
LABELS = {"bird": 3, "cat": 8, "dog": 12}  # in VOC's order of the classes
LISTS = {
    "train": [f"a{k}" for k in range(4)],
    "train_aug": [f"a{k}" for k in range(24)],
    "val": [f"v{k}" for k in range(3)],
    "test": ["t0", "t1"],
}
MOSTLY_MOTION = (  # the network learns nothing in one epoch, but the decoder wants masks of some size
    "segment.motion=contrast",
    "segment.saliency=0.4",
    "segment.lambda_a=0.1",
    "segment.alpha_s=80",
    "segment.alpha_t=64",
    "segment.superpixels=150",
)
SEGMENTED = ("001_001", "002_003")  # <video>_<shot> of cat and dog with true masks


def make_voc(root: Path) -> None:
    """One square of its class's colour an image; VOC's own list of ids lacks train_aug, as in the download."""
    for folder in ("JPEGImages", "Annotations", "SegmentationClass", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True)
    for name, ids in LISTS.items():
        place = root.parent if name == "train_aug" else root / "ImageSets" / "Segmentation"
        (place / f"{name}.txt").write_text("".join(f"{one}\n" for one in ids))
    random = np.random.default_rng(0)
    for one in sorted({one for ids in LISTS.values() for one in ids}):
        tag = list(COLOURS)[int(one[1:]) % 3]
        pixels = random.integers(90, 160, (48, 64, 3), np.uint8)
        pixels[12:36, 20:44] = COLOURS[tag]
        Image.fromarray(pixels).save(root / "JPEGImages" / f"{one}.jpg", quality=95)
        size = "<size><width>64</width><height>48</height></size>"
        if one[0] != "t":
            (root / "Annotations" / f"{one}.xml").write_text(
                f"<annotation>{size}<object><name>{tag}</name></object></annotation>"
            )
        mask = np.zeros((48, 64), np.uint8)
        mask[12:36, 20:44] = LABELS[tag]
        if one in LISTS["train"] + LISTS["val"]:
            write_mask(root / "SegmentationClass" / f"{one}.png", mask)


def make_youtube_objects(root: Path) -> None:
    """Two shots with true masks (JPEG, of half the size, of the first and the sixth frame) and one without."""
    for name in CLASSES:
        (root / "v1" / name / "data").mkdir(parents=True)
    for name, video, shot in (("cat", "001", "001"), ("dog", "002", "003"), ("bird", "001", "001")):
        place = Path(name, "data", video, "shots", shot)
        (root / "v1" / place).mkdir(parents=True)
        for number, image in enumerate(pictures(10, 96, 64), 1):
            Image.fromarray(image).save(root / "v1" / place / f"frame{number:04d}.jpg", quality=95)
        if f"{video}_{shot}" in SEGMENTED and name != "bird":
            labels = root / "youtube_masks" / place / "labels"
            labels.mkdir(parents=True)
            for number in (1, 6):
                truth = np.zeros((64, 96), np.uint8)
                left = 2 * (number - 1)
                truth[21:42, left : left + 21] = 255  # the place of the square in the frames
                Image.fromarray(truth).resize((48, 32)).save(labels / f"{number:05d}.jpg")


@pytest.fixture
def downloads(tmp_path, monkeypatch) -> None:
    make_voc(tmp_path / "datasets" / "VOC2012")
    make_youtube_objects(tmp_path / "datasets" / "YouTube-Objects")
    lists = {name: (len(ids), digest(ids)) for name, ids in LISTS.items()}
    counts = dict.fromkeys(VOC2012.tags, 0) | dict.fromkeys(COLOURS, 8)
    monkeypatch.setitem(prepare_voc.__kwdefaults__, "expected", Expected(lists, counts))


@pytest.mark.slow
def test_rows_from_downloads_to_verdicts(wsvs, cli, downloads, tmp_path):
    # Both sets as docs/tables.md prepares them, where it says that they lie.
    status, said, complaint = wsvs("stage=data", "data=voc12", "data.augmented=datasets/train_aug.txt")
    assert status == 0, said + complaint
    assert wsvs("stage=data", "data=youtube_objects")[0] == 3  # 2 shots with true masks, not 126

    words = [*TINY, *MOSTLY_MOTION, "model.weights=null"]
    adapted = run(cli, "table1_youtube_objects_adapted", *words)
    assert adapted["results"].keys() >= {"mIoU"}
    steps = ("encoder", "retrieve", "relevance", "segment", "decoder", "adapt", "predict", "evaluate")
    assert runs() == dict.fromkeys(steps, 1)
    metrics = json.loads(next(Path("outputs/paper/evaluate").glob("*/metrics.json")).read_text())
    assert metrics["images"] == 3 and metrics["complete"] and len(metrics["averaged_over"]) == 21
    clips = read_lines(Path("outputs/paper/retrieve"), "manifest.jsonl")
    assert {clip["class"] for clip in clips} == {"bird", "cat", "dog"}

    # Table 3 on the same videos: all but its last two steps are skipped.
    prepared = "datasets/YouTube-Objects/prepared"
    videos = ["retrieve=folder", f"retrieve.root={prepared}/videos", f"retrieve.labels={prepared}/videos.tsv"]
    run(cli, "table3", *words, *videos)
    assert runs() == dict.fromkeys(steps, 1) | {"predict": 2, "submit": 1}
    [archive] = Path("outputs/paper/submit").glob("*/comp6_test.tar.gz")
    with tarfile.open(archive) as packed:
        names = [f"results/VOC2012/Segmentation/comp6_test_cls/{one}.png" for one in LISTS["test"]]
        assert packed.getnames() == names
        packed.extractall(tmp_path / "sent", filter="data")
    for name in names:
        assert read_mask(tmp_path / "sent" / name).shape == (48, 64)

    # Table 4 takes the encoder that is there, and every frame of the shots with true masks.
    table4 = run(cli, "table4", *words)
    assert table4["results"].keys() >= {"class average", "video average"}
    assert runs() == dict.fromkeys(steps, 1) | {"predict": 2, "submit": 1, "segment": 2, "evaluate": 2}
    [metrics] = [
        found
        for path in Path("outputs/paper/evaluate").glob("*/metrics.json")
        if "class_average" in (found := json.loads(path.read_text()))
    ]
    assert metrics["complete"] and (metrics["videos"], metrics["frames"]) == (2, 4)
    masks = {f"{path.parent.name}/{path.name}" for path in Path("outputs/paper/segment").rglob("masks/*/*/*.png")}
    assert masks >= {f"{shot}/{frame:05d}.png" for shot in SEGMENTED for frame in range(10)}
    # The same row once more has nothing left to do but its verdict.
    before = runs()
    assert run(cli, "table4", *words)["results"] == table4["results"]
    assert runs() == before


def run(cli: Cli, row: str, *words: str) -> dict:
    """The pipeline of a row: exit status and verdicts agree, and its tables are printed. Returns its summary.

    In a process of its own: its stages are forked, and one whose threads have already worked leaves them hanging.
    """
    earlier = set(Path("outputs/paper/pipeline").glob("*"))
    process = cli.start("stage=pipeline", f"experiment={row}", *words, cwd=Path.cwd())
    said, _ = process.communicate(timeout=600)
    status = process.returncode
    [place] = set(Path("outputs/paper/pipeline").glob("*")) - earlier
    found = summary(place)
    verdicts = {key: value for key, value in found["results"].items() if key != "fingerprint"}
    assert all(verdict.startswith(("PASS", "FAIL")) for verdict in verdicts.values())
    failed = [key for key, verdict in verdicts.items() if verdict.startswith("FAIL")]
    assert status == (2 if failed else 3 if found["counts"]["items skipped in the steps"] else 0), said
    assert "step" in said and "seconds" in said
    for name, verdict in verdicts.items():
        assert any(name in line and verdict[:4] in line for line in said.splitlines())
    if failed:
        assert f"figures outside the expected range: {len(failed)} of {len(verdicts)} " in said
    return found


def runs() -> dict[str, int]:
    """{stage: finished runs}, without those of the pipeline itself."""
    home = Path("outputs/paper")
    return {
        place.name: count
        for place in home.iterdir()
        if place.name != "pipeline" and (count := len(list(place.glob("*/summary.json"))))
    }


def read_lines(folder: Path, name: str) -> list[dict]:
    [path] = folder.glob(f"*/{name}")
    return [json.loads(line) for line in path.read_text().splitlines()]
