"""The report of a small set of runs: what stands in the page. What it does in a browser: test_report_browser.py."""

from __future__ import annotations

import base64
import json
import re
import shutil
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image

from tests.films import make_film, pictures
from wsvs.core.files import read_json, write_json, write_jsonl
from wsvs.core.masks import write_mask
from wsvs.core.pictures import heat
from wsvs.retrieve.manifest import new_row
from wsvs.stages._report_pictures import prediction_scores

VERSIONS = {"wsvs": "0.1.0", "torch": "2"}


def finish(run: Path, finished: float, **more) -> Path:
    summary = {
        "stage": run.parent.name, "debug": False, "finished": finished, "seconds": 1.5, "inputs": {}, "counts": {},
        "overrides": [f"stage={run.parent.name}", "name=my runs"], "results": {}, "supervision": None,
        "versions": VERSIONS, "git_commit": "abc+",
    }
    write_json(run / "summary.json", summary | more)
    return run


@pytest.fixture
def world(tmp_path) -> Path:
    """Finished runs from encoder to evaluate: three shots of two classes, four images."""
    out = tmp_path / "out" / "n"
    encoder = finish(out / "encoder/r", 1.0, supervision="image tags", counts={"train images": 40})
    (encoder / "metrics.csv").write_text("epoch,step,train/loss,val/map\n0,9,0.7,\n0,19,0.5,\n1,19,,0.9\n")
    retrieve = finish(out / "retrieve/r", 2.0)
    write_jsonl(retrieve / "manifest.jsonl", found_videos())
    relevance = finish(
        out / "relevance/r", 3.0, inputs={"encoder": str(encoder), "retrieve": str(retrieve)},
        counts={"shots": 3, "relevant frames": 37},
    )
    segment = finish(
        out / "segment/r", 4.0, inputs={"encoder": str(encoder), "relevance": str(relevance)},
        counts={"segmented": 3, "frames": 36},
    )
    film = make_film(tmp_path / "clip 1.mp4", 12, size=(64, 48))
    rows = []
    for number, (name, kind, score) in enumerate([("a", "cat", 0.8), ("b", "dog", 0.95), ("c <b>", "cat", 0.9)]):
        shot = f"{kind}/{name}_000000"
        rows.append({
            "shot": shot, "class": kind, "score": score, "start": 0, "stop": 12, "frames": 12, "file": str(film),
            "url": ["https://example.org/a?x=1&y=2", "javascript:alert(1)", None][number], "video": f"v{number}",
            "areas": [0.25] * 11 + [0.0],
        })
        write_mask(segment / "masks" / shot / "000006.png", np.eye(48, 64, dtype=np.uint8))
        if number != 2:  # the run of the third is told from the film itself
            Image.fromarray(pictures(12, 64, 48)[6]).save(_made(segment / "frames" / shot / "000006.jpg"))
        write_json(segment / "done" / f"{shot}.json", {"energy": {"total": 120.0 * (number + 1)}})
    for term in ("attention", "motion"):
        Image.new("L", (64, 48), 255).save(_made(segment / f"terms/cat/a_000000/{term}.jpg"))
    write_jsonl(segment / "shots.jsonl", rows)
    write_jsonl(relevance / "shots.jsonl", [row | {"stop": 13 if row["class"] == "dog" else 12} for row in rows])
    decoder = finish(out / "decoder/r", 5.0, inputs={"segment": str(segment)}, counts={"shots": 2, "frames": 24},
                     supervision="image tags (masks made from videos)")
    settings = {"decoder": {"min_area": 0.005, "max_area": 0.9, "holdout": 0.5}}
    OmegaConf.save(settings, _made(decoder / ".hydra/config.yaml"))
    predict = finish(out / "predict/r", 6.0, inputs={"decoder": str(decoder)}, counts={"masks": 4})
    evaluate = finish(out / "evaluate/r", 7.0, results={"mIoU": 0.75, "fingerprint": "x"})
    for number in range(4):  # image k has k of 4 columns right
        Image.new("RGB", (4, 4), "grey").save(_made(tmp_path / f"images/i{number}.png"))
        mask = np.zeros((4, 4), np.uint8)
        mask[:, :number] = 1
        write_mask(predict / f"i{number}.png", mask)
        write_mask(tmp_path / f"truth/i{number}.png", np.ones((4, 4), np.uint8))
    OmegaConf.save({"input": str(tmp_path / "images")}, _made(predict / ".hydra/config.yaml"))
    OmegaConf.save(
        {"predictions": str(predict), "truth": str(tmp_path / "truth"), "evaluate": {"kind": "image"}},
        _made(evaluate / ".hydra/config.yaml"),
    )
    (evaluate / "confusion.csv").write_text("truth \\ prediction,background,cat\nbackground,6,2\ncat,1,3\n")
    (evaluate / "per_class.csv").write_text("class,iou\nbackground,0.6667\ncat,0.5\n")
    return tmp_path


