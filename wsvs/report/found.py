"""The runs in a report."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from wsvs.core import runs
from wsvs.core.classes import voc_palette
from wsvs.core.console import for_shell
from wsvs.core.files import read_text
from wsvs.core.records import Record
from wsvs.report.records import StageRun

Address = Callable[[Path | None], str | None]


def finished_runs(
    home: Path, stages: Sequence[str], given: Mapping[str, str | None], *, debug: bool = False
) -> tuple[dict[str, Path], list[str]]:
    """The runs to report on: the last finished run of the last stage, and the runs that it has read.

    For a stage that no later stage has read, the last finished run, unless `given` names another.

    Args:
        home: <out>/<name>.
        stages: All stages, in the order of the pipeline.

    Returns:
        {stage: its run}, and a note for each run that is not the one that was read.

    Raises:
        UserError: A given run is not finished.
    """
    where = (home.parent, home.name)
    found = {stage: runs.require_run(*where, stage, path) for stage, path in given.items() if path}
    notes: list[str] = []
    moved: list[str] = []
    for stage in reversed(stages):
        path = found.get(stage) or runs.find_run(*where, stage, debug=debug)
        if path is None:
            continue
        found[stage] = path
        record = Record(path)
        for name in runs.read_summary(path).inputs:
            if name in found:
                continue
            read = record.read(name, debug=debug)
            now = read.now or runs.find_run(*where, name, debug=debug)
            if now is not None:
                found[name] = now
            if not read.same:
                shown = f"the last one is shown instead, {now.name}" if now else "and there is no other"
                lost = f"The run of stage {name} that {stage} has read no longer exists"
                notes.append(f"{lost}, {shown}: {read.recorded}")
            elif now != read.recorded:
                moved.append(name)
    if moved:
        names = ", ".join(sorted(moved, key=stages.index))
        notes.append(f"These runs were moved after others read them: {names}.")
    return {stage: found[stage] for stage in stages if stage in found}, notes


def stage_run(stage: str, path: Path) -> StageRun:
    summary = runs.read_summary(path)
    return StageRun(
        stage,
        str(path),
        summary.seconds,
        "; ".join([one for one in (summary.supervision, *summary.person) if one]) or None,
        " ".join(["wsvs", *map(for_shell, summary.overrides)]),
        summary.versions,
        summary.git_commit,
    )


def addresses(page: Path) -> Address:
    """A function that returns the URL of a file for a page in this folder, or None if it does not exist.

    Files below <out>/<name> have relative URLs, so that the folder can be moved with its page.
    """
    home = page.parents[1]

    def address(file: Path | None) -> str | None:
        if file is None or not file.exists():
            return None
        return quote(os.path.relpath(file, page)) if file.is_relative_to(home) else file.absolute().as_uri()

    return address


def class_colours(folders: Iterable[Path]) -> dict[str, str]:
    """{class: #rrggbb} of the masks of runs, from their labels.txt."""
    found: dict[str, str] = {}
    for path in (folder / "labels.txt" for folder in folders):
        names = read_text(path).splitlines() if path.is_file() else []
        for name, colour in zip(names[1:], voc_palette()[1:], strict=False):
            found.setdefault(name, "#{:02x}{:02x}{:02x}".format(*colour))
    return found
