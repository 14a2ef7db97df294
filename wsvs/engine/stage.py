"""The contract of a stage: the settings it reads, the runs it needs, what it does, and what it hands on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Any, Generic, Literal, TypeVar

from omegaconf import DictConfig

from wsvs.config.root import Settings
from wsvs.core.reviews import Part
from wsvs.core.runs import Home
from wsvs.engine.run import Run

S = TypeVar("S")
Kind = Literal["model", "clips", "shots", "masks"]


def reads(key: str, *, result: bool = True) -> Any:
    """A field of a stage's settings.

    Args:
        key: Where it stands among all settings, as `trainer.precision`; by default its own name.
        result: Whether it changes the result.
    """
    return field(metadata={"key": key, "result": result})


def home_of(settings: Settings) -> Home:
    """Where the runs of a command's name lie."""
    return Home(settings.out, settings.name, settings.debug, settings.inputs.model_dump())


@dataclass(frozen=True)
class Stage(Generic[S]):
    """One stage. Its module imports what takes seconds (torch, Lightning, cv2, numba) within `run`.

    Attributes:
        name: `wsvs stage=<name>`.
        settings: A dataclass whose fields are the settings that it reads, each named after its section, or as `reads`
            says. They are what `run` is given, what `--help` lists, and what a finished run is recognised by: a
            setting that is not among them cannot change its result.
        run: The work. All that it needs is its argument: `settings`, `inputs`, the directory, progress, the summary.
        needs: The stages whose runs it reads, or a function that says which, from the settings and the runs there are.
        paths: The settings of all that name what it reads on disk: that is looked for first.
        objective: The figure that a search goes by, in summary.json or metrics.json.
        makes: What other stages read of it; W&B gets them as artifacts.
        reviews: What it reads of the review of its name: "shots", "images", "tags" of images; see
            `wsvs.core.reviews.reviews`.
        version: Raised when the same settings have come to mean another result; older unfinished runs are then taken
            over with a warning.
        ranks: "all" work on it together; "first": one process is enough, the others have nothing to do; "one": it
            starts processes of its own, so that torchrun or srun must not start it several times.
    """

    name: str
    settings: type[S]
    run: Callable[[Run[S]], None]
    needs: Sequence[str] | Callable[[S, Home], Sequence[str]] = ()
    paths: Sequence[str] = ()
    objective: str | None = None
    makes: Sequence[Kind] = ()
    reviews: Sequence[Part] = ()
    version: int = 1
    ranks: Literal["all", "first", "one"] = "all"

    @property
    def keys(self) -> tuple[str, ...]:
        """The settings that it reads, as `segment` and `trainer.precision`."""
        return tuple(one.metadata.get("key", one.name) for one in fields(self.settings))  # type: ignore[arg-type]

    @property
    def decisive(self) -> tuple[str, ...]:
        """Those of `keys` that change the result."""
        those = [one.metadata.get("result", True) for one in fields(self.settings)]  # type: ignore[arg-type]
        return tuple(key for key, one in zip(self.keys, those, strict=True) if one)

    def settings_of(self, settings: Settings) -> S:
        """Its own among all settings of a command."""
        names = [one.name for one in fields(self.settings)]  # type: ignore[arg-type]
        return self.settings(**{name: attrgetter(key)(settings) for name, key in zip(names, self.keys, strict=True)})

    def needed(self, settings: Settings) -> tuple[str, ...]:
        """The stages whose runs it reads, for all settings of a command."""
        return tuple(self.needs(self.settings_of(settings), home_of(settings)) if callable(self.needs) else self.needs)

    def start(self, settings: Settings, cfg: DictConfig) -> Run[S]:
        """A run of it, not yet opened."""
        return Run(
            self.name,
            self.settings_of(settings),
            keys=self.decisive,
            needs=self.needed(settings),
            home=home_of(settings),
            cfg=cfg,
            reviews=self.reviews,
            version=self.version,
        )
