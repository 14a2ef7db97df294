"""The scripts of docs/slurm, as they stand there, on a real SLURM cluster of two nodes on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests import slurm as slurm_tools
from tests.processes import Cli, files, only_run, summary, times
from tests.slurm import Slurm
from wsvs.core.masks import write_mask

pytestmark = pytest.mark.slow
SCRIPTS = Path(__file__).parents[1] / "docs" / "slurm"
SMALL = ("--cpus-per-task=1", "--time=30", "--signal=B:USR1@10")  # beside what the scripts ask for


@pytest.fixture(scope="module")
def cluster(cli: Cli, tmp_path_factory) -> Iterator[Slurm]:
    absent = slurm_tools.missing()
    if absent:
        pytest.skip(f"SLURM is not installed, no {', '.join(absent)}: apt-get install slurm-wlm")
    private = ("WSVS_", "RANK", "LOCAL_", "WORLD_SIZE", "MASTER_", "SLURM_", "TORCHELASTIC_", "WANDB_", "HYDRA_")
    own = {key: value for key, value in os.environ.items() if not key.startswith(private)}
    programs = slurm_tools.python_as_wsvs(tmp_path_factory.mktemp("slurm") / "bin")
    own |= {
        "PATH": os.pathsep.join((str(programs), own["PATH"])),
        "OMP_NUM_THREADS": "1",
        "COLUMNS": "200",
        "PYTHONPATH": os.pathsep.join((str(cli.folder / "sabotage"), str(cli.root))),
        "SABOTAGE": "/never/|0|0|hang",
        "WANDB_MODE": "offline",
        "MASTER_ADDR": "127.0.0.1",  # n1 and n2 are names that SLURM alone knows
    }
    with slurm_tools.cluster(own) as made:
        yield made


@pytest.fixture
def slurm(cluster: Slurm) -> Iterator[Slurm]:
    """The cluster, without a job that a failed test leaves behind."""
    yield cluster
    cluster.call("scancel", "--nodelist=n1,n2")


def said(cwd: Path) -> str:
    return "".join(path.read_text() for path in sorted(cwd.glob("*.log")))


def segment(toy, out: Path) -> list[object]:
    return [
        "stage=segment",
        *toy.words(),
        "trainer.accelerator=cpu",
        "name=n",
        f"out={out}",
        *toy.inputs("encoder", "relevance"),
    ]


def check_masks(toy, run: Path) -> None:
    """The masks of one rank, in one process, without SLURM."""
    masks = files(toy.run("segment") / "masks")
    assert masks and files(run / "masks") == masks
    counts, alone = (summary(each)["counts"] for each in (run, toy.run("segment")))
    assert counts == alone


@pytest.fixture
def truth(tmp_path) -> list[str]:
    """Masks to score, and the words that do it."""
    for folder in ("truth", "masks"):
        write_mask(tmp_path / folder / "a.png", np.eye(4, dtype=np.uint8))
    return ["stage=evaluate", "predictions=masks", "truth=truth", "evaluate.names=[background,cat]", "name=n"]


def test_two_requeued_nodes_make_the_masks_of_one_rank(slurm: Slurm, toy, tmp_path):
    """Told that its time is up, the script requeues its job; the second life ends what the first began."""
    job = slurm.submit(
        ["--nodes=2", *SMALL],
        SCRIPTS / "ddp.sh",
        *segment(toy, tmp_path / "out"),
        cwd=tmp_path,
        SABOTAGE="/done/|1|0|hang",  # each rank finishes one shot and then waits
    )
    run = tmp_path / "out" / "n" / "segment" / job
    slurm.wait(lambda: len(times(run / "done", "*.json")) == 2 or "FAILED" in slurm.states(job), "no two shots")
    done = times(run / "done", "*.json")
    assert len(done) == 2 and not (run / "summary.json").exists(), said(tmp_path)
    slurm.call("scancel", "--batch", "--signal=USR1", job)
    slurm.requeue_at_once(job)
    slurm.finish(job)
    assert only_run(tmp_path / "out", "segment") == run  # its own, by its number
    assert all(path.stat().st_mtime_ns == time for path, time in done.items())
    check_masks(toy, run)


def test_two_nodes_by_torchrun_make_the_masks_of_one_rank(slurm: Slurm, toy, tmp_path):
    job = slurm.submit(["--nodes=2", *SMALL], SCRIPTS / "torchrun.sh", *segment(toy, tmp_path / "out"), cwd=tmp_path)
    slurm.finish(job)
    check_masks(toy, only_run(tmp_path / "out", "segment"))
    assert only_run(tmp_path / "out", "segment").name == job


def test_preempted_node_that_starts_its_own_ranks_resumes(slurm: Slurm, toy, tmp_path):
    job = slurm.submit(
        SMALL,
        SCRIPTS / "node.sh",
        *segment(toy, tmp_path / "out"),
        "trainer=ddp",
        "trainer.devices=2",
        cwd=tmp_path,
        SABOTAGE="/done/|1|0|hang",
    )
    run = tmp_path / "out" / "n" / "segment" / job
    slurm.wait(lambda: len(times(run / "done", "*.json")) > 1 or "FAILED" in slurm.states(job), "no two shots")
    done = times(run / "done", "*.json")
    slurm.call("scontrol", "requeue", job)
    slurm.requeue_at_once(job)
    slurm.finish(job)
    assert all(path.stat().st_mtime_ns == time for path, time in done.items())
    check_masks(toy, run)


def test_tasks_that_the_trainer_does_not_know_of_are_refused(slurm: Slurm, toy, tmp_path):
    """Lightning would wait for a rank that is never started."""
    job = slurm.submit(["--ntasks-per-node=2", *SMALL], SCRIPTS / "node.sh", *segment(toy, tmp_path), cwd=tmp_path)
    slurm.finish(job, "FAILED")
    assert "error: SLURM starts 2 tasks, but the trainer expects 1 on each of 1 nodes" in said(tmp_path)


def test_array_task_is_a_sweep_job_that_is_requeued_alone(slurm: Slurm, truth, tmp_path):
    """The last task is the one whose own number is that of the array."""
    jobs = (SCRIPTS / "jobs.txt").read_text().splitlines()
    array = slurm.submit(
        ["--array=1,4", *SMALL],
        SCRIPTS / "array.sh",
        SCRIPTS / "jobs.txt",
        *truth,
        cwd=tmp_path,
        SABOTAGE="/4/*metrics.json|0|0|hang",
    )
    folder = tmp_path / "outputs" / "n" / "evaluate" / array
    slurm.wait(
        lambda: (
            ((folder / "1/summary.json").exists() and (folder / "4/confusion.csv").exists())
            or "FAILED" in slurm.states(array)
        ),
        "the tasks did not come so far",
    )
    first = times(folder, "summary.json")
    slurm.call("scancel", "--batch", "--signal=USR1", f"{array}_4")
    slurm.requeue_at_once(f"{array}_4")
    slurm.finish(array)
    assert first.items() < times(folder, "summary.json").items()  # the other task was let alone
    made = {path.parent.name: summary(path.parent) for path in (tmp_path / "outputs").glob("n/evaluate/*/*/*ary.json")}
    assert sorted(made) == ["1", "4"] and [path.name for path in (tmp_path / "outputs/n/evaluate").iterdir()] == [array]
    for task, found in made.items():
        assert found["overrides"] == [*truth, *jobs[int(task)].split()]


def test_a_sweep_as_an_array_by_submitit_whose_jobs_are_requeued(slurm: Slurm, cli: Cli, truth, tmp_path):
    """At the time limit both jobs are requeued with the same numbers, and resume in their folders."""
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    free = ("partition=null", "gpus_per_node=null", "mem_gb=null", "cpus_per_task=1", "timeout_min=30")
    process = cli.start(
        "-m",
        *truth,
        "seed=0,1",
        "hydra/launcher=slurm",
        *(f"hydra.launcher.{word}" for word in free),
        cwd=tmp_path,
        **slurm.environment | {"SABOTAGE": "metrics.json|0|0|hang"},
    )
    cli.wait_for(process, tmp_path, "outputs/n/evaluate/*/0/confusion.csv")
    cli.wait_for(process, tmp_path, "outputs/n/evaluate/*/1/confusion.csv")
    run = only_run(tmp_path / "outputs", "evaluate")
    assert not list(run.glob("*/summary.json"))
    array = slurm.call("squeue", "--noheader", "--format=%F").split()[0]
    slurm.call("scancel", "--signal=USR2", array)
    slurm.requeue_at_once(array)
    cli.finish(process)
    assert [path.parent.name for path in sorted(run.glob("*/summary.json"))] == ["0", "1"]
    assert all(f"seed={number}" in summary(run / str(number))["overrides"] for number in (0, 1))
