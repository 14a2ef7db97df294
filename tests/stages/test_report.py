"""The report of a small set of runs: what stands in the page, and what it does in a browser."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image

from tests.films import make_film, pictures
from wsvs.core.files import write_json, write_jsonl
from wsvs.core.masks import write_mask
from wsvs.nets.model import NetConfig
from wsvs.stages._report_page import page
from wsvs.stages._report_template import SCRIPT

VERSIONS = {"wsvs": "0.1.0", "torch": "2"}
NASTY = "</script><script>throw 1</script>"


def finish(run: Path, finished: float, **more) -> Path:
    summary = {
        "stage": run.parent.name, "debug": False, "finished": finished, "seconds": 1.5, "inputs": {}, "counts": {},
        "overrides": [f"stage={run.parent.name}", "name=my runs"], "results": {}, "supervision": None,
        "versions": VERSIONS, "git_commit": "abc+",
    }
    write_json(run / "summary.json", summary | more)
    return run


@pytest.fixture
def world(tmp_path, composed) -> Path:
    """Finished runs from encoder to evaluate: three shots of two classes, four images."""
    out = tmp_path / "out" / "n"
    encoder = finish(out / "encoder/r", 1.0, supervision="image tags", counts={"train images": 40})
    config = NetConfig("vgg_small", ("cat", "dog"), image_size=32, scales=(1.0,), hidden=8, dropout=0.0)
    state = {f"net.encoder.{key}": value for key, value in config.build_encoder().state_dict().items()}
    (encoder / "checkpoints").mkdir()
    torch.save({"state_dict": state, "hyper_parameters": {"net": config.asdict()}}, encoder / "checkpoints/best.ckpt")
    (encoder / "metrics.csv").write_text("epoch,step,train/loss,val/map\n0,9,0.7,\n0,19,0.5,\n1,19,,0.9\n")
    retrieve = finish(out / "retrieve/r", 2.0, counts={"candidates": 1234, "retrieved": 5, "frames": 99})
    relevance = finish(
        out / "relevance/r", 3.0, inputs={"encoder": str(encoder), "retrieve": str(retrieve)},
        counts={"shots": 3, "relevant frames": 36},
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
            "url": ["https://example.org/a?x=1&y=2", "javascript:alert(1)", None][number], "areas": [0.25] * 12,
        })
        write_mask(segment / "masks" / shot / "000006.png", np.eye(48, 64, dtype=np.uint8))
        if number != 2:  # the run of the third is told from the film itself
            Image.fromarray(pictures(12, 64, 48)[6]).save(_made(segment / "frames" / shot / "000006.jpg"))
        write_json(segment / "done" / f"{shot}.json", {"energy": {"total": 120.0 * (number + 1)}})
    write_jsonl(segment / "shots.jsonl", rows)
    keys = composed("stage=segment", "data.root=x", "segment.superpixels=60")
    OmegaConf.save(keys, _made(segment / ".hydra/config.yaml"), resolve=False)
    decoder = finish(out / "decoder/r", 5.0, inputs={"segment": str(segment)}, counts={"shots": 2, "frames": 24},
                     supervision="image tags (masks made from videos)")
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


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


@pytest.fixture
def report(wsvs, world) -> Path:
    status, _, err = wsvs(
        "stage=report", f"out={world}/out", "name=n", "report.terms=2", "report.images=2", "report.width=40", run_id="r"
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
        ["found", "videos", "1,234"], ["downloaded", "videos", "5"], ["relevant", "shots", "3"],
        ["segmented", "frames", "36"], ["used", "shots", "2"], ["tagged", "images to train on", "40"],
        ["predicted", "images", "4"], ["mIoU", "0.75"], ["cat", "0.5"], ["background", "75.0", "25.0"],
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
    assert "@import" not in text and "fetch(" not in text and text.count("<svg") == 2  # train/loss and val/map
    assert [path.name for path in report.parent.iterdir() if path.suffix in (".png", ".jpg", ".js", ".css")] == []


def opened(address: str) -> Image.Image:
    kind, _, data = address.partition(",")
    assert kind == "data:image/jpeg;base64"
    return Image.open(BytesIO(base64.b64decode(data)))


def test_shots(report, world):
    shots = Page(report).data["shots"]
    assert [shot["class"] for shot in shots] == ["cat", "dog", "cat"]  # the classes take turns
    assert [shot["energy"] for shot in shots] == [10.0, 20.0, 30.0] and {shot["area"] for shot in shots} == {0.25}
    assert [shot["url"] for shot in shots] == ["https://example.org/a?x=1&y=2", None, None]
    assert {shot["clip"] for shot in shots} == {(world / "clip 1.mp4").as_uri()}
    assert [opened(shot["mask"]).size for shot in shots] == [(40, 30)] * 3
    assert [sorted({"attention", "motion"} & set(shot)) for shot in shots] == [["attention", "motion"]] * 2 + [[]]
    assert opened(shots[0]["motion"]).size == (40, 30)


def test_best_and_worst(report):
    """IoU of i3: cat 12/16, background 0/4; the mean of both over the two classes that are there."""
    found = {one["id"]: one["iou"] for one in Page(report).data["predictions"]}
    assert found == {"i3": 0.375, "i0": 0.0}
    assert all(opened(one["truth"]).size == (4, 4) for one in Page(report).data["predictions"])


def test_what_is_not_there_is_left_out(wsvs, world, tmp_path):
    out = world / "out/n"
    for name in ("evaluate", "predict", "decoder", "encoder/r/checkpoints"):
        shutil.rmtree(out / name)
    (world / "clip 1.mp4").unlink()
    assert wsvs("stage=report", f"out={world}/out", "name=n", run_id="r")[0] == 0
    data = Page(out / "report/r/report.html").data
    assert data["predictions"] == [] and [shot["mask"] is None for shot in data["shots"]] == [False, False, True]
    status, _, err = wsvs("stage=report", f"out={tmp_path}/none")
    assert status == 2 and "no finished run to report on" in err
    status, _, err = wsvs("stage=report", f"out={world}/out", "name=n", "report.width=0")
    assert status == 2 and "report.width must be a whole number" in err


def many(count: int) -> dict:
    shots = [
        {"shot": f"{kind}/{k:05d}{NASTY if k == 7 else ''}", "class": kind, "score": (k * 37 % count) / count,
         "frames": 6, "area": 0.1, "url": f"https://example.org/{k}", "clip": f"file:///clips/{k}.mp4",
         "energy": None if k == 3 else float(k), "mask": "data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA="}
        for k, kind in ((k, f"kind {k % 7}") for k in range(count))
    ]
    return {"name": f"n {NASTY}", "stages": [], "flow": [], "curves": {}, "evaluations": [], "shots": shots,
            "predictions": []}


PROBE = """
<script>
const heard = []; addEventListener("error", event => heard.push(String(event.message)));
addEventListener("load", () => setTimeout(() => {
  const names = () => [...document.querySelectorAll("#shot-cards .card > a")].map(one => one.lastChild.data);
  const set = (id, value) => { const one = document.getElementById(id); one.type === "checkbox" ? one.checked = value
    : one.value = value; one.dispatchEvent(new Event("change", {bubbles: true})); return names().slice(0, 3); };
  const found = {all: names().length, count: document.getElementById("count").textContent};
  found.score = names().slice(0, 3);
  found.low = set("up", true); found.energy = set("sort", "energy"); found.high = set("up", false);
  found.kind = set("class", "kind 3"); found.kinds = document.getElementById("count").textContent;
  const before = names().length; document.getElementById("more").click(); found.more = names().length - before;
  found.focus = document.activeElement.tagName;
  found.lazy = [...document.images].every(one => one.loading === "lazy");
  found.width = innerWidth; found.wide = document.documentElement.scrollWidth;
  found.reached = [...document.querySelectorAll("select,input,button,a[href],summary")].every(one => one.tabIndex >= 0);
  found.heard = heard;
  const told = document.createElement("pre"); told.id = "told"; told.textContent = JSON.stringify(found);
  document.body.append(told);
}, 300));
</script></head>"""


def browse(path: Path) -> tuple[dict, str]:
    """What the probe found in a page of its own at the width of a phone, and the browser's console."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no chromium is installed")
    probed = path.with_name("probed.html")
    probed.write_text(path.read_text().replace("</head>", PROBE, 1))
    done = subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=390,800",
         "--enable-logging=stderr", f"--user-data-dir={path.parent / 'profile'}", "--virtual-time-budget=4000",
         "--dump-dom", probed.as_uri()],
        capture_output=True, text=True, timeout=120, check=False,
    )
    told = re.search(r'<pre id="told">(.*?)</pre>', done.stdout, re.DOTALL)
    assert told, done.stderr[-2000:]
    said = "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)
    return json.loads(told[1].replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">")), said


