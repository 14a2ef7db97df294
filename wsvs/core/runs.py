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
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from wsvs import __version__
from wsvs.core.errors import UserError
from wsvs.core.files import Json, read_json, write_json

SUMMARY = "summary.json"
LOG = "wsvs.log"
FINGERPRINT = ".fingerprint"  # digest of the settings and inputs that determine a run's result
SKIPPED = "skipped items"  # key of the counts in a summary; skipped.json has the reasons
VIDEOS = "videos.jsonl"  # of a segment run on whole videos: one line per video with masks
INSTANCES = "instances"  # of a segment run: masks whose pixels hold track ids, named as in masks/
ITEMS = "items.jsonl"  # masks of a predict run


@dataclass(frozen=True, kw_only=True)
class Summary:
    """summary.json of a finished run; files of earlier versions may lack a part.

    Attributes:
        debug: Whether it is a debug run.
        finished: Time of its end, seconds since 1970; `seconds` is the duration of its last start.
        overrides: Those of its command.
        inputs: {stage: run directory} that it has read.
        counts: Numbers of items and the like, some by kind: {name: {kind: number}}.
        results: Figures, and verdicts as text.
        supervision: The annotations that it used.
        person: Manual work beyond these, for it or for its inputs; one sentence each.
        versions: {package: version}.
        git_commit: Of the code; None outside a checkout.
    """

    stage: str = ""
    debug: bool = False
    finished: float = 0.0
    seconds: float = 0.0
    overrides: Sequence[str] = ()
    inputs: Mapping[str, str] = field(default_factory=dict)
    counts: Mapping[str, Json] = field(default_factory=dict)
    results: Mapping[str, Json] = field(default_factory=dict)
    supervision: str | None = None
    person: Sequence[str] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    git_commit: str | None = None

    @property
    def skipped(self) -> int:
        """Number of its skipped items."""
        return self.count(SKIPPED)

    def count(self, key: str) -> int:
        """One of its counts; 0 if it has none of this name."""
        found = self.counts.get(key)
        return int(found) if isinstance(found, int | float) else 0

    @property
    def figures(self) -> dict[str, float]:
        """The numbers among its results."""
        return {key: value for key, value in self.results.items() if isinstance(value, int | float)}


@dataclass(frozen=True)
class Home:
    """Where the runs of a name are stored: <out>/<name>/<stage>/<run id>.

    Attributes:
        debug: Whether to include debug runs.
        given: Stage -> the run that `inputs.<stage>` names, or None.
    """

    out: str
    name: str
    debug: bool = False
    given: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return Path(self.out, self.name)

    def find(self, stage: str) -> Path | None:
        """The last finished run of a stage; None if there is none."""
        return find_run(self.out, self.name, stage, debug=self.debug)

    def require(self, stage: str) -> Path:
        """The given run, else the last finished one. Raises `UserError` as `require_run` does."""
        return require_run(self.out, self.name, stage, self.given.get(stage), debug=self.debug)


def check_folder_name(key: str, value: str) -> str:
    """Check a setting or variable that names one folder, and return it unchanged.

    Raises:
        UserError: The folder would be somewhere else, or hidden, or hard to type.
    """
    if not value.strip():
        problem = "is empty"
    elif "/" in value or "\\" in value or value in (".", ".."):
        problem = "is a path, not a name"
    elif value[0] in ".~" or value != value.strip():
        problem = "begins with a dot or ~, or begins or ends with a space"
    elif not value.isprintable():
        problem = "has non-printable characters"
    elif len(value.encode()) > 200:
        problem = "is longer than 200 bytes"
    else:
        return value
    raise UserError(
        f"{key} {problem}: {value!r}",
        where=key,
        remedy=f"give the name of one folder, such as {key}=first; out=DIR sets its parent folder",
    )


