"""How a process ends: by a signal at any point, and without a crash after its work is done."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

_first: list[Callable[[], None]] = []
_lost: list[KeyboardInterrupt] = []


class Terminated(KeyboardInterrupt):
    """SIGTERM, as `kill` and cluster schedulers send it: stop as by Ctrl-C."""


def catch_signals() -> None:
    """Raise `Terminated` on SIGTERM from here on, and repeat a signal that came where Python cannot raise it.

    That is in a destructor, or in a function that C code calls: there Python prints the exception and continues.
    """
    signal.signal(signal.SIGTERM, _stop)
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:  # as in the background of a shell
        signal.signal(signal.SIGINT, _stop)
    sys.unraisablehook = _again
    _lost.clear()


@contextmanager
def at_a_stop(call: Callable[[], None]) -> Iterator[None]:
    """Call `call` when a signal arrives, before anything else."""
    _first.append(call)
    try:
        yield
    finally:
        _first.remove(call)


def _stop(sent: int, _: FrameType | None) -> None:
    for call in _first:
        call()
    raise Terminated if sent == signal.SIGTERM else KeyboardInterrupt


def _again(lost: sys.UnraisableHookArgs) -> None:
    stop = _behind(lost.exc_value)
    if stop is None:
        sys.__unraisablehook__(lost)
        return
    _lost.append(stop)
    later = threading.Timer(0.05, os.kill, (os.getpid(), number(stop)))  # once C code is left, or soon after
    later.daemon = True
    later.start()


def number(stop: KeyboardInterrupt) -> signal.Signals:
    """The signal behind a stop."""
    return signal.SIGTERM if isinstance(stop, Terminated) else signal.SIGINT


def stop_in(error: BaseException | None) -> KeyboardInterrupt | None:
    """The stop behind an error, if there is one: an interrupted library may raise an error of its own.

    So may a library whose callback was interrupted, and then the stop is lost.
    """
    return _behind(error) or (_lost[-1] if _lost else None)


def _behind(error: BaseException | None) -> KeyboardInterrupt | None:
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error


def leave(status: int, said: str = "") -> NoReturn:
    """Print a message and exit with this status; a later signal ends the process at once, with the same status.

    One of several ranks does not finalise the interpreter: a thread that communicates with the other ranks may need it
    once more. During finalisation C++ would abort the process (SIGABRT), and its parent would report a crash.
    """
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, lambda *_: os._exit(status))
    if said:
        print(said, file=sys.stderr)
    if not _among_ranks():
        sys.exit(status)
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # of a reader that is gone
            stream.flush()
    os._exit(status)


def _among_ranks() -> bool:
    """Is this process in a group of ranks? Does not import torch."""
    distributed = sys.modules.get("torch.distributed")
    return distributed is not None and distributed.is_available() and distributed.is_initialized()
