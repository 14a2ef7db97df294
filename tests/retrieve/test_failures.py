"""Why videos are not had: kinds, streaks that stop a run, what is tried again, and advice that exists here."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yt_dlp
from yt_dlp.extractor.common import InfoExtractor
from yt_dlp.networking.exceptions import TransportError
from yt_dlp.utils import ExtractorError, UserNotLive

from tests.retrieve.conftest import Retrieval
from tests.retrieve.films import another, thumbnail
from tests.retrieve.server import Site, file, says, status
from wsvs.config.groups import UrlsRetrieve
from wsvs.records.retrieved import FoundVideo, Outcome
from wsvs.retrieve.crawl import Budget
from wsvs.retrieve.failures import ADVICE, failed, translate, words
from wsvs.retrieve.pace import StopRetrieval, Streak
from wsvs.retrieve.source import KINDS, Failed
from wsvs.retrieve.table import tally
from wsvs.retrieve.web import Web
from wsvs.retrieve.ytdlp import ALLOWED

RED = thumbnail(0.9)
RATE_LIMIT = (  # what yt-dlp makes of YouTube's page for a session that went too fast
    "ERROR: [youtube] x: Video unavailable. This content isn't available, try again later. The current session has "
    "been rate-limited by YouTube for up to an hour. It is recommended to use `-t sleep` to add a delay between video "
    "requests to avoid exceeding the rate limit. For more information, refer to  https://github.com/yt-dlp/yt-dlp/wiki/x"
)
QUOTED = re.compile(r"""(['"])((?:(?!\1).)*\s--[a-z][\w-]+(?:(?!\1).)*)\1""")
GEO = (
    "This video is not available from your location due to geo restriction\nThis video is available in New Zealand.\n"
    "You might want to use a VPN or a proxy server (with --proxy) to workaround."
)


class SiteIE(InfoExtractor):
    """A site that yt-dlp knows: /watch/<id>, and further addresses of the same video. It raises the given errors."""

    IE_NAME = "toysite"
    _VALID_URL = r"http://127\.0\.0\.1:\d+/(?:watch|short|embed)/(?P<id>\w+)"
    raises: Callable[[InfoExtractor], None] | None = None

    @classmethod
    def ie_key(cls) -> str:
        return "ToySite"

    def _real_extract(self, url: str) -> dict:
        video = self._match_id(url)
        self._download_webpage(url, video)
        if SiteIE.raises is not None:
            SiteIE.raises(self)
        base = re.match(r"http://[^/]+", url)[0]  # type: ignore[index]
        return {"id": video, "title": video, "url": f"{base}/{video}.mp4", "ext": "mp4"}


@pytest.fixture
def web(retrieval: Retrieval, monkeypatch: pytest.MonkeyPatch) -> Web:
    web = retrieval.web()
    web._ies = {"ToySite": SiteIE, **web._ies}
    web._ies_instances["ToySite"] = SiteIE(web)
    monkeypatch.setattr(SiteIE, "raises", None)
    return web


def login(ie: InfoExtractor) -> None:
    ie.raise_login_required()


def geo(ie: InfoExtractor) -> None:
    ie.raise_geo_restricted(countries=["NZ"])


def expected(text: str) -> Callable[[InfoExtractor], None]:
    def raises(ie: InfoExtractor) -> None:
        ie.raise_no_formats(text, expected=True, video_id="x")

    return raises


def bug(ie: InfoExtractor) -> None:
    raise ExtractorError("Unable to extract video data")


@pytest.mark.parametrize(
    ("raises", "kind", "reason"),
    [
        (login, "account", "needs an account: login"),
        (geo, "region", "blocked in this country"),
        (
            expected("Private video. Sign in if you've been granted access to this video"),
            "account",
            "needs an account: private",
        ),
        (
            expected("Join this channel to get access to members-only content like this video"),
            "account",
            "needs an account: members only",
        ),
        (
            expected("Sign in to confirm your age. This video may be inappropriate for some users."),
            "account",
            "needs an account: age limit",
        ),
        (expected("This video requires payment to watch"), "account", "needs an account: paid"),
        (
            expected("Password protected video, use --video-password <password>"),
            "account",
            "needs an account: password",
        ),
        (expected("Video unavailable. This video has been removed by the uploader"), "gone", "gone"),
        (expected("This video is no longer available because the account has been terminated"), "gone", "gone"),
        (expected("Video unavailable. This content isn't available, try again later"), "later", "the site says: later"),
        (expected("You have exceeded the rate limit. Try again later"), "later", "the site says: later"),
        (bug, "later", "cannot be had"),
    ],
)
def test_what_a_site_says_is_sorted(
    retrieval: Retrieval,
    site: Site,
    web: Web,
    monkeypatch: pytest.MonkeyPatch,
    raises: Callable,
    kind: str,
    reason: str,
) -> None:
    monkeypatch.setattr(SiteIE, "raises", staticmethod(raises))
    row = retrieval.one(site.add("/watch/a", says("a page")), web=web)
    assert row.failure == kind and row.status.startswith(f"failed: {reason} ("), row.status
    counts = tally([row], ["cat"])["all"].asdict()
    assert counts["failures"] == {kind: 1} and counts["lost"] == {f"failed: {reason}": 1}


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (status(404), "gone"),
        (status(410), "gone"),
        (status(401), "account"),
        (status(451), "region"),
        (status(403), "later"),
        (status(500), "later"),
        (status(503), "later"),
        (status(400), "later"),
        (says("Too many requests from your network. Please try again later."), "later"),
        (says("You are going too fast"), "later"),
        (says("a shop"), "list"),
    ],
)
def test_what_a_page_answers_is_sorted(retrieval: Retrieval, site: Site, answer, kind: str) -> None:
    row = retrieval.one(site.add("/page", answer))
    assert row.failure == kind and row.status.startswith("failed: "), row.status


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (status(404), "gone"),
        (status(403), "later"),
        (says("slow down"), "later"),
        (file(b"no film"), "unusable"),
    ],
)
def test_what_a_file_answers_is_sorted(retrieval: Retrieval, site: Site, answer, kind: str) -> None:
    row = retrieval.one(site.page("tom", answer, RED))
    assert row.failure == kind, row.status
    assert not list(retrieval.out.glob("partial/*"))


