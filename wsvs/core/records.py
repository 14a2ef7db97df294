"""What a run wrote down of itself, and where the files and runs that it named are now."""

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
    """A run that another one has read.

    Attributes:
        recorded: Where it was.
        now: Where it is; else another run of its stage; None where there is none either.
        same: Is it the run that was read, be it at another place?
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
        """The whole configuration, None where it is not there."""
        path = self.run / ".hydra" / "config.yaml"
        return OmegaConf.load(path) if path.is_file() else None

    @cached_property
    def _started(self) -> tuple[Path, Path] | None:
        """The folder in which the run was started, and its own directory then."""
        path = self.run / ".hydra" / "hydra.yaml"
        if not path.is_file():
            return None
        runtime = OmegaConf.load(path).hydra.runtime
        return Path(runtime.cwd), Path(runtime.output_dir)

    def where(self, path: str | Path) -> Path:
        """Where a file or a folder is that the run has named.

        A relative path is one from the folder in which the run was started. What is not there any more is looked for
        beside the run, in the same place relative to it as before both were moved or copied.
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
        """The run of a stage that this one, which is finished, has read.

        Args:
            debug: As in `find_run`, which names another one where it is gone.

        Raises:
            KeyError: It has read no run of this stage.
        """
        summary = read_summary(self.run)
        recorded = Path(summary["inputs"][stage])
        name = next((folder.parent for folder in self.run.parents if folder.name == summary["stage"]), None)
        for place in (self.where(recorded), *([name / stage / recorded.name] if name else [])):
            if (place / SUMMARY).is_file():
                return Read(recorded, place, True)
        return Read(recorded, find_run(name.parent, name.name, stage, debug=debug) if name else None, False)

    def require(self, stage: str) -> Path:
        """Where the run is that this one has read. Raises `UserError` if it is gone, or if none was read."""
        if stage not in read_summary(self.run)["inputs"]:
            raise UserError(f"this run has read no run of stage {stage}", where=self.run)
        found = self.read(stage)
        if found.now is None or not found.same:
            raise UserError(
                f"the run of stage {stage} that this one has read is not there",
                where=found.recorded,
                remedy=f"put it back: {self.run} was made from it",
            )
        return found.now
