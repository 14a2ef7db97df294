"""The real yt-dlp against a site that answers well or badly; every way of answering that a week brings."""

from __future__ import annotations

import random
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from yt_dlp.networking import Request

from tests.retrieve.conftest import Retrieval
from tests.retrieve.films import thumbnail
from tests.retrieve.server import (
    Site,
    after,
    drip,
    endless,
    file,
    promises,
    status,
    truncated,
    wrong_piece,
)
from wsvs.core.errors import BadItem
from wsvs.retrieve.clips import digest_file
from wsvs.retrieve.download import Media, fetch_bytes, fetch_file
from wsvs.retrieve.pace import StopRetrieval
from wsvs.retrieve.source import Unwanted
from wsvs.retrieve.web import _Bounded, check_javascript

FILM = random.Random(0).randbytes(256_000)
RED = thumbnail(0.9)


def test_a_page_with_a_video(retrieval: Retrieval, site: Site, red_film: bytes, tmp_path: Path) -> None:
    page = site.page("tom", red_film, RED, duration="PT12S", author={"name": "me"}, description="a cat")
    row = retrieval.one(page)
    (tmp_path / "film").write_bytes(red_film)
    assert (row.sha256, row.bytes) == digest_file(tmp_path / "film")
    line = row.to_json()
    assert {key: line[key] for key in ("class", "url", "title", "uploader", "rank", "duration", "status")} == {
        "class": "cat",
        "url": page,
        "title": "tom",
        "uploader": "me",
        "rank": 1,
        "duration": 12,
        "status": "retrieved",
    }
    assert row.thumbnail_score == pytest.approx(0.9, abs=0.005) and row.thumbnail_passed is True
    assert [key.time for key in row.key_frames] == [round(1.2 * k, 1) for k in range(10)]
    assert [key.chosen for key in row.key_frames] == [k in (2, 3, 9) for k in range(10)]
    # [0.4, 4.4] and [1.6, 5.6] overlap; frame 299, the last one, is at 11.96 s
    assert [clip.time for clip in row.clips] == [[0.4, 5.6], [8.8, 11.96]]
    assert [(clip.start, clip.stop, clip.offset) for clip in row.clips] == [(10, 141, 0), (10, 90, 210)]


