"""Results of a sweep's jobs, read from their directories: <run id>/<number>/."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from wsvs.core.errors import UserError
from wsvs.core.files import read_json, write_json, write_text
from wsvs.core.runs import SUMMARY

RECORD = "job.json"  # of a job: its objective, or why it failed
TABLE = "sweep.csv"
DONE, FAILED, OPEN = "done", "failed", "not finished"
MAXIMIZE, MINIMIZE = "maximize", "minimize"
LOWER = ("loss", "ms per frame", "seconds", "energy per frame")  # parts of names of figures where lower is better


@dataclass(frozen=True)
class Job:
    """One job.

    Attributes:
        number: Name of its directory.
        settings: {key: value} of all its overrides.
        state: DONE, FAILED or OPEN.
        reason: Why it failed.
        value: Value of the objective.
        figures: All numbers of the job, by dotted names.
        seconds: Duration of its last start.
    """

    number: str
    settings: Mapping[str, str]
    state: str
    reason: str = ""
    value: float | None = None
    figures: Mapping[str, float] = field(default_factory=dict)
    seconds: float | None = None


@dataclass
class Outcome:
    """The objective of a finished job, or why it failed: the content of job.json.

    Attributes:
        objective: Its name; None if there is none.
        value: Its value.
        direction: MAXIMIZE or MINIMIZE, of a search.
        failed: Why it failed.
        status: The exit status of a failed job.
    """

    objective: str | None = None
    value: float | None = None
    direction: str | None = None
    failed: str | None = None
    status: int | None = None

    @classmethod
    def read(cls, folder: Path) -> Outcome | None:
        """That of the job in a directory; None if there is none."""
        found = _json(folder / RECORD)
        return cls(**{key: found[key] for key in vars(cls()) if key in found}) if found else None

    def write(self, folder: Path) -> None:
        keys = ("objective", "value", "direction") if self.failed is None else ("failed", "status")
        write_json(folder / RECORD, {key: getattr(self, key) for key in keys})


@dataclass(frozen=True)
class Sweep:
    """The jobs of a sweep, best first; jobs without a value of the objective follow, then failed ones.

    Attributes:
        settings: Settings that differ between jobs.
        objective: Name of the objective; None if there is none.
        direction: MAXIMIZE or MINIMIZE: that of the search, else by the name of the objective.
    """

    folder: Path
    jobs: Sequence[Job]
    settings: Sequence[str]
    objective: str | None
    direction: str

    def figures(self) -> list[str]:
        """Names of the other figures, in the order of the stage's output."""
        names = dict.fromkeys(name for job in self.jobs for name in job.figures)
        return [name for name in names if name != self.objective]

    def rows(self, figures: Sequence[str]) -> tuple[list[str], list[list[Any]]]:
        """Headings, and a row for each job with the objective and these figures."""
        goal = [self.objective] if self.objective else []
        rows = [
            [
                job.number,
                *(job.settings.get(key, "") for key in self.settings),
                *(job.value for _ in goal),
                *(job.figures.get(name) for name in figures),
            ]
            for job in self.jobs
        ]
        return ["job", *self.settings, *goal, *figures], rows

    def shown(self) -> tuple[list[str], list[list[Any]]]:
        """The same for a narrow screen: without an objective, three figures that differ between jobs."""
        others = (
            []
            if self.objective
            else [name for name in self.figures() if len({job.figures.get(name) for job in self.jobs}) > 1]
        )
        others.sort(key=lambda name: (not name.endswith(".total"), "." in name))
        return self.rows(others[:3])

    def write(self) -> Path:
        """Write sweep.csv: all figures of all jobs."""
        headings, rows = self.rows(self.figures())
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([*headings, "seconds", "state", "reason"])
        for job, row in zip(self.jobs, rows, strict=True):
            writer.writerow([*row, job.seconds, job.state, "; ".join(map(str.strip, job.reason.splitlines()))])
        write_text(self.folder / TABLE, text.getvalue())
        return self.folder / TABLE


