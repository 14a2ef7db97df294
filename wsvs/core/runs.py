"""Run directories: one id for all processes of a run, the latest finished run of a stage, and summary.json.

    outputs/<name>/<stage>/<run_id>/summary.json     written last, only on success

A run counts as finished when its summary exists. The jobs of a sweep are one folder deeper (<run_id>/<job number>)
and are therefore not used as input by default.
"""

from __future__ import annotations

import os
import platform
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from wsvs import __version__
from wsvs.core.errors import UserError
from wsvs.core.files import read_json, read_jsonl, write_json

SUMMARY = "summary.json"
LOG = "wsvs.log"
VIDEOS = "videos.jsonl"  # of a segment run on whole videos: one line for each that has masks
ITEMS = "items.jsonl"  # what stage predict has masks of: {"id", "file"}, with "frames" of films, "confidence" of images


@dataclass(frozen=True)
class Home:
    """Where the runs of a name lie: <out>/<name>/<stage>/<run id>.

    Attributes:
        debug: Whether debug runs count.
        given: Stage -> the run that `inputs.<stage>` names, if it names one.
    """

    out: str
    name: str
    debug: bool = False
    given: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return Path(self.out, self.name)

    def find(self, stage: str) -> Path | None:
        """The run of a stage that finished last; None where there is none."""
        return find_run(self.out, self.name, stage, debug=self.debug)

    def require(self, stage: str) -> Path:
        """The run that was named, else the one that finished last. Raises `UserError` as `require_run` does."""
        return require_run(self.out, self.name, stage, self.given.get(stage), debug=self.debug)


def check_folder_name(key: str, value: str) -> str:
    """The value of a setting or variable that names one folder, unchanged.

    Raises:
        UserError: What is written under it would be somewhere else, or hidden, or hard to type.
    """
    if not value.strip():
        problem = "is empty"
    elif "/" in value or "\\" in value or value in (".", ".."):
        problem = "is a path, not a name"
    elif value[0] in ".~" or value != value.strip():
        problem = "begins with a dot or ~, or begins or ends with a space"
    elif not value.isprintable():
        problem = "has characters that cannot be printed"
    elif len(value.encode()) > 200:
        problem = "is longer than 200 bytes"
    else:
        return value
    raise UserError(
        f"{key} {problem}: {value!r}",
        where=key,
        remedy=f"give the name of one folder, such as {key}=first; out=DIR chooses where the folder is made",
    )


def check_out(value: str) -> str:
    """The folder of all runs, unchanged. Raises `UserError` for one that is empty or that would be made as `~`."""
    if not value.strip() or value.startswith("~") or "\0" in value:
        home = "your home folder is not put in for ~ here" if value.startswith("~") else "it is empty"
        raise UserError(
            f"out is not a folder: {value!r}",
            where="out",
            remedy=f"{home}: write out=$HOME/... , or leave it out for outputs",
        )
    return value


def run_id() -> str:
    """One id for every rank and relaunch of a run; exported as WSVS_RUN_ID so that children inherit it.

    WSVS_RUN_ID, else TORCHELASTIC_RUN_ID, else SLURM_JOB_ID (each task of an array has its own, and a job that is
    requeued has it again), else a time stamp.

    Raises:
        UserError: torchrun without a rendezvous id: its ranks would each choose a directory of their own.
    """
    for variable in ("WSVS_RUN_ID", "TORCHELASTIC_RUN_ID", "SLURM_JOB_ID"):
        value = os.environ.get(variable)
        if variable == "TORCHELASTIC_RUN_ID" and value == "none":
            raise UserError(
                "torchrun gave this run no id, so its ranks cannot share a run directory",
                where="TORCHELASTIC_RUN_ID",
                remedy="use torchrun --standalone, or set WSVS_RUN_ID=<some id>",
            )
        if value:
            sweep, _, job = value.rpartition("/")  # <sweep>/<number>: a job of a sweep that is an array of a scheduler
            check_folder_name(variable, sweep if sweep and job.isdecimal() else value)
            break
    else:
        value = datetime.now().strftime("%Y%m%d-%H%M%S-") + f"{os.getpid() % 10000:04d}"
    os.environ["WSVS_RUN_ID"] = value
    return value


def finished_runs(out: str | Path, name: str, stage: str, *, debug: bool = False) -> dict[Path, dict[str, Any]]:
    """{run directory: its summary} of a stage's finished runs, the last first (by the time inside the summary).

    Args:
        debug: Include debug runs, which are skipped otherwise.
    """
    found = {path.parent: read_json(path) for path in Path(out, name, stage).glob(f"*/{SUMMARY}")}
    order = sorted(found, key=lambda path: (found[path]["finished"], str(path)), reverse=True)
    return {path: found[path] for path in order if debug or not found[path].get("debug")}


