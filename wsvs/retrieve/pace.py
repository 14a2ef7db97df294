"""Rate limiting of requests: pauses, download rate, back-off when a site is busy, and when to stop."""

from __future__ import annotations

import logging
import random
import time
from collections import Counter
from collections.abc import Callable
from typing import TypeVar

from wsvs.config.base import Above0, AtLeast0, Natural, Positive, Range
from wsvs.config.checked import checked
from wsvs.config.groups import WebRetrieve
from wsvs.core.errors import UserError
from wsvs.records.retrieved import FoundVideo, Outcome
from wsvs.retrieve.source import STRIKES

log = logging.getLogger("wsvs")
T = TypeVar("T")
_DEFAULT = WebRetrieve()

LONGEST_WAIT = 3600.0  # seconds; the run stops if a site asks for more
OUTAGE = 5  # consecutive failed requests, each after all its attempts, that indicate a network outage


class StopRetrieval(UserError):
    """The whole retrieval must stop, because further requests would fail too, or do harm. It can be resumed."""


class Busy(Exception):
    """A request that may succeed later: status 429 or 503, or a broken connection.

    Args:
        cause: The original exception.
        wait: Seconds to wait requested by the site, if any.
        refused: The site reported too many requests (429).
    """

    def __init__(self, cause: Exception, *, wait: float | None = None, refused: bool = False) -> None:
        super().__init__(str(cause))
        self.cause = cause
        self.wait = wait
        self.refused = refused


class Streak:
    """Stops the run after consecutive failures, whatever their reasons.

    Args:
        limit: Number of consecutive failures that stop it; None for never.
    """

    @checked
    def __init__(self, limit: Positive | None) -> None:
        self.limit = limit
        self._kinds: list[str] = []
        self._last = ""

    @property
    def full(self) -> bool:
        return self.limit is not None and len(self._kinds) >= self.limit

    def count(self, result: Outcome | FoundVideo) -> None:
        """Add the outcome of a request or video, without a failure on success.

        Videos that are gone and files that are not videos show that the site works: they end the streak.
        """
        if result.failure in STRIKES:
            self._kinds.append(result.failure)
            self._last = str(result.status)
        elif result.failure != "budget":
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
            f"{len(self._kinds)} consecutive failures "
            f"({', '.join(f'{kind} {count}' for kind, count in kinds.items())}), the last one: {self._last}",
            remedy=f"{remedy}; retrieve.streak=null never stops",
        )

    def add(self, result: Outcome | FoundVideo) -> None:
        self.count(result)
        self.check()


class Pace:
    """One request at a time, with a pause before each.

    Args:
        pause: Minimum and maximum pause between two requests, in seconds; drawn at random each time.
        rate: Maximum download rate, bytes per second.
        backoff: Seconds to wait after the first failure of a request, doubled after each further one, plus up to half
            as much at random, so that many clients do not retry at the same time.
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
        self._random = random.Random()  # separate, so that pauses do not change other random draws
        self._free = -float("inf")  # when the next request may start
        self._failures = 0

    def turn(self) -> None:
        """Wait until the next request may start."""
        self._sleep_until(self._free)
        self._free = self._clock() + self._random.uniform(*self.pause)

    def retrying(self, request: Callable[[], T]) -> T:
        """Make a rate-limited request, and retry it with back-off if it raises `Busy`.

        Raises:
            StopRetrieval: The site refuses after all attempts, asks for too long a wait, or there is a network outage.
            Exception: The cause of the last `Busy`.
        """
        for attempt in range(self.retries + 1):
            self.turn()
            try:
                result = request()
            except Busy as busy:
                wait = self._wait(busy, attempt)
                if attempt < self.retries:
                    log.info("waiting %.0f s: %s", wait, busy)
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
                remedy="run the same command again after that time to resume",
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
                f"no answers: {OUTAGE} consecutive requests failed, the last one with: {busy}",
                remedy="check the network and run the same command again to resume",
            ) from busy.cause
        raise busy.cause

    def spend(self, count: int, since: float) -> None:
        """Sleep until `count` bytes since the time `since` are within the rate limit."""
        self._sleep_until(since + count / self.rate)

    def now(self) -> float:
        return self._clock()

    def _sleep_until(self, moment: float) -> None:
        left = moment - self._clock()
        if left > 0:
            self._sleep(left)
