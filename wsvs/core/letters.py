"""A font for text in any script: the bundled DejaVu Sans, else an installed font that has the letters."""

from __future__ import annotations

import logging
import shutil
import subprocess
import unicodedata
from functools import cache
from pathlib import Path

from fontTools.ttLib import TTFont, TTLibError
from PIL import ImageFont

log = logging.getLogger("wsvs")

DEJAVU = Path(__file__).parent / "fonts" / "DejaVuSans.ttf"  # Latin, Greek, Cyrillic, Arabic, Armenian, Georgian


def font(text: str, size: int) -> ImageFont.FreeTypeFont | None:
    """A font of `size` px with every letter of the text, or None, which is logged once per text.

    Other scripts (Chinese, Thai, ...) need a system font that fontconfig finds. Right-to-left and connected scripts
    are rendered correctly if libfribidi is installed.
    """
    found = _file(text)
    return None if found is None else _open(*found, size)


def any_font(text: str, size: int) -> ImageFont.FreeTypeFont:
    """The same, but DejaVu Sans if no font has all letters; missing ones become boxes."""
    return font(text, size) or _open(str(DEJAVU), 0, size)


@cache
def _open(file: str, index: int, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(file, size, index)


@cache
def _file(text: str) -> tuple[str, int] | None:
    """(file, index of the face in it) of a font that has every letter."""
    letters = sorted({letter for letter in text if unicodedata.category(letter)[0] in "LNPS"})  # no spaces, no marks
    if _has(str(DEJAVU), 0, letters):
        return str(DEJAVU), 0
    found = _installed(letters)
    if found is None:
        log.warning(
            "no font has all letters of %r: install one to show it in overlays, such as fonts-noto-cjk (Chinese, "
            "Japanese, Korean) or fonts-noto-core (most other scripts)",
            text,
        )
    return found


def _installed(letters: list[str]) -> tuple[str, int] | None:
    if not shutil.which("fc-match"):
        return None
    charset = " ".join(f"{ord(letter):x}" for letter in letters)
    command = ["fc-match", "-f", "%{file}\t%{index}", f"sans:charset={charset}"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=False)
    file, _, index = done.stdout.partition("\t")
    if not index.isdecimal():
        return None
    face = int(index) & 0xFFFF  # the upper half is the instance of a variable font
    return (file, face) if _has(file, face, letters) else None  # the nearest font may lack some


def _has(file: str, index: int, letters: list[str]) -> bool:
    try:
        _open(file, index, 12)
        with TTFont(file, fontNumber=index, lazy=True) as found:
            known = found.getBestCmap() or {}
    except (OSError, TTLibError):  # a format that Pillow does not read, or a bitmap font, such as of emoji
        return False
    return all(ord(letter) in known for letter in letters)
