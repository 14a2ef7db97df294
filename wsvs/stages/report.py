"""Stage report: one page over all runs of a name, with thumbnails, that opens from disk."""

from __future__ import annotations

import logging
import time
from collections import Counter
from dataclasses import dataclass

from wsvs.config.stages import ReportSettings
from wsvs.core import runs
from wsvs.core.errors import UserError
from wsvs.core.files import write_text
from wsvs.core.sweeps import sweeps_below
from wsvs.engine.names import PIPELINE
from wsvs.engine.run import Run
from wsvs.engine.stage import Stage

log = logging.getLogger("wsvs")


@dataclass(frozen=True)
class Settings:
    report: ReportSettings


def run(run: Run[Settings]) -> None:
    from wsvs.report.flow import curves, data_flow, evaluation
    from wsvs.report.found import addresses, class_colours, finished_runs, stage_run
    from wsvs.report.images import predicted_items, rounds
    from wsvs.report.page import page
    from wsvs.report.records import Report
    from wsvs.report.shots import shot_items, shot_rows

    settings, home, debug = run.settings.report, run.home.folder.absolute(), run.home.debug
    found, notes = finished_runs(home, PIPELINE, run.home.given, debug=debug)
    sweeps = list(sweeps_below(home))
    if not found and not sweeps:
        raise UserError("no finished run to report on", where=home, remedy="run stages under this name first")
    address = addresses(run.dir)
    evaluations = list(runs.finished_runs(home.parent, home.name, "evaluate", debug=debug))
    predicted = list(rounds(home, evaluations, debug=debug))
    items, missing = predicted_items(predicted, settings.images, settings.width, address)
    rows = shot_rows(found["segment"]) if "segment" in found else []
    items += shot_items(found["segment"], rows[: settings.shots], settings.width, address) if rows else []
    kinds = ("video" if "frames" in row else "image" for one in predicted for row in one.rows)
    notes += missing
    for note in notes:
        log.warning("%s", note)
    report = Report(
        run.home.name,
        time.strftime("%Y-%m-%d"),
        notes,
        items,
        Counter(kinds) + Counter("shot" if "shot" in row else "video" for row in rows),
        class_colours([*(one.folder for one in predicted), *([found["segment"]] if rows else [])]),
        [stage_run(stage, path) for stage, path in found.items()],
        data_flow(found),
        {stage: curves(found[stage]) for stage in ("encoder", "decoder", "adapt") if stage in found},
        sweeps,
        [evaluation(path) for path in evaluations],
    )
    target = run.dir / "report.html"
    write_text(target, page(report))
    shown = Counter(f"{item.kind}s" for item in items)
    run.finish(
        counts={"runs": len(found), **{key: shown[key] for key in ("images", "videos", "shots")}, "notes": len(notes)},
        wrote=target,
        results={"MB": round(target.stat().st_size / 1e6, 2)},
    )


STAGE = Stage("report", Settings, run, ranks="first")