@pytest.fixture
def impatient(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a second for what drips, and for nothing else: a page may come late where the machine has other work."""

    def bounded(response, limit: int, timeout: float, **more) -> _Bounded:
        drips = site.handlers[urlsplit(response.url).path] is drip
        return _Bounded(response, limit, 0.5 if drips else timeout, **more)

    monkeypatch.setattr("wsvs.retrieve.web._Bounded", bounded)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (status(404), "failed: HTTP error 404"),
        (status(503), "failed: HTTP error 503"),
        (endless, "skipped: larger than"),
        (promises(3_000_000_000), "skipped: larger than 2 MB"),
        (status(302, Location="file:///etc/passwd"), "failed: leads to something that is not http(s)"),
        (file(b"<html>no film</html>" * 100), "failed: a web page instead of the video"),
        (file(b""), "failed: "),
        (drip, "failed: the connection broke"),
        (promises(200_000), "failed: the connection broke"),
    ],
)
def test_bad_media(retrieval: Retrieval, site: Site, impatient, answer, expected: str) -> None:
    row = retrieval.one(site.page("tom", answer, RED))
    assert row.status.startswith(expected), row.status
    assert row.clips == ()
    assert not list(retrieval.out.glob("videos/*")) and not list(retrieval.out.glob("partial/*"))


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (status(404), "failed: HTTP error 404"),
        (endless, "skipped: larger than 1 MB"),
        (promises(3_000_000_000), "failed: the connection broke"),
        (status(302, Location="file:///etc/passwd"), "failed: leads to something"),
        (file(b"no picture", kind="image/png"), "failed: thumbnail cannot be read"),
        (drip, "failed: the connection broke"),
    ],
)
def test_bad_thumbnails(retrieval: Retrieval, site: Site, impatient, red_film: bytes, answer, expected: str) -> None:
    row = retrieval.one(site.page("tom", red_film, answer))
    assert row.status.startswith(expected), row.status
    assert row.sha256 is None and row.thumbnail_passed is False


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (status(404), "failed: HTTP error 404"),
        (status(503), "failed: HTTP error 503"),
        (status(302, Location="file:///etc/passwd"), "failed: leads to something that is not http(s)"),
        (file(b"<html>nothing here</html>", kind="text/html"), "failed: cannot be had"),
    ],
)
def test_bad_pages(retrieval: Retrieval, site: Site, answer, expected: str) -> None:
    row = retrieval.one(site.add("/page", answer))
    assert row.status.startswith(expected), row.status


def test_an_endless_page(retrieval: Retrieval, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wsvs.retrieve.web.PAGE_BYTES", 100_000)

    def answer(to) -> None:
        to.head(200, Content_Type="text/html", Connection="close")
        while True:
            to.send(b"<html>" + b" " * 10_000)

    row = retrieval.one(site.add("/page", answer))
    assert row.status == "skipped: larger than 0.1 MB"
    [hit] = site.of("/page")
    assert hit.sent < 50_000_000  # what lies in the sockets' buffers


def test_no_thumbnail_and_no_page(retrieval: Retrieval, site: Site, red_film: bytes) -> None:
    page = retrieval.one(site.page("tom", red_film))
    assert page.status == "retrieved" and page.thumbnail_score is None and page.thumbnail_passed


def test_a_bare_file(retrieval: Retrieval, site: Site, red_film: bytes) -> None:
    assert retrieval.one(site.add("/film.mp4", file(red_film))).status == "retrieved"


def test_too_long(retrieval: Retrieval, site: Site, red_film: bytes) -> None:
    row = retrieval.one(site.page("tom", red_film, RED, duration="PT2H"))
    assert row.status == "skipped: longer than 600 s (7200 s)" and not site.of("/tom.png")


def test_busy_then_good(retrieval: Retrieval, site: Site, red_film: bytes) -> None:
    busy = after(2, status(429, Retry_After=0), file(red_film))
    assert (
        retrieval.one(site.page("tom", busy, after(1, status(503), file(RED, kind="image/png")))).status == "retrieved"
    )


def test_the_timeout_is_that_of_the_settings(retrieval: Retrieval, site: Site) -> None:
    with pytest.raises(BadItem, match="the connection broke"):
        fetch_bytes(retrieval.web(timeout=0.5), site.add("/x", drip), 10**6)


def test_retry_after_is_kept(retrieval: Retrieval, site: Site) -> None:
    web = retrieval.web()
    url = site.add("/x", after(1, status(503, Retry_After=1), file(b"content")))
    assert fetch_bytes(web, url, 1000) == b"content"
    first, second = site.of("/x")
    assert second.time - first.time >= 1.0


def test_a_refusal_and_a_human_check_stop_everything(retrieval: Retrieval, site: Site) -> None:
    with pytest.raises(StopRetrieval, match="still refuses after 3 attempts"):
        retrieval.one(site.add("/a", status(429)))
    for answer in (
        status(403, b"<html>Please solve this CAPTCHA</html>"),
        status(429, b"we have detected unusual traffic"),
        status(503, b"x", cf_mitigated="challenge"),
        status(302, Location=site.add("/sorry/index", file(b"x"))),
    ):
        site.hits.clear()
        with pytest.raises(StopRetrieval, match="asks for a human"):
            retrieval.web().urlopen(Request(site.add("/b", answer)))
        assert len(site.of("/b")) == 1  # asked once, not again and again
    assert fetch_bytes(retrieval.web(), site.add("/c", file(b"captcha")), 100) == b"captcha"  # a page may speak of it


def test_only_http(retrieval: Retrieval, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    for url in ((tmp_path / "secret").as_uri(), "ftp://127.0.0.1/x", "data:text/plain,x"):
        with pytest.raises(BadItem, match="not http"):
            fetch_bytes(retrieval.web(), url, 100)


def test_no_server(retrieval: Retrieval, site: Site) -> None:
    site.close()
    with pytest.raises(BadItem, match="or there was none"):
        fetch_bytes(retrieval.web(), site.url, 100)
    assert retrieval.one(site.url + "/page").status == "failed: the connection broke, or there was none"


def fetch(retrieval: Retrieval, url: str, limit: int = 10**6, **media) -> Path:
    target = retrieval.folder / "film.mp4"
    fetch_file(retrieval.web(), Media(url, **media), target, limit)
    assert not list(retrieval.folder.glob("*.part*"))
    return target


def test_resumes_where_it_broke_off(retrieval: Retrieval, site: Site) -> None:
    url = site.add("/film", after(1, truncated(FILM, 100_000), file(FILM)))
    assert fetch(retrieval, url).read_bytes() == FILM
    assert [hit.begin for hit in site.of("/film")] == [0, 100_000]


def test_resumes_after_a_kill(retrieval: Retrieval, site: Site) -> None:
    url = site.add("/film", truncated(FILM, 100_000))
    with pytest.raises(BadItem, match="the connection broke"):
        fetch_file(retrieval.web(retries=0), Media(url), retrieval.folder / "film.mp4", 10**6)
    assert (retrieval.folder / "film.mp4.part").stat().st_size == 100_000
    site.add("/film", file(FILM))
    assert fetch(retrieval, url).read_bytes() == FILM
    assert site.of("/film")[-1].begin == 100_000


@pytest.mark.parametrize("changed", ["content", "format"])
def test_never_joins_two_files(retrieval: Retrieval, site: Site, changed: str) -> None:
    url = site.add("/film", truncated(FILM, 100_000))
    with pytest.raises(BadItem):
        fetch_file(retrieval.web(retries=0), Media(url, version="18"), retrieval.folder / "film.mp4", 10**6)
    other = FILM[::-1]
    site.add("/film", file(other, tag="2" if changed == "content" else "1"))
    assert fetch(retrieval, url, version="18" if changed == "content" else "22").read_bytes() == other


def test_a_site_that_does_not_know_ranges(retrieval: Retrieval, site: Site) -> None:
    url = site.add("/film", after(1, truncated(FILM, 100_000), wrong_piece(FILM)))
    assert fetch(retrieval, url).read_bytes() == FILM

    def ignores(to) -> None:
        to.head(200, Content_Length=len(FILM), ETag='"1"')
        to.send(FILM)

    (retrieval.folder / "film.mp4").unlink()
    assert fetch(retrieval, site.add("/film", after(1, truncated(FILM, 100_000), ignores))).read_bytes() == FILM


def test_in_chunks(retrieval: Retrieval, site: Site) -> None:
    url = site.add("/film", file(FILM))
    assert fetch(retrieval, url, chunk=100_000).read_bytes() == FILM
    assert [hit.headers["Range"] for hit in site.of("/film")] == [
        "bytes=0-99999",
        "bytes=100000-199999",
        "bytes=200000-299999",
    ]


def test_what_is_whole_is_not_fetched_again(retrieval: Retrieval, site: Site) -> None:
    url = site.add("/film", file(FILM))
    fetch(retrieval, url)
    fetch(retrieval, url)
    assert len(site.of("/film")) == 1


def test_bounded_while_it_streams(retrieval: Retrieval, site: Site) -> None:
    with pytest.raises(Unwanted, match=r"larger than 0\.3 MB"):
        fetch(retrieval, site.add("/film", endless), limit=300_000)
    assert not list(retrieval.folder.glob("film*"))
    assert fetch(retrieval, site.add("/film", file(FILM)), limit=len(FILM)).stat().st_size == len(FILM)
    (retrieval.folder / "film.mp4").unlink()
    with pytest.raises(Unwanted):
        fetch(retrieval, site.add("/film", file(FILM)), limit=len(FILM) - 1)


def test_rate(retrieval: Retrieval, site: Site) -> None:
    started = time.monotonic()
    fetch_file(retrieval.web(rate=500_000), Media(site.add("/film", file(FILM))), retrieval.folder / "film", 10**6)
    assert time.monotonic() - started >= len(FILM) / 500_000


def test_javascript_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    from wsvs.core.errors import UserError

    with pytest.raises(UserError, match=r"JavaScript runtime \(found: none\)") as caught:
        check_javascript(["deno", "node"])
    assert "deno 2.3, node 22" in caught.value.message and "yt-dlp-ejs" in caught.value.message
