from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from wsvs.retrieve.pace import OUTAGE, Busy, Pace, StopRetrieval


class Clock:
    """Time passes only in sleep."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def pace(clock: Clock, **how: object) -> Pace:
    settings: dict = {"pause": (2.0, 5.0), "rate": 1000.0, "backoff": 10.0, "retries": 3, **how}
    return Pace(**settings, sleep=clock.sleep, clock=lambda: clock.now)


def failing(times: int, error: Callable[[], Exception]) -> Callable[[], str]:
    left = [times]

    def request() -> str:
        left[0] -= 1
        if left[0] >= 0:
            raise error()
        return "done"

    return request


def test_pauses_between_requests() -> None:
    clock = Clock()
    slow = pace(clock)
    starts = []
    for _ in range(20):
        slow.retrying(lambda: starts.append(clock.now))
    gaps = [after - before for before, after in itertools.pairwise(starts)]
    assert starts[0] == 100.0 and all(2.0 <= gap <= 5.0 for gap in gaps)
    assert max(gaps) - min(gaps) > 0.5  # not like clockwork


def test_what_passes_anyway_counts_as_pause() -> None:
    clock = Clock()
    slow = pace(clock)
    slow.turn()
    clock.now += 60
    slow.turn()
    assert clock.slept == []


def test_backs_off_longer_each_time() -> None:
    clock = Clock()
    assert pace(clock, pause=(0, 0)).retrying(failing(3, lambda: Busy(OSError("503")))) == "done"
    assert len(clock.slept) == 3
    for wait, base in zip(clock.slept, (10, 20, 40), strict=True):
        assert base <= wait <= 1.5 * base


def test_waits_as_long_as_the_site_asks() -> None:
    clock = Clock()
    pace(clock, pause=(0, 0)).retrying(failing(1, lambda: Busy(OSError("429"), wait=77.0, refused=True)))
    assert clock.slept == [77.0]
    with pytest.raises(StopRetrieval, match="wait for 120 minutes"):
        pace(clock).retrying(failing(1, lambda: Busy(OSError("429"), wait=7200.0)))


def test_gives_up_on_one_and_stops_at_a_refusal() -> None:
    clock = Clock()
    with pytest.raises(ConnectionError, match="gone"):
        pace(clock).retrying(failing(4, lambda: Busy(ConnectionError("gone"))))
    with pytest.raises(StopRetrieval, match="still refuses after 4 attempts"):
        pace(clock).retrying(failing(4, lambda: Busy(OSError("429"), refused=True)))


def test_stops_where_nothing_answers_any_more() -> None:
    clock = Clock()
    slow = pace(clock, retries=0)

    def fail(count: int) -> None:
        for _ in range(count):
            with pytest.raises(ConnectionError):
                slow.retrying(failing(1, lambda: Busy(ConnectionError("gone"))))

    fail(OUTAGE - 1)
    slow.retrying(lambda: None)  # a response: the count starts again
    fail(OUTAGE - 1)
    with pytest.raises(StopRetrieval, match="no answers"):
        slow.retrying(failing(1, lambda: Busy(ConnectionError("gone"))))


def test_rate() -> None:
    clock = Clock()
    slow = pace(clock)
    slow.spend(5000, since=100.0)
    assert clock.now == 105.0
    slow.spend(5000, since=90.0)  # slower than the limit already
    assert clock.now == 105.0


def test_settings_refused() -> None:
    with pytest.raises(ValueError, match=r"pause must be two numbers >= 0, the lower one first, got \(3, 1\)"):
        Pace(pause=(3, 1))
