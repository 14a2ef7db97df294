"""The record of a run, and the present locations of the files and runs that it used."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from wsvs.core.errors import UserError
from wsvs.core.runs import SUMMARY, find_run, read_summary


@dataclass(frozen=True)
class Read:
    """An input run of another run.

    Attributes:
        recorded: Its recorded path.
        now: Its present path; if it is gone, another run of its stage, or None.
        same: Whether `now` is the run that was read, possibly moved.
    """

    recorded: Path
    now: Path | None
    same: bool


class Record:
    """The record of one run, finished or not.

    Args:
        run: Its directory, where it is now.
    """

    def __init__(self, run: str | Path) -> None:
        self.run = Path(os.path.abspath(run))  # without "..", but links stay

    @cached_property
    def config(self) -> Any:
        """The whole configuration; None if it is missing."""
        path = self.run / ".hydra" / "config.yaml"
        return OmegaConf.load(path) if path.is_file() else None

    @cached_property
    def _started(self) -> tuple[Path, Path] | None:
        """The working directory and the run directory when the run was started."""
        path = self.run / ".hydra" / "hydra.yaml"
        if not path.is_file():
            return None
        runtime = OmegaConf.load(path).hydra.runtime
        return Path(runtime.cwd), Path(runtime.output_dir)

    def where(self, path: str | Path) -> Path:
        """The present path of a file or folder that the run used.

        Relative paths are relative to the working directory of the run. If the path no longer exists, it is searched
        at the same location relative to the run, in case both were moved or copied.
        """
        if self._started is None:
            return Path(path).absolute()
        folder, old = self._started
        named, new = folder / path, self.run
        while old.name and old.name == new.name:
            old, new = old.parent, new.parent
        if not named.exists() and named.is_relative_to(old):
            moved = new / named.relative_to(old)
            return moved if moved.exists() else named
        return named

    def read(self, stage: str, *, debug: bool = False) -> Read:
        """The run of a stage that this finished run has read.

        Args:
            debug: As in `find_run`, which provides another run if it is gone.

        Raises:
            KeyError: It has read no run of this stage.
        """
        summary = read_summary(self.run)
        recorded = Path(summary.inputs[stage])
        name = next((folder.parent for folder in self.run.parents if folder.name == summary.stage), None)
        for place in (self.where(recorded), *([name / stage / recorded.name] if name else [])):
            if (place / SUMMARY).is_file():
                return Read(recorded, place, True)
        return Read(recorded, find_run(name.parent, name.name, stage, debug=debug) if name else None, False)

    def require(self, stage: str) -> Path:
        """The present path of the run that this one has read. Raises `UserError` if it is gone, or none was read."""
        if stage not in read_summary(self.run).inputs:
            raise UserError(f"this run did not read a run of stage {stage}", where=self.run)
        found = self.read(stage)
        if found.now is None or not found.same:
            raise UserError(
                f"the run of stage {stage} that this run has read no longer exists",
                where=found.recorded,
                remedy=f"restore it: {self.run} depends on it",
            )
        return found.now
