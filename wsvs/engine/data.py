"""The tagged images of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hydra.utils import instantiate

from wsvs.engine.run import Run

if TYPE_CHECKING:
    from wsvs.data.tagged import TaggedImages


def build_data(run: Run[Any]) -> TaggedImages:
    """The tagged images that the configuration names, made first if they are a synthetic world."""
    data: TaggedImages = instantiate(run.cfg.data, _convert_="all")
    data.prepare()
    return data
