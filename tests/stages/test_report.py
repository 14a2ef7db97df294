"""The report of a small set of runs: what stands in the page. What it does in a browser: test_report_browser.py."""

from __future__ import annotations

import base64
import re
import shutil
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image

from tests.reports import Page, finish, make_world
from wsvs.core.files import read_json, write_jsonl
from wsvs.core.masks import write_mask
from wsvs.core.pictures import heat
from wsvs.report import page as page_module
from wsvs.report.found import finished_evaluations, finished_runs
from wsvs.report.page import page
from wsvs.report.predictions import image_scores, predictions
from wsvs.report.records import Count, Evaluation, ImageCard, Report, ShotCard, StageRun
from wsvs.stages import STAGES

STYLE = Path(page_module.__file__).with_name("templates").joinpath("page.css").read_text()


@pytest.fixture
def world(tmp_path) -> Path:
    return make_world(tmp_path / "here")


@pytest.fixture
def report(wsvs, world) -> Path:
    status, _, err = wsvs(
        "stage=report", f"out={world}/out", "name=n", "report.images=2", "report.width=40", run_id="r"
    )
    assert status == 0, err
    return world / "out/n/report/r/report.html"


def test_numbers_of_every_stage(report):
    rows = Page(report).rows
    for row in (
        ["unit", "step", "all", "cat", "dog"],
        ["videos", "found", "1,234", "1,200", "34"], ["videos", "downloaded", "3", "2", "1"],
        ["videos", "not had: account", "2", "2", "0"],
        ["frames", "downloaded", "99", "66", "33"], ["frames", "relevant", "37", "24", "13"],
        ["frames", "segmented", "36", "24", "12"],
        ["frames", "used", "22", "11", "11"],  # the last mask of each is empty, one of the two cats is held out
        ["shots", "relevant", "3", "2", "1"], ["shots", "used", "2", "1", "1"],
        ["images", "tagged", "40", "", ""], ["images", "predicted", "4", "", ""],
        ["r", "predict, r", "mIoU 0.750"], ["cat", "0.500"], ["background", "75.0", "25.0"],
        ["cat", "25.0", "75.0"], ["encoder", "image tags"], ["retrieve", "none"], ["torch", "2"], ["commit", "abc+"],
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
    assert not any(word in text for word in ("@import", "fetch(", "url("))
    assert text.count("<svg") == 2  # train/loss and val/map
    assert [path.name for path in report.parent.iterdir() if path.suffix in (".png", ".jpg", ".js", ".css")] == []


def opened(address: str) -> Image.Image:
    kind, _, data = address.partition(",")
    assert kind == "data:image/webp;base64"
    return Image.open(BytesIO(base64.b64decode(data)))


def test_shots(report, world):
    shots = Page(report).data["shots"]
    assert [shot["category"] for shot in shots] == ["cat", "dog", "cat"]  # the classes take turns
    assert [shot["energy"] for shot in shots] == [10.0, 20.0, 30.0] and {shot["area"] for shot in shots} == {0.2292}
    assert [shot["url"] for shot in shots] == ["https://example.org/a?x=1&y=2", None, (world / "clip 1.mp4").as_uri()]
    assert {shot["clip"] for shot in shots} == {(world / "clip 1.mp4").as_uri()}
    assert [opened(shot["mask"]).size for shot in shots] == [(40, 30)] * 3
    assert [(bool(shot["attention"]), bool(shot["motion"])) for shot in shots] == [(True, True), *[(False, False)] * 2]
    motion = opened(shots[0]["motion"])
    brightest = heat(np.ones((1, 1)))[0, 0]
    assert motion.size == (26, 20) and np.asarray(motion).mean((0, 1)) == pytest.approx(brightest, abs=6)


def test_best_and_worst(report, world):
    """IoU of i3: cat 12/16, background 0/4; the mean of both over the two classes that are there."""
    data = Page(report).data
    found = {key: {one["id"]: one["iou"] for one in data[key]} for key in ("best", "worst")}
    assert found == {"best": {"i3": 0.375}, "worst": {"i0": 0.0}}
    assert all(opened(one[key]).size == (4, 4) for one in data["best"] for key in ("truth", "prediction"))
    assert data["best"][0]["file"] == (world / "images/i3.png").as_uri()


@pytest.mark.slow
def test_counts_are_those_of_the_stages(tiny_runs, wsvs, tmp_path):
    """What is counted anew, class by class, adds up to what each stage said of itself; every shot has its pictures."""
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
    flow = {(row[0], row[1]): [int(cell.replace(",", "")) for cell in row[2:] if cell] for row in parsed.rows[1:13]}
    assert flow["videos", "found"][0] == counts["retrieve"]["candidates"]
    assert flow["frames", "downloaded"][0] == counts["retrieve"]["frames"]
    assert flow["frames", "relevant"][0] == counts["relevance"]["relevant frames"]
    assert flow["frames", "segmented"][0] == counts["segment"]["frames"]
    assert flow["shots", "used"][0] == counts["decoder"]["shots"]
    assert flow["frames", "used"][0] == counts["decoder"]["frames"]
    assert all(sum(numbers[1:]) == numbers[0] for (unit, _), numbers in flow.items() if unit != "images")
    assert len(parsed.data["shots"]) == counts["segment"]["segmented"]
    assert all(shot["mask"] and shot["motion"] for shot in parsed.data["shots"])
    assert any(shot["attention"] for shot in parsed.data["shots"])  # of an encoder that has learned little


def test_an_image_of_nothing_is_no_best_one(tmp_path):
    for folder, share in (("p", 0), ("t", 0), ("p2", 1), ("t2", 0)):
        write_mask(tmp_path / folder[0] / f"{folder[1:]}.png", np.full((2, 2), share, np.uint8))
    assert image_scores(tmp_path / "p", tmp_path / "t", ["", "2"], 2) == {"2": 0.0}


def test_whole_videos_have_cards_too(wsvs, world, tmp_path):
    """A segment run on a folder of videos: no score, no class needed."""
    run = finish(tmp_path / "out/w/segment/r", 1.0)
    film = world / "clip 1.mp4"
    still = {"confidence": 0.1, "uncertain_frames": 12, "cut_seconds": [0.2, 0.4]}
    write_jsonl(run / "videos.jsonl", [{"video": "a/b", "file": str(film), "class": "", "frames": 12, **still}])
    write_mask(run / "masks/a/b/00006.png", np.eye(48, 64, dtype=np.uint8))
    assert wsvs("stage=report", f"out={tmp_path}/out", "name=w", run_id="r")[0] == 0
    [card] = Page(tmp_path / "out/w/report/r/report.html").data["shots"]
    assert (card["shot"], card["score"], card["frames"]) == ("a/b", None, 12) and opened(card["mask"]).size == (64, 48)
    assert (card["confidence"], card["uncertain"], card["cuts"]) == (0.1, True, [0.2, 0.4])


def test_what_is_not_there_is_left_out(wsvs, world, tmp_path):
    out = world / "out/n"
    for name in ("evaluate", "predict", "decoder", "segment/r/terms", "retrieve/r/manifest.jsonl"):
        shutil.rmtree(out / name) if (out / name).is_dir() else (out / name).unlink()
    (world / "clip 1.mp4").unlink()
    assert wsvs("stage=report", f"out={world}/out", "name=n", run_id="r")[0] == 0
    data = Page(out / "report/r/report.html").data
    assert data["best"] == data["worst"] == []
    assert [shot["mask"] is None for shot in data["shots"]] == [False, False, True]
    assert [shot["clip"] for shot in data["shots"]] == [None] * 3  # no link leads nowhere
    assert [shot["url"] for shot in data["shots"]] == ["https://example.org/a?x=1&y=2", None, None]
    status, _, err = wsvs("stage=report", f"out={tmp_path}/none")
    assert status == 2 and "no finished run to report on" in err
    status, _, err = wsvs("stage=report", f"out={world}/out", "name=n", "report.width=0")
    assert status == 2 and "report.width must be a whole number" in err


def found_in(world: Path) -> tuple[dict[str, Path], list[str]]:
    return finished_runs(world / "out/n", STAGES, {})


def predicted(world: Path, most: int = 24) -> tuple[tuple[list[ImageCard], list[ImageCard], int], list[str]]:
    return predictions(finished_evaluations(world / "out/n"), most, 40)


def test_folder_that_was_moved(wsvs, world, tmp_path):
    """All runs, clips and images are found where they are now, and the reader is told, on the page and in the log."""
    moved = world.rename(tmp_path / "there")
    assert wsvs("stage=report", f"out={moved}/out", "name=n", run_id="r")[0] == 0
    parsed = Page(moved / "out/n/report/r/report.html")
    stages = [row[0] for row in parsed.rows if len(row) == 4 and row[2].startswith("wsvs stage=")]
    assert stages == ["encoder", "retrieve", "relevance", "segment", "decoder", "predict", "evaluate"]
    assert {shot["clip"] for shot in parsed.data["shots"]} == {(moved / "clip 1.mp4").as_uri()}
    assert all(shot["mask"] for shot in parsed.data["shots"])
    assert [one["id"] for one in parsed.data["best"]] == ["i3", "i2"]
    [note] = parsed.notes
    assert note.startswith("These runs are not where they were")
    assert f"WARNING {note}" in (moved / "out/n/report/r/wsvs.log").read_text()
    assert all(stage in note for stage in ("encoder", "retrieve", "relevance", "segment", "decoder"))


def test_folder_that_is_where_it_was_has_no_notes(report):
    assert Page(report).notes == []


def test_run_that_is_gone(world):
    """In its place stands the last of its stage; else the stage is left out. Both are told."""
    segment = world / "out/n/segment"
    (segment / "r").rename(segment / "r2")
    found, [note] = found_in(world)
    assert found["segment"] == segment / "r2" and len(found) == 7
    assert note.startswith("The run of stage segment that decoder has read is not there, the last one is shown instead")
    assert "r2" in note and str(segment / "r") in note
    shutil.rmtree(segment)
    found, [note] = found_in(world)
    assert "and there is no other" in note and "segment" not in found


def test_named_run_must_be_there(wsvs, world):
    status, _, err = wsvs("stage=report", f"out={world}/out", "name=n", "inputs.segment=typo")
    assert status == 2 and "there is no such run of stage segment" in err and "inputs.segment=typo" in err


@pytest.mark.parametrize(
    ("folder", "said"), [("images", "the images are not there"), ("truth", "the true masks are not there")]
)
def test_missing_folder_is_named(world, folder, said):
    (world / folder).rename(world / "elsewhere")
    assert predicted(world)[1] == [f"No thumbnails of predictions: {said}: {world / folder}"]


def test_images_that_are_gone_are_counted(world):
    (world / "images/i3.png").unlink()
    (best, worst, total), notes = predicted(world, 2)
    assert best == [] and [one.id for one in worst] == ["i0"] and total == 4
    assert notes == [f"1 of 2 predictions have no thumbnail: their images are not in {world / 'images'}"]


def test_masks_with_labels_of_their_own(world):
    """evaluate.prediction_names: the label 1 of these masks is the truth's 2, so none of them is right."""
    evaluate = world / "out/n/evaluate/r"
    (evaluate / "confusion.csv").write_text("truth \\ prediction,background,cat,dog\nbackground,6,2,0\n")
    config = OmegaConf.load(evaluate / ".hydra/config.yaml")
    config.evaluate.prediction_names = ["background", "dog"]
    OmegaConf.save(config, evaluate / ".hydra/config.yaml")
    assert {one.iou for one in predicted(world)[0][0]} == {0.0}


def test_so_many_images(world):
    for images, best, worst in (
        (0, [], []), (1, ["i3"], []), (3, ["i3", "i2"], ["i0"]), (50, ["i3", "i2"], ["i0", "i1"])
    ):
        found, notes = predicted(world, images)
        assert [[one.id for one in cards] for cards in found[:2]] == [best, worst] and notes == []


def test_cut_gallery_knows_the_whole(wsvs, world):
    assert wsvs("stage=report", f"out={world}/out", "name=n", "report.shots=2", "report.images=0", run_id="r")[0] == 0
    data = Page(world / "out/n/report/r/report.html").data
    assert len(data["shots"]) == 2 and data["inAll"] == {"cat": 2, "dog": 1}


def scored(per_class: list[list[str]], **more) -> Evaluation:
    return replace(Evaluation("all", "image", "predict", "val", {}, per_class), **more)


def parse(tmp_path: Path, **more) -> Page:
    """A page of next to nothing, and this."""
    path = tmp_path / "page.html"
    path.write_text(page(replace(Report("n", "today"), **more)))
    return Page(path)


def test_names_that_look_like_numbers(tmp_path):
    names = ["007", "2024", "1e5", "nan", "inf"]
    table = [["class", "label", "iou", "true_pixels"], *([name, "1", "0.5", "12345"] for name in names)]
    parsed = parse(tmp_path, evaluations=[scored(table, results={"mIoU": float("nan")})])
    assert [row for row in parsed.rows if row[0] in names] == [[name, "1", "0.500", "12,345"] for name in names]
    assert "nan" not in STYLE and ["all", "predict", "mIoU \u2013"] in parsed.rows


def test_score_that_is_none_is_a_dash(tmp_path):
    parsed = parse(tmp_path, evaluations=[scored([["class", "iou", "j"], ["cat", "nan", "1"]])])
    assert ["cat", "\u2013", "1.000"] in parsed.rows
    assert [tag["style"] for _, tag in parsed.tags if "style" in tag] == ["--share:1.000"]


def test_names_are_text_wherever_they_stand(tmp_path):
    """Tags, quotes, brackets and Arabic in names of classes, evaluations, runs and shots."""
    name = "<i>[\"a\"]</i> & 'b' \u0642\u0637\u0629 </script>"
    image = ImageCard(name, 0.5, None, "", "")
    parsed = parse(
        tmp_path, name=name, notes=[name], flow=[Count("videos", "found", 1, {name: 1})],
        evaluations=[scored([["class", "iou"], [name, "0.5"]], label=name, scored=name, results={name: 0.5},
                            confusion=[["", name], [name, "1"]])],
        shots=[ShotCard(name, name, 1)], shots_in_all={name: 1}, best=[image], worst=[image], scored_images=2,
        curves={"encoder": {name: [(0.0, 1.0)]}}, stages=[StageRun("encoder", name, 1, name, name, {name: name}, name)],
    )
    assert not [tag for tag, _ in parsed.tags if tag == "i"] and sum(tag == "script" for tag, _ in parsed.tags) == 2
    assert parsed.notes == [name] and parsed.data["inAll"] == {name: 1} and parsed.data["shots"][0]["shot"] == name
    for row in (
        ["unit", "step", "all", name], [name, "0.500"], [name, "100.0"], [name, name, f"{name} 0.500"],
        ["encoder", name], ["encoder", "1.0", name, name], [name, name],
    ):
        assert row in parsed.rows, row
    assert name in [attributes.get("value") for tag, attributes in parsed.tags if tag == "option"]


def test_every_row_and_column_has_a_name(report):
    text = report.read_text()
    assert not re.search(r"<th[^>]*></th>", text)
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", text, re.DOTALL)
    assert len(rows) > 30 and all(row.startswith("<th scope=") for row in rows)
    labels = re.findall(r'<nav[^>]*aria-label="(.*?)"', text)
    assert len(labels) == 7 and len(set(labels)) == 7


def colours_of(theme: str) -> dict[str, str]:
    return dict(re.findall(r"--(\w+):([^;}]+)", re.findall(r":root\{(.*?)\}", STYLE, re.DOTALL)[theme == "dark"]))


def luminance(colour: np.ndarray) -> float:
    """Relative luminance as WCAG 2 defines it, of sRGB in [0, 255]."""
    share = colour / 255
    return float(np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4) @ (0.2126, 0.7152, 0.0722))


def from_hex(word: str) -> np.ndarray:
    digits = word[1:] if len(word) == 7 else "".join(2 * letter for letter in word[1:])
    return np.array([int(digits[k : k + 2], 16) for k in (0, 2, 4)], float)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_numbers_can_be_read_on_every_tint(theme):
    """WCAG AA asks for a contrast of 4.5, of the ink with what it stands on."""
    found = colours_of(theme)
    assert ".heat{background:rgba(var(--tint),calc(var(--share)*var(--most)))}" in STYLE
    ink, card = luminance(from_hex(found["ink"])), from_hex(found["card"])
    tint = np.array([float(part) for part in found["tint"].split(",")])
    for share in np.linspace(0, 1, 1001):
        ground = luminance(card + share * float(found["most"]) * (tint - card))
        assert (max(ink, ground) + 0.05) / (min(ink, ground) + 0.05) >= 4.5, share
