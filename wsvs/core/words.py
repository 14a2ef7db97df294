"""Numbers of things in words that fit them."""

from __future__ import annotations

import re

_PAIR = re.compile(r"(\w+)\|(\w+)")


def fitting(number: int, words: str) -> str:
    """Of every pair of words such as has|have the one that fits the number: the first for 1, else the second."""
    return _PAIR.sub(r"\1" if number == 1 else r"\2", words)


def counted(number: int, words: str) -> str:
    """The number before the words that fit it: (1, 'image|images has|have no tag') is '1 image has no tag'."""
    return f"{number} {fitting(number, words)}"