def check_out(value: str) -> str:
    """Check the folder of all runs, and return it unchanged.

    Raises:
        UserError: It is empty, starts with ~, or is an address such as s3://bucket/runs, which would be a folder `s3:`.
    """
    if not value.strip() or value.startswith("~") or "\0" in value:
        home = "~ is not expanded here" if value.startswith("~") else "it is empty"
        raise UserError(
            f"out is not a folder: {value!r}",
            where="out",
            remedy=f"{home}: write out=$HOME/... , or omit it for the default, outputs",
        )
    if "://" in value:
        raise UserError(
            "out is a folder of this machine, not an address: runs are written in place",
            where=f"out={value}",
            remedy="give out=DIR, and copy DIR when the run has ended",
        )
    return value


def run_id() -> str:
    """The id of a run, equal on every rank and relaunch; exported as WSVS_RUN_ID so that children inherit it.

    WSVS_RUN_ID, else TORCHELASTIC_RUN_ID, else SLURM_JOB_ID (different for each task of an array, the same for a
    requeued job), else a time stamp.

    Raises:
        UserError: torchrun without a rendezvous id: each rank would use a directory of its own.
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
            sweep, _, job = value.rpartition("/")  # <sweep>/<number>: a sweep as a scheduler's job array
            check_folder_name(variable, sweep if sweep and job.isdecimal() else value)
            break
    else:
        value = datetime.now().strftime("%Y%m%d-%H%M%S-") + f"{os.getpid() % 10000:04d}"
    os.environ["WSVS_RUN_ID"] = value
    return value


def finished_runs(out: str | Path, name: str, stage: str, *, debug: bool = False) -> dict[Path, Summary]:
    """{run directory: summary} of a stage's finished runs, the latest first (by the time in the summary).

    Args:
        debug: Include debug runs, which are skipped otherwise.
    """
    found = {path.parent: read_summary(path.parent) for path in Path(out, name, stage).glob(f"*/{SUMMARY}")}
    order = sorted(found, key=lambda path: (found[path].finished, str(path)), reverse=True)
    return {path: found[path] for path in order if debug or not found[path].debug}


def find_run(out: str | Path, name: str, stage: str, *, debug: bool = False) -> Path | None:
    """The last finished run of a stage, or None; `debug` as in `finished_runs`."""
    return next(iter(finished_runs(out, name, stage, debug=debug)), None)


def require_run(out: str | Path, name: str, stage: str, given: str | None, *, debug: bool = False) -> Path:
    """The run to read: the given one, else the latest finished one.

    Raises:
        UserError: There is none, or the given one does not exist or is not finished.
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


def read_summary(run: str | Path) -> Summary:
    """What a finished run says of itself."""
    read = read_json(Path(run, SUMMARY))
    said: dict[str, Any] = read if isinstance(read, dict) else {}
    counts = said.get("counts", {})
    if "passed over" in counts:  # the key that versions before 0.1.0 wrote
        counts[SKIPPED] = counts.pop("passed over")
    return Summary(**{one.name: said[one.name] for one in fields(Summary) if one.name in said})


def mask_ids(root: Path) -> Iterator[str]:
    """Ids of the masks <id>.png below a folder, sorted by path, without hidden files and folders."""
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
    counts: Mapping[str, Json],
    results: Mapping[str, Json] | None = None,
    supervision: str | None = None,
    person: Sequence[str] = (),
    debug: bool = False,
) -> None:
    """Write summary.json. Call it last: its presence marks the run as finished.

    Args:
        supervision: The annotations that the run used.
        person: Manual work beyond these, for this run or for its input runs.
    """
    now = time.time()
    said = Summary(
        stage=stage,
        debug=debug,
        finished=now,
        seconds=round(now - started, 2),
        overrides=overrides,
        inputs=inputs,
        counts=counts,
        results=results or {},
        supervision=supervision,
        person=list(person),
        versions=versions(),
        git_commit=git_commit(),
    )
    write_json(Path(run, SUMMARY), asdict(said))


def versions() -> dict[str, str]:
    found = {"wsvs": __version__, "python": platform.python_version()}
    for package in ("torch", "lightning", "hydra-core", "numpy", "opencv-contrib-python-headless", "av"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def git_commit() -> str | None:
    """Commit of the running code, with '+' for uncommitted changes; None outside a checkout."""
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
