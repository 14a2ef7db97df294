"""The report of a small set of runs: what stands in the page. What it does in a browser: test_report_browser.py."""

from __future__ import annotations

import base64
import re
import shutil
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image

from tests.reports import Page, finish, make_world
from wsvs.core.files import read_json, write_jsonl
from wsvs.core.masks import write_mask
from wsvs.core.visualize import heat
from wsvs.engine.names import PIPELINE
from wsvs.report.found import finished_runs


@pytest.fixture
def world(tmp_path) -> Path:
    return make_world(tmp_path / "here")


@pytest.fixture
def report(wsvs, world) -> Path:
    status, _, err = wsvs("stage=report", f"out={world}/out", "name=n", "report.width=40", run_id="r")
    assert status == 0, err
    return world / "out/n/report/r/report.html"


def test_numbers_of_every_stage(report):
    rows = Page(report).rows
    for row in (
        ["unit", "step", "all", "cat", "dog"],
        ["videos", "found", "1,234", "1,200", "34"],
        ["videos", "downloaded", "3", "2", "1"],
        ["videos", "failed: account", "2", "2", "0"],
        ["frames", "downloaded", "99", "66", "33"],
        ["frames", "relevant", "37", "24", "13"],
        ["frames", "segmented", "36", "24", "12"],
        ["frames", "used", "22", "11", "11"],  # the last mask of each is empty, one of the two cats is held out
        ["shots", "relevant", "3", "2", "1"],
        ["shots", "used", "2", "1", "1"],
        ["images", "tagged", "40", "", ""],
        ["images", "predicted", "4", "", ""],
        ["r", "predict, r", "mIoU 0.750"],
        ["cat", "0.500"],
        ["background", "75.0", "25.0"],
        ["cat", "25.0", "75.0"],
        ["encoder", "image tags"],
        ["retrieve", "none"],
        ["torch", "2"],
        ["commit", "abc+"],
    ):
        assert row in rows, row
    assert ["encoder", "1.5", "wsvs stage=encoder 'name=my runs'", str(report.parents[2] / "encoder/r")] in rows
    assert not any("fingerprint" in row for row in rows)


def test_page_stands_alone(report):
    parsed = Page(report)
    for tag, attributes in parsed.tags:
        for key in ("src", "href"):
            assert re.match(r"(#|data:)", attributes.get(key) or "#"), (tag, attributes)
    text = report.read_text()
    assert not any(word in text for word in ("@import", "fetch(")) and text.count("url(") == text.count("url(#") == 1
    assert text.count("<svg") == 3  # train/loss, val/map and the filter of masks
    assert [path.name for path in report.parent.iterdir() if path.suffix in (".png", ".jpg", ".js", ".css")] == []


def opened(address: str) -> Image.Image:
    kind, _, data = address.partition(",")
    assert kind == "data:image/webp;base64"
    return Image.open(BytesIO(base64.b64decode(data)))


def test_shots(report, world):
    shots = Page(report).of("shot")
    assert [list(shot["classes"]) for shot in shots] == [["cat"], ["dog"], ["cat"]]  # the classes take turns
    assert [shot["whole"]["energy"] for shot in shots] == [10.0, 20.0, 30.0]
    assert {shot["whole"]["area"] for shot in shots} == {0.2292}
    clip = (world / "clip 1.mp4").as_uri()
    assert [shot.get("url") for shot in shots] == ["https://example.org/a?x=1&y=2", None, clip]
    assert {shot["file"] for shot in shots} == {clip}
    assert [opened(shot["thumbnail"]).size for shot in shots] == [(40, 30)] * 3
    assert [(bool(shot["attention"]), bool(shot["motion"])) for shot in shots] == [(True, True), *[(False, False)] * 2]
    motion = opened(shots[0]["motion"])
    brightest = heat(np.ones((1, 1)))[0, 0]
    assert motion.size == (26, 20) and np.asarray(motion).mean((0, 1)) == pytest.approx(brightest, abs=6)


def test_images_come_first_with_what_is_known_of_them(report, world):
    """Image k has k of 4 columns right; of i3 the IoU is 12/16, that of the background 0/4."""
    page = Page(report)
    images = page.of("image")
    assert page.items[:4] == images and [image["name"] for image in images] == ["i0", "i1", "i2", "i3"]
    assert images[3]["whole"] == {"area": 0.75, "confidence": 0.75, "iou": 0.375}
    assert images[3]["classes"] == {"cat": {"area": 0.75, "confidence": 0.75, "iou": 0.75}}
    assert images[0]["classes"] == {"cat": {"area": 0.0, "iou": 0.0}}  # looked for, and not found
    assert images[3]["file"] == (world / "images/i3.png").as_uri() and "before" not in images[3]
    for key in ("mask", "truth"):  # masks of the same name are found from the page, wherever both are moved
        address = images[3][key]
        assert (address == "../../predict/r/i3.png") if key == "mask" else address == (world / "truth/i3.png").as_uri()
    assert opened(images[3]["thumbnail"]).size == (4, 4)
    assert page.data["colours"] == {"cat": "#800000"} and page.data["inAll"] == {"image": 4, "shot": 3}


