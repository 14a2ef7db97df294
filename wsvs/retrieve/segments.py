"""Segmented videos (HLS, DASH): yt-dlp's downloader with our limits, resumable."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from yt_dlp.downloader.dash import DashSegmentsFD
from yt_dlp.downloader.hls import HlsFD
from yt_dlp.networking import Request
from yt_dlp.networking.exceptions import RequestError
from yt_dlp.utils import YoutubeDLError

from wsvs.core.errors import BadItem
from wsvs.core.files import explain_os_error, read_json, write_json
from wsvs.retrieve.failures import failed, is_page
from wsvs.retrieve.source import Failed, Unwanted
from wsvs.retrieve.web import Web

HLS, DASH = ("m3u8", "m3u8_native"), ("http_dash_segments",)
SHORTEST = 0.25  # minimum average duration of a segment in seconds: videos with more segments are skipped
_PARAMS = {
    "quiet": True,
    "noprogress": True,
    "retries": 0,
    "fragment_retries": 0,
    "file_access_retries": 0,
    "skip_unavailable_fragments": False,
    "continuedl": True,
    "updatetime": False,
    "concurrent_fragment_downloads": 1,
    "overwrites": True,
    "hls_prefer_native": True,
}
EXTENSIONS = (".ts", ".mp4", ".webm")
_NAME = "video"


def fetch_segments(web: Web, chosen: Mapping[str, Any], target: Path, limit: int, max_duration: float) -> Path:
    """Download to `target`, with the extension of its content, by way of a folder <target>.segments.

    An interrupted download resumes after the last complete segment.

    Args:
        web: Makes the requests, with rate limit and retries.
        chosen: The format, as described by yt-dlp.
        target: The file, without an extension.
        limit: Maximum number of bytes.
        max_duration: Maximum duration in seconds.

    Raises:
        Unwanted: Larger, longer, live, or in too many segments.
        Failed: A segment is not available, or has an unsupported encryption.
        UserError: The disk is full or cannot be written.
    """
    work = target.with_name(target.name + ".segments")
    url = str(chosen["url"])
    info = {**chosen, "http_headers": dict(chosen.get("http_headers") or {})}
    for extension in EXTENSIONS:
        if (there := target.with_name(target.name + extension)).is_file():
            return there
    try:
        try:
            work.mkdir(parents=True, exist_ok=True)
            kind = _prepare_hls if chosen.get("protocol") in HLS else _prepare_dash
            downloader, version = kind(web, info, max_duration)
            done = _repair(work, version)
            with web.streaming(limit - done, limit):
                downloader(web, _PARAMS).real_download(str(work / _NAME), info)
            path = work / _NAME
            with path.open("rb") as stream:
                os.fsync(stream.fileno())
                start = stream.read(512)
            if is_page(start):
                raise Failed("a web page instead of the video", kind="later", where=url)
            final = target.with_name(target.name + _extension(start))
            os.replace(path, final)
        except (YoutubeDLError, RequestError) as error:
            raise failed(error, url, promised=True, secrets=web.secrets) from error
    except Failed:
        raise  # another start may resume it
    except BadItem:
        shutil.rmtree(work, ignore_errors=True)
        raise
    except OSError as error:
        raise explain_os_error(error, target) from error
    shutil.rmtree(work, ignore_errors=True)
    return final


def _prepare_hls(web: Web, info: dict[str, Any], max_duration: float) -> tuple[type[_Hls], str]:
    """Parse the list of segments here: yt-dlp would pass unsupported ones to another program, without our limits."""
    response = web.urlopen(Request(str(info["url"]), headers=info["http_headers"]))
    text = response.read().decode("utf-8", "ignore")
    if is_page(text[:512].encode()):
        raise Failed("a web page instead of the list of segments", kind="later", where=info["url"])
    if not text.lstrip("\ufeff \r\n").startswith("#EXTM3U") or "#EXTINF" not in text:
        raise Failed("not a list of segments", kind="unusable", where=info["url"])
    if "#EXT-X-ENDLIST" not in text and "#EXT-X-PLAYLIST-TYPE:VOD" not in text:
        raise Unwanted("live", where=info["url"])
    durations = [float(found) for found in re.findall(r"^#EXTINF:\s*([\d.]+)", text, re.MULTILINE)]
    _check(durations, max_duration, str(info["url"]))
    info |= {"url": response.url, "hls_media_playlist_data": text, "is_live": False, "ext": info.get("ext") or "mp4"}
    return _Hls, f"{info.get('format_id')} {len(durations)} {sum(durations):.3f}"


def _prepare_dash(web: Web, info: dict[str, Any], max_duration: float) -> tuple[type[_Dash], str]:
    fragments = info.get("fragments")
    if info.get("is_live") or callable(fragments) or isinstance(fragments, str):
        raise Unwanted("live", where=info["url"])
    info["fragments"] = fragments = list(fragments or ())
    durations = [float(one.get("duration") or 0) for one in fragments]
    _check(durations, max_duration, str(info["url"]))
    return _Dash, f"{info.get('format_id')} {len(durations)} {sum(durations):.3f}"


def _check(durations: list[float], max_duration: float, url: str) -> None:
    if sum(durations) > max_duration:
        raise Unwanted(f"longer than {max_duration:g} s ({sum(durations):.0f} s)", where=url)
    if len(durations) > max_duration / SHORTEST + 1:
        raise Unwanted(f"in more than {max_duration / SHORTEST:.0f} segments ({len(durations)})", where=url)


class _KillSafe:
    """A downloader that records the length of the file after every segment."""

    def _append_fragment(self, ctx: dict[str, Any], frag_content: bytes) -> None:
        stream = ctx["dest_stream"]
        ctx.setdefault("extra_state", {})["size"] = stream.tell() + len(frag_content)
        super()._append_fragment(ctx, frag_content)  # type: ignore[misc]


class _Hls(_KillSafe, HlsFD):
    @classmethod
    def can_download(cls, manifest: str, info_dict: dict[str, Any], allow_unplayable_formats: bool = False) -> bool:
        if not super().can_download(manifest, info_dict, allow_unplayable_formats):
            raise Failed("its segments are encrypted", kind="unusable", where=info_dict["url"])
        return True


class _Dash(_KillSafe, DashSegmentsFD): ...


def _repair(work: Path, version: str) -> int:
    """Truncate the file to the last recorded segment, or discard it; returns the remaining bytes."""
    part, state, mark = work / f"{_NAME}.part", work / f"{_NAME}.ytdl", work / "version.json"
    count = 0
    with suppress(Exception):  # an incomplete record is ignored
        downloader = json.loads(state.read_text(encoding="utf-8"))["downloader"]
        recorded = int(downloader["extra_state"]["size"]) if downloader["current_fragment"]["index"] else 0
        if read_json(mark) == version and part.stat().st_size >= recorded > 0:
            count = recorded
    for path in work.iterdir():
        if path not in (part, state, mark) or not count:
            path.unlink()
    if count:
        os.truncate(part, count)
    write_json(mark, version)
    return count


def _extension(start: bytes) -> str:
    if start[:1] == b"\x47" and start[188:189] in (b"\x47", b""):
        return ".ts"
    return ".webm" if start.startswith(b"\x1a\x45\xdf\xa3") else ".mp4"
