"""The command that comes after a stage: what the closing table says last, to be pasted as it stands."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from wsvs.core import runs
from wsvs.core.console import for_shell
from wsvs.data.tag_sources import FOLDERS
from wsvs.stages import ALL_STAGES, STAGES, load_stage

PREDICTED = "{predict}"
BLANK = "DIR"  # a folder that only the user knows

# What a command says of one stage alone; a stage that has such a section among its own takes it over.
OF_ONE_STAGE = {
    *(stage for stage in ALL_STAGES if stage != "data"),
    "inputs", "input", "labels", "videos", "predictions", "truth", "dry_run", "resume",
}
OF_THE_COMMAND = {"stage", "sweep", "hydra"}
QUOTES = ("'", '"', "[")


def next_line(*of: Any, **more: Any) -> str | None:
    """What the closing lines say of `next_command`: to be typed as it stands, or once a word is filled in."""
    command = next_command(*of, **more)
    filling = f", with your folder of videos in place of {BLANK}" if command and command.endswith(f"={BLANK}") else ""
    return command and f"next{filling}: {command}"


def next_command(
    cfg: DictConfig, overrides: Sequence[str], run: Path, options: Iterable[str] = (), proposed: Sequence[str] = ()
) -> str | None:
    """The command line that goes on from a finished run; None where there is nothing to go on with.

    It keeps the name, the groups and all else that means something to the next stage too, and names what that stage
    works on where nobody has.

    Args:
        cfg: Configuration of the run.
        overrides: Those of its command.
        run: Its directory.
        options: Hydra's own, such as --config-dir and its value.
        proposed: Overrides that the stage adds.
    """
    if cfg.stage == "report":
        return f"python3 -m webbrowser {for_shell((run / 'report.html').as_uri())}"
    said = {key_of(word) for word in overrides}
    stage = _following(cfg, said)
    if stage == "report" and not any(runs.find_run(cfg.out, cfg.name, one, debug=bool(cfg.debug)) for one in STAGES):
        return None
    words = [*_kept(cfg, overrides, stage), *proposed, *_missing(cfg, said, stage, run)]
    return " ".join(map(for_shell, ["wsvs", *options, f"stage={stage}", *words]))


def _following(cfg: DictConfig, said: Collection[str]) -> str:
    """The stage after this one: the next of the pipeline, else what makes something of the masks, else the report."""
    masks = cfg.truth or OmegaConf.select(cfg, "data.masks")  # true ones
    if cfg.stage == "data":
        return "segment" if cfg.videos else "pipeline"
    if cfg.stage == "segment" and cfg.videos:
        return "evaluate" if cfg.truth else "export"
    other = "input" in said and cfg.input != OmegaConf.select(cfg, "data.root")  # images without true masks
    if cfg.stage == "predict" and (other or not masks):
        return "export"
    return dict(pairwise(STAGES)).get(cfg.stage, "report")


def key_of(word: str) -> str:
    """The key of an override."""
    return word.partition("=")[0].lstrip("+~")


def _kept(cfg: DictConfig, overrides: Iterable[str], stage: str) -> Iterator[str]:
    """The overrides that mean something to the next stage too."""
    module = load_stage(stage)
    inputs = module.needs(cfg) if hasattr(module, "needs") else module.NEEDS
    own = {*module.SECTIONS, *(f"inputs.{name}" for name in inputs)}
    for word in overrides:
        key, section = key_of(word), key_of(word).partition(".")[0].partition("/")[0]
        foreign = section in OF_ONE_STAGE and stage != "pipeline" and not {key, section} & own
        if not foreign and section not in OF_THE_COMMAND:
            yield word


def _missing(cfg: DictConfig, said: Collection[str], stage: str, run: Path) -> Iterator[str]:
    """What the next stage needs and nobody has said: as the pipeline would say it, else a word to fill in."""
    steps = stage == "pipeline" and cfg.pipeline.steps
    if stage in ("retrieve", "pipeline") and not steps and cfg.retrieve.source == "folder" and not cfg.retrieve.root:
        yield f"retrieve.root={BLANK}"
    if stage == "segment" and cfg.stage == "data" and "experiment" not in said:
        yield "experiment=motion"
    if stage == "export" and cfg.stage == "segment":
        yield "export.format=davis"
    if stage == "evaluate" and cfg.stage == "segment" and cfg.evaluate.kind != "video":
        yield "evaluate.kind=video"
    if stage == "predict" or (stage == "evaluate" and cfg.stage == "predict"):
        for key, value in defaults(cfg, stage):
            path = os.path.relpath(run) if value == PREDICTED else str(value)
            yield f"{key}={path if re.fullmatch(r'[A-Za-z0-9_./-]*/[A-Za-z0-9_./-]*', path) else quote(path)}"


def defaults(cfg: DictConfig, stage: str) -> Iterator[tuple[str, Any]]:
    """(key, path) of what the last two stages work on unless the command says so: the tagged images, and their masks.

    The masks to score are those of the pipeline's step `predict`, written as `PREDICTED`.
    """
    root, labels = OmegaConf.select(cfg, "data.root"), OmegaConf.select(cfg, "data.labels")
    if stage == "predict" and not cfg.input:
        yield "input", root
        if not cfg.labels and labels and (labels == FOLDERS or Path(labels).exists()):
            yield "labels", labels
    if stage == "evaluate":
        if not cfg.predictions:
            yield "predictions", PREDICTED
        if not cfg.truth:
            yield "truth", OmegaConf.select(cfg, "data.masks")


def quote(value: object) -> str:
    """A value as Hydra's override grammar reads it back unchanged."""
    # It takes a backslash for itself unless quotes follow: those before one, and the last ones, are doubled.
    escaped = re.sub(r"(\\*)'", r"\1\1\'", str(value))
    return "'" + re.sub(r"(\\+)$", r"\1\1", escaped) + "'"
