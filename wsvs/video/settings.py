"""The settings of section 3.2."""

from __future__ import annotations

from pydantic import field_validator

from wsvs.config.base import Natural, option
from wsvs.config.stages import Energy
from wsvs.core.errors import UserError
from wsvs.video.flow import FLOWS


class SegmentSettings(Energy):
    """How a video is segmented: the energy's settings, as of stage segment, and a seed.

    Raises:
        ValueError: A value outside its range (pydantic's `ValidationError`); the message names the setting.
        UserError: There is no such optical flow.
    """

    seed: Natural = option(0, "seed of the colour models' start")

    @field_validator("flow")
    @classmethod
    def _known(cls, flow: str) -> str:
        if flow not in FLOWS:
            raise UserError(
                f"there is no optical flow {flow!r}", where="segment.flow",
                remedy=f"one of {', '.join(FLOWS)}; one of your own needs plugins=[its module]",
            )
        return flow
