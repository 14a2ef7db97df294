"""Are there the devices and ranks that the trainer section wants?"""

from __future__ import annotations

import os

from lightning.pytorch.accelerators import CUDAAccelerator, MPSAccelerator
from lightning.pytorch.plugins.environments import SLURMEnvironment, TorchElasticEnvironment
from omegaconf import DictConfig, OmegaConf

from wsvs.core.errors import UserError


def check_launcher(cfg: DictConfig) -> None:
    """Raises `UserError` where the devices or ranks that the trainer section wants would not be, or not all."""
    if cfg.trainer.accelerator == "gpu" and not (CUDAAccelerator.is_available() or MPSAccelerator.is_available()):
        raise UserError(
            "there is no GPU here that torch can use",
            where="trainer.accelerator=gpu",
            remedy="use trainer=cpu; trainer=default takes a GPU where there is one",
        )
    devices, nodes = devices_of(cfg), cfg.trainer.num_nodes
    if TorchElasticEnvironment.detect() or not SLURMEnvironment.detect():
        return
    tasks, per_node = int(os.environ["SLURM_NTASKS"]), os.environ.get("SLURM_NTASKS_PER_NODE", "1")
    if (tasks, per_node) != (devices * nodes, str(devices)) or (tasks > 1 and "SLURM_STEP_ID" not in os.environ):
        raise UserError(  # Lightning would wait for ranks that nobody starts, or train with fewer than it was told
            f"SLURM starts {tasks} tasks, the trainer wants {devices} on each of {nodes} nodes",
            where="SLURM_NTASKS, SLURM_NTASKS_PER_NODE, trainer",
            remedy="put srun in front and give both the same: sbatch --nodes=N --ntasks-per-node=D, trainer.num_nodes=N"
            " trainer.devices=D; with hydra/launcher=slurm hydra.launcher.tasks_per_node=D."
            " On one node also: neither srun nor --ntasks, and the command starts its ranks itself",
        )


def devices_of(cfg: DictConfig) -> int:
    """How many devices of a machine are asked for: all that it has by -1 and auto, of which a CPU is one."""
    asked = cfg.trainer.devices
    if OmegaConf.is_list(asked):
        return len(asked)
    if asked in (-1, "auto"):
        return max(1, CUDAAccelerator.auto_device_count()) if cfg.trainer.accelerator in ("auto", "gpu") else 1
    return int(asked)
