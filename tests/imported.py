"""Start `wsvs` without importing torch and Lightning again, which takes seconds: a process that has forks the command.

The command is otherwise as the shell would start it: a process in a session of its own, with its own arguments,
environment, directory and output. Ranks, jobs of parallel sweeps and installed packages are started for real.
"""

from __future__ import annotations

import atexit
import faulthandler
import gc
import io
import json
import os
import pkgutil
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).parents[1]


class Forked:
    """A running command, with what the tests use of `subprocess.Popen`; its output and its errors are one text."""

    def __init__(self, pid: int, output: int, status: socket.socket) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._output, self._status, self._said = output, status, b""

    def poll(self) -> int | None:
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            self._status.settimeout(timeout)
            try:
                self.returncode = int(self._status.recv(16) or -signal.SIGKILL)
            except (BlockingIOError, TimeoutError):
                raise subprocess.TimeoutExpired("wsvs", timeout or 0) from None
            self._status.close()
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, None]:
        """All output, once every process has closed it; what was read before a time-out is not lost."""
        deadline = time.monotonic() + (1e6 if timeout is None else timeout)
        with selectors.DefaultSelector() as selector:
            selector.register(self._output, selectors.EVENT_READ)
            while True:
                if not selector.select(max(0, deadline - time.monotonic())):
                    raise subprocess.TimeoutExpired("wsvs", timeout or 0)
                more = os.read(self._output, 1 << 16)
                if not more:
                    break
                self._said += more
        self.wait(max(0.001, deadline - time.monotonic()))
        return io.TextIOWrapper(io.BytesIO(self._said), encoding="utf-8").read(), None


class Importer:
    """The process that forks; it is started with the first command, and ends with this one."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None

    def start(self, words: Sequence[str], environment: Mapping[str, str], cwd: Path, before: str = "") -> Forked:
        """`before` is run in front of the command: what sitecustomize.py is to a process that starts for real."""
        if self._socket is None:
            self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                process = subprocess.Popen(
                    [sys.executable, "-m", "tests.imported", str(theirs.fileno())],
                    pass_fds=[theirs.fileno()],
                    cwd=ROOT,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    start_new_session=True,
                    env=os.environ | {"OMP_NUM_THREADS": "1"},
                )
                atexit.register(self._end, process)
        (output, writes), (status, tells) = os.pipe(), socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        request = json.dumps([list(words), dict(environment), str(cwd), before]).encode()
        with open(writes, "rb", closefd=True) as stdout, tells, os.fdopen(os.memfd_create("request"), "w+b") as stream:
            stream.write(request)
            stream.flush()
            socket.send_fds(self._socket, [b"start"], [stream.fileno(), stdout.fileno(), tells.fileno()])
        return Forked(int(status.recv(16)), output, status)

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        """What it has measured for `make coverage` is written before this process is gone."""
        assert self._socket is not None
        self._socket.shutdown(socket.SHUT_RDWR)
        process.wait(60)


importer = Importer()


def serve(requests: socket.socket) -> None:
    """Fork for each request; returns in the processes that are to run a command, and never in this one.

    Between it and the command there is one that waits for the command's end, and says how it ended.
    """
    gc.freeze()
    while True:
        _, handles, _, _ = socket.recv_fds(requests, 16, 3)
        if not handles:
            os._exit(0)
        request, stdout, tells = handles
        if os.fork() == 0:
            break
        for handle in handles:
            os.close(handle)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
    requests.close()
    pid = os.fork()
    if pid:
        os.close(stdout)
        os.write(tells, str(pid).encode())
        _, status = os.waitpid(pid, 0)
        with suppress(OSError):
            os.write(tells, str(os.waitstatus_to_exitcode(status)).encode())
        os._exit(0)
    os.close(tells)
    os.setsid()
    os.lseek(request, 0, os.SEEK_SET)
    with open(request, "rb") as stream:
        words, environment, cwd, before = json.load(stream)
    for number in (1, 2):
        os.dup2(stdout, number)
    os.close(stdout)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if "PYTHONFAULTHANDLER" in environment:
        faulthandler.enable()
    sys.argv, sys.path[:1] = ["wsvs", *words], [cwd, str(ROOT)]
    exec(before, {"__name__": "before"})


if __name__ == "__main__":
    for package in ("engine", "lit", "stages"):
        for found in pkgutil.iter_modules([str(ROOT / "wsvs" / package)]):
            import_module(f"wsvs.{package}.{found.name}")
    import_module("wsvs.__main__")
    serve(socket.socket(fileno=int(sys.argv[1])))
    del sys.modules["wsvs.__main__"]
    runpy.run_module("wsvs", run_name="__main__", alter_sys=True)
