"""segment.instances: masks of ids beside the masks of classes, and their export."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from tests.films import make_film
from tests.processes import SEGMENT
from wsvs.core.files import read_json
from wsvs.core.masks import read_mask

QUICK = (
    *SEGMENT,
    "segment.max_frames=8",
    "videos=v",
)


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*.png"))}


def test_ids_beside_unchanged_masks(wsvs, tmp_path):
    """Whatever the number of workers; taken from where a killed run left them; exported as DAVIS has them."""
    make_film(tmp_path / "v/a.mp4", 14)
    make_film(tmp_path / "v/deep/b.mp4", 5, seed=1)
    runs = {}
    for name, words in (("off", []), ("one", ["segment.instances=true"]), ("two", ["segment.instances=true"])):
        workers = 2 if name == "two" else 0
        status, _, err = wsvs(*QUICK, *words, f"segment.workers={workers}", run_id=name)
        assert status == 0, err
        runs[name] = Path("out/n/segment", name)
    assert files(runs["off"] / "masks") == files(runs["one"] / "masks") == files(runs["two"] / "masks")
    assert not (runs["off"] / "instances").exists() and not (runs["one"] / "instances/.nodes").exists()
    ids = files(runs["one"] / "instances")
    assert ids == files(runs["two"] / "instances") and ids.keys() == files(runs["one"] / "masks").keys()
    for name in ids:
        mask, found = (read_mask(runs["one"] / folder / name) for folder in ("masks", "instances"))
        assert not found[mask == 0].any() and (found.any() or not mask.any())
    rows = [json.loads(line) for line in (runs["one"] / "tracks.jsonl").read_text().splitlines()]
    assert {row["video"] for row in rows} == {"a", "deep/b"} and {row["class"] for row in rows} == {"object"}
    assert read_json(runs["one"] / "summary.json")["counts"]["tracks"] == len(rows)
    fingerprints = [read_json(run / "summary.json")["results"]["fingerprint"] for run in runs.values()]
    assert fingerprints[1] == fingerprints[2] != fingerprints[0]

    (runs["two"] / "summary.json").unlink()  # as if it had been killed before its end
    (runs["two"] / "tracks.jsonl").unlink()
    assert wsvs(*QUICK, "segment.instances=true", "segment.workers=0", run_id="two")[0] == 0
    assert files(runs["two"] / "instances") == ids
    assert (runs["two"] / "tracks.jsonl").read_text() == (runs["one"] / "tracks.jsonl").read_text()

    export = ["stage=export", "name=n", "out=out", f"predictions={runs['one']}", "export.objects=track"]
    status, _, err = wsvs(*export, "export.format=davis", run_id="davis")
    assert status == 0, err
    for name in ids:
        written = Path("out/n/export/davis/Annotations/Full-Resolution", name)
        assert np.array_equal(read_mask(written), read_mask(runs["one"] / "instances" / name))
    assert wsvs(*export, "export.format=coco", run_id="coco")[0] == 0
    annotations = read_json("out/n/export/coco/annotations.json")["annotations"]
    assert len(annotations) == sum(row["frames"] for row in rows) and all(one["track_id"] for one in annotations)
