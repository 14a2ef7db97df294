"""The stages, one thin file each: check inputs, build, run, write the summary. They meet through files only."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

# The order of the pipeline: this tuple is the only place that knows it.
STAGES = ("encoder", "retrieve", "relevance", "segment", "decoder", "adapt", "predict", "evaluate")
STEPS = ("data", *STAGES, "submit")  # what a pipeline may name as its steps
ALL_STAGES = (*STEPS, "pipeline", "report", "export", "reproduce")


def load_stage(name: str) -> ModuleType:
    """The module of a stage; imported late because torch and lightning take seconds."""
    return import_module(f"wsvs.stages.{name}")
