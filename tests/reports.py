"""A small set of finished runs to report on, and a reader of the report's page."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf
from PIL import Image

from tests.films import make_film, pictures
from wsvs.core.files import write_json, write_jsonl
from wsvs.core.masks import write_mask
from wsvs.records.retrieved import FoundClip, FoundVideo
from wsvs.report.thumbnails import embedded

VERSIONS = {"wsvs": "0.1.0", "torch": "2"}


def finish(run: Path, finished: float, **more) -> Path:
    summary = {
        "stage": run.parent.name,
        "debug": False,
        "finished": finished,
        "seconds": 1.5,
        "inputs": {},
        "counts": {},
        "overrides": [f"stage={run.parent.name}", "name=my runs"],
        "results": {},
        "supervision": None,
        "versions": VERSIONS,
        "git_commit": "abc+",
    }
    write_json(run / "summary.json", summary | more)
    started = {"cwd": str(run.parents[3]), "output_dir": str(run)}
    OmegaConf.save({"hydra": {"runtime": started}}, _made(run / ".hydra/hydra.yaml"))
    return run


def make_world(folder: Path) -> Path:
    """Finished runs from encoder to evaluate in folder/out/n: three shots of two classes, four images.

    They were started in the folder itself, which is where their relative paths begin.
    """
    out = folder / "out" / "n"
    encoder = finish(out / "encoder/r", 1.0, supervision="image tags", counts={"train images": 40})
    (encoder / "metrics.csv").write_text("epoch,step,train/loss,val/map\n0,9,0.7,\n0,19,0.5,\n1,19,,0.9\n")
    retrieve = finish(out / "retrieve/r", 2.0)
    write_jsonl(retrieve / "manifest.jsonl", found_videos())
    relevance = finish(
        out / "relevance/r",
        3.0,
        inputs={"encoder": str(encoder), "retrieve": str(retrieve)},
        counts={"shots": 3, "relevant frames": 37},
    )
    segment = finish(
        out / "segment/r",
        4.0,
        inputs={"encoder": str(encoder), "relevance": str(relevance)},
        counts={"segmented": 3, "frames": 36},
    )
    film = make_film(folder / "clip 1.mp4", 12, size=(64, 48))
    rows = []
    for number, (name, kind, score) in enumerate([("a", "cat", 0.8), ("b", "dog", 0.95), ("c <b>", "cat", 0.9)]):
        shot = f"{kind}/{name}_000000"
        rows.append(
            {
                "shot": shot,
                "class": kind,
                "score": score,
                "start": 0,
                "stop": 12,
                "frames": 12,
                "file": str(film),
                "url": ["https://example.org/a?x=1&y=2", "javascript:alert(1)", film.as_uri()][number],
                "video": f"v{number}",
                "areas": [0.25] * 11 + [0.0],
            }
        )
        write_mask(segment / "masks" / shot / "000006.png", np.eye(48, 64, dtype=np.uint8))
        if number != 2:  # the run of the third is found by the video itself
            Image.fromarray(pictures(12, 64, 48)[6]).save(_made(segment / "frames" / shot / "000006.jpg"))
        write_json(segment / "done" / f"{shot}.json", {"energy": {"total": 120.0 * (number + 1)}})
    for term in ("attention", "motion"):
        Image.new("L", (64, 48), 255).save(_made(segment / f"terms/cat/a_000000/{term}.jpg"))
    write_jsonl(segment / "shots.jsonl", rows)
    write_jsonl(relevance / "shots.jsonl", [row | {"stop": 13 if row["class"] == "dog" else 12} for row in rows])
    decoder = finish(
        out / "decoder/r",
        5.0,
        inputs={"segment": str(segment)},
        counts={"shots": 2, "frames": 24},
        supervision="image tags (masks made from videos)",
    )
    settings = {"decoder": {"min_area": 0.005, "max_area": 0.9, "holdout": 0.5}}
    OmegaConf.save(settings, _made(decoder / ".hydra/config.yaml"))
    predict = finish(out / "predict/r", 6.0, inputs={"decoder": str(decoder)}, counts={"masks": 4})
    evaluate = finish(out / "evaluate/r", 7.0, results={"mIoU": 0.75, "fingerprint": "x"})
    for number in range(4):  # image k has k of 4 columns right
        Image.new("RGB", (4, 4), "grey").save(_made(folder / f"images/i{number}.png"))
        mask = np.zeros((4, 4), np.uint8)
        mask[:, :number] = 1
        write_mask(predict / f"i{number}.png", mask)
        write_mask(folder / f"truth/i{number}.png", np.ones((4, 4), np.uint8))
    OmegaConf.save({"input": "images"}, _made(predict / ".hydra/config.yaml"))
    (predict / "labels.txt").write_text("background\ncat\n")
    write_jsonl(
        predict / "items.jsonl",
        [
            {"id": f"i{number}", "file": f"i{number}.png", "confidence": {"cat": number / 4 or None}}
            for number in range(4)
        ],
    )
    OmegaConf.save(
        {"predictions": str(predict), "truth": "truth", "evaluate": {"kind": "image"}},
        _made(evaluate / ".hydra/config.yaml"),
    )
    (evaluate / "confusion.csv").write_text("truth \\ prediction,background,cat\nbackground,6,2\ncat,1,3\n")
    (evaluate / "per_class.csv").write_text("class,iou\nbackground,0.6667\ncat,0.5\n")
    return folder


def thumbnail() -> str:
    """A thumbnail as large as that of a photograph."""
    return embedded(np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8).repeat(4, 0).repeat(4, 1), 160)


def found_videos() -> list[dict]:
    """1,200 cats, of which two are downloaded and two are private, and 34 dogs, of which one is downloaded."""
    found = FoundVideo(video="", class_name="cat", url="https://x", status="skipped: why not")
    rows = [replace(found, video=f"cat{k}") for k in range(1200)]
    rows += [replace(found, video=f"dog{k}", class_name="dog") for k in range(34)]
    for k in (0, 1, 1200):
        clip = FoundClip(clip="c", path="p", class_name="c", start=0, stop=33, url="u", distractor=False)
        rows[k] = replace(rows[k], status="retrieved", sha256="0", bytes=1, clips=[clip])
    for k in (2, 3):
        rows[k] = replace(rows[k], status="failed: needs an account: private (x)", failure="account")
    return [row.to_json() for row in rows]


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


class Page(HTMLParser):
    """Tags with their attributes, text by cell, notes, and the data of the gallery with the thumbnails of each item."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self.notes: list[str] = []
        self.inside = ""
        self.feed(path.read_text())
        self.data = json.loads(re.search(r'id="data">(.*?)</script>', path.read_text(), re.DOTALL)[1])
        self.items: list[dict[str, Any]] = self.data["items"]
        lines = re.findall(r'<script type="text/plain" id="t\d+">(.*?)</script>', path.read_text(), re.DOTALL)
        for item, text in zip(self.items, lines, strict=True):
            item |= dict(zip(("thumbnail", "attention", "motion"), text.split("\n"), strict=True))

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Items of the gallery of one kind."""
        return [item for item in self.items if item["kind"] == kind]

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self.inside = "cell"
        elif tag == "li":
            self.notes.append("")
            self.inside = "note"

    def handle_endtag(self, tag):
        if tag in ("td", "th", "li"):
            self.inside = ""

    def handle_data(self, data):
        if self.inside:
            (self.rows[-1] if self.inside == "cell" else self.notes)[-1] += data
