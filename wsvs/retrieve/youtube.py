"""Videos from YouTube: searched by class names, with yt-dlp."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

from wsvs.config.base import Above0, Positive
from wsvs.config.checked import checked
from wsvs.records.retrieved import Candidate, FoundVideo
from wsvs.retrieve.download import Media, fetch_bytes, fetch_file
from wsvs.retrieve.manifest import one_line, safe_name
from wsvs.retrieve.segments import DASH, HLS, fetch_segments
from wsvs.retrieve.source import Failed, Fetched, Unwanted
from wsvs.retrieve.web import Web, check_javascript

THUMBNAIL_WIDTH = 320  # minimum width in pixels of the thumbnail, the smallest of which is used
_EXTENSIONS = ("mp4", "m4v", "mov", "webm", "mkv", "avi", "mpg", "mpeg", "ogv", "flv", "3gp", "ts", "wmv")


class SiteVideos:
    """Common part of all web sources: thumbnails and files of videos that yt-dlp supports.

    Args:
        web: Makes the requests.
        max_duration: Maximum duration of a video in seconds.
        max_size: Maximum size of a file in bytes.
        max_thumbnail: Maximum size of a thumbnail in bytes.
    """

    @checked
    def __init__(self, web: Web, *, max_duration: Above0, max_size: Above0, max_thumbnail: Above0 = 5e6) -> None:
        self.web = web
        self.max_duration, self.max_size, self.max_thumbnail = max_duration, int(max_size), int(max_thumbnail)

    def others(self) -> list[FoundVideo]:
        return []

    def thumbnail(self, candidate: Candidate) -> bytes | None:
        if candidate.thumbnail is None:
            return None
        return fetch_bytes(self.web, candidate.thumbnail, self.max_thumbnail)

    def fetch(self, candidate: Candidate, folder: Path) -> Fetched:
        info = self.look(candidate.url)
        file = _file_of(info, candidate.url)
        if file.get("protocol") in (*HLS, *DASH):
            path = fetch_segments(self.web, file, folder / safe_name(candidate.video), self.max_size, self.max_duration)
            return Fetched(path, facts(info))
        extension = str(file.get("ext"))
        target = folder / f"{safe_name(candidate.video)}.{extension if extension in _EXTENSIONS else 'video'}"
        expected = file.get("filesize") or 0
        if expected > self.max_size:
            raise Unwanted(f"larger than {self.max_size / 1e6:.4g} MB", where=candidate.url)
        media = Media(
            str(file["url"]),
            dict(file.get("http_headers") or {}),
            str(file.get("format_id") or ""),
            (file.get("downloader_options") or {}).get("http_chunk_size"),
        )
        fetch_file(self.web, media, target, self.max_size)
        return Fetched(target, facts(info))

    def look(self, url: str) -> dict[str, Any]:
        """yt-dlp's information about one video. Raises `Unwanted` if it is too long or live, `Failed` for a list."""
        info = self.web.extract(url, most=1)
        if info.get("_type", "video") != "video":
            raise Failed("a list of videos, not one", kind="list", where=url)
        reason = unwanted(info, self.max_duration)
        if reason:
            raise Unwanted(reason, where=url)
        return info


