"""Process termination: by a signal at any point, and without a crash after the work is done."""

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
    """SIGTERM, sent by `kill` and cluster schedulers: stop as after Ctrl-C."""


def catch_signals() -> None:
    """Raise `Terminated` on SIGTERM from now on, and resend a signal that arrived where Python cannot raise it.

    In a destructor or a callback from C code, Python prints the exception and continues.
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
    later = threading.Timer(0.05, os.kill, (os.getpid(), number(stop)))  # delivered after the C code returns
    later.daemon = True
    later.start()


def number(stop: KeyboardInterrupt) -> signal.Signals:
    """The signal that caused a stop."""
    return signal.SIGTERM if isinstance(stop, Terminated) else signal.SIGINT


def stop_in(error: BaseException | None) -> KeyboardInterrupt | None:
    """The stop that caused an error, if any: an interrupted library may raise another exception.

    If a callback of the library was interrupted, the exception chain does not contain the stop.
    """
    return _behind(error) or (_lost[-1] if _lost else None)


def _behind(error: BaseException | None) -> KeyboardInterrupt | None:
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error


def leave(status: int, said: str = "") -> NoReturn:
    """Print a message and exit with this status; a later signal ends the process at once, with the same status.

    With several ranks the interpreter is not finalised, since a communication thread may still need it: C++ would abort
    the process (SIGABRT), and its parent would report a crash.
    """
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, lambda *_: os._exit(status))
    if said:
        print(said, file=sys.stderr)
    if not _among_ranks():
        sys.exit(status)
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # the reader is gone
            stream.flush()
    os._exit(status)


def _among_ranks() -> bool:
    """Whether this process is in a process group of ranks. Does not import torch."""
    distributed = sys.modules.get("torch.distributed")
    return distributed is not None and distributed.is_available() and distributed.is_initialized()
