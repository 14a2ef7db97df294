"""The devices and ranks of a command: check that they are there, and assign GPUs to jobs, so that no two share one."""

from __future__ import annotations

import os
from contextlib import ExitStack

import torch
from lightning.pytorch.accelerators import CUDAAccelerator, MPSAccelerator
from lightning.pytorch.plugins.environments import SLURMEnvironment, TorchElasticEnvironment
from omegaconf import DictConfig, OmegaConf

from wsvs.core.errors import UserError
from wsvs.core.leases import can_lock, share, take
from wsvs.core.processes import rank, world_size
from wsvs.engine.job import waits

LEASED = "WSVS_GPUS"  # the GPUs of a job, for its ranks


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


def visible(cfg: DictConfig) -> list[str]:
    """Ids of the GPUs that the trainer may use, in torch's order, within CUDA_VISIBLE_DEVICES. Empty on a CPU."""
    if cfg.trainer.accelerator not in ("auto", "gpu", "cuda") or not CUDAAccelerator.is_available():
        return []
    return [str(torch.cuda.get_device_properties(number).uuid) for number in range(torch.cuda.device_count())]


def lease(cfg: DictConfig, held: ExitStack, asked: object = None) -> list[int] | None:
    """Lease GPUs for this process's job, until `held` is closed or the process ends.

    A parallel job of a sweep, or one of `wandb agent`, waits until enough are free. Any other command takes free ones
    if there are enough, else the first ones, with a log message.

    Args:
        asked: Number or list of devices; `trainer.devices` by default.

    Returns:
        Their indices for torch; None if the trainer uses no GPU, or if torchrun or srun starts the ranks.

    Raises:
        UserError: There are fewer GPUs than requested.
    """
    names = visible(cfg)
    if not names or world_size() > 1 or cfg.trainer.num_nodes > 1 or not can_lock():
        return None
    if LEASED in os.environ:  # leased earlier by this job, or by the process that started this rank
        mine = [int(word) for word in os.environ[LEASED].split(",")]
        for number in mine if rank() else ():
            share(names[number], rank(), held)
        return mine
    if rank() != 0:
        return None
    candidates, count = _wanted(cfg.trainer.devices if asked is None else asked, len(names))
    mine = take(names, candidates, count, held, wait=waits())
    os.environ[LEASED] = ",".join(map(str, mine))
    return mine


def _wanted(asked: object, there: int) -> tuple[list[int], int]:
    """Candidate GPUs, and the number of them that is requested."""
    if OmegaConf.is_list(asked) or isinstance(asked, list):
        candidates = [int(number) for number in asked]  # type: ignore[attr-defined]
        count = len(candidates)
    else:
        candidates = list(range(there))
        count = there if asked in (-1, "auto") else int(str(asked))
    if count > there or max(candidates) >= there:
        raise UserError(
            f"visible GPUs: {there}, but trainer.devices={asked}",
            where="trainer.devices, CUDA_VISIBLE_DEVICES",
            remedy="lower trainer.devices; nvidia-smi lists the GPUs",
        )
    return candidates, count
