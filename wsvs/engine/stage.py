"""The interface of a stage: the settings it reads, the runs it needs, its work, and its outputs."""

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
        key: Its full key, such as `trainer.precision`; by default the field's name.
        result: Whether it changes the result.
    """
    return field(metadata={"key": key, "result": result})


def home_of(settings: Settings) -> Home:
    """Where the runs of a command's name are stored."""
    return Home(settings.out, settings.name, settings.debug, settings.inputs.model_dump())


@dataclass(frozen=True)
class Stage(Generic[S]):
    """One stage. Its module imports slow packages (torch, Lightning, cv2, numba) inside `run`.

    Attributes:
        name: `wsvs stage=<name>`.
        settings: A dataclass whose fields are the settings that it reads, each named after its section, or declared
            with `reads`. They are passed to `run`, listed by `--help`, and part of the fingerprint of a run: a setting
            that is not among them cannot change the result.
        run: The work. Its argument provides everything: `settings`, `inputs`, the directory, progress, the summary.
        needs: The stages whose runs it reads, or a function of the settings and the existing runs that returns them.
        paths: The settings with paths that it reads; they are checked before anything else.
        objective: The figure that a search optimises by default, in summary.json or metrics.json.
        makes: Its outputs for other stages, logged to W&B as artifacts.
        reviews: The parts of the review of its name that it reads: "shots", "images", "tags" of images; see
            `wsvs.core.reviews.reviews`.
        version: Incremented when the same settings produce a different result; older unfinished runs are then resumed
            with a warning.
        ranks: "all": the ranks share the work; "first": only the first rank works; "one": the stage starts its own
            processes, so that torchrun or srun must not start it several times.
        writes: False for a stage that only prints: it has no run directory, lock or log.
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
    writes: bool = True

    @property
    def keys(self) -> tuple[str, ...]:
        """The settings that it reads, such as `segment` and `trainer.precision`."""
        return tuple(one.metadata.get("key", one.name) for one in fields(self.settings))  # type: ignore[arg-type]

    @property
    def decisive(self) -> tuple[str, ...]:
        """The `keys` that change the result."""
        those = [one.metadata.get("result", True) for one in fields(self.settings)]  # type: ignore[arg-type]
        return tuple(key for key, one in zip(self.keys, those, strict=True) if one)

    def settings_of(self, settings: Settings) -> S:
        """The stage's settings, out of all settings of a command."""
        names = [one.name for one in fields(self.settings)]  # type: ignore[arg-type]
        return self.settings(**{name: attrgetter(key)(settings) for name, key in zip(names, self.keys, strict=True)})

    def needed(self, settings: Settings) -> tuple[str, ...]:
        """The stages whose runs it reads with these settings of a command."""
        return tuple(self.needs(self.settings_of(settings), home_of(settings)) if callable(self.needs) else self.needs)

    def start(self, settings: Settings, cfg: DictConfig) -> Run[S]:
        """A run of this stage, not yet opened."""
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
