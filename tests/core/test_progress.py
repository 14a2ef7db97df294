"""Progress of any piece of work: rates as people say them, lines off a terminal, a bar on a real (pseudo) terminal."""

from __future__ import annotations

import logging
import os
import pty
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest

import wsvs.core.progress
from wsvs.core.progress import Meter, duration, follow, rate_text

WORK = """
import logging, time
from wsvs.core.console import log_to_stdout
from wsvs.core.progress import follow
log_to_stdout()
for number in follow(range(40), "frames"):
    time.sleep(0.02)
    if number == 20:
        logging.getLogger("wsvs").warning("skipped %d", number)
print("after")
"""


@pytest.fixture
def clock(monkeypatch):
    now = SimpleNamespace(time=1000.0)
    monkeypatch.setattr(wsvs.core.progress, "time", SimpleNamespace(monotonic=lambda: now.time))
    return now


@pytest.mark.parametrize(
    ("rate", "text"),
    [(12.34, "12.3 frames/s"), (1, "1.0 frames/s"), (0.5, "30.0 frames/min"), (0.005, "18.0 frames/h"), (0, "")],
)
def test_rates(rate, text):
    assert rate_text(rate, "frames") == text


def test_lines_off_a_terminal(clock, caplog, capsys):
    caplog.set_level(logging.INFO, "wsvs")
    for _ in follow(["a"] * 10, "videos"):
        clock.time += 20
    for _ in follow(iter("ab"), "masks"):  # of unknown number
        clock.time += 31
    for _ in follow(range(100), "frames"):  # short work says nothing
        clock.time += 0.1
    assert caplog.messages == [
        "2 of 10 videos, 3.0 videos/min, 3 min left",
        "4 of 10 videos, 3.0 videos/min, 2 min left",
        "6 of 10 videos, 3.0 videos/min, 1 min left",
        "8 of 10 videos, 3.0 videos/min, 40 s left",
        "10 of 10 videos, 3.0 videos/min",
        "1 of ? masks, 1.9 masks/min",
        "2 of ? masks, 1.9 masks/min",
    ]
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "1 s"),
        (40.4, "40 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (60, "1 min"),
        (3540, "59 min"),
        (3599, "1 h 0 min"),
        (15120, "4 h 12 min"),
        (86399, "1 day 0 h"),
        (86400, "1 day 0 h"),
        (6042 * 60, "4 days 5 h"),
        (171000, "2 days 0 h"),
        (1e7, "115 days 18 h"),
    ],
)
def test_times_in_words(seconds, text):
    assert duration(seconds) == text


def test_more_than_was_expected_leaves_no_negative_time(clock, caplog):
    """A video whose header promises 60 frames has 88; a start that resumes counts from where it was."""
    caplog.set_level(logging.INFO, "wsvs")
    with Meter(60, "frames", done=20) as meter:
        for done in (50, 60, 88):
            clock.time += 31
            meter.tell(done)
    assert caplog.messages == [
        "50 of 60 frames, 58.1 frames/min, 10 s left",
        "60 of 60 frames, 38.7 frames/min",
        "88 frames (60 expected), 43.9 frames/min",
    ]


def test_work_that_fails_goes_through():
    work = follow([1, 2], "videos")
    assert next(work) == 1
    with pytest.raises(KeyError):
        work.throw(KeyError())


def test_bar_in_a_terminal():
    """The bar with count, time left and rate; a line of the log stands whole above it; nothing else is left."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "30"}
    process = subprocess.Popen(
        [sys.executable, "-c", WORK], stdin=theirs, stdout=theirs, stderr=theirs, env=environment, close_fds=True
    )
    os.close(theirs)
    said = b""
    while True:
        try:
            more = os.read(ours, 4096)
        except OSError:  # the other end is closed
            break
        if not more:
            break
        said += more
    os.close(ours)
    assert process.wait() == 0
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", said.decode())
    lines = [line for line in re.split(r"[\r\n]+", plain) if line.strip()]
    assert re.fullmatch(r"frames \S+\s+40/40 0:00:00 [\d.]+ frames/s\s*", lines[-2]), lines[-2]
    assert lines[-1] == "after" and "skipped 20" in [line.strip() for line in lines]
