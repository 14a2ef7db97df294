"""The whole pipeline with its default steps on own data, as a practitioner runs it."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.processes import CLASSES, files, rows, summary, times

pytestmark = pytest.mark.slow
ORDER = ["data", "encoder", "retrieve", "relevance", "segment", "decoder", "adapt", "predict", "evaluate"]


def run_dirs(toy) -> set[Path]:
    return {path.parent for path in (toy.out / "toy").glob("*/*/summary.json") if path.parts[-3] != "pipeline"}


def test_all_stages_run_in_their_order(toy):
    said = (toy.folder / "log.txt").read_text()
    assert re.findall(rf"^--- (.*) \(\d of {len(ORDER)}\)$", said, re.MULTILINE) == ORDER
    assert summary(toy.run("pipeline"))["counts"]["steps"] == len(ORDER)


def test_each_stage_has_one_run_with_the_pipelines_id(toy):
    assert {toy.run(stage).name for stage in ORDER} == {toy.run("pipeline").name}


def test_the_runs_hold_together(toy):
    """What one stage wrote is what the next one read, down to a mask for each image and its score."""
    shots = rows(toy.run("segment") / "shots.jsonl")
    assert {shot["class"] for shot in shots} == set(CLASSES)
    masks = files(toy.run("segment") / "masks")
    assert len(masks) == sum(shot["stop"] - shot["start"] for shot in shots)
    images = {path.stem: Image.open(path).size for path in (toy.data / "images").iterdir()}
    predicted = {path.stem: path for path in toy.run("predict").glob("*.png")}
    assert set(predicted) == set(images) and len(images) == 24
    for name, path in predicted.items():
        with Image.open(path) as mask:
            assert mask.mode == "P" and mask.size == images[name]
            assert np.asarray(mask).max() <= len(CLASSES)
    metrics = json.loads((toy.run("evaluate") / "metrics.json").read_text())
    with (toy.run("evaluate") / "confusion.csv").open() as stream:
        confusion = np.array([row[1:] for row in csv.reader(stream)][1:], int)
    assert confusion.sum() == sum(width * height for width, height in images.values())
    iou = confusion.diagonal() / (confusion.sum(0) + confusion.sum(1) - confusion.diagonal())
    assert metrics["miou"] == pytest.approx(np.nanmean(iou))


def test_a_second_call_skips_every_step(toy, cli):
    before = run_dirs(toy)
    said = cli.run("stage=pipeline", *toy.command(), cwd=toy.folder)
    assert re.findall("^--- (.*): finished before", said, re.MULTILINE) == ORDER
    assert run_dirs(toy) == before


def test_a_changed_setting_reruns_only_what_depends_on_it(toy, cli):
    before = run_dirs(toy)
    said = cli.run("stage=pipeline", *toy.command(), "decoder.lr=1e-5", "segment.workers=1", cwd=toy.folder)
    assert re.findall("^--- (.*): finished before", said, re.MULTILINE) == ORDER[:5]  # workers change no mask
    new = run_dirs(toy) - before
    assert sorted(path.parent.name for path in new) == sorted(ORDER[5:])
    [decoder] = [path for path in new if path.parent.name == "decoder"]
    [adapt] = [path for path in new if path.parent.name == "adapt"]
    assert summary(decoder)["inputs"]["segment"] == str(toy.run("segment").resolve())
    assert summary(adapt)["inputs"] == {"decoder": str(decoder.resolve())}


def test_killed_in_the_middle_it_resumes_where_it_was(toy, cli, tmp_path):
    """And gives, in another folder, the very masks of an undisturbed pipeline."""
    words = [
        "stage=pipeline",
        *toy.words(),
        "name=k",
        f"out={tmp_path}",
        "pipeline.steps=[{stage: encoder}, {stage: retrieve}, {stage: relevance}, {stage: segment}]",
    ]
    process = cli.start(*words, sabotage="/segment/*/done/|1|0|hang")  # at its second shot
    cli.wait_for(process, tmp_path, "k/segment/*/done/*/*.json")
    os.kill(process.pid, signal.SIGKILL)
    cli.finish(process, -signal.SIGKILL)  # the stage's process has gone too: it held the other end
    [segment] = (tmp_path / "k" / "segment").iterdir()
    assert not (segment / "summary.json").exists()
    done = times(segment / "done", "*.json")
    encoder = tmp_path / "k" / "encoder" / segment.name / "checkpoints" / "best.ckpt"
    made = encoder.stat().st_mtime_ns
    said = cli.run(*words)
    assert re.findall("^--- (.*): finished before", said, re.MULTILINE) == ORDER[1:4]
    for stage in (*ORDER[1:5], "pipeline"):
        assert [path.name for path in (tmp_path / "k" / stage).iterdir()] == [segment.name]
    assert encoder.stat().st_mtime_ns == made
    assert done and all(path.stat().st_mtime_ns == time for path, time in done.items())
    assert files(segment / "masks") == files(toy.run("segment") / "masks")


def test_sigterm_to_the_pipeline_alone_stops_its_stage_too(toy, cli, tmp_path):
    words = ["stage=pipeline", *toy.words(), "name=t", f"out={tmp_path}", "encoder.epochs=500"]
    process = cli.start(*words)
    cli.wait_for(process, tmp_path, "t/encoder/*/checkpoints/last.ckpt")
    os.kill(process.pid, signal.SIGTERM)
    said = cli.finish(process, 143)
    assert "run the same command again to resume" in said and "Traceback" not in said


def test_a_failing_stage_says_why_and_the_pipeline_which(toy, cli, tmp_path):
    said = cli.run(
        "stage=pipeline",
        *toy.words(),
        "name=f",
        f"out={tmp_path}",
        "relevance.threshold=1",
        *toy.inputs("encoder", "retrieve"),
        "pipeline.steps=[{stage: relevance}, {stage: segment}, {stage: decoder}]",
        status=2,
    )
    assert "error: no shot is relevant to its class" in said and "lower relevance.threshold" in said
    assert "error: stage segment stopped with exit status 2" in said
    assert "Traceback" not in said and "--- decoder" not in said


def test_the_jobs_of_a_sweep_do_not_share_runs(toy, cli, tmp_path):
    cli.run(
        "-m",
        "stage=pipeline",
        *toy.words(),
        "name=s",
        f"out={tmp_path}",
        "encoder.lr=1e-3,1e-4",
        "pipeline.steps=[{stage: encoder}]",
    )
    [sweep] = (tmp_path / "s" / "pipeline").iterdir()
    assert sorted(path.name for path in (tmp_path / "s" / "encoder").iterdir()) == [f"{sweep.name}-{k}" for k in (0, 1)]
