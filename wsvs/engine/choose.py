"""Which stage's networks are used, without loading them."""

from __future__ import annotations

from wsvs.config.stages import PredictSettings
from wsvs.core.runs import Home

_SOURCES = ("adapt", "decoder", "encoder")  # in order of preference


def network_stage(predict: PredictSettings, home: Home) -> tuple[str, ...]:
    """The stage whose checkpoint is used; none where a file is given."""
    if predict.checkpoint:
        return ()
    if predict.model != "auto":
        return (predict.model,)
    for stage in _SOURCES[:2]:
        if home.given.get(stage) or home.find(stage):
            return (stage,)
    return ("encoder",) if predict.method == "attention" else ("decoder",)