def read_sweep(folder: str | Path) -> Sweep | None:
    """The sweep in a directory; None if there is none."""
    folder = Path(folder)
    found = [_read(path) for path in sorted(_folders(folder), key=lambda path: int(path.name))]
    if not found:
        return None
    outcomes = [one for job in found if (one := Outcome.read(folder / job.number))]
    objective = next((one.objective for one in outcomes if one.objective), None)
    direction = next((one.direction for one in outcomes if one.direction), None)
    if direction is None:  # no search
        direction = MINIMIZE if any(part in (objective or "") for part in LOWER) else MAXIMIZE
    sign = 1 if direction == MINIMIZE else -1

    def place(job: Job) -> tuple[int, bool, float]:
        known = job.value is not None and math.isfinite(job.value)
        return (DONE, FAILED, OPEN).index(job.state), not known, sign * job.value if known and job.value else 0.0

    return Sweep(folder, sorted(found, key=place), _varied(folder, found), objective, direction)


def sweeps_below(folder: str | Path) -> Iterator[Sweep]:
    """The sweeps of a name (<out>/<name>), sorted by stage and id."""
    for home in sorted(Path(folder).glob("*/*/")):
        sweep = None if (home / SUMMARY).is_file() else read_sweep(home)
        if sweep is not None:
            yield sweep


def unfinished(home: Path) -> Iterator[tuple[Path, list[str]]]:
    """(directory, sorted overrides) of the sweeps below a stage's folder with missing or unfinished jobs."""
    for path in home.glob("*/multirun.yaml"):
        folder, hydra = path.parent, (_yaml(path) or {}).get("hydra", {})
        jobs = list(_folders(folder))
        if not (folder / TABLE).is_file() or not all((job / SUMMARY).is_file() for job in jobs):
            yield folder, sorted(map(str, hydra.get("overrides", {}).get("task", ())))


def _folders(folder: Path) -> Iterator[Path]:
    return (path.parents[1] for path in folder.glob("*/.hydra/overrides.yaml") if path.parents[1].name.isdecimal())


def _read(folder: Path) -> Job:
    pairs = (str(word).partition("=") for word in _yaml(folder / ".hydra" / "overrides.yaml") or ())
    settings = {key.lstrip("+"): value for key, _, value in pairs}
    outcome = Outcome.read(folder) or Outcome()
    summary = _json(folder / SUMMARY)
    if not summary:
        reason = outcome.failed or ""
        return Job(folder.name, settings, FAILED if reason else OPEN, reason)
    metrics = _json(folder / "metrics.json") or summary["results"]
    return Job(
        folder.name,
        settings,
        DONE,
        "",
        outcome.value,
        dict(_numbers(metrics)),
        summary.get("seconds"),
    )


def _varied(folder: Path, jobs: Sequence[Job]) -> list[str]:
    """Settings that differ between jobs; for a single job those of the sweep file."""
    keys = dict.fromkeys(key for job in jobs for key in job.settings)
    if len(jobs) == 1:
        hydra = (_yaml(folder / jobs[0].number / ".hydra" / "hydra.yaml") or {}).get("hydra", {})
        return [key for key in keys if key in (hydra.get("sweeper", {}).get("params") or {})]
    return [key for key in keys if len({job.settings.get(key) for job in jobs}) > 1]


def _numbers(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{prefix}{key}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield f"{prefix}{key}", value


def _json(path: Path) -> dict[str, Any]:
    """A JSON object written by a job; empty if it is missing or something else."""
    try:
        found = read_json(path)
    except UserError:
        return {}
    return found if isinstance(found, dict) else {}


def _yaml(path: Path) -> Any:
    """A YAML file of Hydra; None if it cannot be read, as after a full disk."""
    try:
        return OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    except Exception:  # mostly of yaml
        return None
