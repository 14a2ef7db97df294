from __future__ import annotations

import json
from pathlib import Path

import pytest

from wsvs.core.errors import UserError
from wsvs.records.retrieved import FoundVideo
from wsvs.retrieve.manifest import fail, iter_clips, safe_name, skip


@pytest.mark.parametrize("name", ["tom", "dQw4w9WgXcQ", "-x_7.v2", "a" * 100])
def test_plain_ids_are_kept(name: str) -> None:
    assert safe_name(name) == name


def test_other_ids_get_a_hash_of_their_own() -> None:
    ids = ["a b", "a/b", "a\\b", "ä", "", ".", "..", ".hidden", "../../etc", "a" * 101, "a" * 102, "nul\0", "\udcff"]
    names = [safe_name(name) for name in ids]
    assert len(set(names)) == len(ids)
    for name in names:
        assert name.isascii() and "/" not in name and not name.startswith(".") and 0 < len(name) <= 110
    assert safe_name("a b").startswith("a_b-")


def test_fates_keep_one_line() -> None:
    row = FoundVideo(video="v", class_name="cat", url="file:///v.mp4")
    assert skip(row, "too\n  long").status == "skipped: too long"
    assert fail(row, "cut off").status == "failed: cut off"
    assert row.status is None


def test_iter_clips_gives_only_what_was_retrieved(tmp_path: Path) -> None:
    clips = [
        {
            "clip": f"cat/v_{k}",
            "path": f"clips/cat/v_{k}.mp4",
            "class": "cat",
            "start": 0,
            "stop": 5 + k,
            "url": "file:///v.mp4",
            "distractor": False,
        }
        for k in range(2)
    ]
    found = FoundVideo(video="v", class_name="cat", url="file:///v.mp4", title="v", frames=50, licence="CC BY")
    row = found.to_json()
    rows = [{**row, "status": "retrieved", "clips": clips}, {**row, "clips": clips, "status": "failed: gone"}]
    manifest = tmp_path / "manifest.jsonl"
    manifest.write_text("".join(json.dumps(r) + "\n" for r in rows))
    found = list(iter_clips(manifest))
    assert [clip.clip for clip in found] == ["cat/v_0", "cat/v_1"]
    assert found[1].to_json() == {
        "id": "cat/v_1",
        "file": str(tmp_path / "clips/cat/v_1.mp4"),
        **clips[1],
        "video": "v",
        "title": "v",
        "licence": "CC BY",
        "width": None,
        "height": None,
        "fps": None,
        "frames": 50,
        "offset": 0,
        "sha256": None,
        "identity": None,
    }
    cut = [{**clips[0], "frames": 7, "offset": 21}]  # a file of its own: what it says of itself comes first
    manifest.write_text(json.dumps({**row, "status": "retrieved", "clips": cut}) + "\n")
    assert [(clip.frames, clip.offset) for clip in iter_clips(manifest)] == [(7, 21)]


def test_iter_clips_says_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not found"):
        list(iter_clips(tmp_path / "none.jsonl"))
    (tmp_path / "m.jsonl").write_text('{"video": "v"}\n')
    with pytest.raises(UserError, match="line 1 has no 'class'"):
        list(iter_clips(tmp_path / "m.jsonl"))
    (tmp_path / "m.jsonl").write_text("[1]\n")
    with pytest.raises(UserError, match="line 1"):
        list(iter_clips(tmp_path / "m.jsonl"))
