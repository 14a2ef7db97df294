"""What a run tells tracking services: one or several of W&B, TensorBoard and MLflow, by `logger=...`."""

from __future__ import annotations

import csv
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

from wsvs.config.root import LOGGERS
from wsvs.core.files import Json
from wsvs.core.processes import rank
from wsvs.engine.tracker import Tracker

if TYPE_CHECKING:
    import numpy as np

    from wsvs.engine.run import Run
    from wsvs.engine.stage import Stage
    from wsvs.lit.media import LoggedImage

log = logging.getLogger("wsvs")

LONGEST = 640  # px of an image's longer side


class Trackers:
    """Several as one."""

    def __init__(self, all: Sequence[Tracker]) -> None:
        self.all = all
        self.media = max(one.media for one in all)

    def open(self) -> None:
        for tracker in self.all:
            tracker.open()

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        for one in self.all:
            one.log(metrics, step)

    def show(self, key: str, images: Iterable[LoggedImage], names: Sequence[str], step: int | None = None) -> None:
        from wsvs.lit.media import spread

        images = list(images)
        for one in self.all:
            one.show(key, [images[place] for place in spread(one.media, len(images))], names, step)

    def finished(self, counts: Mapping[str, Json], results: Mapping[str, Json]) -> None:
        for one in self.all:
            one.finished(counts, results)

    def close(self, code: int) -> None:
        for one in self.all:
            one.close(code)


def is_tracker(section: Any) -> bool:
    """Is an entry of `logger` one of ours, and no logger of Lightning's such as csv?"""
    return bool(section) and section.get("_target_") in LOGGERS


@contextmanager
def tracked(run: Run[Any], stage: Stage[Any]) -> Iterator[None]:
    """The job's tracking, from here to the end of the block; nothing without such a logger, or on another rank.

    Of a stage whose jobs are processes forked from its own it begins when these are over.

    Raises:
        UserError: A service cannot be opened: no login, no network.
    """
    sections = [one for one in run.cfg.logger.values() if is_tracker(one)]
    if not sections or rank() != 0:
        yield
        return
    from hydra.utils import instantiate

    made = [instantiate(one, _convert_="all").tracker(run, stage.makes) for one in sections]
    tracker = run.tracker = Trackers(made)
    code = 1
    try:
        if stage.ranks != "one":
            tracker.open()
        yield
        code = 0
    finally:
        tracker.close(code)


P = ParamSpec("P")


def harmless(service: str) -> Callable[[Callable[P, None]], Callable[P, None]]:
    """Report what cannot be logged, and continue: the results are on disk, and a training must not stop for it."""

    def decorate(method: Callable[P, None]) -> Callable[P, None]:
        @wraps(method)
        def quietly(*args: P.args, **kwargs: P.kwargs) -> None:
            try:
                method(*args, **kwargs)
            except Exception as error:  # these services raise what their many parts raise
                log.warning("not logged to %s (%s): %s: %s", service, method.__name__, type(error).__name__, error)

        return quietly

    return decorate


def numbers(values: Mapping[str, Json], prefix: str) -> dict[str, float | str]:
    """{"<prefix>/<key>": number} of nested dicts; of what is no number only the words of the first level are kept."""
    found: dict[str, float | str] = {}
    for key, value in values.items():
        name = f"{prefix}/{key}"
        if isinstance(value, Mapping):
            found |= {place: one for place, one in numbers(value, name).items() if not isinstance(one, str)}
        elif isinstance(value, int | float | str):
            found[name] = value
    return found


def outcome(run: Run[Any], counts: Mapping[str, Json], results: Mapping[str, Json]) -> dict[str, float | str]:
    """Numbers and words of a finished run by the names that all services show; of an evaluation its metrics.json."""
    from wsvs.core.files import read_json

    if run.stage == "evaluate":
        return {**numbers(counts, "counts"), **numbers(read_json(run.dir / "metrics.json"), "eval")}
    return {**numbers(counts, "counts"), **numbers(results, "results")}


def read_csv(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.reader(stream))


def overlays(run: Run[Any], number: int) -> list[Path]:
    """Some of the videos that a run has drawn its masks over, spread over all."""
    from wsvs.lit.media import spread

    found = sorted((run.dir / "overlay").rglob("*.mp4"))
    return [found[place] for place in spread(number, len(found))]


def drawn(image: LoggedImage) -> dict[str, np.ndarray]:
    """{"": the image, or "/<mask>": the image under a mask}, (H, W, 3) uint8: some viewers show no masks."""
    from wsvs.core.visualize import over

    return {f"/{name}": over(image.image, mask) for name, mask in image.masks.items()} or {"": image.image}
