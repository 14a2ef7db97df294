"""The settings of section 3.2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import field_validator

from wsvs.config.base import Natural, option
from wsvs.config.stages import Energy
from wsvs.core.errors import UserError
from wsvs.video.flow import FLOWS


class SegmentSettings(Energy):
    """Settings of video segmentation: the energy's settings, as in stage segment, and a seed.

    Raises:
        ValueError: A value outside its range (pydantic's `ValidationError`); the message names the setting.
        UserError: There is no such optical flow.
    """

    seed: Natural = option(0, "seed of the colour models' start")

    @classmethod
    def of(cls, section: Energy | Mapping[str, Any], seed: int) -> SegmentSettings:
        """The settings of a run, from its section `segment`, which also has settings of the stage, and its seed."""
        given = section.model_dump() if isinstance(section, Energy) else section
        return cls(seed=seed, **{key: given[key] for key in Energy.model_fields if key in given})

    @field_validator("flow")
    @classmethod
    def _known(cls, flow: str) -> str:
        if flow not in FLOWS:
            raise UserError(
                f"there is no optical flow {flow!r}",
                where=flow,
                remedy=f"use one of {', '.join(FLOWS)}",
                kind="unknown flow",
            )
        return flow
