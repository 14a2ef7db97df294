"""A process that ends with the one that started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

CHILD = """
import os, sys, time
from wsvs.core.processes import end_with
end_with(int(sys.argv[1]), every=0.05)
print("watching", flush=True)
time.sleep(60)
"""
PARENT = """
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", sys.argv[1], str(os.getpid())])
child.wait()
"""


def test_it_ends_when_its_parent_is_killed():
    begun = time.monotonic()
    parent = subprocess.Popen([sys.executable, "-c", PARENT, CHILD], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None and parent.stdout.readline() == "watching\n"
    assert parent.poll() is None
    os.kill(parent.pid, signal.SIGKILL)
    parent.communicate(timeout=50)  # the pipe closes when the child has gone too
    assert time.monotonic() - begun < 50


def test_it_ends_at_once_when_its_parent_is_gone_before():
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    done = subprocess.run([sys.executable, "-c", CHILD, gone.stdout.decode()], timeout=50, check=False)
    assert done.returncode == 1
