"""Videos that are looked at on the way: which ones first, what is recorded, and what an earlier version has left."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tests.films import make_film
from wsvs.config.stages import SegmentSettings
from wsvs.lit.opened_videos import Given
from wsvs.lit.whole_videos import VideoFolder
from wsvs.records.journal import JournalLedger
from wsvs.records.ledger import Ledger
from wsvs.records.shots import Piece, SeenVideo


class Ranks:
    """Two ranks of a run, one after the other: what the first broadcasts is what the second gets."""

    world_size = 2

    def __init__(self, number, sent):
        self.global_rank, self.is_global_zero = number, number == 0
        self.strategy = SimpleNamespace(broadcast=lambda value: sent.append(value) or sent[0], barrier=lambda: None)


@pytest.fixture
def source(tmp_path):
    def make(**settings):
        given = SegmentSettings(**{"workers": 0, "max_frames": 4, "cuts": False, **settings})
        return VideoFolder(
            tmp_path / "run", str(tmp_path / "v"), None, (), frame_rate=25, settings=given, skip=lambda *_: None
        )

    return make


def items(make):
    sent = []
    found = [make().items(Ranks(number, sent)) for number in range(2)]
    assert found[1] == []
    return found[0]


def test_many_small_videos_are_not_looked_at_before_the_loop(tmp_path, source):
    for number in range(20):
        make_film(tmp_path / f"v/{number:02d}.mp4", 3, seed=1)
    (tmp_path / "v/torn.mp4").write_bytes(b"no video")
    found = items(source)
    assert len(found) == 21 and all(isinstance(one, Given) for one in found)
    assert not (tmp_path / "run/seen").exists()


def test_pieces_of_large_videos_are_dealt_one_by_one(tmp_path, source):
    make_film(tmp_path / "v/large.mp4", 30, size=(96, 64), seed=1)
    for number in range(20):
        make_film(tmp_path / f"v/{number:02d}.mp4", 2, size=(32, 32), seed=number)
    found = items(source)
    pieces = [one for one in found if isinstance(one, Piece)]
    assert [one.id for one in pieces] == [f"large_{start:06d}" for start in (0, 3, 7, 11, 15, 18, 22, 26)]
    assert len(found) == 28 and list(source().seen.items()) == ["large"]
    assert sum(one.load for one in pieces) == pytest.approx((tmp_path / "v/large.mp4").stat().st_size)


def test_a_look_is_recorded_before_its_pieces_are_there(tmp_path, source):
    make_film(tmp_path / "v/a.mp4", 6, seed=1)
    (tmp_path / "v/torn.mp4").write_bytes(b"no video")
    make = source()
    good, torn = make.videos
    opened = make.opener.in_worker(1)
    first = next(iter(opened(good)))
    assert (first.id, first.stop, first.mark) == ("a_000000", 3, "")
    assert [path.name for path in (tmp_path / "run/seen/done").iterdir()] == ["rank-0-worker-1.jsonl"]
    assert list(opened(torn)) == [] and "failed" in source().seen.read("torn")
    assert source().seen.get("a", SeenVideo).pieces == 2
    Ledger(tmp_path / "run").fail("a_000000", "torn")  # finished, too
    assert [one.id for one in source().opener(good)] == ["a_000003"]


def test_looks_of_an_earlier_version_count(tmp_path, source):
    """A JSON file for each video, below folders like the videos."""
    make_film(tmp_path / "v/deep/a.mp4", 6, seed=1)
    [video] = source().videos
    name, found = source().opener.look(video)
    Ledger(tmp_path / "run/seen").write(name, found)
    Ledger(tmp_path / "run/seen").fail("other", "gone")
    seen = source().seen
    assert seen.has("deep/a") and not seen.has("deep/b") and seen.get("deep/a", SeenVideo).pieces == found.pieces
    assert len(list(source().opener(video))) == 2 and seen.get("other", SeenVideo) is None
    assert not list((tmp_path / "run/seen").rglob("*.jsonl"))
    JournalLedger(tmp_path / "run/seen").fail("deep/b", "gone")
    assert {name for name in ("deep/a", "deep/b", "other") if source().seen.has(name)} == {"deep/a", "deep/b", "other"}
