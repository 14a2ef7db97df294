"""Kills and signals: no run hangs, nothing that was finished is lost, and the same command resumes."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch

from tests.processes import TWO_RANKS, files, only_run, quoted, rows, summary, times

pytestmark = pytest.mark.slow
KILLED = -signal.SIGKILL


def metrics(path: Path) -> list[dict[str, str]]:
    with path.open() as stream:
        return list(csv.DictReader(stream))


def check_went_on(run: Path, done: dict[Path, int], masks: dict[str, bytes]) -> None:
    """The run is whole, what was finished is untouched, and the masks are those of an undisturbed run."""
    assert done and all(path.stat().st_mtime_ns == time for path, time in done.items())
    assert files(run / "masks") == masks
    assert len(times(run / "done", "*.json")) == summary(run)["counts"]["shots"] > len(done)
    assert not list((run / "masks").rglob(".tmp-*"))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_killed_segmentation_resumes(toy, cli, tmp_path, workers):
    """Killed between the last mask of the fourth shot and its line in the ledger."""
    words = [
        "stage=segment",
        *toy.words(),
        "name=n",
        f"out={tmp_path}",
        f"segment.workers={workers}",
        *toy.inputs("encoder", "relevance"),
    ]
    cli.run(*words, sabotage="/done/|3|0|kill", status=KILLED)
    run = only_run(tmp_path, "segment")
    done = times(run / "done", "*.json")
    assert len(done) == 3 and not (run / "summary.json").exists()
    stump = next(path for path in (run / "masks").rglob("*.png")).parent / ".tmp-0.png"
    stump.write_bytes(b"half a mask")  # where the kill came while a mask was written
    unfinished = {row["shot"] for row in rows(toy.run("segment") / "shots.jsonl")} - {
        str(path.relative_to(run / "done").with_suffix("")) for path in done
    }
    stump = stump.rename(run / "masks" / next(s for s in unfinished if (run / "masks" / s).is_dir()) / stump.name)
    cli.run(*words)
    check_went_on(only_run(tmp_path, "segment"), done, files(toy.run("segment") / "masks"))


@pytest.mark.parametrize("killed", [0, 1])
def test_kill_of_one_rank_ends_the_other_and_the_run_resumes(toy, cli, tmp_path, killed):
    """The first rank ends with exit status 2, or is killed by Lightning, which watches over the others."""
    words = [
        "stage=segment",
        *toy.words(),
        *TWO_RANKS,
        "name=n",
        f"out={tmp_path}",
        *toy.inputs("encoder", "relevance"),
    ]
    process = cli.start(*words, sabotage=f"/done/|2|{killed}|kill")
    said, _ = process.communicate(timeout=600)  # returns when both have ended: they hold the same pipe
    assert process.returncode in ({KILLED} if killed == 0 else {KILLED, 2})
    if process.returncode == 2:
        assert "error: another rank ended unexpectedly" in said and "Run the same command again to resume" in said
    check_ended(process.pid)
    run = only_run(tmp_path, "segment")
    done = times(run / "done", "*.json")
    assert 2 <= len(done) < len(rows(toy.run("segment") / "shots.jsonl"))
    cli.run(*words)
    check_went_on(only_run(tmp_path, "segment"), done, files(toy.run("segment") / "masks"))


def check_ended(session: int) -> None:
    """None lives on. A process that ends closes its files, by which we know of it, somewhat before it is dead."""
    deadline = time.monotonic() + 60
    while (left := alive(session)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not left


def alive(session: int) -> list[str]:
    """Living processes of a session."""
    listed = subprocess.run(["ps", "-o", "sid=,stat=,args=", "-A"], capture_output=True, text=True, check=True)
    found = [line.split(maxsplit=2) for line in listed.stdout.splitlines()]
    return [args for sid, state, args in found if sid == str(session) and not state.startswith("Z")]


def test_a_killed_prediction_resumes(toy, cli, tmp_path):
    words = [
        "stage=predict",
        *toy.words(),
        "name=n",
        f"out={tmp_path}",
        f"input={quoted(toy.data / 'images')}",
        f"labels={quoted(toy.data / 'labels.tsv')}",
        *toy.inputs("adapt"),
    ]
    cli.run(*words, sabotage=".png|5|0|kill", status=KILLED)
    run = only_run(tmp_path, "predict")
    done = times(run, "*.png")
    assert len(done) == 5
    cli.run(*words)
    assert only_run(tmp_path, "predict") == run
    assert all(path.stat().st_mtime_ns == time for path, time in done.items())
    assert files(run) == files(toy.run("predict"))


def test_a_killed_training_resumes_and_keeps_its_metrics(toy, cli, tmp_path):
    """Killed three times: while the checkpoint of the third epoch is written, and then of each epoch after it."""
    words = [word for word in toy.words() if not word.startswith("encoder.epochs")]
    words = [
        "stage=encoder",
        *words,
        "encoder.epochs=5",
        "trainer.log_every_n_steps=1",
        "encoder.ema=0.9",
        "name=n",
        f"out={tmp_path}",
    ]
    for good in (2, 1, 1):
        cli.run(*words, sabotage=f"last.ckpt|{good}|0|kill", status=KILLED)
    run = only_run(tmp_path, "encoder")
    said = cli.run(*words)
    assert "resuming from" in said
    per_epoch = summary(run)["counts"]["train images"] // 4
    assert torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 5 * per_epoch
    seen = []
    for name in ("metrics.1.csv", "metrics.2.csv", "metrics.3.csv", "metrics.csv"):
        logged = metrics(run / name)
        seen.append([int(row["epoch"]) for row in logged if row["val/map"]])
        assert len([row for row in logged if row["train/loss"]]) == len(seen[-1]) * per_epoch
    assert seen == [[0, 1, 2], [2, 3], [3, 4], [4]]  # an epoch without its checkpoint is trained again
    check_same_weights(run, undisturbed(cli, words, tmp_path, "encoder"))
    best = max(float(row["val/map"]) for path in run.glob("metrics*.csv") for row in metrics(path) if row["val/map"])
    assert summary(run)["results"]["val/map"] == pytest.approx(best)


@pytest.mark.parametrize("stage", ["decoder", "adapt"])
def test_a_killed_training_in_steps_resumes(toy, cli, tmp_path, stage):
    words = [
        f"stage={stage}",
        *toy.words(),
        "name=n",
        f"out={tmp_path}",
        f"{stage}.steps=8",
        *toy.inputs("encoder", "segment", "decoder"),
    ]
    cli.run(*words, sabotage="last.ckpt|2|0|kill", status=KILLED)
    run = only_run(tmp_path, stage)
    assert torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 4
    labels = times(run, "*.png")  # pseudo-labels of adapt
    assert "resuming from" in cli.run(*words)
    assert only_run(tmp_path, stage) == run
    assert torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 8
    assert all(path.stat().st_mtime_ns == time for path, time in labels.items()) and (stage == "decoder" or labels)
    validated = [[row["step"] for row in metrics(run / f"metrics{k}.csv") if row["val/miou"]] for k in (".1", "")]
    assert validated == [["1", "3", "5"], ["5", "7"]]
    if stage == "decoder":
        check_same_weights(run, undisturbed(cli, words, tmp_path, stage, "decoder.workers=1"))


def test_finished_training_without_summary_is_not_repeated(toy, cli, tmp_path):
    """Also where nothing chooses among the checkpoints, so that the last one's figure is not in Lightning's state."""
    words = [
        "stage=decoder",
        *toy.words(),
        "callbacks=newest",
        "trainer.log_every_n_steps=1",
        "name=n",
        f"out={tmp_path}",
        *toy.inputs("encoder", "segment"),
    ]
    cli.run(*words, sabotage="summary.json|0|0|kill", status=KILLED)
    run = only_run(tmp_path, "decoder")
    logged = metrics(run / "metrics.csv")
    before = times(run / "checkpoints", "*")
    cli.run(*words)
    assert times(run / "checkpoints", "*") == before and metrics(run / "metrics.csv") == logged
    results = summary(run)["results"]
    assert results["val/miou"] == pytest.approx(float([row["val/miou"] for row in logged if row["val/miou"]][-1]))
    assert results["train/images_per_second"] > 0 and results["train/data_wait"] > 0


def undisturbed(cli, words, folder: Path, stage: str, *more: str) -> Path:
    """The run of the same command without a kill."""
    cli.run(*words, f"out={folder / 'undisturbed'}", *more)
    return only_run(folder / "undisturbed", stage)


def check_same_weights(one: Path, other: Path) -> None:
    """To the bit."""
    states = [torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"] for run in (one, other)]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())


@pytest.mark.parametrize(
    ("stage", "sent", "status", "ranks"),
    [
        ("encoder", signal.SIGINT, 130, ()),
        ("segment", signal.SIGTERM, 143, ()),
        ("encoder", signal.SIGTERM, 143, TWO_RANKS),
        ("segment", signal.SIGINT, 130, TWO_RANKS),
    ],
)
def test_a_signal_stops_a_run_with_one_line(toy, cli, tmp_path, stage, sent, status, ranks):
    """Ctrl-C reaches all processes of a terminal, SIGTERM here the first one alone, which cannot be done by then."""
    inputs = toy.inputs("encoder", "relevance") if stage == "segment" else []
    process = cli.start(
        f"stage={stage}",
        *toy.words(),
        *ranks,
        "name=n",
        f"out={tmp_path}",
        "encoder.epochs=500",
        *inputs,
        sabotage="/done/|1|0|hang",
    )
    cli.wait_for(process, tmp_path, "n/*/*/checkpoints/last.ckpt" if stage == "encoder" else "n/*/*/done/*/*.json")
    (os.killpg if sent == signal.SIGINT else os.kill)(process.pid, sent)
    said = cli.finish(process, status)
    assert said.count("stopped; run the same command again to resume") >= 1
    assert "Traceback" not in said
    check_ended(process.pid)
    assert not (only_run(tmp_path, stage) / "summary.json").exists()
