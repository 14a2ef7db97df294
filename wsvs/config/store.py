"""The defaults as nodes for Hydra; files in conf/ only have differences from them."""

from __future__ import annotations

from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from wsvs.config.root import NODES, OUTSIDE, OUTSIDE_INPUTS, Settings

_GROUPS = ("model", "trainer", "data", "retrieve", "logger", "debug")
_done: list[object] = []  # what was registered last


def register() -> None:
    """Register the defaults with Hydra. Can be called repeatedly: only other stages from outside are further work."""
    store = ConfigStore.instance()
    wanted = [store, dict(OUTSIDE), dict(OUTSIDE_INPUTS)]
    if _done == wanted:
        return
    _done[:] = wanted
    # Hydra copies all sources of a composition, and so the store: needless, since it copies each node that it loads.
    ConfigStore.__deepcopy__ = lambda self, _: self  # type: ignore[attr-defined]
    main = {key: value for key, value in Settings.defaults().items() if key not in _GROUPS}
    main |= {key: section.defaults() for key, section in OUTSIDE.items()}
    main["inputs"] = OUTSIDE_INPUTS | main["inputs"]
    store.store(name="settings", node=main)
    for name, section in NODES.items():  # outside the groups, where Hydra would list them with the files of conf/
        node = OmegaConf.create(defaults := section.defaults())
        for key, value in defaults.items():
            if value == {}:  # a mapping that the user fills: data.world.frames=[24,30]
                OmegaConf.set_struct(node[key], False)
        store.store(name=name, node=node)