def test_in_a_browser_with_5000_shots(tmp_path):
    content = many(5000)
    (tmp_path / "report.html").write_text(page(content))
    found, console = browse(tmp_path / "report.html")
    shots = content["shots"]

    def first(key, reverse, kind=None):
        kept = [one for one in shots if one[key] is not None and kind in (None, one["class"])]
        return [one["shot"] for one in sorted(kept, key=lambda one: one[key], reverse=reverse)][:3]

    assert found["heard"] == [] and console == ""
    assert 60 <= found["all"] <= 600 and found["count"] == "5000 shots"  # not all at once
    assert found["score"] == first("score", True) and found["low"] == first("score", False)
    assert found["energy"] == first("energy", False) and found["high"] == first("energy", True)
    assert found["kind"] == first("energy", True, "kind 3") and found["kinds"] == f"{len(range(3, 5000, 7))} shots"
    assert found["more"] == 60 and found["focus"] == "A" and found["lazy"] and found["reached"]
    assert found["wide"] <= found["width"] <= 600


def test_a_real_page_in_a_browser(report):
    found, console = browse(report)
    assert found["heard"] == [] and console == "" and found["all"] == 3 and found["wide"] <= found["width"]


def test_nothing_breaks_out_of_the_data():
    text = page(many(10))
    assert NASTY not in text and text.count("</script>") == 2


def test_the_script_is_one(tmp_path):
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node is installed")
    (tmp_path / "a.js").write_text(SCRIPT)
    assert subprocess.run([node, "--check", tmp_path / "a.js"], capture_output=True, check=False).returncode == 0
