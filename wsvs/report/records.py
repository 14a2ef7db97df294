"""Content of a report: typed records for the templates and the page's script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from wsvs.core.sweeps import Sweep

Table = Sequence[Sequence[str]]


@dataclass(frozen=True)
class Count:
    """Number of `unit`s after a step, in total and by class where known."""

    unit: str
    step: str
    total: int
    by_class: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class StageRun:
    """The run of a stage in the report."""

    stage: str
    run: str
    seconds: float
    supervision: str | None
    command: str
    versions: Mapping[str, str]
    commit: str | None


@dataclass(frozen=True)
class Evaluation:
    """Input and results of an evaluation. The tables are those of its CSV files, heading first."""

    label: str
    kind: str
    scored: str
    split: str
    results: Mapping[str, float]
    per_class: Table = ()
    confusion: Table = ()

    @property
    def absent(self) -> set[str]:
        """Classes that are neither in the true nor in the predicted masks."""
        rows = [[int(count) for count in row[1:]] for row in self.confusion[1:]]
        counts = [sum(row) + sum(column) for row, column in zip(rows, zip(*rows, strict=True), strict=True)]
        return {row[0] for row, count in zip(self.confusion[1:], counts, strict=True) if not count}

    @property
    def confusion_shares(self) -> list[tuple[str, list[float]]]:
        """(class, fractions of its true pixels by predicted class), without absent classes."""
        kept = [number for number, row in enumerate(self.confusion[1:], 1) if row[0] not in self.absent]
        rows = [(self.confusion[row][0], [int(self.confusion[row][column]) for column in kept]) for row in kept]
        return [(name, [count / max(1, sum(counts)) for count in counts]) for name, counts in rows]


@dataclass(frozen=True)
class Figures:
    """Figures of one class in an item of the gallery, or of the whole item; None if unknown.

    Attributes:
        area: Fraction of the pixels.
        confidence: Mean probability of a class over its pixels in the mask.
        change: 1 - IoU with the mask of the previous round; for the whole item the maximum over its classes.
        iou: IoU with the true mask; for the whole item the mean over its classes, background included.
        score: Mean score of the frames for the class of a shot.
        energy: Energy of a shot's labels, per frame.
    """

    area: float | None = None
    confidence: float | None = None
    change: float | None = None
    iou: float | None = None
    score: float | None = None
    energy: float | None = None


@dataclass(frozen=True)
class Item:
    """An image, a video or a shot of the gallery. Thumbnails are data URLs; missing ones are None.

    Attributes:
        kind: "image" and "video" are the user's own, a "shot" is from the retrieved videos.
        file: URL of the image or the clip.
        span: (start, stop) of a shot in its clip, in seconds.
        mask, before, truth: URLs of its masks: of this round, of the previous round, the true one.
        overlay: URL of the image or video with its mask drawn over it.
        url: Source of the video.
        cuts: Seconds at which a new shot starts.
        uncertain: No object motion or attention was found, so it has no mask.
        thumbnail: The mask over the image.
        tags: The classes given for it, or searched for.
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
    """Content of the page.

    Attributes:
        items: The gallery, in its initial order.
        in_all: {kind: number in the runs}.
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
        """{class: whether any step has some of it}"""
        names = sorted({name for count in self.flow for name in count.by_class})
        return {name: any(count.by_class.get(name) for count in self.flow) for name in names}

    @property
    def versions(self) -> list[tuple[str, str]]:
        """(package, version) of all stages, including the commits of the code."""
        return sorted(
            {pair for one in self.stages for pair in {**one.versions, "commit": one.commit or "unknown"}.items()}
        )
