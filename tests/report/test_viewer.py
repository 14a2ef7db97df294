"""One image or video of the report at full size, in headless Chromium. Skipped where none is."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.browser import Browser
from tests.films import make_film
from tests.reports import thumbnail
from wsvs.core.masks import write_mask
from wsvs.report.page import page
from wsvs.report.records import Figures, Item, Report

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("browser")) as made:
        yield made


@pytest.fixture
def real(tmp_path) -> Path:
    """A page of an image of 40 x 20 px, half of it a cat now, the other half before, and a shot; with their files."""
    Image.new("RGB", (40, 20), "white").save(tmp_path / "image.png")
    for name, side in (("now", np.s_[:, 20:]), ("before", np.s_[:, :20])):
        mask = np.zeros((20, 40), np.uint8)
        mask[side] = 1
        write_mask(tmp_path / f"{name}.png", mask)
    make_film(tmp_path / "clip.mp4", 20, size=(64, 48))
    make_film(tmp_path / "over.mp4", 10, size=(64, 48))
    found, shown = Figures(0.5, 0.9, 1.0), thumbnail()
    items = [
        Item(
            "image",
            "a",
            found,
            {"cat": found},
            "image.png",
            None,
            "now.png",
            "before.png",
            thumbnail=shown,
            attention=shown,
        ),
        Item("image", "gone", found, {}, "gone.tif", None, "gone.png", thumbnail=shown),
        Item(
            "shot",
            "s",
            Figures(),
            {"cat": Figures()},
            "clip.mp4",
            (0.25, 0.75),
            overlay="over.mp4",
            frames=10,
            thumbnail=shown,
            attention=shown,
        ),
    ]
    path = tmp_path / "report.html"
    path.write_text(page(Report("n", "today", items=items, in_all=Counter(one.kind for one in items))))
    return path


def pixels(browser: Browser, folder: Path) -> list[tuple[int, int, int]]:
    """Colours of the image on the screen, at its left and its right quarter."""
    layers = "document.querySelector('.layers').getBoundingClientRect()"
    box = browser.ask(f"(box => [box.x, box.y, box.width, box.height])({layers})")
    browser.screenshot(folder / "shot.png")
    with Image.open(folder / "shot.png") as image:
        return [image.convert("RGB").getpixel((box[0] + share * box[2], box[1] + box[3] / 2)) for share in (0.25, 0.75)]


def put(browser: Browser, name: str, value: str, event: str = "input") -> None:
    one = f"document.getElementById('{name}')"
    browser.ask(f"{one}.value = {value!r}, {one}.dispatchEvent(new Event('{event}'))")


def test_full_size_with_mask_opacity_and_a_line(browser, real, tmp_path):
    """What the screen shows: white is the image, dark red the mask, whose background is clear."""
    browser.open(real)
    browser.ask("document.querySelector('.open').click()")
    browser.wait("['image', 'mask'].every(one => document.getElementById('layer-' + one).naturalWidth === 40)")
    white, red = (255, 255, 255), (128, 0, 0)
    assert browser.ask("document.querySelector('.layers').clientWidth") > 1000  # as large as it can be
    put(browser, "opacity", "1")
    assert pixels(browser, tmp_path) == [white, red]
    put(browser, "opacity", "0.5")
    assert pixels(browser, tmp_path)[1] == pytest.approx((191, 127, 127), abs=2)
    put(browser, "opacity", "1")
    put(browser, "line", "100")  # all of it is left of the line, where there is no mask
    assert pixels(browser, tmp_path) == [white, white]
    put(browser, "left", "before")
    browser.wait("document.getElementById('layer-left').naturalWidth === 40")
    assert pixels(browser, tmp_path) == [red, white]
    put(browser, "line", "50")
    assert pixels(browser, tmp_path) == [red, red]
    browser.press("m", "m")
    assert pixels(browser, tmp_path) == [white, white]
    browser.press("a", "a")
    assert pixels(browser, tmp_path) != [white, white]
    assert browser.ask("document.getElementById('left').options.length") == 2  # there is no true mask
    shown = browser.ask("document.querySelector('#viewer-figures tbody').textContent")
    assert shown == "all0.9050.0 %1.00cat0.9050.0 %1.00"


def test_an_image_that_is_gone_is_shown_small(browser, real):
    browser.open(real)
    browser.ask("document.querySelectorAll('.open')[1].click()")
    browser.wait("document.getElementById('layer-image').src.startsWith('data:image/webp')")
    assert browser.ask("getComputedStyle(document.getElementById('layer-mask')).display") == "none"  # drawn already


def test_clips_play_with_their_overlay(browser, real):
    """Without the mask the clip itself plays, the shot's part of it."""
    browser.open(real)
    put(browser, "kind", "shot", "change")
    browser.ask("document.querySelector('.open').click()")
    video = "document.getElementById('viewer-video')"
    browser.wait(f"{video}.readyState >= 2")
    assert browser.ask(f"{video}.currentSrc").endswith("over.mp4#t=0") and browser.ask(f"{video}.videoWidth") == 64
    browser.ask(f"{video}.pause(), {video}.currentTime = 0.1")
    browser.click("#show-mask")
    browser.wait(f"{video}.readyState >= 2 && {video}.currentTime >= 0.35")
    assert browser.ask(f"{video}.currentSrc").endswith("clip.mp4#t=0.35,0.75")
    browser.ask(f"{video}.pause(), {video}.currentTime = 0.5")
    browser.click("#show-mask")
    browser.wait(f"{video}.readyState >= 2 && {video}.currentSrc.endsWith('over.mp4#t=0.25')")
    browser.click("#show-heat")
    assert browser.ask("getComputedStyle(document.querySelector('.layers')).display") == "grid"
    browser.click("#viewer-close")
    browser.wait(f"{video}.paused")  # the event of closing comes after the click
