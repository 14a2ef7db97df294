"""Shots and their pieces."""

from __future__ import annotations

from dataclasses import replace

import pytest

from wsvs.records.shots import Shot
from wsvs.records.spans import parse_piece, piece_name


@pytest.mark.parametrize("clip", ["cat/video_3", None])
def test_pieces_are_named_after_the_clip_also_of_older_runs(clip: str | None) -> None:
    whole = Shot("cat/video_3_000020", "video", "cat", 20, 50, clip=clip)
    assert [(piece.shot, piece.start, piece.stop) for piece in whole.cut(15)] == [
        ("cat/video_3_000020", 20, 35),
        ("cat/video_3_000035", 35, 50),
    ]
    other = replace(whole, shot="cat/other_1_000020", clip=clip and "cat/other_1")
    assert not {piece.shot for piece in whole.cut(15)} & {piece.shot for piece in other.cut(15)}


def test_name_of_a_piece() -> None:
    assert piece_name("a_b/c", 7) == "a_b/c_000007"
    assert parse_piece("a_b/c_000007") == ("a_b/c", 7)
    assert parse_piece(piece_name("a", 1_234_567)) == ("a", 1_234_567)
