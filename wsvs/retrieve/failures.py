"""Kinds of failures, of which only `gone` is permanent, with messages without yt-dlp's own options."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from yt_dlp.networking.exceptions import HTTPError, TransportError
from yt_dlp.utils import ExtractorError, GeoRestrictedError, UnsupportedError, UserNotLive

from wsvs.retrieve.manifest import one_line
from wsvs.retrieve.pace import StopRetrieval
from wsvs.retrieve.source import Failed, Kind, Unwanted
from wsvs.retrieve.ytdlp import hide

HUMAN = re.compile(r"not a (ro)?bot|captcha|unusual traffic|anti-bot|verify (that )?you are (a )?human", re.IGNORECASE)
LATER = re.compile(
    r"try again|rate.?limit|too (many|fast|quickly)|exceeded|temporar|slow down|currently (un|not )available|"
    r"\b(try|come|check)( back)? later|maintenance|overloaded|timed? ?out|not available yet|will begin|premieres in",
    re.IGNORECASE,
)
_ACCOUNT = {  # reasons why an account is needed, by the extractors' messages, since yt-dlp has no exception for them
    "private": r"\bprivate\b",
    "members only": r"\b(members?|subscribers?|patrons?|premium|vip)\b|subscription|subscribed|join this channel",
    "age limit": r"(confirm|verify) your age|\bage[- ](restrict|verif|limit|gate)|adults? only|nsfw|"
    r"inappropriate for some",
    "paid": r"\b(rent|rental|purchase|buy|paid|payment|ticket)\b",
    "password": r"password",
    "login": r"\blog ?in\b|sign in|logged[- ]?in|registered users|account (credentials|that|to)|your account",
}
_GONE = re.compile(
    r"no longer (available|exists?)|\b(been|was|were|got) (removed|deleted|taken down|withdrawn)|removed by|"
    r"\bdoes(n'?t| not) exist|\bvideo (is |was )?(unavailable|removed|deleted|not found)|terminated|copyright|"
    r"\b(has|link is|most likely|video is) expired|isn't available anymore",
    re.IGNORECASE,
)
_STATUS: dict[int, tuple[Kind, str]] = {
    401: ("account", "needs an account: login"),
    402: ("account", "needs an account: paid"),
    404: ("gone", "HTTP error 404"),
    410: ("gone", "HTTP error 410"),
    451: ("region", "blocked in this country"),
}
_BOILERPLATE = re.compile(r"^ERROR: |\x1b\[[\d;]*m|; please report this issue on .*|\(caused by .*", re.DOTALL)
_OPTION = re.compile(r"(?<![\w/-])--?[a-zA-Z][\w-]*")
_SENTENCE = re.compile(r"(?<=[.;!?])\s+(?=\S)|\n+|, (?=(?:please )?(?:use|add|try) (?:the )?-)")
ADVICE = {  # an option in yt-dlp's messages -> the corresponding setting here
    "--cookies": "retrieve.yt_dlp.cookies=FILE",
    "--cookies-from-browser": "retrieve.yt_dlp.cookies_from_browser=NAME",
    "--netrc": "retrieve.yt_dlp.netrc=FILE",
    "--proxy": "retrieve.yt_dlp.proxy=URL",
    "--geo-verification-proxy": "retrieve.yt_dlp.geo_verification_proxy=URL",
    "--extractor-args": "retrieve.yt_dlp.extractor_args=[...]",
    "--impersonate": "retrieve.yt_dlp.impersonate=NAME",
    "--sleep-interval": "retrieve.pause=[5,15]",
    "-t": "retrieve.pause=[5,15]",
    "--format": "retrieve.format=...",
    "--list-formats": "retrieve.format=...",
    "-f": "retrieve.format=...",
}


def failed(error: Exception, url: str, *, promised: bool = False, secrets: Sequence[str] = ()) -> Failed:
    """Translate an error of yt-dlp or of the network, with yt-dlp's message in brackets.

    Args:
        error: The exception of yt-dlp.
        url: The URL concerned.
        promised: The site has just returned this URL, so that "not found" does not mean gone.
        secrets: Words to hide.

    Raises:
        StopRetrieval: The site requires a human (bot check).
        Failed, Unwanted, StopRetrieval: The cause of the error, if it is one of these.
    """
    chain = list(behind(error))
    for one in chain:
        if isinstance(one, Failed | Unwanted | StopRetrieval):
            raise one
    text = _plain(error, secrets)
    if HUMAN.search(text):
        raise human(f"{url} ({translate(text)})") from error
    kind, reason = _sort(chain, text, promised)
    if reason == "the connection broke, or there was none":  # the details vary and are in the log
        return Failed(reason, kind=kind, where=url)
    text = translate(text)
    return Failed(f"{reason} ({text})" if text else reason, kind=kind, where=url)


def _sort(chain: Sequence[BaseException], text: str, promised: bool) -> tuple[Kind, str]:
    """Kind and reason, by yt-dlp's exceptions, the site's message or the HTTP status; unknown errors are temporary."""
    if any(isinstance(one, GeoRestrictedError) for one in chain):
        return "region", "blocked in this country"
    if any(isinstance(one, UnsupportedError) for one in chain):
        return "list", "cannot be had: no video on this page"
    if any(isinstance(one, UserNotLive) for one in chain):
        return "list", "a channel that is not live"
    if any(isinstance(one, TransportError) for one in chain):
        return "later", "the connection broke, or there was none"
    code = next((one.status for one in chain if isinstance(one, HTTPError)), None)
    if code is None and (found := re.search(r"HTTP Error (\d{3})", text)):  # all information that a downloader keeps
        code = int(found[1])
    said = next((one for one in chain if isinstance(one, ExtractorError)), None)
    by_site = said is None or (said.expected and (said.cause is None or code is None))  # the site's own message
    if by_site and "HTTP Error" not in text:
        by_words = _by_words(text)
        if by_words is not None:
            return by_words
    if code is not None:
        kind, reason = _STATUS.get(code, ("later", f"HTTP error {code}"))
        return ("later" if promised and kind == "gone" else kind), reason
    return "later", "cannot be had"


def _by_words(text: str) -> tuple[Kind, str] | None:
    if LATER.search(text):
        return "later", "the site says: later"
    for what, pattern in _ACCOUNT.items():
        if re.search(pattern, text, re.IGNORECASE):
            return "account", f"needs an account: {what}"
    if "Requested format is not available" in text:
        return "unusable", "no format as retrieve.format asks for"
    if "DRM protected" in text:
        return "unusable", "DRM protected"
    return ("gone", "gone") if _GONE.search(text) else None


def behind(error: BaseException) -> Iterator[BaseException]:
    """An error and its chain of causes, each once."""
    waiting, seen = [error], set()
    while waiting:
        one = waiting.pop(0)
        if id(one) not in seen:
            seen.add(id(one))
            yield one
            inner = [getattr(one, "cause", None), *(getattr(one, "exc_info", None) or ()), one.__cause__]
            waiting += [cause for cause in (*inner, one.__context__) if isinstance(cause, BaseException)]


def words(error: object, secrets: Sequence[str] = ()) -> str:
    """yt-dlp's message on one line, with the settings of wsvs instead of its options, and without secrets."""
    return translate(_plain(error, secrets))


