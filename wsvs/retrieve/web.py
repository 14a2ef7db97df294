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

PAGE_BYTES = 32 << 20  # limit for a page or an API response
_PAGE_SEEN = 1 << 18  # characters of a page that are searched for messages of the site
_BLOCK = 1 << 16
_COOKIES = "a file of cookies is a text in Netscape's format, as extensions of browsers export it"
_SLOW = 1000.0  # bytes per second: a slower response during a whole timeout counts as broken
_NO_WEB = "leads to something that is not http(s)"


class Web(YoutubeDL):
    """yt-dlp with requests that are http(s) only, rate-limited, retried when the site is busy, and limited in size.

    Args:
        pace: Rate limit of the requests.
        timeout: Seconds without a response after which a connection counts as broken.
        format: yt-dlp's format selection.
        javascript: Runtimes that may run YouTube's scripts, by their names in yt-dlp.
        extractors: Names (regular expressions) of the yt-dlp extractors to use; all by default.
        options: Further yt-dlp options, among those allowed by `wsvs.retrieve.ytdlp`.

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
        self._page = ""  # the last page: a rate limit may be reported there, with status 200
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
        """Read the cookies now, once; yt-dlp prints lines that it cannot parse, which may contain secrets."""
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
        """Called by yt-dlp's extractors for every page and API request, and by its downloaders for segments."""
        if self._left is not None:
            return self.pace.retrying(lambda: self._segment(req))
        return self.pace.retrying(lambda: self.open_once(req, PAGE_BYTES))

    @contextmanager
    def streaming(self, left: int, limit: int) -> Iterator[None]:
        """Limit a running downloader to `left` bytes, of the `limit` of its file, at our rate."""
        self._left, self._limit = left, limit
        try:
            yield
        finally:
            self._left = None

    def _segment(self, req: Request | str) -> Response:
        """Download one complete segment; one that breaks off is retried, which yt-dlp's downloader cannot do."""
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
            raise Failed("a web page instead of a segment", kind="later", where=response.url)
        self._left = left - len(content)
        self.pace.spend(len(content), started)
        return Response(io.BytesIO(content), response.url, dict(response.headers), response.status)

    def open_once(self, req: Request | str, limit: int) -> Response:
        """One request without waiting. Reading more than `limit` bytes of the response raises `Unwanted`.

        Raises:
            Busy: 429, 503, or no connection.
            Failed: Not http(s), at first or after a redirect.
            StopRetrieval: The site requires a human (bot check).
            RequestError: Any other bad response (`HTTPError` has a status).
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
            if "No connection adapters" in str(error):  # for the target of a redirect
                raise Failed(_NO_WEB, kind="unusable", where=request.url) from error
            raise
        _check_scheme(response.url)
        if "/sorry/" in response.url or "captcha" in urlsplit(response.url).path:
            raise human(response.url)
        response.read = _Bounded(response, limit, self.timeout, seen=self._see(response)).read
        return response

    def _see(self, response: Response) -> Callable[[bytes], None] | None:
        """Keep the start of a page."""
        if "html" not in (response.headers.get("Content-Type") or ""):
            return None
        self._page = ""

        def see(piece: bytes) -> None:
            if len(self._page) < _PAGE_SEEN:
                self._page += piece.decode(errors="replace")

        return see

    def _judge(self, error: HTTPError) -> None:
        """Raises `Busy` or `StopRetrieval` for a response that indicates one of these."""
        if error.status in (403, 429, 503):
            with error.response as response:
                said = _Bounded(response, 1 << 18, self.timeout, cut=True).read().decode(errors="replace")
            if response.headers.get("cf-mitigated") == "challenge" or HUMAN.search(said):
                raise human(f"{response.url} ({error})") from error
        if error.status in (429, 503):
            wait = _retry_after(error.response.headers.get("Retry-After"))
            raise Busy(error, wait=wait, refused=error.status == 429) from error

    def extract(self, url: str, most: int | None = None) -> dict[str, Any]:
        """yt-dlp's information about a page or search, with selected formats, without a download.

        Args:
            url: The page, or a search in yt-dlp's syntax.
            most: Maximum number of entries of a list.

        Raises:
            Failed: yt-dlp does not support it.
            StopRetrieval: The site requires a human (bot check).
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
    """Check the requirements of YouTube videos.

    Raises:
        UserError: No supported runtime among `names`, or yt-dlp's scripts for them are missing.
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
    """Reads a response with limits on size and time.

    Raises:
        Unwanted: It is larger. (With `cut` the rest is ignored.)
        TransportError: The connection broke, or is too slow.
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
        # A plain read waits for the requested number of bytes, however slow the connection is.
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
                self._broken = error  # raised next time: the data before it is valid
                break
            if not piece:
                break
            pieces.append(piece)
            left = None if left is None else left - len(piece)
        return b"".join(pieces)

    def _piece(self, amount: int) -> bytes:
        try:
            piece: bytes = self._read(min(amount, self._limit - self._count + 1), **self._more)
        except Exception as error:  # from the socket, http.client or urllib3
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
    """Handles yt-dlp's messages; errors are exceptions."""

    def debug(self, message: str) -> None: ...
    def info(self, message: str) -> None: ...
    def warning(self, message: str) -> None: ...
    def error(self, message: str) -> None: ...
