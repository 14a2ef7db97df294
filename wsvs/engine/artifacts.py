"""Outputs of a run as W&B artifacts: checkpoints, lists of clips and shots, mask sets."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from omegaconf import OmegaConf

from wsvs.core import runs
from wsvs.core.files import read_json
from wsvs.core.tars import Member
from wsvs.engine.registry import load_stage
from wsvs.engine.run import Run
from wsvs.engine.stage import Kind
from wsvs.records.predicted import masks_of

Masks = Literal["none", "manifest", "references", "files"]
FILES = {  # kind of artifact: files that it may contain, at the paths where the stage writes them
    "model": ("checkpoints/best.ckpt",),
    "clips": ("manifest.jsonl",),
    "shots": ("shots.jsonl",),
    "masks": ("shots.jsonl", "videos.jsonl", "usable.json", "labels.txt", runs.ITEMS),
}


def describe(run: Run[Any], makes: Sequence[Kind], *, models: bool, masks: Masks) -> list[dict[str, str]]:
    """The artifacts of a finished run: {"name", "type", "alias", "masks"}.

    <name>-<stage>-<type> gets a new version from each run; the alias names the run.
    """
    left_out = {"model": not models, "masks": masks == "none"}
    return [
        {
            "name": _plain(f"{run.home.name}-{run.stage}-{kind}"),
            "type": kind,
            "alias": _plain(f"run-{run.id}"),
            "masks": masks,
        }
        for kind in makes
        if not left_out.get(kind)
    ]


def build(folder: Path, artifact: dict[str, str]) -> Any:
    """The W&B artifact of a run directory. Its content is deterministic, so that W&B recognises it.

    Files are not copied: they must stay in place until they are uploaded.
    """
    import wandb

    made = wandb.Artifact(artifact["name"], artifact["type"], metadata={"folder": str(folder)})
    for name in (runs.SUMMARY, *FILES[artifact["type"]]):
        if (folder / name).is_file():
            made.add_file(str(folder / name), name, policy="immutable")
    if artifact["type"] == "masks" and artifact["masks"] in ("references", "files"):
        for path in masks_below(folder):
            name = path.relative_to(folder).as_posix()
            if artifact["masks"] == "files":
                made.add_file(str(path), name, policy="immutable")
            else:
                made.add_reference(path.as_uri(), name)
    return made


def masks_below(folder: Path) -> Iterator[Path]:
    """The files that hold the masks of a run: each mask, or the archives."""
    found = masks_of(folder)
    files = map(found.find, found.files)
    yield from dict.fromkeys(one.tar if isinstance(one, Member) else one for one in files)


def inputs_of(run: Run[Any], record: str) -> Iterator[tuple[Path, dict[str, str]]]:
    """(run directory, artifact) of all inputs of a run that were logged to W&B too.

    Args:
        record: Name of the file in a run directory that lists its artifacts.
    """
    asked = [(path, next(iter(load_stage(stage).makes), "")) for stage, path in run.inputs.items()]
    if "predictions" in run.keys and run.cfg.predictions:
        asked += [(path, "masks") for path in (Path(run.cfg.predictions), Path(run.cfg.predictions).parent)]
    if checkpoint := OmegaConf.select(run.cfg, f"{run.stage}.checkpoint"):
        asked.append((Path(checkpoint).parents[1], "model"))
    for folder, kind in asked:
        if (folder / record).is_file():
            for artifact in read_json(folder / record).get("artifacts", ()):
                if artifact["type"] == kind:
                    yield folder.absolute(), artifact


def _plain(name: str) -> str:
    """A name in the characters that W&B accepts."""
    return re.sub(r"[^\w.-]", "-", name, flags=re.ASCII)[:120]
