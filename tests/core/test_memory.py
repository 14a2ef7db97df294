"""Freed memory stays with the process."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

CODE = """
import resource
import numpy as np
from wsvs.core.memory import keep_freed_memory

if {keep}:
    keep_freed_memory()
def rounds(count):
    for _ in range(count):
        kept = [np.ones(1 << 24), np.ones(1 << 20)]  # 128 MiB, and 8 MiB
        del kept
rounds(2)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
rounds(5)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(keep: bool) -> int:
    found = subprocess.run([sys.executable, "-c", CODE.format(keep=keep)], check=True, capture_output=True, text=True)
    return int(found.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc only")
def test_memory_is_cleared_by_the_system_once():
    """5 x 136 MiB are 174,080 pages, or 340 huge ones."""
    assert faults(keep=True) < 20 < faults(keep=False)


def test_another_c_library_is_left_alone(monkeypatch):
    from wsvs.core import memory

    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: object())
    memory.keep_freed_memory()
