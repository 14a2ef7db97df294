"""Stops that meet a library's code, and the end of a process among several ranks."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from wsvs.core.stopping import Terminated, at_a_stop, catch_signals, number, stop_in

RAISED_IN_C = """
import ctypes, os, signal, time
from wsvs.core.stopping import Terminated, catch_signals, leave, number

@ctypes.CFUNCTYPE(None)
def called_by_c():
    os.kill(os.getpid(), signal.{name})
    for _ in range(1000):
        time.sleep(0.01)

catch_signals()
try:
    called_by_c()
    time.sleep(300)
    print("lost")
except KeyboardInterrupt as stop:
    leave(128 + number(stop), "stopped")
"""

# A thread waits in C++ with the interpreter's lock given up, and wants it back while the interpreter is taken down.
ONE_OF_A_GROUP = """
import atexit, sys, threading, time
from datetime import timedelta
from pathlib import Path
import torch.distributed as dist
from wsvs.core.stopping import leave

class Slow:
    def __del__(self, sleep=time.sleep):
        sleep(4)

def wait_for_nothing():
    store.wait(["never"], timedelta(seconds=2))

store = dist.TCPStore("127.0.0.1", 0, 1, is_master=True)
dist.init_process_group("gloo", store=store, rank=0, world_size=1)
atexit.register(lambda: Path(sys.argv[1]).write_text("written at the end"))
threading.Thread(target=wait_for_nothing, daemon=True).start()
sys.slow = Slow()
print("done", end="")
leave(3)
"""


def run(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_stop_that_comes_while_c_code_calls_us_is_sent_again(name):
    ended = run(RAISED_IN_C.format(name=name))
    assert (ended.returncode, ended.stdout, ended.stderr) == (128 + signal.Signals[name], "", "stopped\n")


IGNORED = """
import os, signal
from wsvs.core.stopping import catch_signals, leave, number

signal.signal(signal.SIGINT, signal.SIG_IGN)
catch_signals()
os.kill(os.getpid(), signal.SIGINT)
print("alive", flush=True)
try:
    os.kill(os.getpid(), signal.SIGTERM)
    signal.pause()
except KeyboardInterrupt as stop:
    leave(128 + number(stop), "stopped")
"""


def test_under_nohup_an_interrupt_stays_ignored():
    """SIGTERM stops all the same."""
    ended = run(IGNORED)
    assert (ended.returncode, ended.stdout, ended.stderr) == (128 + signal.SIGTERM, "alive\n", "stopped\n")


def test_other_errors_that_cannot_be_raised_are_still_shown():
    code = "import ctypes\nfrom wsvs.core.stopping import catch_signals\ncatch_signals()\n"
    ended = run(code + "ctypes.CFUNCTYPE(None)(lambda: 1 / 0)()")
    assert ended.returncode == 0 and "ZeroDivisionError" in ended.stderr


def test_the_stop_behind_an_error():
    def chained(first: BaseException, second: BaseException, direct: bool) -> BaseException:
        try:
            try:
                raise first
            except BaseException as error:
                raise second from (error if direct else None)
        except BaseException as error:
            return error

    for stop in (KeyboardInterrupt(), Terminated()):
        for direct in (True, False):
            lost = chained(stop, SystemError("returned a result with an exception set"), direct)
            assert stop_in(lost) is stop and stop_in(chained(lost, SystemExit(1), direct)) is stop
    assert stop_in(chained(OSError(), ValueError(), True)) is None and stop_in(None) is None
    assert (number(Terminated()), number(KeyboardInterrupt())) == (signal.SIGTERM, signal.SIGINT)


NUMBA_LIKE = """
import ctypes, os, signal, time
from wsvs.core.stopping import catch_signals, stop_in

catch_signals()
made = []
send, os.kill = os.kill, lambda *_: None  # the stop that is sent again would come at any time from then on
@ctypes.CFUNCTYPE(None)
def called_by_c():
    send(os.getpid(), signal.SIGTERM)
    time.sleep(10)
    made.append("compiled")

try:
    called_by_c()
    raise RuntimeError("nothing compiled")
except RuntimeError as error:
    assert not made and not error.__context__
    print(type(stop_in(error)).__name__)
    os._exit(0)
"""


def test_an_error_that_a_lost_stop_leads_to_is_that_stop():
    ended = run(NUMBA_LIKE)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "Terminated\n", "")


def test_what_is_to_be_done_first_at_a_stop(monkeypatch):
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    before, told = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}, []
    try:
        catch_signals()
        with pytest.raises(Terminated), at_a_stop(lambda: told.append("first")):
            signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert told == ["first"]
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        catch_signals()  # of a command in the background of a shell
        signal.raise_signal(signal.SIGINT)
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


@pytest.mark.slow
def test_one_of_a_group_of_ranks_ends_with_its_own_status(tmp_path: Path):
    """By `sys.exit` it would end by SIGABRT here, with Python 3.11 to 3.13."""
    ended = run(ONE_OF_A_GROUP, tmp_path / "file")
    assert (ended.returncode, ended.stdout, ended.stderr) == (3, "done", "")
    assert (tmp_path / "file").read_text() == "written at the end"
