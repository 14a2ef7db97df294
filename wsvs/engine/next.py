"""The command that comes after a stage: printed below the closing table, to be pasted."""

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
from wsvs.engine.shards import shard_of
from wsvs.engine.stage import home_of

PREDICTED = "{predict}"
BLANK = "DIR"  # placeholder of a folder that only the user knows

# Keys that concern a single run, as the stages' sections do: passed on only to a stage that reads them.
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
    """The closing line with `next_command`, ready to be typed, or with one placeholder to fill in."""
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
    """The command that continues from a finished run; None if there is nothing to continue with.

    It keeps the name, the groups and all other overrides that the next stage reads, and adds missing inputs.

    Args:
        stage, settings: Of the run.
        overrides: Those of its command.
        run: Its directory.
        options: Hydra's options, such as --config-dir and its value.
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
    """The stage after this one: the next of the pipeline, else one that uses the masks, else the report."""
    masks = true_masks(settings)
    if shard_of(settings, stage):
        return "merge"
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
    """The overrides that the next stage reads too."""
    following = load_stage(stage)
    read = {*following.keys, *(f"inputs.{name}" for name in following.needed(settings))}
    foreign = OF_ONE_RUN | ({*stage_names()} - {"data"}) if stage != "pipeline" else set()
    for word in overrides:
        key, section = key_of(word), key_of(word).partition(".")[0].partition("/")[0]
        if section not in OF_THE_COMMAND and (section not in foreign or {key, section} & read):
            yield word


def _missing(stage: str, settings: Settings, said: Collection[str], following: str, run: Path) -> Iterator[str]:
    """Inputs of the next stage that are not given: as the pipeline would set them, else a placeholder."""
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
    """The settings that name the inputs of the last two stages of the pipeline."""

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
    """The folder of true masks, given by the command or the data set."""
    return settings.truth or getattr(settings.data, "masks", None)


def defaults(settings: Works, stage: str) -> Iterator[tuple[str, str | None]]:
    """(key, path) of the default inputs of the last two stages: the tagged images, and their masks.

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
    """Quote a value so that Hydra's override grammar reads it back unchanged."""
    # A backslash is literal unless a quote follows: double those before a quote and at the end.
    escaped = re.sub(r"(\\*)'", r"\1\1\'", str(value))
    return "'" + re.sub(r"(\\+)$", r"\1\1", escaped) + "'"
