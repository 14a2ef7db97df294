"""Hydra takes sweepers from this namespace only, and imports it at every start: the work is in wsvs.engine.search."""

from __future__ import annotations

from typing import Any

from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class Search(Sweeper):
    """`hydra/sweeper=search`; the settings are those of `wsvs.engine.search.search`."""

    def __init__(self, **settings: Any) -> None:
        self.settings = settings

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        launcher = Plugins.instance().instantiate_launcher(
            config=config, hydra_context=hydra_context, task_function=task_function
        )
        self._launch, self._folder = launcher.launch, config.hydra.sweep.dir

    def sweep(self, arguments: list[str]) -> None:
        from wsvs.engine.search import search

        search(self._launch, arguments, self._folder, **self.settings)
