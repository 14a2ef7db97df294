"""Download files: size-limited while streaming, resumable, complete under their final name."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from yt_dlp.networking import Request, Response
from yt_dlp.networking.exceptions import HTTPError, RequestError, TransportError

from wsvs.core.files import explain_os_error, write_text
from wsvs.retrieve.failures import failed, is_page
from wsvs.retrieve.pace import Busy
from wsvs.retrieve.source import Failed, Unwanted
from wsvs.retrieve.web import Web, size

_BLOCK = 1 << 16


@dataclass(frozen=True)
class Media:
    """A file to download.

    Attributes:
        url: Its URL.
        headers: Request headers.
        version: Version of the file, if the video has several; a partial file of another version is discarded.
        chunk: Bytes per request, if the site throttles longer ones.
    """

    url: str
    headers: dict[str, str] = field(default_factory=dict)
    version: str = ""
    chunk: int | None = None


def fetch_bytes(web: Web, url: str, limit: int) -> bytes:
    """Download a small file. Raises `Failed` if it is not available, `Unwanted` if it is larger than `limit` bytes."""

    def request() -> bytes:
        try:
            with web.open_once(Request(url, headers=_plain({})), limit) as response:
                content: bytes = response.read()
                return content
        except TransportError as error:
            raise Busy(error) from error

    try:
        content = web.pace.retrying(request)
    except RequestError as error:
        raise failed(error, url, secrets=web.secrets) from error
    if is_page(content):
        raise Failed("a web page instead of the image", kind="later", where=url)
    return content


def fetch_file(web: Web, media: Media, target: Path, limit: int) -> None:
    """Download to `target` by way of <target>.part, which an earlier call may have left.

    A file under its final name is complete.

    Raises:
        Unwanted: Larger than `limit` bytes, by its header or while reading.
        Failed: Not available, or broke off in every attempt.
        UserError: The disk is full or cannot be written.
    """
    part = target.with_name(target.name + ".part")
    if target.exists():
        return
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        while not web.pace.retrying(lambda: _go_on(web, media, part, limit)):
            pass
        with part.open("rb") as stream:
            os.fsync(stream.fileno())
            if is_page(stream.read(512)):
                raise Failed("a web page instead of the video", kind="later", where=media.url)
        _version_of(part).unlink(missing_ok=True)
        os.replace(part, target)
    except (Unwanted, Failed):
        _forget(part)
        raise
    except RequestError as error:
        raise failed(error, media.url, secrets=web.secrets) from error
    except OSError as error:
        raise explain_os_error(error, target) from error


def _go_on(web: Web, media: Media, part: Path, limit: int) -> bool:
    """Download the response of one request. Returns whether the file is complete."""
    begin = part.stat().st_size if part.exists() and _version_of(part).exists() else 0
    headers = _plain(media.headers)
    if begin or media.chunk:
        headers["Range"] = f"bytes={begin}-{begin + media.chunk - 1 if media.chunk else ''}"
    try:
        response = web.open_once(Request(media.url, headers=headers), limit + 1)
    except HTTPError as error:
        if error.status == 416 and begin:  # the partial file is useless
            _forget(part)
            raise Busy(error) from error
        raise
    with response:
        total = _where_it_goes_on(response, begin)
        version = f"{media.version} {response.headers.get('ETag') or response.headers.get('Last-Modified')} {total}"
        if total is not None and total > limit:
            raise Unwanted(f"larger than {size(limit)}", where=media.url)
        resumed = begin and response.status == 206
        if total is _WRONG or (resumed and _version_of(part).read_text(encoding="utf-8") != version):
            _forget(part)
            raise Busy(TransportError("the file has changed since the first part"))
        if response.status != 206:
            begin = 0
        if begin == 0:  # before its version changes, so that a kill in between cannot mix the two
            part.unlink(missing_ok=True)
        write_text(_version_of(part), version)
        done = begin + _stream(web, response, part, begin, limit, media.url)
    if total is not None and done > total:
        _forget(part)
        raise Busy(TransportError(f"{done} bytes instead of {total}"))
    if total is not None and done < min(total, begin + media.chunk if media.chunk else total):
        raise Busy(TransportError(f"broke off after {done} bytes of {total}"))
    return total is None or done == total


def _stream(web: Web, response: Response, part: Path, begin: int, limit: int, url: str) -> int:
    """Append the response to the file; returns the number of bytes."""
    count, started = 0, web.pace.now()
    with part.open("r+b" if begin else "wb") as out:
        out.seek(begin)
        out.truncate()
        try:
            while block := response.read(_BLOCK):
                out.write(block)
                count += len(block)
                if begin + count > limit:
                    raise Unwanted(f"larger than {size(limit)}", where=url)
                web.pace.spend(count, started)
        except TransportError as error:
            raise Busy(error) from error
    return count


_WRONG = -1


def _where_it_goes_on(response: Response, begin: int) -> int | None:
    """Size of the whole file, None if unknown, or _WRONG if this is not the requested range."""
    if response.status == 206:
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        if found is None or int(found[1]) != begin:
            return _WRONG
        return None if found[2] == "*" else int(found[2])
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdigit() else None


def _plain(headers: dict[str, str]) -> dict[str, str]:
    """Request the file without compression, which would change its length."""
    return {**headers, "Accept-Encoding": "identity"}


def _version_of(part: Path) -> Path:
    return part.with_name(part.name + ".version")


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _version_of(part).unlink(missing_ok=True)
