"""Check that the devices and ranks of the trainer section are available."""

from __future__ import annotations

import os

from lightning.pytorch.accelerators import CUDAAccelerator, MPSAccelerator
from lightning.pytorch.plugins.environments import SLURMEnvironment, TorchElasticEnvironment
from omegaconf import DictConfig, OmegaConf

from wsvs.core.errors import UserError


def check_launcher(cfg: DictConfig) -> None:
    """Raises `UserError` if devices or ranks that the trainer section asks for would be missing."""
    if cfg.trainer.accelerator == "gpu" and not (CUDAAccelerator.is_available() or MPSAccelerator.is_available()):
        raise UserError(
            "torch finds no GPU on this machine",
            where="trainer.accelerator=gpu",
            remedy="use trainer=cpu; trainer=default uses a GPU if there is one",
        )
    devices, nodes = devices_of(cfg), cfg.trainer.num_nodes
    if TorchElasticEnvironment.detect() or not SLURMEnvironment.detect():
        return
    tasks, per_node = int(os.environ["SLURM_NTASKS"]), os.environ.get("SLURM_NTASKS_PER_NODE", "1")
    if (tasks, per_node) != (devices * nodes, str(devices)) or (tasks > 1 and "SLURM_STEP_ID" not in os.environ):
        raise UserError(  # Lightning would wait for missing ranks, or train with fewer than requested
            f"SLURM starts {tasks} tasks, but the trainer expects {devices} on each of {nodes} nodes",
            where="SLURM_NTASKS, SLURM_NTASKS_PER_NODE, trainer",
            remedy="use srun, with the same numbers on both sides: sbatch --nodes=N --ntasks-per-node=D and "
            "trainer.num_nodes=N trainer.devices=D (with hydra/launcher=slurm: hydra.launcher.tasks_per_node=D). "
            "On one node you can also leave out srun and --ntasks: the command then starts its ranks itself",
        )


def devices_of(cfg: DictConfig) -> int:
    """Number of devices per node: -1 and auto mean all GPUs, or one CPU."""
    asked = cfg.trainer.devices
    if OmegaConf.is_list(asked):
        return len(asked)
    if asked in (-1, "auto"):
        return max(1, CUDAAccelerator.auto_device_count()) if cfg.trainer.accelerator in ("auto", "gpu") else 1
    return int(asked)
