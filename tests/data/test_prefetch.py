"""Reading ahead: order, bounds, exceptions, early stop."""

from __future__ import annotations

import threading
import time

import pytest

import wsvs.data.prefetch
from wsvs.data.prefetch import Stopwatch, batched, prefetch

SECONDS = 60  # for what takes no time on a machine that has time


def test_order_and_end():
    assert list(prefetch(iter(range(100)), 4)) == list(range(100))
    assert list(prefetch([], 4)) == []
    assert list(prefetch([None, (1, 2), ()], 1)) == [None, (1, 2), ()]  # no value stands for the end


def test_runs_ahead_but_not_further_than_asked():
    made = []

    def source():
        for k in range(100):
            made.append(k)
            yield k

    items = prefetch(source(), 5)
    assert not made  # nothing starts before the first item is wanted
    assert next(items) == 0
    deadline = time.monotonic() + SECONDS
    while len(made) < 7 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.2)
    assert made == list(range(7))  # one taken, five waiting, one in hand
    items.close()


def test_exception_comes_after_the_items_before_it():
    def source():
        yield 1
        yield 2
        raise ValueError("torn file")

    seen = []
    with pytest.raises(ValueError, match="torn file"):
        for item in prefetch(source(), 10):
            seen.append(item)
    assert seen == [1, 2]


def test_early_stop_ends_the_thread_and_the_source():
    threads, closed = [], threading.Event()

    def source():
        threads.append(threading.current_thread())
        try:
            k = 0
            while True:  # endless
                yield k
                k += 1
        finally:
            closed.set()

    for item in prefetch(source(), 3):
        if item == 5:
            break
    assert closed.wait(SECONDS)
    check_ended(threads)


def test_error_of_the_consumer_stops_the_thread():
    threads = []

    def source():
        threads.append(threading.current_thread())
        yield from range(10**9)

    with pytest.raises(RuntimeError, match="consumer"):
        for _ in prefetch(source(), 2):
            raise RuntimeError("consumer")
    check_ended(threads)


def check_ended(threads):
    """The one thread that read ahead, which is not ours, is no more."""
    [thread] = threads
    assert thread is not threading.current_thread()
    thread.join(SECONDS)
    assert not thread.is_alive()


def test_batched():
    assert list(batched(iter(range(7)), 3)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert list(batched(range(6), 3)) == [[0, 1, 2], [3, 4, 5]]
    assert list(batched([], 3)) == []


def test_batched_hands_out_what_came_before_a_break():
    def source():
        yield from range(5)
        raise ValueError("torn file")

    seen = []
    with pytest.raises(ValueError, match="torn file"):
        for batch in batched(source(), 3):
            seen.append(batch)
    assert seen == [[0, 1, 2], [3, 4]]


def test_stopwatch_counts_the_source_not_its_consumer(monkeypatch):
    """Two items of 3 s each, an end after 1 s, and a second source that breaks off after 2 s."""
    now = 0.0
    monkeypatch.setattr(wsvs.data.prefetch, "perf_counter", lambda: now)

    def source(broken=False):
        nonlocal now
        if broken:
            now += 2
            raise ValueError("torn file")
        for k in range(2):
            now += 3
            yield k
        now += 1

    watch, seen = Stopwatch(), []
    for item in watch.over(source()):
        seen.append(item)
        now += 50
    assert seen == [0, 1] and watch.seconds == 7
    with pytest.raises(ValueError, match="torn file"):
        list(watch.over(source(broken=True)))
    assert watch.seconds == 9
