"""Words of any script are drawn in letters, not in boxes; where no font has them, the log says what to install."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import ImageFont

from wsvs.core import letters
from wsvs.core.legend import with_legend
from wsvs.core.letters import font
from wsvs.core.visualize import row

BOX = "\U0010fffe"  # in no font


@pytest.fixture
def system(tmp_path, monkeypatch):
    """A system whose fontconfig knows one font: the function sets which. Without a call it has no fontconfig."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "bin").mkdir()
    letters._file.cache_clear()

    def has(path) -> None:
        program = tmp_path / "bin" / "fc-match"
        program.write_text(f"#!/bin/sh\necho \"$3\" > {tmp_path}/asked\nprintf '{path}\\t65536'\n")
        program.chmod(0o755)

    yield has
    letters._file.cache_clear()


@pytest.fixture
def plain(tmp_path, monkeypatch):
    """Pillow's own font, of little more than ASCII, in the place of DejaVu Sans."""
    path = tmp_path / "plain.ttf"
    path.write_bytes(ImageFont.load_default(12).path.getvalue())
    monkeypatch.setattr(letters, "DEJAVU", path)
    return path


@pytest.mark.parametrize("word", ["Ångström", "собака", "σκύλος", "كلب", "כלב", "շուն", "ძაღლი"])
def test_every_letter_has_an_image_of_its_own(word, system):
    found = font(word, 14)
    missing = bytes(found.getmask(BOX))
    assert all(bytes(found.getmask(letter)) != missing for letter in word)


@pytest.mark.parametrize(("word", "other"), [("собака", "кошкам"), ("Å", "Ö"), ("كلب", "قطة")])
def test_legends_and_captions_tell_words_apart(word, other, system):
    image = np.zeros((4, 120, 3), np.uint8)
    one, two = (with_legend(image, [1], ("background", name)) for name in (word, other))
    assert one.shape == two.shape and (one != two).any()
    for tile, title in ((True, False), (False, True)):
        one, two = (np.asarray(row([(name * tile, image)], title=name * title)) for name in (word, other))
        assert one.shape == two.shape and (one != two).any()


def test_a_word_without_a_font_gives_way_to_its_number(system, caplog):
    image = np.zeros((4, 120, 3), np.uint8)
    shown = with_legend(image, [1, 2], ("background", "猫", "dog"))
    assert np.array_equal(shown, with_legend(image, [1, 2], ("background", "1", "dog")))
    with_legend(image, [1], ("background", "猫", "dog"))
    [said] = caplog.messages
    assert "'猫'" in said and "fonts-noto-cjk" in said


def test_installed_fonts_are_asked(plain, system, tmp_path, monkeypatch, caplog):
    system(Path(letters.__file__).parent / "fonts" / "DejaVuSans.ttf")
    assert font("dog", 12).path == str(plain) and not (tmp_path / "asked").exists()
    assert font("да 1", 12).getname()[0] == "DejaVu Sans" and not caplog.messages
    assert (tmp_path / "asked").read_text() == "sans:charset=31 430 434\n"


def test_an_installed_font_may_lack_letters_or_be_none(plain, system, caplog):
    system(plain)
    assert font("собака", 12) is None
    system("/nowhere/pictures.ttf")
    assert font("кошка", 12) is None
    assert len(caplog.messages) == 2
