"""All requests to the web: yt-dlp with a rate limit, retries, and limits on what it reads."""

from __future__ import annotations

import email.utils
import importlib.util
import io
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from typing import Any
from urllib.parse import urlsplit

from yt_dlp import YoutubeDL
from yt_dlp.globals import supported_js_runtimes
from yt_dlp.networking import Request, Response
from yt_dlp.networking.exceptions import HTTPError, RequestError, TransportError
from yt_dlp.utils import YoutubeDLError

from wsvs.config.base import Above0
from wsvs.config.checked import checked
from wsvs.config.groups import Runtime, WebRetrieve
from wsvs.core.errors import UserError
from wsvs.retrieve.failures import HUMAN, behind, failed, human, is_page, of_a_page, words
from wsvs.retrieve.pace import Busy, Pace
from wsvs.retrieve.source import Failed, Unwanted
from wsvs.retrieve.ytdlp import parameters, secrets

_DEFAULT = WebRetrieve()

PAGE_BYTES = 32 << 20  # of a page or an answer of an API
_PAGE_SEEN = 1 << 18  # characters of a page that are searched for what the site says
_BLOCK = 1 << 16
_COOKIES = "a file of cookies is a text in Netscape's format, as extensions of browsers export it"
_SLOW = 1000.0  # bytes per second: a slower answer over a whole timeout counts as broken
_NO_WEB = "leads to something that is not http(s)"


