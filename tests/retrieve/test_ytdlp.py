"""Options handed to yt-dlp: the allow-list, a proxy, cookies, and secrets that stay out of every file."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.retrieve.conftest import Retrieval
from tests.retrieve.films import thumbnail
from tests.retrieve.server import Site, file, status
from wsvs.core.errors import UserError
from wsvs.retrieve.pace import Pace
from wsvs.retrieve.web import Web
from wsvs.retrieve.ytdlp import hide, parameters, refuse_written_secrets, secrets

COOKIES = "# Netscape HTTP Cookie File\n127.0.0.1\tFALSE\t/\tFALSE\t0\tsession\tabc123\n"
PROXY = "http://me:pass%40word@127.0.0.1:9"
TOKEN = "youtube:player_client=tv;po_token=web+SECRET"


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"exec": "rm"}, "cannot be passed to yt-dlp"),
        ({"format": "b"}, "use retrieve.format"),
        ({"cookiefile": "x"}, "use retrieve.yt_dlp.cookies"),
        ({"username": "x"}, "use retrieve.yt_dlp.netrc=FILE"),
        ({"cookies": "/nowhere/x"}, "no such file"),
        ({"cookies_from_browser": "lynx"}, "unsupported browser"),
        ({"proxy": {"a": 1}}, "a text"),
        ({"extractor_args": [["x"]]}, "a text"),
    ],
)
def test_other_options_are_refused(given: dict, problem: str) -> None:
    with pytest.raises(UserError) as caught:
        parameters({"cookies": None, **given})
    assert problem in caught.value.message


def test_options_become_those_of_yt_dlp(tmp_path: Path) -> None:
    (tmp_path / "netrc").write_text("machine toysite login me password x\n")
    assert parameters({"cookies": None, "proxy": None}) == {}
    assert parameters(
        {
            "extractor_args": [TOKEN, "vimeo:client=web"],
            "proxy": PROXY,
            "netrc": str(tmp_path / "netrc"),
            "cookies_from_browser": "firefox:work",
            "source_address": "127.0.0.1",
        }
    ) == {
        "extractor_args": {
            "youtube": {"player_client": ["tv"], "po_token": ["web+SECRET"]},
            "vimeo": {"client": ["web"]},
        },
        "proxy": PROXY,
        "usenetrc": True,
        "netrc_location": str(tmp_path / "netrc"),
        "cookiesfrombrowser": ("firefox", "work", None, None),
        "source_address": "127.0.0.1",
    }


def test_cookies_open_what_needs_an_account(retrieval: Retrieval, site: Site, red_film: bytes) -> None:
    """And the file stays as it is, whatever the site sets."""
    page = site.page("a", red_film, thumbnail(0.9))
    shown = site.handlers["/a"]
    site.add("/a", lambda to: (shown if "session=abc123" in to.hit.headers.get("Cookie", "") else status(401))(to))
    assert retrieval.one(page).failure == "account"
    cookies = retrieval.folder / "cookies.txt"
    cookies.write_text(COOKIES)
    web = Web(Pace(pause=(0, 0), backoff=0.001), options={"cookies": str(cookies)})
    with retrieval.crawl({"cat": [page]}, web=web, retry=["account"]) as crawl:
        assert crawl.fetch()[0].status == "retrieved"
    assert cookies.read_text() == COOKIES


def test_bad_cookies_are_reported_and_not_shown(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for text, problem in (
        ("secret-line\n", "does not look like a Netscape"),
        ("# Netscape HTTP Cookie File\nsecret-line\n", "no cookie"),
    ):
        (tmp_path / "cookies.txt").write_text(text)
        with pytest.raises(UserError, match=problem):
            Web(Pace(), options={"cookies": str(tmp_path / "cookies.txt")})
    assert "secret-line" not in "".join(capfd.readouterr())


def test_every_request_goes_through_the_proxy(retrieval: Retrieval, site: Site) -> None:
    web = Web(Pace(pause=(0, 0)), options={"proxy": site.url})
    site.add("/x", file(b"by proxy"))
    assert web.urlopen("http://video.invalid/x").read() == b"by proxy"


def test_a_secret_is_in_no_message(retrieval: Retrieval) -> None:
    found = secrets({"proxy": PROXY, "extractor_args": [TOKEN], "cookies": "x"})
    assert sorted(found) == ["pass%40word", "pass@word", "web+SECRET"]
    assert hide(f"no way to {PROXY}", found) == "no way to http://me:***@127.0.0.1:9"
    web = Web(Pace(pause=(0, 0), retries=0), options={"proxy": PROXY})
    row = retrieval.one("http://video.invalid/x", web=web)
    assert row.failure == "later" and "pass@" not in str(row) and "pass%" not in str(row)


@pytest.mark.parametrize("given", [{"proxy": PROXY}, {"extractor_args": TOKEN}, {"extractor_args": ["a:b=c", TOKEN]}])
def test_a_secret_among_the_settings_is_refused(given: dict) -> None:
    with pytest.raises(UserError, match=r"oc\.env:WSVS_SECRET") as caught:
        refuse_written_secrets(given)
    assert "SECRET-" not in caught.value.message and "pass" not in caught.value.message.replace("password", "")
    refuse_written_secrets(dict.fromkeys(given, "${oc.env:WSVS_SECRET}"))
    refuse_written_secrets({"proxy": "http://127.0.0.1:8", "extractor_args": ["youtube:player_client=tv"]})
