"""Create the source of videos from the settings of stage retrieve."""

from __future__ import annotations

import logging
from pathlib import Path

from wsvs.config.base import Section
from wsvs.config.groups import FolderRetrieve, RetrieveSettings, UrlsRetrieve, WebRetrieve, YouTubeRetrieve
from wsvs.core.classes import Classes
from wsvs.core.errors import UserError
from wsvs.retrieve.folder import FolderSource, Pack
from wsvs.retrieve.journal import JOURNAL
from wsvs.retrieve.local import LocalSource
from wsvs.retrieve.source import KINDS, SOURCES, Source

log = logging.getLogger("wsvs")

OURS = ("folder", "urls", "youtube")


def chosen_classes(settings: RetrieveSettings, known: Classes) -> Classes:
    """The classes to retrieve: all, or those of retrieve.classes. Raises `UserError` for an unknown one."""
    given = settings.classes
    names = list(known) if given is None else [given] if isinstance(given, str) else list(given)
    for name in names:
        known.index(name, "retrieve.classes")
    if isinstance(settings, FolderRetrieve) and settings.foreign == "assign" and len(names) < len(known):
        raise UserError(
            "videos of other classes cannot be distinguished from videos without a class",
            where="retrieve.classes, retrieve.foreign",
            remedy="use retrieve.foreign=skip with some of the classes, or all classes",
        )
    return Classes(names)


def folder_source(settings: FolderRetrieve, data: Section) -> FolderSource:
    """The videos of retrieve.root; the settings of the data may name its classes."""
    if not settings.root:
        raise UserError("no folder of videos", where="retrieve.root", remedy="give retrieve.root=DIR")
    source = FolderSource(settings.root, settings.labels, list(getattr(data, "classes", None) or ()))
    if source.not_read:
        log.info("%s", source.not_read)
    return source


def build_source(
    settings: RetrieveSettings, known: Classes, classes: Classes, *, data: Section, pack: Pack, dry_run: bool
) -> Source:
    """Create the source of the settings, after checking its requirements.

    Args:
        settings: Settings of stage retrieve.
        known: Classes of the data.
        classes: The classes to retrieve.
        data: Settings of the data.
        pack: Packs a folder of numbered images into a video file.
        dry_run: No video is downloaded.

    Raises:
        UserError: A requirement is missing.
    """
    if isinstance(settings, FolderRetrieve):
        return LocalSource(folder_source(settings, data), classes, settings.foreign, pack)
    if settings.source in SOURCES:
        return SOURCES[settings.source](settings.model_dump(), classes.names)
    if not isinstance(settings, WebRetrieve):
        raise UserError(
            f"there is no source {settings.source!r}",
            where="retrieve.source",
            remedy=f"use one of {', '.join((*OURS, *SOURCES))}; a source of your own needs plugins=[its module]",
        )
    from wsvs.retrieve.pace import Pace  # imports yt-dlp, which only web sources need
    from wsvs.retrieve.urls import UrlSource
    from wsvs.retrieve.web import Web, check_javascript
    from wsvs.retrieve.youtube import YouTubeSource

    javascript = list(settings.javascript)
    web = Web(
        Pace(
            pause=settings.pause,
            rate=settings.rate,
            backoff=settings.backoff,
            retries=settings.retries,
        ),
        timeout=settings.timeout,
        format=settings.format,
        javascript=javascript,
        options=settings.yt_dlp.model_dump(),
    )
    limits = {"max_duration": settings.max_duration, "max_size": settings.max_size}
    if isinstance(settings, YouTubeRetrieve):
        queries = settings.queries or {}
        for name in queries:
            known.index(name, "retrieve.queries")
        if not dry_run:
            check_javascript(javascript)
        return YouTubeSource(web, per_class=settings.per_class, queries=queries, **limits)
    assert isinstance(settings, UrlsRetrieve)
    if not settings.file:
        raise UserError("no list of addresses", where="retrieve.file", remedy="give retrieve.file=FILE (url, class)")
    source = UrlSource(web, file=settings.file, per_list=settings.per_list, **limits)
    for name in source.names():
        known.index(name, settings.file)
    if source.asks_youtube():
        check_javascript(javascript)
    return source


def retried(settings: RetrieveSettings, run: Path) -> list[str]:
    """Kinds of failures that retrieve.retry tries again.

    Raises:
        UserError: There is no such kind, or no earlier start of this run.
    """
    given = settings.retry if isinstance(settings, WebRetrieve) else None
    if given is None:
        return []
    kinds = [given] if isinstance(given, str) else list(given)
    if kinds == ["all"]:
        kinds = list(KINDS)
    unknown = sorted(set(kinds) - set(KINDS))
    if unknown:
        raise UserError(
            f"there is no kind of failure {', '.join(unknown)}",
            where="retrieve.retry",
            remedy=f"use one or more of {', '.join(KINDS)}; or all",
        )
    if not (run / JOURNAL).is_file():
        raise UserError(
            "this would be a new run, and has no failures yet",
            where="retrieve.retry",
            remedy="add it to the command of the earlier run, or give that run: WSVS_RUN_ID=<its folder's name>",
        )
    return kinds
