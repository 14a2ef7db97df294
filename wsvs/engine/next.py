"""The command that comes after a stage: what the closing table says last, to be pasted as it stands."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Protocol

from wsvs.config.base import Section
from wsvs.config.groups import FolderRetrieve, TaggedData
from wsvs.config.root import Settings
from wsvs.core.console import for_shell
from wsvs.engine.names import PIPELINE, stage_names
from wsvs.engine.registry import load_stage
from wsvs.engine.stage import home_of

PREDICTED = "{predict}"
BLANK = "DIR"  # a folder that only the user knows

# What a command says of one run alone, as it does by the sections of the stages; a stage that reads it takes it over.
OF_ONE_RUN = {"inputs", "input", "labels", "videos", "predictions", "truth", "dry_run", "resume"}
OF_THE_COMMAND = {"stage", "sweep", "hydra"}
QUOTES = ("'", '"', "[")


def next_line(
    stage: str,
    settings: Settings,
    overrides: Sequence[str],
    run: Path,
    options: Iterable[str] = (),
    proposed: Sequence[str] = (),
) -> str | None:
    """What the closing lines say of `next_command`: to be typed as it stands, or once a word is filled in."""
    command = next_command(stage, settings, overrides, run, options, proposed)
    filling = f", with your folder of videos in place of {BLANK}" if command and command.endswith(f"={BLANK}") else ""
    return command and f"next{filling}: {command}"


def next_command(
    stage: str,
    settings: Settings,
    overrides: Sequence[str],
    run: Path,
    options: Iterable[str] = (),
    proposed: Sequence[str] = (),
) -> str | None:
    """The command line that goes on from a finished run; None where there is nothing to go on with.

    It keeps the name, the groups and all else that means something to the next stage too, and names what that stage
    works on where nobody has.

    Args:
        stage, settings: Of the run.
        overrides: Those of its command.
        run: Its directory.
        options: Hydra's own, such as --config-dir and its value.
        proposed: Overrides that the stage adds.
    """
    if stage == "report":
        return f"python3 -m webbrowser {for_shell((run / 'report.html').as_uri())}"
    said = {key_of(word) for word in overrides}
    following = _following(stage, settings, said)
    if following == "report" and not any(map(home_of(settings).find, PIPELINE)):
        return None
    words = [*_kept(settings, overrides, following), *proposed, *_missing(stage, settings, said, following, run)]
    return " ".join(map(for_shell, ["wsvs", *options, f"stage={following}", *words]))


def _following(stage: str, settings: Settings, said: Collection[str]) -> str:
    """The stage after this one: the next of the pipeline, else what makes something of the masks, else the report."""
    masks = true_masks(settings)
    if stage == "data":
        return "segment" if settings.videos else "pipeline"
    if stage == "segment" and settings.videos:
        return "evaluate" if settings.truth else "export"
    other = "input" in said and settings.input != getattr(settings.data, "root", None)  # images without true masks
    if stage == "predict" and (other or not masks):
        return "export"
    return dict(pairwise(PIPELINE)).get(stage, "report")


def key_of(word: str) -> str:
    """The key of an override."""
    return word.partition("=")[0].lstrip("+~")


def _kept(settings: Settings, overrides: Iterable[str], stage: str) -> Iterator[str]:
    """The overrides that mean something to the next stage too."""
    following = load_stage(stage)
    read = {*following.keys, *(f"inputs.{name}" for name in following.needed(settings))}
    foreign = OF_ONE_RUN | ({*stage_names()} - {"data"}) if stage != "pipeline" else set()
    for word in overrides:
        key, section = key_of(word), key_of(word).partition(".")[0].partition("/")[0]
        if section not in OF_THE_COMMAND and (section not in foreign or {key, section} & read):
            yield word


def _missing(stage: str, settings: Settings, said: Collection[str], following: str, run: Path) -> Iterator[str]:
    """What the next stage needs and nobody has said: as the pipeline would say it, else a word to fill in."""
    steps = following == "pipeline" and settings.pipeline.steps
    rootless = isinstance(settings.retrieve, FolderRetrieve) and not settings.retrieve.root
    if following in ("retrieve", "pipeline") and not steps and rootless:
        yield f"retrieve.root={BLANK}"
    if following == "segment" and stage == "data" and "experiment" not in said:
        yield "experiment=motion"
    if following == "export" and stage == "segment":
        yield "export.format=davis"
    if following == "evaluate" and stage == "segment" and settings.evaluate.kind != "video":
        yield "evaluate.kind=video"
    if following == "predict" or (following == "evaluate" and stage == "predict"):
        for key, value in defaults(settings, following):
            path = os.path.relpath(run) if value == PREDICTED else str(value)
            yield f"{key}={path if re.fullmatch(r'[A-Za-z0-9_./-]*/[A-Za-z0-9_./-]*', path) else quote(path)}"


class Works(Protocol):
    """The settings that say what the last two stages of the pipeline work on."""

    @property
    def data(self) -> Section: ...
    @property
    def input(self) -> str | None: ...
    @property
    def labels(self) -> str | None: ...
    @property
    def predictions(self) -> str | None: ...
    @property
    def truth(self) -> str | None: ...


def true_masks(settings: Works) -> str | None:
    """The folder of true masks that the command or the data names."""
    return settings.truth or getattr(settings.data, "masks", None)


def defaults(settings: Works, stage: str) -> Iterator[tuple[str, str | None]]:
    """(key, path) of what the last two stages work on unless the command says so: the tagged images, and their masks.

    The masks to score are those of the pipeline's step `predict`, written as `PREDICTED`.
    """
    from wsvs.data.tag_sources import FOLDERS

    data = settings.data if isinstance(settings.data, TaggedData) else None
    if stage == "predict" and not settings.input:
        yield "input", data.root if data else None
        labels = data.labels if data else None
        if not settings.labels and labels and (labels == FOLDERS or Path(labels).exists()):
            yield "labels", labels
    if stage == "evaluate":
        if not settings.predictions:
            yield "predictions", PREDICTED
        if not settings.truth:
            yield "truth", true_masks(settings)


def quote(value: object) -> str:
    """A value as Hydra's override grammar reads it back unchanged."""
    # It takes a backslash for itself unless quotes follow: those before one, and the last ones, are doubled.
    escaped = re.sub(r"(\\*)'", r"\1\1\'", str(value))
    return "'" + re.sub(r"(\\+)$", r"\1\1", escaped) + "'"