def test_words_of_the_site_outweigh_its_number() -> None:
    """A message that an extractor read from a 403 or a 404, and one that only repeats it."""
    try:
        raise TransportError("reset")
    except TransportError as error:
        broken = error
    assert failed(ExtractorError("x", cause=broken), "u").kind == "later"
    assert failed(UserNotLive(video_id="x"), "u").kind == "list"
    assert failed(ExtractorError("This video does not exist", expected=True), "u").kind == "gone"
    assert failed(ExtractorError("the page does not exist for our regex"), "u").kind == "later"  # a bug says anything


def crawl_pages(site: Site, film: bytes, count: int, answer=None) -> list[str]:
    names = [f"v{k}" for k in range(count)]
    return [site.page(name, answer or another(film, name), RED) for name in names]


def statuses(rows: list[FoundVideo]) -> list[str]:
    return [row.status.partition(":")[0] for row in rows]


@pytest.mark.parametrize(
    ("what", "answer"),
    [
        ("page", status(403)),
        ("page", says("try again later")),
        ("page", status(500)),
        ("page", status(401)),
        ("image", status(403)),
        ("file", status(403)),
        ("file", says("slow down")),
    ],
)
def test_five_in_a_row_stop_and_the_command_resumes(
    retrieval: Retrieval, site: Site, red_film: bytes, what: str, answer
) -> None:
    """As a bot check does, wherever the site refuses; the same command then gets all of them."""
    urls = crawl_pages(site, red_film, 8)
    good = dict(site.handlers)
    end = {"page": "", "image": ".png", "file": ".mp4"}[what]
    for k in range(1, 8):
        site.add(f"/v{k}{end}", answer)
    with (
        pytest.raises(StopRetrieval, match="5 consecutive failures") as caught,
        retrieval.crawl({"cat": urls}) as crawl,
    ):
        crawl.fetch()
    assert "run the same command" in caught.value.message and "retrieve.streak=null" in caught.value.message
    assert not (retrieval.out / "manifest.jsonl").exists()
    assert site.of(f"/v5{end}") and not site.of(f"/v6{end}")  # asked five, left the rest alone
    site.handlers = good
    retry = ["account"] if answer.__closure__ and "401" in repr([c.cell_contents for c in answer.__closure__]) else []
    with retrieval.crawl({"cat": urls}, retry=retry) as crawl:
        assert statuses(crawl.fetch()) == ["retrieved"] * 8


def test_gone_ends_a_streak_and_never_makes_one(retrieval: Retrieval, site: Site, red_film: bytes) -> None:
    bad = [site.add(f"/bad{k}", status(500)) for k in range(8)]
    gone = [site.add(f"/gone{k}", status(404)) for k in range(6)]
    with retrieval.crawl({"cat": [*bad[:4], gone[0], *bad[4:], *gone[1:]]}) as crawl:
        rows = crawl.fetch()
    assert [row.failure for row in rows] == ["later"] * 4 + ["gone"] + ["later"] * 4 + ["gone"] * 5