class YouTubeSource(SiteVideos):
    """Results of YouTube's search, found without a request to any video.

    The other arguments are those of `SiteVideos`.

    Args:
        queries: {class: search terms}; by default the name of the class.
        per_class: Maximum number of candidates per class. With several queries, their first results come first.
    """

    @checked
    def __init__(
        self,
        web: Web,
        *,
        per_class: Positive,
        queries: Mapping[str, Sequence[str]] | None = None,
        max_duration: float,
        max_size: float,
        max_thumbnail: float = 5e6,
    ) -> None:
        super().__init__(web, max_duration=max_duration, max_size=max_size, max_thumbnail=max_thumbnail)
        self.per_class = per_class
        self.queries = {
            name: [given] if isinstance(given, str) else list(given) for name, given in (queries or {}).items()
        }

    @staticmethod
    def check(javascript: Sequence[str]) -> None:
        """Raises `UserError` if the requirements of YouTube videos are not installed."""
        check_javascript(javascript)

    def search(self, class_name: str) -> list[Candidate]:
        found = [self._query(query) for query in self.queries.get(class_name, [class_name])]
        merged: dict[str, Candidate] = {}
        for candidate in chain.from_iterable(zip_longest(*found)):
            if candidate is not None and len(merged) < self.per_class:
                merged.setdefault(candidate.video, candidate)
        return list(merged.values())

    def _query(self, query: str) -> list[Candidate]:
        info = self.web.extract(f"ytsearch{self.per_class}:{query}")
        entries = [entry for entry in info.get("entries") or () if entry and entry.get("id") and entry.get("url")]
        return [
            Candidate(
                str(entry["id"]),
                str(entry["url"]),
                query,
                rank,
                **_words(entry),
                thumbnail=thumbnail_of(entry),
                unwanted=unwanted(entry, self.max_duration),
                identity=identity(entry),
            )
            for rank, entry in enumerate(entries, 1)
        ]


def identity(info: Mapping[str, Any]) -> str | None:
    """Site and id, independent of the URL; for a page unknown to yt-dlp, its media file."""
    site = str(info.get("extractor_key") or info.get("ie_key") or "").lower()
    if site == "generic":
        chosen = (info.get("requested_formats") or [info])[0]
        address = chosen.get("manifest_url") or chosen.get("url")
        return f"file {address}" if address else None
    return f"{site} {info['id']}" if site and info.get("id") else None


def unwanted(info: Mapping[str, Any], max_duration: float) -> str | None:
    """Why a video is skipped, by its metadata."""
    if info.get("live_status") in ("is_live", "is_upcoming") or info.get("is_live"):
        return "live"
    duration = info.get("duration")
    if duration is not None and duration > max_duration:
        return f"longer than {max_duration:g} s ({duration:.0f} s)"
    return None


def thumbnail_of(info: Mapping[str, Any]) -> str | None:
    """URL of the smallest thumbnail that is large enough, else of the last one, which yt-dlp ranks best."""
    thumbnails = [one for one in info.get("thumbnails") or () if one.get("url")]
    wide = [one for one in thumbnails if (one.get("width") or 0) >= THUMBNAIL_WIDTH]
    if wide:
        return str(min(wide, key=lambda one: one["width"])["url"])
    return str(thumbnails[-1]["url"]) if thumbnails else info.get("thumbnail")


def facts(info: Mapping[str, Any]) -> dict[str, Any]:
    """Columns of the manifest from yt-dlp's information."""
    return {
        **{key: value for key, value in _words(info).items() if value is not None},
        **({"licence": one_line(str(info["license"]))} if info.get("license") else {}),
    }


def _words(info: Mapping[str, Any]) -> dict[str, Any]:
    uploader = info.get("uploader") or info.get("channel")
    return {
        "title": one_line(str(info["title"])) if info.get("title") else None,
        "uploader": one_line(str(uploader)) if uploader else None,
        "duration": info.get("duration"),
    }


def _file_of(info: Mapping[str, Any], url: str) -> Mapping[str, Any]:
    """The single format that yt-dlp selected. Raises `Failed` if there are several, or without http(s)."""
    chosen: Sequence[Mapping[str, Any]] = info.get("requested_formats") or [info]
    known = ("http", "https", *HLS, *DASH)
    if len(chosen) != 1 or chosen[0].get("protocol", "") not in known or not chosen[0].get("url"):
        protocol = "+".join(str(one.get("protocol")) for one in chosen)
        raise Failed(f"no single file by http(s) ({protocol})", kind="unusable", where=url)
    return chosen[0]
