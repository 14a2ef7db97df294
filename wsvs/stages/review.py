"""Stage review: the report's page on a local server, to accept, reject and correct items."""

from __future__ import annotations

import logging
import secrets
from collections import Counter
from dataclasses import dataclass

from wsvs.config.results import ReportSettings, ReviewSettings
from wsvs.core.errors import UserError
from wsvs.core.extras import require
from wsvs.core.files import write_text
from wsvs.core.reviews import REVIEWS, Journal, subject_of
from wsvs.engine.names import PIPELINE
from wsvs.engine.run import Run
from wsvs.engine.stage import Stage

log = logging.getLogger("wsvs")


@dataclass(frozen=True)
class Settings:
    review: ReviewSettings
    report: ReportSettings


def run(run: Run[Settings]) -> None:
    for package in ("starlette", "uvicorn"):
        require(package, "stage=review")
    from wsvs.report.build import build
    from wsvs.report.page import page
    from wsvs.report.serve import LOOPBACK, Review, Served, listen, serve

    listener = listen(run.settings.review.port)
    path, served = run.home.folder / REVIEWS, Served()
    with listener, Journal(path) as journal:
        report, _ = build(run.home, PIPELINE, run.settings.report, served)
        if not report.items:
            raise UserError(
                "nothing to review",
                where=run.home.folder,
                remedy="run stage predict (for images and videos) or stage segment (for crawled videos) first",
            )
        subjects = [subject_of(item.kind, item.name, served.file(item.file)) for item in report.items]
        classes = dict.fromkeys([*report.colours, *(tag for item in report.items for tag in item.tags)])
        own, runs = [item.tags for item in report.items], [item.run for item in report.items]
        write_text(run.dir / "review.html", page(report, review=True))
        token = secrets.token_urlsafe(16)
        # Not in the log, which others may read: the address is all that is needed to answer.
        print(f"review at http://{LOOPBACK}:{listener.getsockname()[1]}/{token}/  (Ctrl-C ends it)", flush=True)
        review = Review(journal, subjects, own, list(classes), runs)
        serve(review, run.dir / "review.html", served.files, token, listener)
        said = Counter(answer.verdict for _, answer in journal.answers.values())
        tags = sum(answer.tags is not None for _, answer in journal.answers.values())
    run.finish(
        counts={
            "items": len(subjects),
            "accepted": said["accept"],
            "rejected": said["reject"],
            "with other tags": tags,
        },
        wrote=path,
    )


STAGE = Stage("review", Settings, run, ranks="first")