class Web(YoutubeDL):
    """yt-dlp whose requests are http(s) only, rate-limited, repeated when the site is busy, and bounded in size.

    Args:
        pace: Spaces the requests.
        timeout: Seconds without an answer after which a connection counts as broken.
        format: yt-dlp's selection of the format to download.
        javascript: Runtimes that may run YouTube's scripts, by their names in yt-dlp.
        extractors: Names (regular expressions) of yt-dlp's extractors to use; all by default.
        options: Further options of yt-dlp, of those that `wsvs.retrieve.ytdlp` allows.

    Raises:
        UserError: An option that is not allowed, or does not work.
    """

    @checked
    def __init__(
        self,
        pace: Pace,
        *,
        timeout: Above0 = _DEFAULT.timeout,
        format: str = "b",
        javascript: Sequence[Runtime] = (),
        extractors: Sequence[str] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.pace = pace
        self.timeout = timeout
        self._left: int | None = None
        self._limit = 0
        self._page = ""  # what was read last of a page: a rate limit may be told there, with status 200
        self.secrets = secrets(options or {})
        params: dict[str, Any] = {
            "quiet": True,
            "no_warnings": True,
            "noprogress": True,
            "logger": _Silent(),
            "color": "never",
            "cachedir": False,
            "skip_download": True,
            "noplaylist": True,
            "extract_flat": "in_playlist",
            "retries": 0,
            "extractor_retries": 0,
            "socket_timeout": timeout,
            "format": format,
            "js_runtimes": {name: {} for name in javascript},
            **parameters(options or {}),
        }
        if extractors is not None:
            params["allowed_extractors"] = list(extractors)
        try:
            super().__init__(params)
        except YoutubeDLError as error:
            raise UserError(
                f"yt-dlp cannot work with its options: {words(error, self.secrets)}",
                where="retrieve.yt_dlp",
                remedy="leave it out, or pip install curl_cffi, which impersonate needs",
            ) from error
        self._check_cookies()

    def _check_cookies(self) -> None:
        """Read them now, once; yt-dlp prints lines that it cannot parse, which may contain secrets."""
        with redirect_stderr(io.StringIO()):
            try:
                found = len(self.cookiejar)
            except YoutubeDLError as error:
                cause = list(behind(error))[-1]
                raise UserError(
                    f"the cookies cannot be read ({words(cause)})", where="retrieve.yt_dlp", remedy=_COOKIES
                ) from error
        if self.params.get("cookiefile") and not found:
            raise UserError(
                "no cookie in this file", where=f"retrieve.yt_dlp.cookies={self.params['cookiefile']}", remedy=_COOKIES
            )

    def urlopen(self, req: Request | str) -> Response:
        """What yt-dlp's extractors call for every page and every call of an API, and its downloaders for segments."""
        if self._left is not None:
            return self.pace.retrying(lambda: self._segment(req))
        return self.pace.retrying(lambda: self.open_once(req, PAGE_BYTES))

    @contextmanager
    def streaming(self, left: int, limit: int) -> Iterator[None]:
        """While a downloader works: `left` bytes of the `limit` of its file may still come, at our rate."""
        self._left, self._limit = left, limit
        try:
            yield
        finally:
            self._left = None

    def _segment(self, req: Request | str) -> Response:
        """One segment, whole: one that breaks off is asked for again, which yt-dlp's downloader cannot do in turn."""
        started, left = self.pace.now(), self._left or 0
        try:
            with self.open_once(req, left) as response:
                content = response.read()
        except Unwanted as error:
            raise Unwanted(f"larger than {size(self._limit)}", where=error.where) from error
        except TransportError as error:
            raise Busy(error) from error
        except HTTPError as error:
            if error.status >= 500:
                raise Busy(error) from error
            raise
        length = response.headers.get("Content-Length", "")
        if length.isdigit() and not response.headers.get("Content-Encoding") and len(content) < int(length):
            raise Busy(TransportError(f"broke off after {len(content)} bytes of {length}"))
        if is_page(content):
            raise Failed("a web page came in place of a segment", kind="later", where=response.url)
        self._left = left - len(content)
        self.pace.spend(len(content), started)
        return Response(io.BytesIO(content), response.url, dict(response.headers), response.status)

    def open_once(self, req: Request | str, limit: int) -> Response:
        """One request without waiting. Reading more than `limit` bytes of its answer raises `Unwanted`.

        Raises:
            Busy: 429, 503, or no connection.
            Failed: Not http(s), at first or after a redirect.
            StopRetrieval: The site asks for a human (bot check).
            RequestError: Any other bad answer (`HTTPError` has a status).
        """
        request = Request(req) if isinstance(req, str) else req.copy()
        _check_scheme(request.url)
        try:
            response = super().urlopen(request)
        except HTTPError as error:
            self._judge(error)
            raise
        except TransportError as error:
            raise Busy(error) from error
        except RequestError as error:
            if "No connection adapters" in str(error):  # for where a redirect led
                raise Failed(_NO_WEB, kind="unusable", where=request.url) from error
            raise
        _check_scheme(response.url)
        if "/sorry/" in response.url or "captcha" in urlsplit(response.url).path:
            raise human(response.url)
        response.read = _Bounded(response, limit, self.timeout, seen=self._see(response)).read
        return response

    def _see(self, response: Response) -> Callable[[bytes], None] | None:
        """Keeps the beginning of a page."""
        if "html" not in (response.headers.get("Content-Type") or ""):
            return None
        self._page = ""

        def see(piece: bytes) -> None:
            if len(self._page) < _PAGE_SEEN:
                self._page += piece.decode(errors="replace")

        return see

    def _judge(self, error: HTTPError) -> None:
        """Raises `Busy` or `StopRetrieval` for an answer that says more than no."""
        if error.status in (403, 429, 503):
            with error.response as response:
                said = _Bounded(response, 1 << 18, self.timeout, cut=True).read().decode(errors="replace")
            if response.headers.get("cf-mitigated") == "challenge" or HUMAN.search(said):
                raise human(f"{response.url} ({error})") from error
        if error.status in (429, 503):
            wait = _retry_after(error.response.headers.get("Retry-After"))
            raise Busy(error, wait=wait, refused=error.status == 429) from error

    def extract(self, url: str, most: int | None = None) -> dict[str, Any]:
        """What yt-dlp finds out about a page or a search, its formats chosen, nothing downloaded.

        Args:
            url: The page, or a search in yt-dlp's words.
            most: Entries of a list to ask for.

        Raises:
            Failed: yt-dlp cannot make anything of it.
            StopRetrieval: The site asks for a human (bot check).
        """
        self._page = ""
        self.params["playlistend"] = most
        try:
            info = self.extract_info(url, download=False)
        except (YoutubeDLError, RequestError) as error:
            found = failed(error, url, secrets=self.secrets)
            raise (of_a_page(self._page, url) if found.kind == "list" and self._page else found) from error
        if not isinstance(info, dict):
            raise Failed("yt-dlp finds nothing there", kind="list", where=url)
        return info


def check_javascript(names: Sequence[str]) -> None:
    """What YouTube's videos need today, said in one message.

    Raises:
        UserError: No runtime among `names` that yt-dlp takes, or its scripts for them are missing.
    """
    found, good = [], False
    for name in names:
        info = supported_js_runtimes.value[name]().info
        if info is not None:
            found.append(f"{name} {info.version}{'' if info.supported else ' (too old)'}")
            good = good or info.supported
    scripts = importlib.util.find_spec("yt_dlp_ejs") is not None
    if good and scripts:
        return
    lacks = [] if good else [f"a JavaScript runtime (found: {', '.join(found) or 'none'})"]
    lacks += [] if scripts else ["yt-dlp's scripts for it (the package yt-dlp-ejs)"]
    raise UserError(
        f"YouTube hides its videos behind scripts, and yt-dlp lacks {' and '.join(lacks)}",
        where="retrieve.javascript",
        remedy="install deno 2.3, node 22, bun 1.2.11 or quickjs 2023-12-9 or later, and pip install yt-dlp-ejs; "
        "dry_run=true (search and thumbnails) works without them",
    )


class _Bounded:
    """Reads a response up to a number of bytes, and not for ever.

    Raises:
        Unwanted: There is more. (With `cut` the rest is left unread.)
        TransportError: The connection broke, or hardly anything comes.
    """

    def __init__(
        self,
        response: Response,
        limit: int,
        timeout: float,
        cut: bool = False,
        seen: Callable[[bytes], None] | None = None,
    ) -> None:
        self._fp, self._url = response.fp, response.url
        self._limit, self._timeout, self._cut, self._seen = limit, timeout, cut, seen
        self._count, self._started = 0, time.monotonic()
        self._broken: TransportError | None = None
        # A plain read waits for as much as it is asked for, however slowly that comes.
        self._read = getattr(self._fp, "read1", self._fp.read)
        self._more = {"decode_content": True} if hasattr(self._fp, "decode_content") else {}  # urllib3's

    def read(self, amount: int | None = None) -> bytes:
        pieces: list[bytes] = []
        left = amount
        while left is None or left > 0:
            try:
                if self._broken is not None:
                    raise self._broken
                piece = self._piece(_BLOCK if left is None else min(left, _BLOCK))
            except TransportError as error:
                if amount is None or not pieces:
                    raise
                self._broken = error  # said next time: what came before is good
                break
            if not piece:
                break
            pieces.append(piece)
            left = None if left is None else left - len(piece)
        return b"".join(pieces)

    def _piece(self, amount: int) -> bytes:
        try:
            piece: bytes = self._read(min(amount, self._limit - self._count + 1), **self._more)
        except Exception as error:  # of the socket, of http.client or of urllib3
            raise TransportError(cause=error) from error
        self._count += len(piece)
        if self._seen is not None:
            self._seen(piece)
        if self._count > self._limit:
            if self._cut:
                return b""
            raise Unwanted(f"larger than {size(self._limit)}", where=self._url)
        passed = time.monotonic() - self._started
        if passed > self._timeout and self._count < _SLOW * passed:
            raise TransportError(f"only {self._count} bytes in {passed:.0f} s")
        return piece


def size(count: float) -> str:
    return f"{count / 1e6:.4g} MB"


def _check_scheme(url: str) -> None:
    if urlsplit(url).scheme.lower() not in ("http", "https"):
        raise Failed(_NO_WEB, kind="unusable", where=url)


def _retry_after(value: str | None) -> float | None:
    """Seconds of a Retry-After header: a number or a date."""
    if value is None:
        return None
    if value.strip().isdigit():
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError):
        return None


class _Silent:
    """yt-dlp's messages; what matters comes as an exception."""

    def debug(self, message: str) -> None: ...
    def info(self, message: str) -> None: ...
    def warning(self, message: str) -> None: ...
    def error(self, message: str) -> None: ...
