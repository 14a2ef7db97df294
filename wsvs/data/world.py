"""The synthetic data set: `data=synthetic`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from wsvs.config.world import WorldSettings
from wsvs.data.synthetic import make_world
from wsvs.data.tagged import TaggedImages


@dataclass(frozen=True)
class SyntheticImages(TaggedImages):
    """Tagged images of a synthetic data set, which is generated first if it does not exist.

    Args:
        folder: Folder of the data set; `root` is its images/.
        world: Settings of the data set (`wsvs.config.world.WorldSettings`).
    """

    folder: str = ""
    world: Mapping[str, Any] = field(default_factory=dict)

    def prepare(self) -> None:
        """Generate the data set. Raises `UserError` if its folder contains something else."""
        make_world(self.folder, WorldSettings(**self.world))
