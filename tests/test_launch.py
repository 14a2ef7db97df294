"""Every way to start a run: one directory for all its processes, and the same result whatever their number."""

from __future__ import annotations

import csv
import json
import math
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.processes import TWO_RANKS, files, free_port, quoted, rows, skipped, summary
from tests.wandb_file import read

pytestmark = pytest.mark.slow
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m")


def steps(run: Path) -> int:
    return torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["global_step"]


def only_run(out: Path, stage: str) -> Path:
    """The one directory below `out`; nothing may lie beside it."""
    assert [path.name for path in out.iterdir()] == ["n"]
    assert [path.name for path in (out / "n").iterdir()] == [stage]
    [run] = (out / "n" / stage).iterdir()
    assert (run / "summary.json").is_file() and (run / ".hydra" / "overrides.yaml").is_file()
    return run


@pytest.fixture
def place(tmp_path) -> Path:
    """A current directory that must stay empty."""
    (tmp_path / "cwd").mkdir()
    yield tmp_path / "cwd"
    assert list((tmp_path / "cwd").iterdir()) == []


@pytest.fixture
def out(tmp_path) -> Path:
    return tmp_path / "out"


@pytest.fixture(scope="module")
def bad_data(toy, tmp_path_factory) -> tuple[Path, list[str]]:
    """The toy's images with one in four broken, and the names of these."""
    root = tmp_path_factory.mktemp("bad") / "images"
    shutil.copytree(toy.data / "images", root)
    broken = sorted(root.iterdir())[::4]
    for number, path in enumerate(broken):
        content = path.read_bytes()
        path.write_bytes([b"", content[: len(content) // 2], b"no picture"][number % 3])
    return root, sorted(path.stem for path in broken)


def test_ranks_report_all_bad_images_in_one_directory(toy, cli, bad_data, out, place):
    """Both ranks train, each on its half; the bad images of either are in the summary."""
    root, broken = bad_data
    train = summary(toy.run("encoder"))["counts"]["train images"]
    cli.run(
        "stage=encoder",
        *toy.words(),
        *TWO_RANKS,
        "name=n",
        f"out={out}",
        f"data.root={quoted(root)}",
        f"encoder.batch_size={math.ceil(train / 2)}",
        "encoder.epochs=2",
        status=3,
        cwd=place,
    )
    run = only_run(out, "encoder")
    assert steps(run) == 2  # one batch on each rank: with one rank it would be two an epoch
    assert list(skipped(run)) == broken
    assert summary(run)["counts"]["skipped items"] == len(broken)


def test_ranks_of_torchrun(toy, cli, out, place):
    train = summary(toy.run("encoder"))["counts"]["train images"]
    cli.run("stage=encoder", *toy.words(), *TWO_RANKS, "name=n", f"out={out}", launcher=TORCHRUN, cwd=place)
    assert steps(only_run(out, "encoder")) == math.ceil(train / 2) // 4


def test_ranks_of_torchrun_that_find_no_world_make_one(cli, out, place):
    cli.run(
        "stage=encoder",
        "data=synthetic",
        *TWO_RANKS,
        "name=n",
        f"out={out}",
        "data.world.images=8",
        "data.world.clips_per_class=0",
        "model.hidden=8",
        "model.image_size=48",
        "model.scales=[1.0]",
        "encoder.epochs=1",
        "encoder.workers=0",
        launcher=TORCHRUN,
        cwd=place,
    )
    assert sorted(path.name for path in (out / "n").iterdir()) == ["encoder", "world"]
    [run] = (out / "n" / "encoder").iterdir()
    assert summary(run)["counts"]["train images"] == 6


def test_ranks_of_slurm(toy, cli, out, place):
    """As srun starts them: every process by itself, told by its environment who it is."""
    job = str(free_port(15000, 25000) - 5000)  # Lightning adds 15000 to its last four digits
    slurm = {
        "SLURM_JOB_ID": job,
        "SLURM_JOB_NAME": "toy",
        "SLURM_NTASKS": "2",
        "SLURM_NNODES": "1",
        "SLURM_NTASKS_PER_NODE": "2",
        "SLURM_NODEID": "0",
        "SLURM_JOB_NODELIST": "localhost",
        "SLURM_NODELIST": "localhost",
        "SLURM_STEP_ID": "0",
        "SLURM_STEP_NUM_TASKS": "2",
    }
    words = ["stage=encoder", *toy.words(), *TWO_RANKS, "name=n", f"out={out}"]
    ranks = [cli.start(*words, cwd=place, **slurm, SLURM_PROCID=str(k), SLURM_LOCALID=str(k)) for k in (0, 1)]
    for process in ranks:
        cli.finish(process)
    run = only_run(out, "encoder")
    assert run.name == job
    assert steps(run) == math.ceil(summary(run)["counts"]["train images"] / 2) // 4


def test_a_sweep_gives_each_job_a_directory(toy, cli, out, place):
    cli.run("-m", "stage=encoder", *toy.words(), "name=n", f"out={out}", "encoder.lr=1e-3,1e-4", cwd=place)
    check_sweep(out)
    # and it is no other stage's input
    said = cli.run(
        "stage=relevance", *toy.words(), "name=n", f"out={out}", *toy.inputs("retrieve"), status=2, cwd=place
    )
    assert "error: no finished run of stage encoder" in said


def test_a_sweep_of_jobs_of_two_ranks(toy, cli, out, place):
    said = cli.run(
        "stage=encoder", *toy.words(), *TWO_RANKS, "name=n", f"out={out}", "encoder.lr=1e-3,1e-4", "-m", cwd=place
    )
    assert said.count("Launching") == 1  # the second rank runs its job, not a sweep of its own
    train = summary(toy.run("encoder"))["counts"]["train images"]
    assert [steps(job) for job in check_sweep(out)] == [math.ceil(train / 2) // 4] * 2


def test_parallel_jobs_of_a_sweep_report_their_bad_images(toy, cli, bad_data, out, place):
    """With the default number of loader workers."""
    words = [word for word in toy.words() if word != "encoder.workers=0"]
    cli.run(
        "-m",
        "stage=encoder",
        *words,
        "name=n",
        f"out={out}",
        "encoder.lr=1e-3,1e-4",
        "hydra/launcher=joblib",
        "hydra.launcher.n_jobs=2",
        f"data.root={quoted(bad_data[0])}",
        "encoder.batch_size=1",
        "model.batch_norm=false",
        status=3,
        cwd=place,
    )
    for job in check_sweep(out):
        assert summary(job)["counts"]["skipped items"] == len(bad_data[1])
        assert "stage encoder in" in (job / "wsvs.log").read_text()


def check_sweep(out: Path) -> list[Path]:
    """Two jobs in one directory, each with its own learning rate."""
    assert [path.name for path in (out / "n").iterdir()] == ["encoder"]
    [sweep] = (out / "n" / "encoder").iterdir()
    shown = sorted(path.name for path in sweep.iterdir() if not path.name.startswith("."))
    assert shown == ["0", "1", "multirun.yaml", "sweep.csv"]
    for number, lr in enumerate(("encoder.lr=0.001", "encoder.lr=0.0001")):
        assert lr in summary(sweep / str(number))["overrides"]
    return [sweep / "0", sweep / "1"]


@pytest.mark.parametrize("launcher", ["joblib", "submitit_local"])
def test_parallel_jobs_of_two_ranks(toy, cli, out, place, launcher):
    said = cli.run(
        "-m",
        "stage=encoder",
        *toy.words(),
        *TWO_RANKS,
        "name=n",
        f"out={out}",
        "encoder.lr=1e-3,1e-4",
        f"hydra/launcher={launcher}",
        cwd=place,
    )
    train = summary(toy.run("encoder"))["counts"]["train images"]
    assert [steps(job) for job in check_sweep(out)] == [math.ceil(train / 2) // 4] * 2
    assert "next:" not in said


def test_the_same_seed_gives_the_same_network(toy, cli, out):
    """The toy's encoder, trained again in another folder."""
    cli.run("stage=encoder", *toy.words(), "name=n", f"out={out}")
    paths = (only_run(out, "encoder"), toy.run("encoder"))
    again, first = (torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"] for run in paths)
    assert again.keys() == first.keys()
    assert all(torch.equal(value, first[key]) for key, value in again.items())


def test_two_ranks_score_the_same_as_one(toy, cli, out, place):
    cli.run(
        "stage=relevance",
        *toy.words(),
        *TWO_RANKS,
        "name=n",
        f"out={out}",
        *toy.inputs("encoder", "retrieve"),
        cwd=place,
    )
    run, one = only_run(out, "relevance"), toy.run("relevance")
    assert files(run / "scores", "*.csv") == files(one / "scores", "*.csv") != {}
    assert (run / "shots.jsonl").read_bytes() == (one / "shots.jsonl").read_bytes()


def test_two_ranks_with_two_workers_segment_as_one_alone(toy, cli, out, place):
    words = [
        "stage=segment",
        *toy.words(),
        *TWO_RANKS,
        "name=n",
        f"out={out}",
        "segment.workers=2",
        *toy.inputs("encoder", "relevance"),
    ]
    cli.run(*words, cwd=place)
    run, one = only_run(out, "segment"), toy.run("segment")
    masks = files(run / "masks")
    assert masks == files(one / "masks")
    areas = [[row["areas"] for row in rows(each / "shots.jsonl")] for each in (run, one)]
    assert areas[0] == areas[1] and any(any(shot) for shot in areas[0])
    # once more where nothing is left to do
    times = {path: path.stat().st_mtime_ns for path in (run / "masks").rglob("*.png")}
    made = summary(run)["finished"]
    cli.run(*words, cwd=place, WSVS_RUN_ID=run.name)
    assert summary(only_run(out, "segment"))["finished"] > made
    assert times and all(path.stat().st_mtime_ns == time for path, time in times.items())


def test_a_rank_without_a_shot_is_idle(toy, cli, out, place, tmp_path):
    relevance = tmp_path / "relevance"
    shutil.copytree(toy.run("relevance"), relevance)
    first = (relevance / "shots.jsonl").read_text().splitlines()[0]
    (relevance / "shots.jsonl").write_text(first + "\n")
    cli.run(
        "stage=segment",
        *toy.words(),
        *TWO_RANKS,
        "name=n",
        f"out={out}",
        "segment.max_frames=100",
        *toy.inputs("encoder"),
        f"inputs.relevance={relevance}",
        cwd=place,
    )
    run = only_run(out, "segment")
    shot = json.loads(first)
    assert summary(run)["counts"]["segmented"] == 1
    assert len(files(run / "masks")) == shot["stop"] - shot["start"]


def test_another_command_under_the_same_id_is_refused(toy, cli, out):
    """As two commands of one SLURM job would be: they would mix two results."""
    words = ["stage=segment", *toy.words(), "name=n", f"out={out}", *toy.inputs("encoder", "relevance")]
    cli.run(*words, WSVS_RUN_ID="x")
    masks = files(out / "n" / "segment" / "x" / "masks")
    said = cli.run(*words, "segment.lambda_m=0", WSVS_RUN_ID="x", status=2)
    assert "error: this run directory was started with other settings" in said and "Traceback" not in said
    assert files(out / "n" / "segment" / "x" / "masks") == masks


@pytest.mark.parametrize("preset", ["fast", "overfit", "profile"])
def test_debug_presets(toy, cli, out, place, preset):
    more = ["logger=none"] if preset == "fast" else ["encoder.epochs=3"]
    said = cli.run("stage=encoder", *toy.words(), f"debug={preset}", "name=n", f"out={out}", *more, cwd=place)
    run = only_run(out, "encoder")
    assert summary(run)["debug"] is True
    train = summary(run)["counts"]["train images"]
    assert steps(run) == {"fast": 2, "overfit": 6, "profile": train // 4}[preset]
    assert ("Profiler Report" in said) == (preset == "profile")
    assert (run / "metrics.csv").exists() == (preset != "fast")


def test_wandb_offline(toy, cli, out, place):
    cli.run(
        "-m",
        "stage=encoder",
        *toy.words(),
        "logger=wandb",
        "name=n",
        f"out={out}",
        "encoder.lr=1e-3,1e-4",
        "trainer.log_every_n_steps=1",
        cwd=place,
        WANDB_MODE="offline",
        WANDB_SILENT="true",
    )
    ids = set()
    for job in check_sweep(out):
        record = read(job).run  # one run a job
        assert (record.project, record.run_group, record.job_type) == ("wsvs", "n", "encoder")
        ids.add(record.run_id)
        with (job / "metrics.csv").open() as stream:
            assert {"train/loss", "val/map"} <= set(next(csv.reader(stream)))
    assert len(ids) == 2


def test_copied_code_predicts_with_any_folder_and_file_names(toy, cli, tmp_path, place):
    """Installed elsewhere it finds its configuration; images lie deep, under names that people and cameras give."""
    code = tmp_path / "site =packages ü"
    shutil.copytree(cli.root / "wsvs", code / "wsvs", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(cli.root / "conf", code / "wsvs" / "conf")
    images, out = tmp_path / "my [images], \"new\" = 'ä'", tmp_path / "a=b {c} $d"
    source = sorted((toy.data / "images").iterdir())[1]
    names = ["plain", "with space", "ä/ö=1/it's", 'quote"d', "comma, dot. & more", "dé\u0301composé", "[1]", "-m"]
    for name in names:
        path = images / f"{name}.JPG"
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, path)
    cli.run(
        "stage=predict",
        "trainer=cpu",
        *(f"predict.{key}=0" for key in ("background", "workers")),
        f"input={quoted(images)}",
        f"out={quoted(out)}",
        "name=n",
        *toy.inputs("adapt"),
        cwd=place,
        PYTHONPATH=str(code),
    )
    [run] = (out / "n" / "predict").iterdir()
    masks = {str(path.relative_to(run).with_suffix("")): path for path in run.rglob("*.png")}
    assert set(masks) == set(names)
    size = Image.open(source).size
    assert all(Image.open(path).size == size for path in masks.values())
    first, *others = (np.asarray(Image.open(path)) for path in masks.values())
    assert all((other == first).all() for other in others)


def test_two_ranks_write_below_a_folder_of_any_name(toy, cli, tmp_path, place):
    """The second rank gets the folder on its command line."""
    out = tmp_path / "a=b \"c\" {d} 'e' $f"
    cli.run("stage=encoder", *toy.words(), *TWO_RANKS, "name=n", f"out={quoted(out)}", cwd=place)
    assert steps(only_run(out, "encoder")) > 0


def test_own_configuration_files_reach_every_process(toy, cli, out, place, tmp_path):
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    (tmp_path / "mine" / "experiment" / "long.yaml").write_text("# @package _global_\nencoder:\n  epochs: 2\n")
    more = ["experiment=long", f"--config-dir={tmp_path / 'mine'}"]
    words = [word for word in toy.words() if not word.startswith("encoder.epochs")]
    cli.run("stage=encoder", *words, *TWO_RANKS, "name=n", f"out={out}", *more, cwd=place)
    run = only_run(out, "encoder")
    assert steps(run) == 2 * (math.ceil(summary(run)["counts"]["train images"] / 2) // 4)
    cli.run(
        "stage=pipeline",
        *words,
        "name=p",
        f"out={out}",
        *more,
        "pipeline.steps=[{stage: encoder}]",
        cwd=place,
    )
    [run] = (out / "p" / "encoder").iterdir()
    assert steps(run) == 2 * (summary(run)["counts"]["train images"] // 4)
    assert os.listdir(place) == []
