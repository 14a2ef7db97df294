"""Finished items as lines of journals, one for each rank."""

from __future__ import annotations

import json
import os

import pytest

from wsvs.core.errors import UserError
from wsvs.records.journal import JournalLedger, count_items
from wsvs.records.shots import ScoredClip

AWKWARD = 'cat/"a", "records": {ü}_0'


@pytest.fixture
def as_rank(monkeypatch):
    """A number -> the ledger of this rank."""

    def make(folder, number: int) -> JournalLedger:
        monkeypatch.setenv("RANK", str(number))
        return JournalLedger(folder)

    return make


def test_every_rank_has_a_file_and_reads_all(tmp_path, as_rank):
    first = as_rank(tmp_path, 0)
    assert not first.has("a") and list(first.items()) == []
    first.write("a", ScoredClip(3, None))
    first.fail("b", "unreadable")
    assert first.has("b")
    second = as_rank(tmp_path, 1)
    second.add({AWKWARD: {"frames": 1}, "d": {"frames": 2}})
    assert second.has("a") and not first.has("d")
    first.refresh()
    for ledger in (first, second, as_rank(tmp_path, 5)):
        assert sorted(ledger.items()) == sorted(["a", "b", AWKWARD, "d"])
        assert ledger.get("a", ScoredClip) == ScoredClip(3, None) and ledger.read("d") == {"frames": 2}
        assert ledger.read("b") == {"failed": "unreadable"} and ledger.get("b", ScoredClip) is None
        assert ledger.read(AWKWARD) == {"frames": 1} and sorted(ledger.groups()) == sorted(["a", "b", AWKWARD])
    assert sorted(path.name for path in (tmp_path / "done").iterdir()) == ["rank-0.jsonl", "rank-1.jsonl"]
    assert [count_items(tmp_path / f"done/rank-{k}.jsonl") for k in range(2)] == [(2, 1), (2, 0)]


def test_failures_of_a_journal_are_reported_once_asked_for(tmp_path):
    ledger, told = JournalLedger(tmp_path), []
    ledger.fail("bad", "unreadable")
    assert ledger.get("bad", ScoredClip, lambda *one: told.append(one)) is None
    assert ledger.get("never", ScoredClip, lambda *one: told.append(one)) is None
    assert told == [("bad", "unreadable")]
    with pytest.raises(UserError, match="not in the journal"):
        ledger.read("never")


def test_an_incomplete_last_line_is_ignored_and_replaced(tmp_path):
    """Whatever the byte after which the process was killed; both items of the line are worked on again."""
    path = tmp_path / "done/rank-0.jsonl"
    JournalLedger(tmp_path).write("a", ScoredClip(3, None))
    good = path.read_bytes()
    JournalLedger(tmp_path).add({"b": {"frames": 1}, "c": {"frames": 2}})
    whole = path.read_bytes()
    for end in range(len(good), len(whole)):
        path.write_bytes(whole[:end])
        ledger = JournalLedger(tmp_path)
        assert list(ledger.items()) == ["a"] and count_items(path) == (1, 0)
        ledger.add({"c": {"frames": 3}})
        assert list(ledger.items()) == ["a", "c"] and path.read_bytes().startswith(good + b'{"items": ["c"]')
    path.write_bytes(b'{"items": ["a"')
    JournalLedger(tmp_path).fail("d", "torn")
    assert [json.loads(line)["items"] for line in path.read_text().splitlines()] == [["d"]]


def test_any_other_damaged_line_is_named(tmp_path):
    path = tmp_path / "done/rank-0.jsonl"
    JournalLedger(tmp_path).write("a", ScoredClip(3, None))
    path.write_bytes(path.read_bytes() + b"\0\0\0\n")
    with pytest.raises(UserError, match=r"line 2 of the journal is damaged\n  where: .*rank-0.jsonl"):
        JournalLedger(tmp_path).has("a")


def test_an_item_is_on_the_disk_when_it_is_recorded(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(os.fstat(file).st_size))
    JournalLedger(tmp_path).write("a", ScoredClip(3, None))
    assert synced == [(tmp_path / "done/rank-0.jsonl").stat().st_size]


def test_a_full_disk_stops_with_advice(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "write", lambda file, data: len(data) - 1)
    with pytest.raises(UserError, match="no space left on the disk"):
        JournalLedger(tmp_path).write("a", ScoredClip(3, None))
