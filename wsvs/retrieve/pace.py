"""Spacing of requests: pauses, a limit on the rate, back-off when a site is busy, and when to stop."""

from __future__ import annotations

import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from wsvs.config.base import Above0, AtLeast0, Natural, Positive, Range
from wsvs.config.checked import checked
from wsvs.config.groups import WebRetrieve
from wsvs.core.errors import UserError
from wsvs.retrieve.source import STRIKES

log = logging.getLogger("wsvs")
T = TypeVar("T")
_DEFAULT = WebRetrieve()

LONGEST_WAIT = 3600.0  # seconds; the run stops if a site asks for more
OUTAGE = 5  # requests in a row that came to nothing, each after all its attempts: the network is gone, or we are


class StopRetrieval(UserError):
    """The retrieval as a whole has to end here: what comes next would fail too, or do harm. It can be resumed."""


class Busy(Exception):
    """A request that may go well later: the site said 429 or 503, or the connection broke.

    Args:
        cause: What happened.
        wait: Seconds that the site asks for, if it does.
        refused: The site said that we ask too much (429).
    """

    def __init__(self, cause: Exception, *, wait: float | None = None, refused: bool = False) -> None:
        super().__init__(str(cause))
        self.cause = cause
        self.wait = wait
        self.refused = refused


class Streak:
    """Stops the run where one failure follows another, whatever each of them says.

    Args:
        limit: Failures in a row that stop it; None never does.
    """

    @checked
    def __init__(self, limit: Positive | None) -> None:
        self.limit = limit
        self._kinds: list[str] = []
        self._last = ""

    @property
    def full(self) -> bool:
        return self.limit is not None and len(self._kinds) >= self.limit

    def count(self, result: Mapping[str, Any]) -> None:
        """What came of one request or one video: {"status", "failure"}, without a failure if it went well.

        One that is gone, and a file that is no video, are answers of a site in good order: they end the streak.
        """
        if result.get("failure") in STRIKES:
            self._kinds.append(result["failure"])
            self._last = str(result["status"])
        elif result.get("failure") != "budget":
            self._kinds.clear()

    def check(self) -> None:
        """Raises `StopRetrieval` if the streak is long enough."""
        if not self.full:
            return
        kinds = Counter(self._kinds)
        again = "which resumes, and retries temporary failures"
        remedy = f"wait some hours, raise retrieve.pause, and run the same command again, {again}"
        if kinds["account"] == len(self._kinds):
            remedy = (
                "give the cookies of a logged-in browser (retrieve.yt_dlp.cookies=FILE) with "
                f"retrieve.retry=[account], or run the same command without them, {again}"
            )
        elif kinds["region"] == len(self._kinds):
            remedy = f"give retrieve.yt_dlp.proxy=URL retrieve.retry=[region], or run the same command again, {again}"
        raise StopRetrieval(
            f"{len(self._kinds)} failures in a row ({', '.join(f'{kind} {count}' for kind, count in kinds.items())}), "
            f"the last one: {self._last}",
            remedy=f"{remedy}; retrieve.streak=null never stops",
        )

    def add(self, result: Mapping[str, Any]) -> None:
        self.count(result)
        self.check()


class Pace:
    """One request at a time, with a pause before each.

    Args:
        pause: Shortest and longest pause between two requests, seconds; drawn at random each time.
        rate: Bytes a second that files are read with at most.
        backoff: Seconds to wait after the first failure of a request; doubled after each further one, and up to
            half as much again at random, so that many clients do not come back together.
        retries: Attempts after the first one.
        sleep, clock: For tests.
    """

    @checked
    def __init__(
        self,
        *,
        pause: Range = _DEFAULT.pause,
        rate: Above0 = _DEFAULT.rate,
        backoff: AtLeast0 = _DEFAULT.backoff,
        retries: Natural = _DEFAULT.retries,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.pause, self.rate, self.backoff, self.retries = (float(pause[0]), float(pause[1])), rate, backoff, retries
        self._sleep, self._clock = sleep, clock
        self._random = random.Random()  # of its own: pauses must not disturb the seed of anything else
        self._free = -float("inf")  # when the next request may start
        self._failures = 0

    def turn(self) -> None:
        """Wait until the next request may start."""
        self._sleep_until(self._free)
        self._free = self._clock() + self._random.uniform(*self.pause)

    def retrying(self, request: Callable[[], T]) -> T:
        """Make a request in its turn, and again if it raises `Busy`, waiting longer each time.

        Raises:
            StopRetrieval: The site still refuses after all attempts, asks for too long a wait, or nothing at all
                answers any more.
            Exception: The cause of the last `Busy`.
        """
        for attempt in range(self.retries + 1):
            self.turn()
            try:
                result = request()
            except Busy as busy:
                wait = self._wait(busy, attempt)
                if attempt < self.retries:
                    log.info("waits %.0f s: %s", wait, busy)
                    self._sleep(wait)
                    continue
                self._give_up(busy)
            self._failures = 0
            return result
        raise AssertionError("unreachable")

    def _wait(self, busy: Busy, attempt: int) -> float:
        if busy.wait is not None and busy.wait > LONGEST_WAIT:
            raise StopRetrieval(
                f"the site asks to wait for {busy.wait / 60:.0f} minutes ({busy})",
                remedy="run the same command again then, to resume",
            ) from busy.cause
        wait = self.backoff * 2.0**attempt * self._random.uniform(1.0, 1.5)
        return min(max(wait, busy.wait or 0.0), LONGEST_WAIT)

    def _give_up(self, busy: Busy) -> None:
        self._failures += 1
        if busy.refused:
            raise StopRetrieval(
                f"the site still refuses after {self.retries + 1} attempts ({busy})",
                remedy="wait some hours, raise retrieve.pause, and run the same command again to resume",
            ) from busy.cause
        if self._failures >= OUTAGE:
            raise StopRetrieval(
                f"no answers: {OUTAGE} requests in a row failed, the last one with: {busy}",
                remedy="check the network and run the same command again to resume",
            ) from busy.cause
        raise busy.cause

    def spend(self, count: int, since: float) -> None:
        """Sleep until `count` bytes are within the rate, counted from the time `since` of `now`."""
        self._sleep_until(since + count / self.rate)

    def now(self) -> float:
        return self._clock()

    def _sleep_until(self, moment: float) -> None:
        left = moment - self._clock()
        if left > 0:
            self._sleep(left)
