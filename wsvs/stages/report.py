"""Stage report: one page over all runs of a name, with thumbnails, that opens from disk."""

from __future__ import annotations

import logging
import time
from collections import Counter
from pathlib import Path

from wsvs.core.errors import UserError
from wsvs.core.files import write_text
from wsvs.core.sweeps import sweeps_below
from wsvs.report.flow import curves, data_flow, evaluation
from wsvs.report.found import finished_evaluations, finished_runs, stage_run
from wsvs.report.page import page
from wsvs.report.predictions import predictions
from wsvs.report.records import Report
from wsvs.report.shots import shot_cards, shot_rows
from wsvs.stages import STAGES
from wsvs.stages._run import Run, rank

log = logging.getLogger("wsvs")

NEEDS: tuple[str, ...] = ()
SECTIONS = ("report",)


def run(run: Run) -> None:
    cfg, settings = run.cfg, run.cfg.report
    if rank() != 0:
        return
    home, debug = Path(cfg.out, cfg.name), bool(cfg.debug)
    found, notes = finished_runs(home, STAGES, cfg.inputs, debug=debug)
    sweeps = list(sweeps_below(home))
    if not found and not sweeps:
        raise UserError("no finished run to report on", where=home, remedy="run stages under this name first")
    rows = shot_rows(found["segment"]) if "segment" in found else []
    shots = list(shot_cards(found["segment"], rows[: settings.shots], settings.width)) if rows else []
    evaluations = finished_evaluations(home, debug=debug)
    (best, worst, scored), missing = predictions(evaluations, settings.images, settings.width)
    notes += missing
    for note in notes:
        log.warning("%s", note)
    report = Report(
        cfg.name, time.strftime("%Y-%m-%d"), notes, [stage_run(stage, path) for stage, path in found.items()],
        data_flow(found), {stage: curves(found[stage]) for stage in ("encoder", "decoder", "adapt") if stage in found},
        sweeps, [evaluation(path) for path in evaluations], shots, Counter(row["class"] for row in rows), best, worst,
        scored,
    )
    target = run.dir / "report.html"
    write_text(target, page(report))
    run.finish(
        counts={"runs": len(found), "shots": len(shots), "images": len(best) + len(worst), "notes": len(notes)},
        wrote=target, results={"MB": round(target.stat().st_size / 1e6, 2)},
    )
