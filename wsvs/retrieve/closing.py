"""Closing messages of a retrieval: results by class, what can be tried again, and cost estimates."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from rich.table import Table

from wsvs.config.groups import RetrieveSettings, WebRetrieve
from wsvs.core.console import show
from wsvs.records.retrieved import Candidate
from wsvs.retrieve.table import COLUMNS, Tally

log = logging.getLogger("wsvs")

# Approximate bit rate of YouTube videos with 360 lines; only for the estimate of a dry run.
BYTES_PER_SECOND = 62_500.0
UNKNOWN_DURATION = 180.0  # seconds
REQUESTS_PER_VIDEO = 3


def tell_failures(failures: Mapping[str, int]) -> None:
    """Log remedies for videos that failed."""
    if "later" in failures:
        log.info("failed temporarily: videos %d; run the same command again to retry them", failures["later"])
    if "budget" in failures:
        log.info("beyond the budget: videos %d; run the same command with a larger one to continue", failures["budget"])
    if "account" in failures:
        log.info(
            "need an account: videos %d; add retrieve.yt_dlp.cookies=FILE retrieve.retry=[account] to the command to "
            "retry them",
            failures["account"],
        )
    if "region" in failures:
        log.info(
            "blocked in this country: videos %d; add retrieve.yt_dlp.proxy=URL retrieve.retry=[region] to the command "
            "to retry them",
            failures["region"],
        )
    if "unknown" in failures:
        log.info(
            "failed in an earlier version: videos %d; add retrieve.retry=[unknown] to the command to retry them",
            failures["unknown"],
        )


def estimate(settings: RetrieveSettings, wanted: Sequence[tuple[str, Candidate]]) -> dict[str, float]:
    """Estimated cost of these videos: {"videos", "hours of video"}, and from the web {"GB", "hours"}."""
    videos = {candidate.video: candidate.duration for _, candidate in wanted}
    known = [duration for duration in videos.values() if duration is not None]
    usual = sum(known) / len(known) if known else UNKNOWN_DURATION
    seconds = [usual if duration is None else duration for duration in videos.values()]
    found: dict[str, float] = {"videos": len(videos), "hours of video": sum(seconds) / 3600}
    if not isinstance(settings, WebRetrieve):  # nothing to download
        return found
    size = sum(min(BYTES_PER_SECOND * duration, settings.max_size) for duration in seconds)
    pauses = REQUESTS_PER_VIDEO * sum(settings.pause) / 2 * len(videos)
    return {**found, "GB": size / 1e9, "hours": (pauses + size / settings.rate) / 3600}


def print_costs(costs: Mapping[str, float]) -> None:
    table = Table("", "", title="what a full run would cost, about", show_header=False)
    for name, value in costs.items():
        table.add_row(name, f"{value:.4g}")
    show(table)


def print_tally(tallies: Mapping[str, Tally]) -> None:
    table = Table(*COLUMNS, title="what came of the candidates")
    for name, one in tallies.items():
        if name == "all":
            table.add_section()
        table.add_row(name, *one.cells())
    show(table)