def test_round_before(wsvs, world):
    """A second prediction of the same images: what has changed since the first. Another input is another gallery."""
    out, images = world / "out/n", OmegaConf.create({"input": "images"})
    for name, finished, settings, masks in (
        ("s", 8.0, images, {"i3": 4, "i1": 1, "i0": 0}),
        ("other", 9.0, {"input": "truth"}, {"i3": 1}),
    ):
        run = finish(out / f"predict/{name}", finished, counts={"masks": 4})
        (run / "labels.txt").write_text("background\ncat\n")
        write_jsonl(run / "items.jsonl", [{"id": one, "file": f"{one}.png"} for one in masks])
        OmegaConf.save(settings, run / ".hydra/config.yaml")
        for one, columns in masks.items():
            mask = np.zeros((4, 4), np.uint8)
            mask[:, :columns] = 1
            write_mask(run / f"{one}.png", mask)
    assert wsvs("stage=report", f"out={world}/out", "name=n", run_id="r")[0] == 0
    other, *found = Page(out / "report/r/report.html").of("image")
    assert other["name"] == "i3" and "change" not in other["whole"] and other["file"].endswith("truth/i3.png")
    assert [one["whole"]["change"] for one in found] == [0.0, 0.0, 0.25]
    assert found[2]["classes"]["cat"]["change"] == 0.25
    assert found[2]["before"] == "../../predict/r/i3.png" and "iou" not in found[2]["whole"]


def test_round_before_is_what_the_model_was_adapted_to(wsvs, world):
    out = world / "out/n"
    adapt = finish(out / "adapt/r", 5.5)
    finish(out / "predict/r", 6.0, inputs={"adapt": str(adapt)})
    write_mask(adapt / "masks/i2.png", np.ones((4, 4), np.uint8))
    assert wsvs("stage=report", f"out={world}/out", "name=n", run_id="r")[0] == 0
    images = Page(out / "report/r/report.html").of("image")
    assert [one["whole"].get("change") for one in images] == [None, None, 0.5, None]
    assert images[2]["before"] == "../../adapt/r/masks/i2.png"


def test_predicted_video_and_a_run_of_an_older_version(wsvs, world):
    """No list of items, no labels, no confidence: the masks tell what there is."""
    out, film = world / "out/n", world / "clip 1.mp4"
    for name in ("items.jsonl", "labels.txt"):
        (out / "predict/r" / name).unlink()
    run = finish(out / "predict/v", 8.0)
    OmegaConf.save({"input": film.name}, run / ".hydra/config.yaml")
    write_jsonl(run / "items.jsonl", [{"id": "clip 1", "file": film.name, "frames": 12}])
    for number in range(12):
        write_mask(run / f"clip 1/{number:05d}.png", np.full((48, 64), number == 6, np.uint8))
    (run / "overlay").mkdir()
    shutil.copy(film, run / "overlay/clip 1.mp4")
    assert wsvs("stage=report", f"out={world}/out", "name=n", "report.width=40", run_id="r")[0] == 0
    page = Page(out / "report/r/report.html")
    [video] = page.of("video")
    assert (video["frames"], video["file"]) == (12, film.as_uri())
    assert video["overlay"] == "../../predict/v/overlay/clip%201.mp4"
    assert video["whole"]["area"] == round(1 / 12, 4) and opened(video["thumbnail"]).size == (40, 30)
    images = page.of("image")
    assert [one["whole"]["area"] for one in images] == [0.0, 0.25, 0.5, 0.75]
    assert images[3]["classes"]["cat"]["iou"] == 0.75 and "confidence" not in images[3]["whole"]


