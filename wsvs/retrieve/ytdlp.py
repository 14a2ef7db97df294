"""The allowed yt-dlp options, parsed by yt-dlp itself."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from optparse import OptParseError
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import yt_dlp

from wsvs.core.errors import UserError
from wsvs.retrieve.manifest import one_line

ALLOWED = {  # names on yt-dlp's command line -> its parameters
    "cookies": ("cookiefile",),
    "cookies_from_browser": ("cookiesfrombrowser",),
    "netrc": ("usenetrc", "netrc_location"),
    "proxy": ("proxy",),
    "geo_verification_proxy": ("geo_verification_proxy",),
    "source_address": ("source_address",),
    "extractor_args": ("extractor_args",),
    "impersonate": ("impersonate",),
}
_FILES = ("cookies", "netrc")
_SECRET = re.compile(r"(?:^|[:;])(\w*(?:token|password|secret|visitor|sync_id|key)\w*)=([^;]+)")
_HERE = {  # other options, and the settings that replace them
    "format": "retrieve.format",
    "limit_rate": "retrieve.rate",
    "sleep_interval": "retrieve.pause",
    "sleep_requests": "retrieve.pause",
    "retries": "retrieve.retries",
    "socket_timeout": "retrieve.timeout",
    "js_runtimes": "retrieve.javascript",
    "playlist_end": "retrieve.per_list",
    "max_filesize": "retrieve.max_size",
    "username": "retrieve.yt_dlp.netrc=FILE",
    "password": "retrieve.yt_dlp.netrc=FILE",
    "cookiefile": "retrieve.yt_dlp.cookies",
    "cookiesfrombrowser": "retrieve.yt_dlp.cookies_from_browser",
}


def parameters(given: Mapping[str, Any]) -> dict[str, Any]:
    """yt-dlp's parameters for `retrieve.yt_dlp`.

    Raises:
        UserError: An option that is not allowed, a missing file, or a value that yt-dlp refuses.
    """
    words: list[str] = []
    chosen: list[str] = []
    for name, value in given.items():
        place = f"retrieve.yt_dlp.{name}"
        if name not in ALLOWED:
            other = _HERE.get(name.replace("-", "_"))
            raise UserError(
                "this option cannot be passed to yt-dlp",
                where=place,
                remedy=f"use {other}" if other else f"the options that can: {', '.join(ALLOWED)}",
            )
        if value is None:
            continue
        values = list(value) if isinstance(value, list | tuple) else [value]
        if not values or not all(isinstance(one, str | int) and not isinstance(one, bool) for one in values):
            raise UserError("must be a text, or a list of texts", where=place, remedy=f"write {place}=TEXT")
        if name in _FILES and not Path(str(value)).expanduser().is_file():
            raise UserError("no such file", where=f"{place}={value}", remedy="check the path")
        option = name.replace("_", "-")
        words += ["--netrc", f"--netrc-location={value}"] if name == "netrc" else [f"--{option}={v}" for v in values]
        chosen += ALLOWED[name]
    if not words:
        return {}
    try:
        parsed = yt_dlp.parse_options(["--ignore-config", *words]).ydl_opts
    except OptParseError as error:
        text = one_line(str(error).rpartition("error: ")[2])
        raise UserError(
            f"yt-dlp refuses an option: {hide(text, secrets(given))}",
            where="retrieve.yt_dlp",
            remedy="docs/retrieval.md has an example of each",
        ) from None
    return {key: parsed[key] for key in chosen}


def secrets(given: Mapping[str, Any]) -> list[str]:
    """Words in the options that must not occur in files and messages."""
    return sorted({word for name, value in given.items() for word in _secrets_of(name, value)}, key=len, reverse=True)


def _secrets_of(name: str, value: Any) -> Iterator[str]:
    for one in [value] if isinstance(value, str) else value or ():
        if name in ("proxy", "geo_verification_proxy"):
            with suppress(ValueError):
                password = urlsplit(str(one)).password
                if password:
                    yield from (password, unquote(password))
        elif name == "extractor_args":
            for found in _SECRET.finditer(str(one)):
                yield from (found[2], *found[2].split(","))


def hide(text: str, words: Sequence[str]) -> str:
    """A text with *** in place of each of these words."""
    for word in words:
        text = text.replace(word, "***") if word else text
    return text


def refuse_written_secrets(given: Mapping[str, Any]) -> None:
    """Raises `UserError` for a secret in the settings, which are copied to the run directory.

    Args:
        given: `retrieve.yt_dlp` with unresolved interpolations such as ${oc.env:NAME}.
    """
    for name, value in given.items():
        found = [word for word in _secrets_of(name, value) if "${" not in word]
        if found:
            raise UserError(
                "a password or token in the settings would be copied to the files of the run",
                where=f"retrieve.yt_dlp.{name}",
                remedy=f"put it into an environment variable: export WSVS_SECRET=... and "
                f"'retrieve.yt_dlp.{name}=${{oc.env:WSVS_SECRET}}'",
            )
