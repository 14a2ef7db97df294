"""Stage report: one self-contained page over all runs of a name, with thumbnails."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from wsvs.config.results import ReportSettings
from wsvs.core.files import write_text
from wsvs.engine.names import PIPELINE
from wsvs.engine.run import Run
from wsvs.engine.stage import Stage


@dataclass(frozen=True)
class Settings:
    report: ReportSettings


def run(run: Run[Settings]) -> None:
    from wsvs.report.build import build
    from wsvs.report.found import addresses
    from wsvs.report.page import page

    report, found = build(run.home, PIPELINE, run.settings.report, addresses(run.dir))
    target = run.dir / "report.html"
    write_text(target, page(report))
    shown = Counter(f"{item.kind}s" for item in report.items)
    kinds = {key: shown[key] for key in ("images", "videos", "shots")}
    run.finish(
        counts={"runs": len(found), **kinds, "notes": len(report.notes)},
        wrote=target,
        results={"MB": round(target.stat().st_size / 1e6, 2)},
    )


STAGE = Stage("report", Settings, run, ranks="first")
