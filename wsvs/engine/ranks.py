"""The other ranks of a command: Lightning starts them with this process's own command line."""

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
    """Is this process a rank that Lightning started from another one?"""
    return rank() != 0 and "WSVS_RUN_DIR" in os.environ


def leave_group() -> None:
    """The next job of a sweep gets ranks of its own: it must not wait for those of this one."""
    import torch.distributed

    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def prepare_relaunch(overrides: list[str]) -> None:
    """Lightning starts the other ranks with sys.argv: give them this one job, and no sweep.

    They find their directory in WSVS_RUN_DIR. Hydra's own is quoted by Lightning in a way that not every path stands.
    """
    sys.argv[1:] = [*config_options(sys.argv[1:]), *overrides]
    config: Any = HydraConfig.instance().cfg
    if config is not None:
        with read_write(config.hydra):  # Hydra marks this node itself read-only
            config.hydra.run.dir = "."


def config_options(words: Sequence[str]) -> Iterator[str]:
    """The options that say where the configuration comes from, with their values."""
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word in CONFIG_OPTIONS:
            yield from (word, following)
        elif word.partition("=")[0] in CONFIG_OPTIONS:
            yield word
