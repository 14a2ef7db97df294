"""What a run hands on, as W&B artifacts: checkpoints, lists of clips and shots, sets of masks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from wsvs.core import runs
from wsvs.core.files import read_json
from wsvs.stages._run import Run

Masks = Literal["none", "manifest", "references", "files"]
MAKES = {  # stage: types of its artifacts
    "encoder": ("model",), "retrieve": ("clips",), "relevance": ("shots",), "segment": ("masks",),
    "decoder": ("model",), "adapt": ("model", "masks"), "predict": ("masks",),
}
FILES = {  # what it is: files that it may hold, each where the stage writes it
    "model": ("checkpoints/best.ckpt",), "clips": ("manifest.jsonl",), "shots": ("shots.jsonl",),
    "masks": ("shots.jsonl", "videos.jsonl", "usable.json", "labels.txt", runs.ITEMS),
}


def describe(run: Run, *, models: bool, masks: Masks) -> list[dict[str, str]]:
    """The artifacts of a finished run: {"name", "type", "alias", "masks"}.

    <name>-<stage>-<type> gets a new version from each run; the alias names the run.
    """
    left_out = {"model": not models, "masks": masks == "none"}
    return [
        {"name": _plain(f"{run.cfg.name}-{run.stage}-{kind}"), "type": kind, "alias": _plain(f"run-{run.id}"),
         "masks": masks}
        for kind in MAKES.get(run.stage, ()) if not left_out.get(kind)
    ]


def build(folder: Path, artifact: dict[str, str]) -> Any:
    """The W&B artifact of a run directory, the same whoever builds it: by its content W&B knows it again.

    Files are not copied: they have to stay where they are until they are uploaded.
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
    root, names = runs.masks_of(folder)
    for name in names:
        yield root / f"{name}.png"


def inputs_of(run: Run, record: str) -> Iterator[tuple[Path, dict[str, str]]]:
    """(run directory, artifact) of all that a run reads, where those runs were logged to W&B too.

    Args:
        record: Name of the file in a run directory that lists its artifacts.
    """
    cfg = run.cfg
    asked = [(path, MAKES.get(stage, ("",))[0]) for stage, path in run.inputs.items()]
    if run.stage in ("evaluate", "export") and cfg.predictions:
        asked += [(path, "masks") for path in (Path(cfg.predictions), Path(cfg.predictions).parent)]
    if run.stage in ("segment", "predict") and cfg[run.stage].checkpoint:
        asked.append((Path(cfg[run.stage].checkpoint).parents[1], "model"))
    for folder, kind in asked:
        if (folder / record).is_file():
            for artifact in read_json(folder / record).get("artifacts", ()):
                if artifact["type"] == kind:
                    yield folder.absolute(), artifact


def _plain(name: str) -> str:
    """A name in the characters that W&B takes."""
    return re.sub(r"[^\w.-]", "-", name, flags=re.ASCII)[:120]