def find_run(out: str | Path, name: str, stage: str, *, debug: bool = False) -> Path | None:
    """The run of a stage that finished last, or None; `debug` as in `finished_runs`."""
    return next(iter(finished_runs(out, name, stage, debug=debug)), None)


def require_run(out: str | Path, name: str, stage: str, given: str | None, *, debug: bool = False) -> Path:
    """The run to read: the one the user named, else the latest finished.

    Raises:
        UserError: There is none, or the named one does not exist or did not finish.
    """
    if given:
        path = Path(given)
        if not path.is_dir():
            raise UserError(
                f"there is no such run of stage {stage}",
                where=f"inputs.{stage}={given}",
                remedy="name an existing run directory, <out>/<name>/<stage>/<run id>, or leave it out for the latest",
            )
        if not (path / SUMMARY).is_file():
            raise UserError(
                f"this is not a finished run of stage {stage}",
                where=f"inputs.{stage}={given}",
                remedy=f"it has no {SUMMARY}: finish it, or name another run directory",
            )
        return path.resolve()
    found = find_run(out, name, stage, debug=debug)
    if found is None:
        raise UserError(
            f"no finished run of stage {stage}",
            where=Path(out, name, stage),
            remedy=f"run it first: wsvs stage={stage} name={name} ...   or give inputs.{stage}=DIR",
        )
    return found.resolve()


def read_summary(run: str | Path) -> dict[str, Any]:
    summary: dict[str, Any] = read_json(Path(run, SUMMARY))
    return summary


def masks_of(folder: str | Path) -> tuple[Path, dict[str, str | None]]:
    """The masks of a run, or of any folder of them; hidden files are left out.

    A run of stage predict lists its items, since folders of images may be named like its own. Other runs keep their
    masks in masks/.

    Returns:
        The folder, and {id: name of the image's file, None if unknown} of its masks <id>.png, sorted.
    """
    folder = Path(folder)
    found: dict[str, str | None] = {}
    if (folder / ITEMS).is_file():
        for row in read_jsonl(folder / ITEMS):
            if "frames" in row:
                found |= {f"{row['id']}/{number:05d}": None for number in range(row["frames"])}
            else:
                found[row["id"]] = row["file"]
        return folder, dict(sorted(found.items()))
    root = folder / "masks" if (folder / "masks").is_dir() else folder
    unlisted = root == folder and (folder / LOG).is_file()  # a run that did not finish
    found |= {name: None for name in mask_ids(root) if not (unlisted and name.startswith("wandb/"))}
    return root, found


def mask_ids(root: Path) -> Iterator[str]:
    """Ids of the masks <id>.png below a folder, in the order of their paths; hidden files and folders are left out."""
    for path in sorted(root.rglob("*.png")):
        name = path.relative_to(root)
        if not any(part.startswith(".") for part in name.parts):
            yield name.with_suffix("").as_posix()


def write_summary(
    run: str | Path,
    *,
    stage: str,
    started: float,
    overrides: list[str],
    inputs: dict[str, str],
    counts: dict[str, Any],
    results: dict[str, Any] | None = None,
    supervision: str | None = None,
    person: Sequence[str] = (),
    debug: bool = False,
) -> None:
    """Write summary.json. Call it last: its presence says that the run is whole.

    Args:
        supervision: The annotations that the run has used.
        person: What a person has done for it, or for the runs that it has read, beyond these.
    """
    now = time.time()
    write_json(
        Path(run, SUMMARY),
        {
            "stage": stage,
            "debug": debug,
            "finished": now,
            "seconds": round(now - started, 2),
            "overrides": overrides,
            "inputs": inputs,
            "counts": counts,
            "results": results or {},
            "supervision": supervision,
            "person": list(person),
            "versions": versions(),
            "git_commit": git_commit(),
        },
    )


def versions() -> dict[str, str]:
    found = {"wsvs": __version__, "python": platform.python_version()}
    for package in ("torch", "lightning", "hydra-core", "numpy", "opencv-contrib-python-headless", "av"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def git_commit() -> str | None:
    """Commit of the code that runs, with '+' when it has uncommitted changes; None outside a checkout."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        commit = _git(root, "rev-parse", "HEAD")
        return commit + ("+" if _git(root, "status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(root), *arguments],
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=True,
        timeout=10,
    )
    return done.stdout.strip()
