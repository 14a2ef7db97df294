"""The C library's memory in loops that need much of it, and the same again and again."""

from __future__ import annotations

import ctypes

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4  # of glibc's malloc.h
_PAD = 64 << 20


def keep_freed_memory() -> None:
    """Let this process keep the memory that it frees, instead of giving it back to the system.

    PyTorch on a CPU allocates every tensor anew. From glibc a large one is new memory each time, of which the system
    clears every page at the first touch: a tenth to a fourth of a training step. No result changes, nor does the peak
    of the memory. Nothing happens where there is another C library.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    for parameter, value in ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, -1), (_TOP_PAD, _PAD)):
        mallopt(parameter, value)
