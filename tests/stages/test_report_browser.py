"""The report's page in headless Chromium: clicked, typed at, on a phone, with 5,000 shots. Skipped where none is."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from tests.browser import Browser
from wsvs.report.page import page
from wsvs.report.records import Count, Evaluation, ImageCard, Report, ShotCard, StageRun

pytestmark = pytest.mark.slow
NASTY = "</script><script>throw 1</script>"
MANY = 5000
PAGE = 48
PIXEL = "data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA="
NAMES = "[...document.querySelectorAll('#shots-cards b')].map(one => one.textContent)"
FOCUSED = "document.activeElement.id || document.activeElement.className || document.activeElement.tagName"


def many(count: int) -> Report:
    shots = [
        ShotCard(
            f"{kind}/{k:05d}{NASTY if k == 7 else ''}", kind, 6, f"https://example.org/{k}", f"file:///clips/{k}.mp4",
            (k * 37 % count) / count, None if k == 3 else float(k), 0.1, mask=PIXEL, attention=PIXEL, motion=PIXEL,
        )
        for k, kind in ((k, f"kind {k % 7}") for k in range(count))
    ]
    classes = {f"kind {k}": count // 7 for k in range(7)}
    images = [ImageCard(f"i{k}", 0.5, f"file:///{k}.jpg", PIXEL, PIXEL) for k in range(60)]
    confusion = [["", *"abcdefghijklmnopqrstu"], *([name, *["1"] * 21] for name in "abcdefghijklmnopqrstu")]
    return Report(
        f"n {NASTY}", "today", [f"not there: {'long/' * 40}"],
        stages=[StageRun("encoder", "/a/" + "long/" * 30, 1, "image tags", "wsvs stage=encoder "
                         + "data.root=somewhere " * 9, {"torch": "2"}, None)],
        flow=[Count("videos", "found", count, classes), Count("frames", "relevant", count, classes)],
        curves={"encoder": {"val/map": [(0.0, 0.1), (9.0, 0.9)]}},
        evaluations=[Evaluation("all", "image", "predict", "val", {"mIoU": 0.5}, [["class", "iou"], ["a", "0.5"]],
                                confusion)],
        shots=shots, shots_in_all=Counter(shot.category for shot in shots), best=images, worst=images[:5],
        scored_images=99,
    )


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("browser")) as made:
        yield made


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(page(many(MANY)))
    return path


@pytest.fixture
def opened(browser, written):
    """The page anew; whatever comes up on the console by the end of the test is an error."""
    browser.said.clear()
    browser.open(written)
    yield browser
    assert browser.said == []


def expected(key: str, highest: bool, kind: str | None = None) -> list[str]:
    """Names of the first page."""
    kept = [one for one in many(MANY).shots if getattr(one, key) is not None and kind in (None, one.category)]
    return [one.shot for one in sorted(kept, key=lambda one: getattr(one, key), reverse=highest)][:PAGE]


def choose(browser: Browser, selector: str, steps: int) -> None:
    """Go down a list by its keys, as one does who has clicked or tabbed to it."""
    browser.ask(f"document.querySelector('{selector}').focus()")
    for _ in range(abs(steps)):
        browser.press("ArrowDown" if steps > 0 else "ArrowUp")


def test_filters_and_sorting(opened):
    """What is shown, and how many, is what Python sorts and counts."""
    assert opened.ask(NAMES) == expected("score", True)
    assert opened.ask("document.querySelector('.place').textContent") == f"1 to {PAGE} of {MANY} shots"
    choose(opened, "#order", 1)
    assert opened.ask(NAMES) == expected("score", False)
    choose(opened, "#sort", 1)
    assert opened.ask(NAMES) == expected("energy", False)
    choose(opened, "#order", -1)
    assert opened.ask(NAMES) == expected("energy", True)
    choose(opened, "#class", 4)
    assert opened.ask(NAMES) == expected("energy", True, "kind 3")
    assert opened.ask("document.querySelector('.place').textContent").endswith(f" of {len(range(3, MANY, 7))} shots")
    choose(opened, "#class", -4)
    choose(opened, "#sort", 1)  # by class, whatever the order; in it the highest score first
    assert {name.partition("/")[0] for name in opened.ask(NAMES)} == {"kind 0"}
    assert opened.ask("document.getElementById('order').disabled")


def test_a_shot_without_energy_comes_last(opened):
    choose(opened, "#sort", 1)
    last = "rows => { while (!document.querySelector('.on').disabled) document.querySelector('.on').click(); }"
    opened.ask(f"({last})()")
    assert opened.ask(NAMES)[-1] == "kind 3/00003"


def test_pages_are_turned_and_the_page_stays_small(opened):
    nodes = opened.ask("document.querySelectorAll('*').length")
    opened.click(".pager .on")
    assert opened.ask(NAMES)[0] not in expected("score", True)
    assert opened.ask("document.querySelector('.place').textContent") == f"{PAGE + 1} to {2 * PAGE} of {MANY} shots"
    opened.click(".cards + .pager .on")  # the one below goes back to the top
    assert 0 <= opened.ask("document.querySelector('.pager').getBoundingClientRect().top") < 300
    opened.click(".pager .back")
    opened.click(".pager .back")
    assert opened.ask(NAMES) == expected("score", True) and opened.ask("document.querySelector('.back').disabled")
    assert opened.ask("document.querySelectorAll('*').length") == nodes < 3000


def test_only_pictures_that_are_shown_are_in_the_document(opened):
    """Three of each shot, two of each prediction; galleries turn their pages by themselves."""
    count = "document.querySelectorAll('{} img').length"
    images = [opened.ask(count.format(place)) for place in ("#shots", "#best-cards", "#worst-cards", "body")]
    assert images == [3 * PAGE, 2 * PAGE, 2 * 5, 3 * PAGE + 2 * PAGE + 2 * 5]
    assert opened.ask("document.querySelector('#best-gallery .place').textContent") == f"1 to {PAGE} of 60 images"
    opened.click("#best-gallery .on")
    assert opened.ask(count.format("#best-cards")) == 2 * (60 - PAGE)
    assert opened.ask("document.querySelector('#best-cards b').textContent") == f"i{PAGE}"
    assert opened.ask(NAMES) == expected("score", True)  # the shots have stayed where they were
    assert opened.ask("document.querySelector('#worst-gallery button').offsetParent === null")


def test_gallery_that_was_cut_says_so(browser, tmp_path):
    """And a shot whose pictures are gone has no empty link."""
    whole = many(21)
    first, second, *others = whole.shots[:5]
    shots = [ShotCard(first.shot, first.category, 6, score=first.score), replace(second, clip=None), *others]
    path = tmp_path / "report.html"
    path.write_text(page(replace(whole, shots=shots)))
    browser.open(path)
    place = "document.querySelector('#shots-gallery .place').textContent"
    assert browser.ask(place) == "5 of 21 shots"
    assert browser.ask("[...document.querySelectorAll('.card a')].every(one => one.href && one.textContent || "
                       "one.querySelector('img'))")
    assert browser.ask("document.querySelectorAll('#shots .pictures').length") == 4
    assert browser.ask("document.querySelectorAll('#shots a.pictures').length") == 3
    choose(browser, "#class", 1)
    assert browser.ask(place) == "1 of 3 shots"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_tints_are_those_that_can_be_read_on(opened, theme):
    """The browser reckons the style's strongest tint as test_report.py does, which takes their contrast."""
    opened.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
    opened.ask("document.querySelector('.heat').style.setProperty('--share', 1)")
    said = opened.ask("getComputedStyle(document.querySelector('.heat')).backgroundColor")
    opened.call("Emulation.setEmulatedMedia", features=[])
    assert said == {"light": "rgba(10, 92, 156, 0.6)", "dark": "rgba(124, 188, 242, 0.45)"}[theme]


