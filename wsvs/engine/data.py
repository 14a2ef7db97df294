"""The tagged images of a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from wsvs.core.reviews import Answer
from wsvs.data.images import find_image
from wsvs.engine.explain import build
from wsvs.engine.run import Run

if TYPE_CHECKING:
    from wsvs.data.tagged import TaggedImages


def build_data(run: Run[Any]) -> TaggedImages:
    """The tagged images that the configuration names; a synthetic data set is generated first.

    If the stage reads corrected tags, they replace those of the table.
    """
    data: TaggedImages = build(run.cfg.data)
    data.prepare()
    answers = answers_of(run, data)
    return data.with_tags({name: answer.tags for name, answer in answers.items() if answer.tags is not None})


def answers_of(run: Run[Any], data: TaggedImages) -> dict[str, Answer]:
    """{id: the reviewer's answer} for the reviewed images."""
    if not run.reviews.files:
        return {}
    return run.reviews.of({name: file for name in data.tags if (file := find_image(Path(data.root), name))})
