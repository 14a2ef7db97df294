"""What a report shows: typed records, which the templates and the page's script read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

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

    @property
    def absent(self) -> set[str]:
        """Classes that neither the true masks nor the predicted ones show."""
        rows = [[int(count) for count in row[1:]] for row in self.confusion[1:]]
        counts = [sum(row) + sum(column) for row, column in zip(rows, zip(*rows, strict=True), strict=True)]
        return {row[0] for row, count in zip(self.confusion[1:], counts, strict=True) if not count}

    @property
    def confusion_shares(self) -> list[tuple[str, list[float]]]:
        """(class, shares of its true pixels that went to each class), without the classes that never occur."""
        kept = [number for number, row in enumerate(self.confusion[1:], 1) if row[0] not in self.absent]
        rows = [(self.confusion[row][0], [int(self.confusion[row][column]) for column in kept]) for row in kept]
        return [(name, [count / max(1, sum(counts)) for count in counts]) for name, counts in rows]


@dataclass(frozen=True)
class Figures:
    """Of one class in an item of the gallery, or of the whole item; None where nobody knows.

    Attributes:
        area: Share of the pixels.
        confidence: Mean probability of a class where the mask shows it.
        change: 1 - IoU of the mask and that of the round before; of the whole item the largest of its classes.
        iou: With the true mask; of the whole item the mean over its classes, background included.
        score: Mean of the frames' scores for the class of a shot.
        energy: Of the labels of a shot, per frame.
    """

    area: float | None = None
    confidence: float | None = None
    change: float | None = None
    iou: float | None = None
    score: float | None = None
    energy: float | None = None


@dataclass(frozen=True)
class Item:
    """An image, a video or a shot of the gallery. Thumbnails are data addresses; what is not there is None.

    Attributes:
        kind: "image" and "video" are the user's own, a "shot" comes from the crawled videos.
        file: Address of the image or the clip.
        span: (start, stop) of a shot within its clip in seconds.
        mask, before, truth: Addresses of its masks: of this round, of the round before, the true one.
        overlay: Address of the image or the video with its mask drawn over it.
        url: Where the video comes from.
        cuts: Seconds at which a new shot begins.
        uncertain: Nothing in it seems to move by itself, so it has no mask.
        thumbnail: The mask over the image.
        tags: The classes that it was said to have, or that were looked for.
        run: <stage>/<run id> of its mask.
    """

    kind: Literal["image", "video", "shot"]
    name: str
    whole: Figures = Figures()
    classes: Mapping[str, Figures] = field(default_factory=dict)
    file: str | None = None
    span: tuple[float, float] | None = None
    mask: str | None = None
    before: str | None = None
    truth: str | None = None
    overlay: str | None = None
    url: str | None = None
    frames: int | None = None
    cuts: Sequence[float] = ()
    uncertain: bool = False
    thumbnail: str | None = None
    attention: str | None = None
    motion: str | None = None
    tags: Sequence[str] = ()
    run: str = ""


@dataclass(frozen=True)
class Report:
    """All of the page.

    Attributes:
        items: The gallery, in the order in which it is shown at first.
        in_all: {kind: how many there are in the runs}.
        colours: {class: its colour in masks, #rrggbb}.
        curves: {stage: {metric: [(step, value)]}}.
    """

    name: str
    made: str
    notes: Sequence[str] = ()
    items: Sequence[Item] = ()
    in_all: Mapping[str, int] = field(default_factory=dict)
    colours: Mapping[str, str] = field(default_factory=dict)
    stages: Sequence[StageRun] = ()
    flow: Sequence[Count] = ()
    curves: Mapping[str, Mapping[str, Sequence[tuple[float, float]]]] = field(default_factory=dict)
    sweeps: Sequence[Sweep] = ()
    evaluations: Sequence[Evaluation] = ()

    @property
    def flow_classes(self) -> dict[str, bool]:
        """{class: is there anything of it in any step?}"""
        names = sorted({name for count in self.flow for name in count.by_class})
        return {name: any(count.by_class.get(name) for count in self.flow) for name in names}

    @property
    def versions(self) -> list[tuple[str, str]]:
        """(package, version) of all stages, the commits of the code among them."""
        return sorted(
            {pair for one in self.stages for pair in {**one.versions, "commit": one.commit or "unknown"}.items()}
        )