def test_every_picture_leads_to_its_clip_and_source(opened):
    links = opened.ask(
        "[...document.querySelectorAll('#shots-cards .card')].map(card => [card.querySelector('b').textContent, "
        "[...card.querySelectorAll('img')].map(one => one.closest('a').href), "
        "[...card.querySelectorAll('.links a')].map(one => one.href)])"
    )
    for name, pictures, words in links:
        number = int(name.partition("/")[2][:5])
        assert pictures == [f"file:///clips/{number}.mp4"] * 3
        assert words == [f"file:///clips/{number}.mp4", f"https://example.org/{number}"]
    assert opened.ask("document.querySelector('#best-cards img').closest('a').href") == "file:///0.jpg"


def test_everything_is_reached_by_the_keyboard(opened):
    """Tab goes through links and controls in their order; keys work them; what has the focus is not hidden."""
    reached = []
    for _ in range(40):
        opened.press("Tab")
        reached.append(opened.ask(FOCUSED))
        assert opened.ask(
            "(box => !!document.activeElement.closest('header') || box.top >= document.querySelector('header')"
            ".getBoundingClientRect().bottom - 1)(document.activeElement.getBoundingClientRect())"
        )
        if reached[-1] == "on":
            break
    wanted = ["A", "wide", "SUMMARY", "class", "sort", "order", "on"]
    assert [one for one in dict.fromkeys(reached) if one in wanted] == wanted
    opened.press("Enter", "\r")
    assert opened.ask("document.querySelector('.place').textContent").startswith(f"{PAGE + 1} to")
    assert opened.ask(FOCUSED) == "on"
    opened.press("Tab")
    assert opened.ask("document.activeElement.className") == "pictures"


@pytest.mark.parametrize("width", [360, 390, 768])
def test_readable_on_a_phone(browser, written, width):
    """Nothing has to be moved sideways but wide tables, by themselves; text is large enough, controls too."""
    browser.said.clear()
    browser.open(written, width, 740)
    assert browser.ask("document.documentElement.scrollWidth") <= browser.ask("innerWidth") == width
    assert browser.ask("[...document.querySelectorAll('.wide')].some(one => one.scrollWidth > one.clientWidth)")
    smallest = (
        "Math.min(...[...document.querySelectorAll('main *')].filter(one => one.children.length === 0 && "
        "one.textContent.trim() && !one.closest('svg')).map(one => parseFloat(getComputedStyle(one).fontSize)))"
    )
    assert browser.ask(smallest) >= 12
    assert browser.ask(
        "[...document.querySelectorAll('select,.pager button')].filter(one => one.offsetParent)"
        ".every(one => one.getBoundingClientRect().height >= 32)"
    )
    assert browser.said == []


def test_nothing_breaks_out_of_the_data(opened):
    text = page(many(10))
    assert NASTY not in text and text.count("</script>") == 2
    assert opened.ask("document.querySelector('h1').textContent") == f"n {NASTY}"
