"""The defaults as nodes for Hydra: files in conf/ hold what differs from them."""

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
from wsvs.config.root import Settings

NODES: dict[tuple[str | None, str], type[Section]] = {  # (group, name): its section
    ("model", "settings"): ModelSettings, ("data", "tagged"): TaggedData, ("data", "voc"): VocData,
    ("data", "world"): SyntheticData, ("data", "videos"): VideoData, ("retrieve", "folder_settings"): FolderRetrieve,
    ("retrieve", "urls_settings"): UrlsRetrieve, ("retrieve", "youtube_settings"): YouTubeRetrieve,
    ("trainer", "settings"): TrainerSettings, ("logger", "wandb_settings"): WandbSettings,
}
_GROUPS = ("model", "trainer", "data", "retrieve", "logger", "debug")


def register() -> None:
    """Make the defaults known to Hydra; again does no harm."""
    store = ConfigStore.instance()
    main = {key: value for key, value in Settings.defaults().items() if key not in _GROUPS}
    store.store(name="settings", node=main)
    for (group, name), section in NODES.items():
        store.store(group=group, name=name, node=section.defaults())