def test_a_streak_of_none_goes_to_the_end(retrieval: Retrieval, site: Site) -> None:
    with retrieval.crawl({"cat": [site.add(f"/bad{k}", status(500)) for k in range(7)]}, streak=None) as crawl:
        assert [row.failure for row in crawl.fetch()] == ["later"] * 7
    with pytest.raises(ValueError, match="limit must be a whole number >= 1, or null, got 0"):
        Streak(0)


def test_files_that_are_no_videos_stop_nothing() -> None:
    streak = Streak(2)
    for kind in (None, "unusable", "gone", "budget", "unknown"):
        streak.add(Outcome(status="failed: x", failure=kind))
        streak.add(Outcome(status="failed: x", failure=kind))
    streak.add(Outcome(status="failed: x", failure="later"))
    streak.add(Outcome(status="skipped: max_videos was reached", failure="budget"))  # nothing was asked
    with pytest.raises(StopRetrieval, match=r"2 consecutive failures \(later 1, list 1\), the last one: failed: y"):
        streak.add(Outcome(status="failed: y", failure="list"))


@pytest.mark.parametrize(("kind", "remedy"), [("account", "retrieve.yt_dlp.cookies"), ("region", "yt_dlp.proxy")])
def test_a_streak_advises_by_its_kind(kind: str, remedy: str) -> None:
    with pytest.raises(StopRetrieval) as caught:
        Streak(1).add(Outcome(status="failed: x", failure=kind))
    assert remedy in caught.value.message and f"retrieve.retry=[{kind}]" in caught.value.message


def test_a_few_failures_are_tried_again_by_the_command(retrieval: Retrieval, site: Site, red_film: bytes) -> None:
    """And what is had, gone or unusable is not asked for again."""
    urls = crawl_pages(site, red_film, 5)
    good = dict(site.handlers)
    site.add("/v1", status(500))
    site.add("/v2", status(404))
    site.add("/v3.mp4", status(403))
    site.add("/v4.mp4", file(b"no film"))
    with retrieval.crawl({"cat": urls}) as crawl:
        rows = crawl.fetch()
    assert [row.failure for row in rows] == [None, "later", "gone", "later", "unusable"]
    site.handlers = good
    site.hits.clear()
    with retrieval.crawl({"cat": urls}) as crawl:
        rows = crawl.fetch()
    assert [row.failure for row in rows] == [None, None, "gone", None, "unusable"]
    assert {hit.path[:3] for hit in site.hits} == {"/v1", "/v3"}
    for kinds, expected_kinds in ((["gone"], [None] * 4 + ["unusable"]), (["unusable"], [None] * 5)):
        with retrieval.crawl({"cat": urls}, retry=kinds) as crawl:
            assert [row.failure for row in crawl.fetch()] == expected_kinds
    rows = list(FoundVideo.read(retrieval.out / "manifest.jsonl"))
    assert statuses(rows) == ["retrieved"] * 5 and [row.rank for row in rows] == [1, 2, 3, 4, 5]


def test_new_videos_come_before_those_tried_again(retrieval: Retrieval, site: Site, red_film: bytes) -> None:
    """Else a host that is down would stop every start at the same place."""
    urls = [site.add(f"/bad{k}", status(500)) for k in range(5)] + crawl_pages(site, red_film, 2)
    for _ in range(2):
        with pytest.raises(StopRetrieval), retrieval.crawl({"cat": urls}) as crawl:
            crawl.fetch()
    assert site.of("/v0") and site.of("/v1")
    with retrieval.crawl({"cat": urls}, streak=None) as crawl:
        assert statuses(crawl.fetch()) == ["failed"] * 5 + ["retrieved"] * 2


def test_a_larger_budget_continues(retrieval: Retrieval, site: Site, red_film: bytes) -> None:
    urls = crawl_pages(site, red_film, 4)
    for most, had in ((2, 2), (3, 3), (3, 3), (None, 4)):
        with retrieval.crawl({"cat": urls}, budget=Budget(max_videos=most)) as crawl:
            rows = crawl.fetch()
        assert statuses(rows) == ["retrieved"] * had + ["skipped"] * (4 - had)
        assert [row.failure for row in rows] == [None] * had + ["budget"] * (4 - had)
    assert len([hit for hit in site.of("/v0") if hit.whole]) == 2  # looked at, fetched; never again