def found_videos() -> list[dict]:
    """1,200 cats, of which two are downloaded, and 34 dogs, of which one is."""
    rows = [new_row(f"cat{k}", "cat", "https://x") for k in range(1200)]
    rows += [new_row(f"dog{k}", "dog", "https://x") for k in range(34)]
    for row in (rows[0], rows[1], rows[1200]):
        clip = {"start": 0, "stop": 33}
        row |= {"status": "retrieved", "sha256": "0", "bytes": 1, "clips": [clip]}
    return [row | {"status": row["status"] or "skipped: why not"} for row in rows]


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


@pytest.fixture
def report(wsvs, world) -> Path:
    status, _, err = wsvs(
        "stage=report", f"out={world}/out", "name=n", "report.images=2", "report.width=40", run_id="r"
    )
    assert status == 0, err
    return world / "out/n/report/r/report.html"


class Page(HTMLParser):
    """Tags with their attributes, text by cell, and the data of the galleries."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self.inside = False
        self.feed(path.read_text())
        self.data = json.loads(re.search(r'id="data">(.*?)</script>', path.read_text(), re.DOTALL)[1])

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self.inside = True

    def handle_endtag(self, tag):
        self.inside &= tag not in ("td", "th")

    def handle_data(self, data):
        if self.inside:
            self.rows[-1][-1] += data


def test_numbers_of_every_stage(report):
    rows = Page(report).rows
    for row in (
        ["", "", "all", "cat", "dog"],
        ["videos", "found", "1,234", "1,200", "34"], ["videos", "downloaded", "3", "2", "1"],
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
    assert [shot["class"] for shot in shots] == ["cat", "dog", "cat"]  # the classes take turns
    assert [shot["energy"] for shot in shots] == [10.0, 20.0, 30.0] and {shot["area"] for shot in shots} == {0.2292}
    assert [shot["url"] for shot in shots] == ["https://example.org/a?x=1&y=2", None, None]
    assert {shot["clip"] for shot in shots} == {(world / "clip 1.mp4").as_uri()}
    assert [opened(shot["mask"]).size for shot in shots] == [(40, 30)] * 3
    assert [sorted({"attention", "motion"} & set(shot)) for shot in shots] == [["attention", "motion"], [], []]
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
def test_counts_are_those_of_the_stages(tiny_runs, wsvs):
    """What is counted anew, class by class, adds up to what each stage said of itself; every shot has its pictures."""
    words = ["stage=report", "data=synthetic", f"out={tiny_runs.parent}", f"name={tiny_runs.name}"]
    status, _, err = wsvs(*words, run_id="r")
    assert status == 0, err
    parsed = Page(tiny_runs / "report/r/report.html")
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
    assert all({"mask", "motion"} <= set(shot) for shot in parsed.data["shots"])
    assert any("attention" in shot for shot in parsed.data["shots"])  # of an encoder that has learned little
    shutil.rmtree(tiny_runs / "report")


def test_an_image_of_nothing_is_no_best_one(tmp_path):
    for folder, share in (("p", 0), ("t", 0), ("p2", 1), ("t2", 0)):
        write_mask(tmp_path / folder[0] / f"{folder[1:]}.png", np.full((2, 2), share, np.uint8))
    assert prediction_scores(tmp_path / "p", tmp_path / "t", ["", "2"], 2) == {"2": 0.0}


def test_whole_videos_have_cards_too(wsvs, world, tmp_path):
    """A segment run on a folder of videos: no score, no class needed."""
    run = finish(tmp_path / "out/w/segment/r", 1.0)
    film = world / "clip 1.mp4"
    write_jsonl(run / "videos.jsonl", [{"video": "a/b", "file": str(film), "class": "", "frames": 12}])
    write_mask(run / "masks/a/b/00006.png", np.eye(48, 64, dtype=np.uint8))
    assert wsvs("stage=report", f"out={tmp_path}/out", "name=w", run_id="r")[0] == 0
    [card] = Page(tmp_path / "out/w/report/r/report.html").data["shots"]
    assert (card["shot"], card["score"], card["frames"]) == ("a/b", None, 12) and opened(card["mask"]).size == (64, 48)


def test_what_is_not_there_is_left_out(wsvs, world, tmp_path):
    out = world / "out/n"
    for name in ("evaluate", "predict", "decoder", "segment/r/terms", "retrieve/r/manifest.jsonl"):
        shutil.rmtree(out / name) if (out / name).is_dir() else (out / name).unlink()
    (world / "clip 1.mp4").unlink()
    assert wsvs("stage=report", f"out={world}/out", "name=n", run_id="r")[0] == 0
    data = Page(out / "report/r/report.html").data
    assert data["best"] == data["worst"] == []
    assert [shot["mask"] is None for shot in data["shots"]] == [False, False, True]
    status, _, err = wsvs("stage=report", f"out={tmp_path}/none")
    assert status == 2 and "no finished run to report on" in err
    status, _, err = wsvs("stage=report", f"out={world}/out", "name=n", "report.width=0")
    assert status == 2 and "report.width must be a whole number" in err
