"""What a report shows: typed records, which the templates and the page's script read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from wsvs.core.sweeps import Sweep

Table = Sequence[Sequence[str]]


@dataclass(frozen=True)
class Count:
    """So many `unit` are there after a step; those of each class where they are known."""

    unit: str
    step: str
    total: int
    by_class: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class StageRun:
    """The run of a stage that the report is about."""

    stage: str
    run: str
    seconds: float
    supervision: str | None
    command: str
    versions: Mapping[str, str]
    commit: str | None


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation scored, and what it found. The tables are those of its CSV files, heading first."""

    label: str
    kind: str
    scored: str
    split: str
    results: Mapping[str, float]
    per_class: Table = ()
    confusion: Table = ()


@dataclass(frozen=True)
class ShotCard:
    """A shot, or a whole video, of a segment run. Images are data addresses; None where there is none."""

    shot: str
    category: str
    frames: int
    url: str | None = None
    clip: str | None = None
    score: float | None = None
    energy: float | None = None
    area: float | None = None
    confidence: float | None = None
    uncertain: bool = False
    cuts: Sequence[float] = ()
    mask: str | None = None
    attention: str | None = None
    motion: str | None = None


@dataclass(frozen=True)
class ImageCard:
    """A predicted image whose true mask is known."""

    id: str
    iou: float
    file: str | None
    prediction: str
    truth: str


@dataclass(frozen=True)
class Report:
    """All of the page. `curves` is {stage: {metric: [(step, value)]}}, `shots_in_all` {class: shots of the run}."""

    name: str
    made: str
    notes: Sequence[str] = ()
    stages: Sequence[StageRun] = ()
    flow: Sequence[Count] = ()
    curves: Mapping[str, Mapping[str, Sequence[tuple[float, float]]]] = field(default_factory=dict)
    sweeps: Sequence[Sweep] = ()
    evaluations: Sequence[Evaluation] = ()
    shots: Sequence[ShotCard] = ()
    shots_in_all: Mapping[str, int] = field(default_factory=dict)
    best: Sequence[ImageCard] = ()
    worst: Sequence[ImageCard] = ()
    scored_images: int = 0

    @property
    def versions(self) -> list[tuple[str, str]]:
        """(package, version) of all stages, the commits of the code among them."""
        return sorted({
            pair for one in self.stages for pair in {**one.versions, "commit": one.commit or "unknown"}.items()
        })