def test_journals_of_earlier_versions_are_read(retrieval: Retrieval, site: Site, red_film: bytes) -> None:
    """Their failures have no kind: they stay until retrieve.retry=[unknown]; their candidates were never opened."""
    urls = crawl_pages(site, red_film, 3)
    crawl = retrieval.crawl({"cat": urls})
    new = ("identity", "known")
    lines = [one.to_json() for one in crawl.source.search("cat")]
    found = [{key: value for key, value in line.items() if key not in new} for line in lines]
    videos = [one["video"] for one in found]
    old = FoundVideo(video=videos[1], class_name="cat", url=urls[1]).to_json()
    del old["failure"], old["identity"]
    entries = [
        {"begun": 1.0},
        {"searched": "cat", "found": found},
        {
            "looked": "cat",
            "results": {videos[0]: {"status": "failed: HTTP error 503 (x)"}, videos[1]: {"score": 0.9}},
            "bytes": 10,
        },
        {"row": {**old, "status": "failed: the connection broke, or there was none"}},
    ]
    crawl.journal.close()
    crawl.journal.path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    with retrieval.crawl({"cat": urls}) as crawl:
        rows = crawl.fetch()
    assert statuses(rows) == ["failed", "failed", "retrieved"] and rows[2].thumbnail_score > 0.8
    with retrieval.crawl({"cat": urls}, retry=["unknown"]) as crawl:
        assert statuses(crawl.fetch()) == ["retrieved"] * 3


def test_advice_of_yt_dlp_names_what_exists_here() -> None:
    """Every text among yt-dlp's sources that names an option of its command line."""
    texts = {RATE_LIMIT}
    for path in sorted(Path(yt_dlp.__file__).parent.glob("extractor/**/*.py")):
        texts.update(found[2] for found in QUOTED.finditer(path.read_text(encoding="utf-8")))
    for method in ("any", "password", "cookies", "session_cookies"):
        texts.add(f"This video is for registered users. {InfoExtractor()._login_hint(method)}")
    texts.add(GEO)
    assert len(texts) > 20
    settings = set()
    for text in texts:
        said = words(text)
        assert not re.search(r"(?<![\w-])--[a-z]|`-t|yt-dlp/wiki", said), said
        settings.update(re.findall(r"retrieve\.[\w.]+", said))
    assert {"retrieve.yt_dlp.cookies", "retrieve.yt_dlp.proxy", "retrieve.pause"} <= settings
    shipped = UrlsRetrieve.defaults()
    for setting in settings | {value.partition("=")[0] for value in ADVICE.values()}:
        _, key, *inner = setting.split(".")
        assert key in shipped and (not inner or inner[0] in shipped[key]), setting
    assert set(shipped["yt_dlp"]) == set(ALLOWED)
    assert words(RATE_LIMIT).startswith("[youtube] x: Video unavailable. This content isn't available, try again later")


def test_texts_without_advice_stay() -> None:
    for text in ("a video-on-demand - or not", "5 --> 6", "x-y 1-2", "Unable to open -: a file"):
        assert translate(text) == text
    assert translate("No. Use --list-formats for a list; Try --cookies and --proxy.") == (
        "No; here: retrieve.format=... or retrieve.yt_dlp.cookies=FILE or retrieve.yt_dlp.proxy=URL"
    )


def test_kinds_differ_by_their_class() -> None:
    assert {"gone", "later", "account", "list"} <= set(KINDS)
    assert Failed("x", kind="gone").kind == "gone"


def test_after_some_good_answers_the_site_refuses(retrieval: Retrieval, site: Site, red_film: bytes) -> None:
    """403 after going too fast: two videos come, the rest is refused; nothing of it is final."""
    left = [2]

    def limited(content: bytes):
        def answer(to) -> None:
            asked = to.hit.headers.get("Range") is None and to.request.path.endswith(".mp4")
            (file(content) if left[0] > 0 or not asked else status(403))(to)
            left[0] -= to.hit.whole and asked

        return answer

    urls = [site.page(f"v{k}", limited(another(red_film, f"v{k}")), RED) for k in range(9)]
    with pytest.raises(StopRetrieval, match=r"HTTP error 403"), retrieval.crawl({"cat": urls}) as crawl:
        crawl.fetch()
    left[0] = 1000
    with retrieval.crawl({"cat": urls}) as crawl:
        assert statuses(crawl.fetch()) == ["retrieved"] * 9