def _plain(error: object, secrets: Sequence[str]) -> str:
    text = str(error).replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    return _BOILERPLATE.sub("", hide(text, secrets))


def translate(text: str) -> str:
    """Remove sentences with yt-dlp's command line options, and append the corresponding settings."""
    kept, advice = [], dict[str, None]()
    for sentence in _SENTENCE.split(text):
        options = [option for option in _OPTION.findall(sentence) if len(option) > 2 or option in ADVICE]
        if options or "github.com/yt-dlp" in sentence:
            advice |= dict.fromkeys(ADVICE[option] for option in options if option in ADVICE)
        else:
            kept.append(sentence)
    said = one_line(" ".join(kept)).rstrip(";")
    if not advice:
        return said
    return f"{said.rstrip('.')}{'; ' if said else ''}here: {' or '.join(advice)}"


def of_a_page(text: str, url: str) -> Failed:
    """The error for a page without a video. Rate limits are often reported this way, with status 200."""
    text = one_line(re.sub(r"(?is)<(script|style).*?</\1>|<[^>]*>", " ", text))
    if HUMAN.search(text):
        raise human(url)
    found = LATER.search(text)
    if found:
        near = text[max(0, found.start() - 60) : found.end() + 60]
        return Failed(f"the site says: later ({near.strip()})", kind="later", where=url)
    return Failed("cannot be had: no video on this page", kind="list", where=url)


def is_page(content: bytes) -> bool:
    """Whether a file that should be something else is a web page."""
    start = content[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return start.startswith((b"<!doctype html", b"<html", b"<head", b"<body"))


def human(where: str) -> StopRetrieval:
    return StopRetrieval(
        "the site asks for a human (a bot check)",
        where=where,
        remedy="wait a day, raise retrieve.pause, and run the same command again to resume",
    )