@pytest.mark.slow
def test_counts_are_those_of_the_stages(tiny_runs, wsvs, tmp_path):
    """Counts by class add up to those of each stage's summary; every shot has its images."""
    (tmp_path / "tiny").mkdir()
    for folder in tiny_runs.iterdir():
        (tmp_path / "tiny" / folder.name).symlink_to(folder)
    words = ["stage=report", "data=synthetic", f"out={tmp_path}", "name=tiny"]
    status, _, err = wsvs(*words, run_id="r")
    assert status == 0, err
    parsed = Page(tmp_path / "tiny/report/r/report.html")
    read = {}  # the runs that taught the decoder
    for stage in ("decoder", "segment", "relevance", "retrieve"):
        run = read.get(stage) or next(tiny_runs.glob(f"{stage}/*/summary.json")).parent
        read |= {stage: run} | {name: Path(path) for name, path in read_json(run / "summary.json")["inputs"].items()}
    counts = {stage: read_json(run / "summary.json")["counts"] for stage, run in read.items()}
    start = next(number for number, row in enumerate(parsed.rows, 1) if row[:2] == ["unit", "step"])
    flow = {
        (row[0], row[1]): [int(cell.replace(",", "")) for cell in row[2:] if cell]
        for row in parsed.rows[start : start + 12]
    }
    assert flow["videos", "found"][0] == counts["retrieve"]["candidates"]
    assert flow["frames", "downloaded"][0] == counts["retrieve"]["frames"]
    assert flow["frames", "relevant"][0] == counts["relevance"]["relevant frames"]
    assert flow["frames", "segmented"][0] == counts["segment"]["frames"]
    assert flow["shots", "used"][0] == counts["decoder"]["shots"]
    assert flow["frames", "used"][0] == counts["decoder"]["frames"]
    assert all(sum(numbers[1:]) == numbers[0] for (unit, _), numbers in flow.items() if unit != "images")
    shots = parsed.of("shot")
    assert len(shots) == counts["segment"]["segmented"] and all(shot["thumbnail"] and shot["motion"] for shot in shots)
    assert any(shot["attention"] for shot in shots)  # of an encoder that has learned little


def test_whole_videos_have_cards_too(wsvs, world, tmp_path):
    """A segment run on a folder of videos: no score, no class needed."""
    run = finish(tmp_path / "out/w/segment/r", 1.0)
    film = world / "clip 1.mp4"
    still = {"confidence": 0.1, "uncertain_frames": 12, "cut_seconds": [0.2, 0.4]}
    write_jsonl(run / "videos.jsonl", [{"video": "a/b", "file": str(film), "class": "", "frames": 12, **still}])
    write_mask(run / "masks/a/b/00006.png", np.eye(48, 64, dtype=np.uint8))
    status, _, err = wsvs("stage=report", f"out={tmp_path}/out", "name=w", run_id="r")
    assert status == 0, err
    [video] = Page(tmp_path / "out/w/report/r/report.html").of("video")
    assert (video["name"], video["classes"], video["frames"]) == ("a/b", {}, 12)
    assert opened(video["thumbnail"]).size == (64, 48) and video["whole"] == {"confidence": 0.1}
    assert (video["uncertain"], video["cuts"]) == (True, [0.2, 0.4])


def test_what_is_not_there_is_left_out(wsvs, world, tmp_path):
    out = world / "out/n"
    for name in ("evaluate", "predict", "decoder", "segment/r/terms", "retrieve/r/manifest.jsonl"):
        shutil.rmtree(out / name) if (out / name).is_dir() else (out / name).unlink()
    (world / "clip 1.mp4").unlink()
    assert wsvs("stage=report", f"out={world}/out", "name=n", run_id="r")[0] == 0
    page = Page(out / "report/r/report.html")
    shots = page.of("shot")
    assert page.items == shots and [bool(shot["thumbnail"]) for shot in shots] == [True, True, False]
    assert not any("file" in shot for shot in shots)  # no link leads nowhere
    assert [shot.get("url") for shot in shots] == ["https://example.org/a?x=1&y=2", None, None]
    assert [tag["href"] for _, tag in page.tags if tag.get("href", "").startswith("#")] == [
        "#gallery",
        "#flow",
        "#curves",
        "#supervision",
        "#runs",  # what has nothing to show is left out
    ]
    status, _, err = wsvs("stage=report", f"out={tmp_path}/none")
    assert status == 2 and "no finished run to report on" in err
    status, _, err = wsvs("stage=report", f"out={world}/out", "name=n", "report.width=0")
    assert status == 2 and "report.width must be a whole number" in err


def found_in(world: Path) -> tuple[dict[str, Path], list[str]]:
    return finished_runs(world / "out/n", PIPELINE, {})


