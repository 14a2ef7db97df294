"""Merge the jobs of a sweep over classes into one run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from wsvs.core.errors import UserError
from wsvs.core.files import link_file
from wsvs.core.runs import SUMMARY
from wsvs.records.retrieved import FoundVideo
from wsvs.records.row import write_rows
from wsvs.retrieve.manifest import MANIFEST, skip


def merge(folder: Path, out: Path) -> None:
    """Merge the jobs of a sweep into one run: their clips as hard links (or copies), and one manifest.

    A video that several jobs retrieved for the same class counts once. Only the ids of videos are kept in memory.

    Raises:
        UserError: No sweep in this folder, or one of its jobs has not finished.
    """
    jobs = sorted(
        (path for path in folder.glob("*/") if (path / ".hydra").is_dir() or (path / MANIFEST).exists()),
        key=lambda path: (len(path.name), path.name),
    )
    if not jobs:
        raise UserError(
            "no jobs of a sweep in this folder", where=folder, remedy="give retrieve.merge=outputs/NAME/retrieve/RUN"
        )
    for job in jobs:
        if not (job / SUMMARY).is_file():
            raise UserError(
                "this job of the sweep has not finished",
                where=job,
                remedy=f"run the sweep's command again with WSVS_RUN_ID={folder.resolve().name} to resume it",
            )
    write_rows(out / MANIFEST, _merged(jobs, out))


def _merged(jobs: Iterable[Path], out: Path) -> Iterator[FoundVideo]:
    seen = set()
    had: dict[tuple[str | None, str | None], str] = {}
    for job in jobs:
        for row in FoundVideo.read(job / MANIFEST):
            key = row.class_name, row.video
            if key not in seen:
                seen.add(key)
                other = had.setdefault((row.class_name, row.sha256), row.video) if row.clips else row.video
                if other != row.video:
                    row = replace(skip(row, f"the same video as {other} (by its content)"), clips=())
                for clip in row.clips:
                    link_file(job / clip.path, out / clip.path)
                yield row
