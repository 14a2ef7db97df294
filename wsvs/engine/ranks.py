"""The other ranks of a command, which Lightning starts with this process's command line."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import read_write

from wsvs.core.processes import rank

CONFIG_OPTIONS = ("--config-dir", "-cd", "--config-name", "-cn", "--config-path", "-cp")


def relaunched() -> bool:
    """Whether Lightning started this process as a rank."""
    return rank() != 0 and "WSVS_RUN_DIR" in os.environ


def leave_group() -> None:
    """Leave the process group: the next job of a sweep starts its own ranks and must not wait for these."""
    import torch.distributed

    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def prepare_relaunch(overrides: list[str]) -> None:
    """Reduce sys.argv to this job, without the sweep: Lightning starts the other ranks with it.

    They find their directory in WSVS_RUN_DIR, because Lightning's quoting of Hydra's run directory breaks some paths.
    """
    sys.argv[1:] = [*config_options(sys.argv[1:]), *overrides]
    config: Any = HydraConfig.instance().cfg
    if config is not None:
        with read_write(config.hydra):  # Hydra marks this node itself read-only
            config.hydra.run.dir = "."


def config_options(words: Sequence[str]) -> Iterator[str]:
    """The options that locate the configuration, with their values."""
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word in CONFIG_OPTIONS:
            yield from (word, following)
        elif word.partition("=")[0] in CONFIG_OPTIONS:
            yield word
