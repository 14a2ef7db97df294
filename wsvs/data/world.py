"""The synthetic world as a data set: `data=synthetic`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from wsvs.config.world import WorldSettings
from wsvs.data.synthetic import make_world
from wsvs.data.tagged import TaggedImages


@dataclass(frozen=True)
class SyntheticImages(TaggedImages):
    """Tagged images of a synthetic world, which is made first where it is not there.

    Args:
        folder: The world's folder; `root` is its images/.
        world: Settings of the world (`wsvs.config.world.WorldSettings`).
    """

    folder: str = ""
    world: Mapping[str, Any] = field(default_factory=dict)

    def prepare(self) -> None:
        """Make the world. Raises `UserError` where its folder holds something else."""
        make_world(self.folder, WorldSettings(**self.world))