def test_folder_that_was_moved(wsvs, world, tmp_path):
    """All runs, clips and images are found at the new place, which the page and the log mention."""
    moved = world.rename(tmp_path / "there")
    assert wsvs("stage=report", f"out={moved}/out", "name=n", run_id="r")[0] == 0
    parsed = Page(moved / "out/n/report/r/report.html")
    stages = [row[0] for row in parsed.rows if len(row) == 4 and row[2].startswith("wsvs stage=")]
    assert stages == ["encoder", "retrieve", "relevance", "segment", "decoder", "predict", "evaluate"]
    assert {shot["file"] for shot in parsed.of("shot")} == {(moved / "clip 1.mp4").as_uri()}
    assert all(item["thumbnail"] for item in parsed.items)
    assert {Path(one["file"]).parent.name for one in parsed.of("image")} == {"images"}
    assert {Path(one["truth"]).parent.name for one in parsed.of("image")} == {"truth"}
    [note] = parsed.notes
    assert note.startswith("These runs were moved")
    assert f"WARNING {note}" in (moved / "out/n/report/r/wsvs.log").read_text()
    assert all(stage in note for stage in ("encoder", "retrieve", "relevance", "segment", "decoder"))


def test_folder_that_is_where_it_was_has_no_notes(report):
    assert Page(report).notes == []


def test_run_that_is_gone(world):
    """The last run of its stage is shown instead; else the stage is left out. Both are reported."""
    segment = world / "out/n/segment"
    (segment / "r").rename(segment / "r2")
    found, [note] = found_in(world)
    assert found["segment"] == segment / "r2" and len(found) == 7
    assert note.startswith(
        "The run of stage segment that decoder has read no longer exists, the last one is shown instead"
    )
    assert "r2" in note and str(segment / "r") in note
    shutil.rmtree(segment)
    found, [note] = found_in(world)
    assert "and there is no other" in note and "segment" not in found


def test_named_run_must_be_there(wsvs, world):
    status, _, err = wsvs("stage=report", f"out={world}/out", "name=n", "inputs.segment=typo")
    assert status == 2 and "there is no such run of stage segment" in err and "inputs.segment=typo" in err


def test_what_is_gone_is_reported_and_the_rest_is_shown(wsvs, world):
    """The masks stand alone where the images are not; without true masks there is no IoU."""
    (world / "images/i3.png").unlink()
    (world / "truth").rename(world / "elsewhere")
    assert wsvs("stage=report", f"out={world}/out", "name=n", run_id="r")[0] == 0
    page = Page(world / "out/n/report/r/report.html")
    images = page.of("image")
    assert ["file" in one for one in images] == [True, True, True, False] and all(one["thumbnail"] for one in images)
    assert not any("iou" in one["whole"] or "truth" in one for one in images)
    assert page.notes == [
        f"True masks are not shown, because this folder no longer exists: {world / 'truth'}",
        f"Predicted images that are not in {world / 'images'}, shown as masks only: 1 of 4.",
    ]


def test_masks_with_labels_of_their_own(wsvs, world):
    """evaluate.prediction_names: the label 1 of these masks is the truth's 2, so none of them is right."""
    evaluate = world / "out/n/evaluate/r"
    rows = ("truth \\ prediction,background,cat,dog", "background,6,2,0", "cat,1,3,0", "dog,0,0,4")
    (evaluate / "confusion.csv").write_text("".join(f"{row}\n" for row in rows))
    config = OmegaConf.load(evaluate / ".hydra/config.yaml")
    config.evaluate.prediction_names = ["background", "dog"]
    OmegaConf.save(config, evaluate / ".hydra/config.yaml")
    (world / "out/n/predict/r/labels.txt").write_text("background\ndog\n")
    assert wsvs("stage=report", f"out={world}/out", "name=n", run_id="r")[0] == 0
    for image in Page(world / "out/n/report/r/report.html").of("image"):
        assert image["whole"]["iou"] == 0.0 and image["classes"]["cat"] == {"area": 0.0, "iou": 0.0} | (
            {"confidence": image["classes"]["cat"]["confidence"]} if image["name"] != "i0" else {}
        )


def test_cut_gallery_knows_the_whole(wsvs, world):
    words = ["stage=report", f"out={world}/out", "name=n", "report.shots=2", "report.images=3"]
    assert wsvs(*words, run_id="r")[0] == 0
    page = Page(world / "out/n/report/r/report.html")
    assert [len(page.of(kind)) for kind in ("image", "shot")] == [3, 2]
    assert page.data["inAll"] == {"image": 4, "shot": 3}


def test_every_row_and_column_has_a_name(report):
    text = report.read_text()
    assert not re.search(r"<th[^>]*></th>", text)
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", text, re.DOTALL)
    assert len(rows) > 30 and all(row.startswith("<th scope=") for row in rows)
    labels = re.findall(r'<nav[^>]*aria-label="(.*?)"', text)
    assert len(labels) == 3 and len(set(labels)) == 3
