"""A person reviews in headless Chromium, the server is killed, the next training reads exactly these answers."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser import Browser
from tests.processes import TINY, Cli, Process, quoted, summary
from wsvs.core.reviews import Answer, Reviews, read_history
from wsvs.data.frames import FrameSet, reviewed
from wsvs.records.shots import Shot

pytestmark = pytest.mark.slow
pytest.importorskip("starlette")
SAVED = "waiting_answers.length === 0 && !sending"
COUNT = "document.getElementById('review-count').textContent"
NAME = "rows[place].name"


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("browser")) as made:
        yield made


@pytest.fixture
def home(toy, tmp_path) -> Path:
    """A copy of the runs of the toy pipeline, to be reviewed."""
    shutil.copytree(toy.out / "toy", tmp_path / "out" / "toy")
    return tmp_path / "out" / "toy"


def start(cli: Cli, home: Path) -> tuple[Process, str]:
    """The server of a review, and the address that it prints."""
    words = ("stage=review", "name=toy", f"out={quoted(home.parent)}")
    process = cli.start(*words, launcher=(sys.executable, "-u", "-m"))
    for line in process.stdout:
        if found := re.search(r"http://127\.0\.0\.1:\d+/\S+/", line):
            return process, found[0]
    pytest.fail("the server printed no address")


def choose(browser: Browser, name: str, value: str) -> None:
    one = f"document.getElementById('{name}')"
    browser.ask(f"{one}.value = {value!r}, {one}.dispatchEvent(new Event('change'))")


def test_reviewed_killed_reviewed_on_and_trained(cli, browser, toy, home):
    journal, said = home / "review.jsonl", {}
    process, address = start(cli, home)
    browser.said.clear()
    browser.open(address)
    browser.wait(f"{COUNT}.includes('answered')")
    images = browser.ask("rows.map(item => item.name)")
    assert len(images) >= 12 and browser.ask(COUNT).startswith("0 of ")
    browser.click("#review-start")
    begun = time.monotonic()
    for number, key in enumerate("yynynnyynyny"):
        said["image", browser.ask(NAME)] = Answer({"y": "accept", "n": "reject"}[key])
        browser.press(key, key)
        assert browser.ask("place") == min(number + 1, len(images) - 1)  # and on to the next
    browser.wait(SAVED)
    print(f"{12 / (time.monotonic() - begun):.1f} answers a second")
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert {(one.kind, one.name): answer for one, answer in read_history(journal).answers.values()} == said

    process, address = start(cli, home)
    browser.open(address)
    browser.wait(f"{COUNT}.startsWith('12 of ')")
    choose(browser, "kind", "shot")
    shots = list(Shot.read(toy.run("segment") / "shots.jsonl"))
    browser.click("#review-start")
    assert browser.ask("rows.length") == len(shots) >= 4
    retagged = browser.ask(NAME)
    other = browser.ask("classes.find(one => !own[rows[place].number].includes(one))")
    digit = str(browser.ask(f"shownTags(rows[place]).indexOf({json.dumps(other)}) + 1"))
    browser.press(digit, digit)
    said["shot", retagged] = Answer("accept", (other,))
    for key in "yny":
        name = browser.ask(NAME)
        said["shot", name] = said.get(("shot", name)) or Answer({"y": "accept", "n": "reject"}[key])
        browser.press(key, key)
    browser.press("n", "n")
    browser.press("u", "u")
    browser.wait(SAVED)
    assert browser.ask("document.getElementById('review-said').textContent") == "undone"
    browser.press("Escape")
    choose(browser, "review-filter", "reject")
    rejected = [name for (kind, name), one in said.items() if kind == "shot" and one.verdict == "reject"]
    assert browser.ask("rows.map(item => item.name)") == rejected
    assert browser.ask("document.querySelector('.card[data-verdict=reject] .verdict').textContent") == "rejected"
    browser.click("#review-done")
    cli.finish(process)
    assert browser.said == []
    found = {(one.kind, one.name): answer for one, answer in read_history(journal).answers.values() if answer}
    assert found == said

    words = [word for word in TINY if word.startswith(("trainer", "model", "decoder"))]
    out = cli.run("stage=decoder", "name=toy", f"out={quoted(home.parent)}", *words, *toy.inputs("encoder", "segment"))
    assert "reviewed by a person:" in out
    [run] = [path for path in (home / "decoder").iterdir() if (path / "reviews.json").is_file()]
    answers = Reviews.read(json.loads((run / "reviews.json").read_text())).shots
    wanted = {name: one for (kind, name), one in said.items() if kind == "shot"}
    assert answers == {
        name: Answer(one.verdict if one.verdict == "reject" else None, one.tags)
        for name, one in wanted.items()
        if one.verdict == "reject" or one.tags
    }
    kept = FrameSet.select(toy.run("segment"), reviewed(shots, answers), 0.005, 0.9, 0.5)
    counts = summary(run)["counts"]
    assert counts["shots"] + counts["held-out shots"] == len(kept.shots)
    assert summary(run)["person"] == Reviews(answers).summary()


def test_answers_wait_for_a_server_that_does_not_answer(cli, browser, home):
    """They are not taken for saved, and the page says so."""
    process, address = start(cli, home)
    browser.open(address)
    browser.wait(f"{COUNT}.includes('answered')")
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    browser.click("#review-start")
    browser.press("y", "y")
    browser.wait("document.getElementById('review-said').textContent.startsWith('not saved')")
    assert browser.ask("waiting_answers.length") == 1
    browser.ask("waiting_answers = []")


@pytest.mark.parametrize("width", [390, 1280])
def test_the_review_fits_a_phone(cli, browser, home, width):
    process, address = start(cli, home)
    browser.open(address, width, 740)
    browser.wait(f"{COUNT}.includes('answered')")
    assert browser.ask("document.documentElement.scrollWidth") <= width
    browser.click("#review-start")
    box = "(box => [box.left, box.right, box.top, box.bottom])(document.querySelector('{}').getBoundingClientRect())"
    for part in ("#review-accept", "#review-reject", "#review-undo", "#review-other", ".stage"):
        left, right, top, bottom = browser.ask(box.replace("{}", part))
        assert 0 <= left < right <= width and 0 <= top < bottom <= 740, part
    browser.press("Escape")
    browser.click("#review-done")
    cli.finish(process)
