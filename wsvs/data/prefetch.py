"""Prefetch items in a background thread, and measure how long their consumer waits."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from time import perf_counter
from typing import Any, TypeVar

T = TypeVar("T")


class Stopwatch:
    """Adds up for how long sources keep their consumer waiting.

    Attributes:
        seconds: In all.
    """

    def __init__(self) -> None:
        self.seconds = 0.0

    def over(self, source: Iterable[T]) -> Iterator[T]:
        """The items of a source."""
        items = iter(source)
        while True:
            begun = perf_counter()
            try:
                item = next(items)
            except StopIteration:
                return
            finally:
                self.seconds += perf_counter() - begun
            yield item


def prefetch(source: Iterable[T], ahead: int = 32) -> Iterator[T]:
    """Yield the items of `source`, produced by a thread that is at most `ahead` items in front.

    An exception of the source is raised here; a consumer that stops early stops the thread.
    """
    items: queue.Queue[Any] = queue.Queue(ahead)
    stop = threading.Event()
    end = object()

    def put(item: object) -> None:
        while not stop.is_set():
            try:
                items.put(item, timeout=0.1)
                return
            except queue.Full:
                continue

    def produce() -> None:
        try:
            for item in source:
                put(item)
                if stop.is_set():
                    return
            put(end)
        except BaseException as error:
            put((end, error))

    thread = threading.Thread(target=produce, daemon=True)
    thread.start()
    try:
        while True:
            item = items.get()
            if item is end:
                return
            if isinstance(item, tuple) and len(item) == 2 and item[0] is end:
                raise item[1]
            yield item
    finally:
        stop.set()
        thread.join()


def batched(source: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of `size` items, the last one possibly shorter. If the source raises, earlier items are yielded first."""
    batch: list[T] = []
    try:
        for item in source:
            batch.append(item)
            if len(batch) == size:
                yield batch
                batch = []
    except Exception:
        if batch:
            yield batch
        raise
    if batch:
        yield batch
