"""The defaults as nodes for Hydra; files in conf/ have only the differences."""

from __future__ import annotations

from hydra.core.config_store import ConfigStore

from wsvs.config.base import Section
from wsvs.config.groups import (
    FolderRetrieve,
    ModelSettings,
    SyntheticData,
    TaggedData,
    TrainerSettings,
    UrlsRetrieve,
    VideoData,
    VocData,
    WandbSettings,
    YouTubeRetrieve,
)
from wsvs.config.root import OUTSIDE, OUTSIDE_INPUTS, Settings

# Not within the groups: Hydra would offer them beside the files of conf/, as values that can be chosen.
NODES: dict[str, type[Section]] = {
    "model_settings": ModelSettings, "trainer_settings": TrainerSettings, "wandb_settings": WandbSettings,
    "data_tagged": TaggedData, "data_voc": VocData, "data_world": SyntheticData, "data_videos": VideoData,
    "retrieve_folder": FolderRetrieve, "retrieve_urls": UrlsRetrieve, "retrieve_youtube": YouTubeRetrieve,
}
_GROUPS = ("model", "trainer", "data", "retrieve", "logger", "debug")


def register() -> None:
    """Register the defaults with Hydra. Can be called repeatedly."""
    store = ConfigStore.instance()
    main = {key: value for key, value in Settings.defaults().items() if key not in _GROUPS}
    main |= {key: section.defaults() for key, section in OUTSIDE.items()}
    main["inputs"] = OUTSIDE_INPUTS | main["inputs"]
    store.store(name="settings", node=main)
    for name, section in NODES.items():
        store.store(name=name, node=section.defaults())
