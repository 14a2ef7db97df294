"""Options shared by all parts of the benchmark."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Options:
    """How long, how often, and on what.

    Attributes:
        frames: Length of the clips.
        repeats: Times each figure is measured; the median counts.
        real: Folder of real videos, <name>.mp4 with masks/<name>/*.png; None: synthetic clips only.
        tiny: Part gpu in tiny sizes, on a CPU too.
    """

    frames: int
    repeats: int
    real: Path | None
    tiny: bool = False
