"""Settings of the C library's allocator for loops that allocate the same large buffers repeatedly."""

from __future__ import annotations

import ctypes

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4  # of glibc's malloc.h
_PAD = 64 << 20


def keep_freed_memory() -> None:
    """Let this process keep freed memory instead of returning it to the system.

    PyTorch on a CPU allocates every tensor again. With glibc a large tensor gets fresh memory each time, and the system
    clears its pages on first use: 10 to 25 % of a training step. Results and peak memory do not change. Does nothing
    with other C libraries.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    for parameter, value in ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, -1), (_TOP_PAD, _PAD)):
        mallopt(parameter, value)
