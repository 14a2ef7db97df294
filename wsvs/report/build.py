"""Build a report from the finished runs of a name."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from wsvs.config.results import ReportSettings
from wsvs.core import runs
from wsvs.core.errors import UserError
from wsvs.core.sweeps import sweeps_below
from wsvs.records.masks import MaskSet
from wsvs.report.flow import curves, data_flow, evaluation
from wsvs.report.found import Address, class_colours, finished_runs, stage_run
from wsvs.report.images import predicted_items, rounds
from wsvs.report.records import Report
from wsvs.report.shots import shot_items

log = logging.getLogger("wsvs")


def build(
    home: runs.Home, stages: Sequence[str], settings: ReportSettings, address: Address
) -> tuple[Report, dict[str, Path]]:
    """The report, and its runs by stage.

    Args:
        stages: All stages, in the order of the pipeline.
        address: Returns the URL of a file.

    Raises:
        UserError: There is no finished run.
    """
    folder, debug = home.folder.absolute(), home.debug
    found, notes = finished_runs(folder, stages, home.given, debug=debug)
    sweeps = list(sweeps_below(folder))
    if not found and not sweeps:
        raise UserError("no finished run to report on", where=folder, remedy="run stages under this name first")
    evaluations = list(runs.finished_runs(folder.parent, folder.name, "evaluate", debug=debug))
    predicted = list(rounds(folder, evaluations, debug=debug))
    items, missing = predicted_items(predicted, settings.images, settings.width, address)
    masks = MaskSet.find(found["segment"]) if "segment" in found else None
    shots, count = shot_items(masks, settings.shots, settings.width, address) if masks else ([], 0)
    items += shots
    in_all = Counter("image" if row.frames is None else "video" for one in predicted for row in one.rows)
    in_all["video" if masks and masks.whole else "shot"] += count
    notes += missing
    for note in notes:
        log.warning("%s", note)
    report = Report(
        home.name,
        time.strftime("%Y-%m-%d"),
        notes,
        items,
        +in_all,
        class_colours([*(one.folder for one in predicted), *([found["segment"]] if count else [])]),
        [stage_run(stage, path) for stage, path in found.items()],
        data_flow(found),
        {stage: curves(found[stage]) for stage in ("encoder", "decoder", "adapt") if stage in found},
        sweeps,
        [evaluation(path) for path in evaluations],
    )
    return report, found
