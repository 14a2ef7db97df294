"""Ranks that the trainer would wait for and that are never started are refused before any work."""

from __future__ import annotations

import pytest
from lightning.pytorch.accelerators import CUDAAccelerator, MPSAccelerator

from wsvs.core.errors import UserError
from wsvs.engine.devices import check_launcher
from wsvs.engine.trainer import DDP_TIMEOUT, build_trainer

TWO = ("trainer=ddp", "trainer.devices=2")
STEP = {"SLURM_STEP_ID": "0"}


@pytest.fixture
def check(make_run, monkeypatch):
    def make(*overrides: str, **told: str) -> None:
        for variable in ("SLURM_NTASKS", "SLURM_NTASKS_PER_NODE", "SLURM_STEP_ID", "SLURM_JOB_NAME"):
            monkeypatch.delenv(variable, raising=False)
        for variable, value in told.items():
            monkeypatch.setenv(variable, value)
        check_launcher(make_run("stage=encoder", "data.root=x", *overrides).cfg)

    return make


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (TWO, {}),
        (("trainer.devices=auto", "trainer.accelerator=cpu"), {"SLURM_NTASKS": "1"}),
        (
            ("trainer.devices=[0,1]", "trainer.strategy=ddp"),
            {"SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "2", **STEP},
        ),
        (TWO, {"SLURM_JOB_ID": "1"}),  # a batch script without --ntasks
        (TWO, {"SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "2", **STEP}),
        ((*TWO, "trainer.num_nodes=2"), {"SLURM_NTASKS": "4", "SLURM_NTASKS_PER_NODE": "2", **STEP}),
        ((), {"SLURM_NTASKS": "1"}),
        ((), {"SLURM_NTASKS": "1", **STEP}),
        (TWO, {"SLURM_NTASKS": "1", "SLURM_JOB_NAME": "interactive"}),  # Lightning takes that for no job
        (
            (*TWO, "trainer.num_nodes=2"),
            {  # torchrun, one on each of two nodes
                "SLURM_NTASKS": "2",
                "SLURM_NTASKS_PER_NODE": "1",
                "RANK": "0",
                "GROUP_RANK": "0",
                "LOCAL_RANK": "0",
                "LOCAL_WORLD_SIZE": "2",
                "WORLD_SIZE": "4",
                "TORCHELASTIC_RUN_ID": "1",
            },
        ),
    ],
)
def test_what_fits(check, overrides, told):
    check(*overrides, **told)


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (
            ("trainer.devices=auto", "trainer.accelerator=cpu"),
            {"SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "2", **STEP},
        ),
        (TWO, {"SLURM_NTASKS": "1"}),  # Lightning would train on one device
        ((), {"SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "2", **STEP}),
        (TWO, {"SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "2"}),  # without srun it would wait for the other task
        (TWO, {"SLURM_NTASKS": "2", **STEP}),  # it wants --ntasks-per-node
        (TWO, {"SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "1", **STEP}),  # two nodes
    ],
)
def test_what_does_not_fit(check, overrides, told):
    with pytest.raises(UserError, match=f"SLURM starts {told['SLURM_NTASKS']} tasks, but the trainer expects"):
        check(*overrides, **told)


@pytest.mark.parametrize("devices", ["-1", "auto"])
def test_all_devices_are_as_many_as_there_are(check, monkeypatch, devices):
    word = f"trainer.devices={devices}"
    with monkeypatch.context() as patched:
        patched.setattr(CUDAAccelerator, "auto_device_count", lambda: 2)
        check(word, SLURM_NTASKS="2", SLURM_NTASKS_PER_NODE="2", **STEP)
        with pytest.raises(UserError, match="SLURM starts 1 tasks, but the trainer expects 2 on each of 1 nodes"):
            check(word, SLURM_NTASKS="1")
    monkeypatch.setattr(CUDAAccelerator, "auto_device_count", lambda: 0)
    check(word, SLURM_NTASKS="1")


def test_jobs_of_several_devices_in_an_array_of_submitit(check):
    """Of which SLURM starts each rank where tasks_per_node says so (docs/clusters.md)."""
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    words = (*TWO, "hydra/launcher=slurm", "hydra.launcher.tasks_per_node=2", "hydra.launcher.gpus_per_node=2")
    check(*words, SLURM_NTASKS="2", SLURM_NTASKS_PER_NODE="2", **STEP)
    with pytest.raises(UserError, match=r"hydra.launcher.tasks_per_node=D"):
        check(*TWO, "hydra/launcher=slurm", SLURM_NTASKS="1", SLURM_NTASKS_PER_NODE="1", **STEP)


def test_without_a_gpu_it_says_so(check, monkeypatch):
    monkeypatch.setattr(CUDAAccelerator, "is_available", lambda: False)
    monkeypatch.setattr(MPSAccelerator, "is_available", lambda: False)
    with pytest.raises(UserError, match=r"torch finds no GPU on this machine(.|\n)*trainer=cpu"):
        check("trainer=gpu")
    check("trainer=default")


def test_ranks_wait_for_the_slowest_as_long_as_it_takes(make_run):
    """Of a predict loop: Lightning's own patience ends after half an hour, with an error. One device waits not."""
    for words, expected in ((TWO, DDP_TIMEOUT), ((*TWO, "trainer.strategy=auto"), DDP_TIMEOUT), ((), None)):
        run = make_run("stage=evaluate", "data.root=x", "trainer.accelerator=cpu", *words)
        with run.opened():
            strategy = build_trainer(run, use_distributed_sampler=False).strategy
        assert getattr(strategy, "_timeout", None) == expected


@pytest.mark.parametrize("words", [("callbacks=none",), ("~callbacks.checkpoint",), ("callbacks.checkpoint=null",)])
def test_training_without_a_checkpoint_callback_is_refused(make_run, words):
    run = make_run("stage=encoder", "data.root=x", "trainer=cpu", *words)
    with run.opened(), pytest.raises(UserError, match="no callback saves checkpoints"):
        build_trainer(run, epochs=1, monitor="val/map")
