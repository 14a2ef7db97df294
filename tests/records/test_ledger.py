"""The record of finished items."""

from __future__ import annotations

import pytest

from wsvs.core.errors import UserError
from wsvs.records.ledger import Ledger
from wsvs.records.shots import ScoredClip


def test_items_are_had_once_written(tmp_path):
    ledger = Ledger(tmp_path)
    assert not ledger.has("cat/v.1_0")
    ledger.write("cat/v.1_0", ScoredClip(3, None))
    ledger.fail("cat/v.2_0", "unreadable")
    again = Ledger(tmp_path)  # another process
    assert again.has("cat/v.1_0") and again.has("cat/v.2_0") and not again.has("cat/v") and not again.has("cat/v.1")
    assert again.read("cat/v.1_0") == {"frames": 3, "broken": None}
    assert again.read("cat/v.2_0") == {"failed": "unreadable"}
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.json")) == [
        "done/cat/v.1_0.json",
        "done/cat/v.2_0.json",
    ]


def test_half_written_item_is_not_finished(tmp_path):
    ledger = Ledger(tmp_path)
    with pytest.raises(ValueError, match="JSON"):
        ledger.write("a", ScoredClip(float("nan"), None))
    assert not ledger.has("a")
    with pytest.raises(UserError, match="file not found"):
        ledger.read("a")


def test_a_failure_is_reported_once_asked_for(tmp_path):
    ledger, told = Ledger(tmp_path), []
    ledger.write("good", ScoredClip(3, "torn", cuts=[1]))
    ledger.fail("bad", "unreadable")
    found = {item: ledger.get(item, ScoredClip, lambda *one: told.append(one)) for item in ("good", "bad", "never")}
    assert found == {"good": ScoredClip(3, "torn", [1]), "bad": None, "never": None} and told == [("bad", "unreadable")]
