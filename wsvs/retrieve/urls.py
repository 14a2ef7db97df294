"""Videos from a list of URLs with their classes."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from wsvs.config.base import Positive
from wsvs.config.checked import checked
from wsvs.config.groups import UrlsRetrieve
from wsvs.core.errors import UserError
from wsvs.core.tables import read_table
from wsvs.records.retrieved import Candidate
from wsvs.retrieve.download import fetch_bytes
from wsvs.retrieve.source import Failed
from wsvs.retrieve.web import Web
from wsvs.retrieve.youtube import SiteVideos, facts, identity, thumbnail_of, unwanted

_DEFAULT = UrlsRetrieve()

log = logging.getLogger("wsvs")
_YOUTUBE = re.compile(r"(^|\.)(youtube(-nocookie)?\.com|youtu\.be)$", re.IGNORECASE)
LISTS_WITHIN = 2  # depth of nested lists that are followed: a channel has several, each with playlists
_HELP = "two columns with the headings url and class; one row for each class of a video"


class UrlSource(SiteVideos):
    """Pages or files listed in a table (tsv, csv); yt-dlp finds the video of a page.

    The other arguments are those of `SiteVideos`.

    Args:
        file: Table with the columns url and class.
        per_list: Maximum number of videos from the URL of a playlist or channel.

    Raises:
        UserError: No such table, no row, or a URL that is not http(s).
    """

    @checked
    def __init__(
        self,
        web: Web,
        *,
        file: str | Path,
        max_duration: float,
        max_size: float,
        max_thumbnail: float = 5e6,
        per_list: Positive = _DEFAULT.per_list,
    ) -> None:
        super().__init__(web, max_duration=max_duration, max_size=max_size, max_thumbnail=max_thumbnail)
        self.per_list = per_list
        self.rows: list[tuple[str, str]] = []
        for line, row in enumerate(read_table(file, ("url", "class")), 2):
            url, name = (row["url"] or "").strip(), (row["class"] or "").strip()
            if urlsplit(url).scheme.lower() not in ("http", "https"):
                raise UserError(f"not a URL: {url!r}", where=f"{file}:{line}", remedy=_HELP)
            self.rows.append((url, name))
        if not self.rows:
            raise UserError("the table lists no video", where=file, remedy=_HELP)

    def asks_youtube(self) -> bool:
        return any(_YOUTUBE.search(urlsplit(url).hostname or "") for url, _ in self.rows)

    def names(self) -> list[str]:
        """The classes in the table."""
        return sorted({name for _, name in self.rows})

    def search(self, class_name: str) -> list[Candidate]:
        urls = dict.fromkeys(url for url, name in self.rows if name == class_name)
        return [Candidate(name_of(url), url, rank=rank, known=False) for rank, url in enumerate(urls, 1)]

    def open(self, candidate: Candidate) -> list[Candidate]:
        """The video of a URL, or the first ones of its list. Raises `Failed` for a nested list."""
        info = self.web.extract(candidate.url, most=self.per_list)
        if info.get("_type", "video") == "video":
            return [self._video(candidate, info)]
        if candidate.query is not None:
            raise Failed("a list of videos within another one", kind="list", where=candidate.url)
        found: dict[str, Candidate] = {}
        for entry in self._entries(info, LISTS_WITHIN):
            if len(found) == self.per_list:
                break
            url = str(entry.get("webpage_url") or entry.get("url"))
            if url == candidate.url:  # one of several videos on this page: by its file
                url = str(entry.get("url") or entry["formats"][-1]["url"])
            if url != candidate.url:
                one = Candidate(name_of(url), url, query=candidate.url, rank=len(found) + 1, known=False)
                found.setdefault(one.video, self._video(one, entry) if _is_described(entry) else one)
        if not found:
            raise Failed("an empty list of videos", kind="list", where=candidate.url)
        log.info("%s: a list, of which videos are taken: %d (retrieve.per_list)", candidate.url, len(found))
        return list(found.values())

    def _video(self, candidate: Candidate, info: Mapping[str, Any]) -> Candidate:
        known = {key: value for key, value in facts(info).items() if key != "licence"}
        return replace(
            candidate,
            **known,
            thumbnail=thumbnail_of(info),
            unwanted=unwanted(info, self.max_duration),
            identity=identity(info),
            known=True,
        )

    def _entries(self, info: Mapping[str, Any], depth: int) -> Iterator[Mapping[str, Any]]:
        """Videos of a list in order, and of nested lists, as in a channel."""
        for entry in info.get("entries") or ():
            if not entry or not any(entry.get(key) for key in ("url", "entries", "formats")):
                continue
            inner = entry if entry.get("entries") is not None else None
            if inner is None and self._is_list(entry) and depth:
                inner = self.web.extract(str(entry["url"]), most=self.per_list)
            if inner is None:
                yield entry
            elif depth:
                yield from self._entries(inner, depth - 1)

    def _is_list(self, entry: Mapping[str, Any]) -> bool:
        """The identity according to yt-dlp's extractors; URLs unknown to yt-dlp are resolved later."""
        name = str(entry.get("ie_key") or "")
        if not name or _is_described(entry):
            return False
        single = self.web.get_info_extractor(name).is_single_video(str(entry["url"]))
        return single is False or name == "YoutubeTab"

    def thumbnail(self, candidate: Candidate) -> bytes | None:
        if not candidate.known or candidate.identity is None:  # from a journal of an earlier version
            candidate = self.open(candidate)[0]
        if candidate.thumbnail is None:
            return None
        if urlsplit(candidate.thumbnail).scheme.lower() not in ("http", "https"):
            raise Failed("its thumbnail is not on the web", kind="unusable", where=candidate.url)
        return fetch_bytes(self.web, candidate.thumbnail, self.max_thumbnail)


def name_of(url: str) -> str:
    """Id of a video of which only the URL is known."""
    return f"{urlsplit(url).hostname or 'web'}-{hashlib.sha256(url.encode()).hexdigest()[:16]}"


def _is_described(entry: Mapping[str, Any]) -> bool:
    """Whether a list has the same information about a video as its page."""
    return bool(entry.get("id") and (entry.get("thumbnails") or entry.get("thumbnail")) and entry.get("ie_key"))
