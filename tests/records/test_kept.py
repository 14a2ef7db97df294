"""A small run that older code has written is read, and written again byte for byte."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from wsvs.core.errors import UserError
from wsvs.data.frames import FrameSet
from wsvs.lit.relevant_shots import RelevantShots
from wsvs.lit.totals import Totals
from wsvs.records.ledger import Ledger
from wsvs.records.masks import MaskSet
from wsvs.records.predicted import Predicted, masks_of
from wsvs.records.retrieved import FoundVideo
from wsvs.records.row import write_rows
from wsvs.records.shots import Clip, SegmentedPiece, Shot, Video
from wsvs.retrieve.journal import Journal
from wsvs.retrieve.manifest import iter_clips
from wsvs.retrieve.table import tally

KEPT = Path(__file__).parent / "kept"


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (Clip, "relevance/clips.jsonl"),
        (Shot, "relevance/shots.jsonl"),
        (Shot, "segment/shots.jsonl"),
        (Video, "videos/videos.jsonl"),
        (Predicted, "predict/items.jsonl"),
        *((FoundVideo, f"{run}/manifest.jsonl") for run in ("retrieve", "crawl", "folder", "distractors")),
    ],
)
def test_what_is_read_is_written_byte_for_byte(tmp_path, kind, name):
    rows = list(kind.read(KEPT / name))
    assert write_rows(tmp_path / "again", rows) == len(rows) > 1
    assert (tmp_path / "again").read_bytes() == (KEPT / name).read_bytes()


def new(record):
    """The same record as if it had not been read from a line."""
    values = {key: value for key, value in vars(record).items() if key != "line"}
    inner = {key: [new(one) for one in values[key]] for key in ("key_frames", "clips") if key in values}
    return type(record)(**{**values, **inner})


def test_new_records_have_the_keys_of_old_ones_in_their_order():
    manifests = [(f"{run}/manifest.jsonl", FoundVideo) for run in ("retrieve", "crawl", "folder", "distractors")]
    for old, kind in (("videos/videos.jsonl", Video), ("predict/items.jsonl", Predicted), *manifests):
        for line in lines(KEPT / old):
            assert json.dumps(new(kind.from_json(line)).to_json()) == json.dumps(line)
    for path in (KEPT / "segment/done").rglob("*.json"):
        line = json.loads(path.read_text())
        assert json.dumps(new(SegmentedPiece.from_json(line)).to_json()) == json.dumps(line)


def test_a_journal_is_written_as_it_was(tmp_path):
    """Step by step, with new records; a start without any work left adds nothing."""
    entries = lines(KEPT / "crawl/journal.jsonl")
    shutil.copy(KEPT / "crawl/journal.jsonl", tmp_path / "old.jsonl")
    old = Journal(tmp_path / "old.jsonl")
    old.close()
    assert (tmp_path / "old.jsonl").read_bytes() == (KEPT / "crawl/journal.jsonl").read_bytes()
    (tmp_path / "new.jsonl").write_text(json.dumps(entries[0]) + "\n")
    journal = Journal(tmp_path / "new.jsonl")
    step = dict.fromkeys(("searched", "opened", "looked", "row"), 0)
    for entry in entries[1:]:
        kind = next(iter(entry))
        step[kind] += 1
        if kind == "searched":
            journal.searched(entry[kind], [new(one) for one in old.found[entry[kind]]])
        elif kind == "opened":
            into = old.into[entry[kind], entry["video"]]
            [asked] = [one for one in old.found[entry[kind]] if one.video == entry["video"]] or into
            journal.opened(entry[kind], new(asked), [new(one) for one in into])
        elif kind == "looked":
            found = {video: new(old.thumbnails[entry[kind], video]) for video in entry["results"]}
            journal.looked(entry[kind], found, entry["bytes"])
        else:
            journal.through(new(old.rows[entry["row"]["class"], entry["row"]["video"]]))
    journal.close()
    assert min(step.values()) > 1 and journal.begun == old.begun and journal.rows == old.rows
    assert (tmp_path / "new.jsonl").read_bytes() == (KEPT / "crawl/journal.jsonl").read_bytes()


def test_kept_manifests_are_counted():
    found = tally(FoundVideo.read(KEPT / "crawl/manifest.jsonl"), ["cat", "dog"])
    assert (found["cat"].found, found["cat"].retrieved, found["dog"].retrieved) == (9, 4, 2)
    assert found["all"].failures == {"gone": 2, "later": 1, "unusable": 1}
    dark = list(FoundVideo.read(KEPT / "crawl/manifest.jsonl"))[1]
    assert [key.instead_of for key in dark.key_frames] == [None, None, 2.4, None]


def test_clips_and_shots_come_from_a_manifest_as_they_did():
    clips, shots = lines(KEPT / "relevance/clips.jsonl"), lines(KEPT / "relevance/shots.jsonl")
    for clip, expected, shot in zip(iter_clips(KEPT / "retrieve/manifest.jsonl"), clips, shots, strict=True):
        assert clip.file == str(KEPT / "retrieve" / clip.path)
        clip = Clip.from_json(clip.to_json() | {"file": expected["file"]})
        assert json.dumps(clip.to_json()) == json.dumps(expected)
        span = shot["start"] - clip.start, shot["stop"] - clip.start
        made = clip.shot(*span, shot["score"], shot.get("odd", ()), shot.get("blank", ()))
        assert json.dumps(made.to_json()) == json.dumps(shot)


def test_an_interrupted_segment_run_ends_with_the_same_shots(tmp_path):
    shutil.copytree(KEPT / "segment/done", tmp_path / "done")
    source = RelevantShots(tmp_path, KEPT / "relevance/shots.jsonl", ["it's a=zebra"], max_frames=6)
    counts = source.close(Totals(Ledger(tmp_path), lambda *_: None))
    assert (tmp_path / "shots.jsonl").read_bytes() == (KEPT / "segment/shots.jsonl").read_bytes()
    assert counts == {
        "shots": 5,
        "segmented": 5,
        "frames": sum(len(row["areas"]) for row in lines(source.masks.listing)),
    }


def test_masks_of_old_runs_are_found():
    masks = MaskSet.find(KEPT / "segment")
    first, *_, last = masks.rows()
    assert not masks.whole and masks.mask(first.name, 3).is_file() and masks.frame(first.name, 3).is_file()
    assert (last.odd, last.blank, first.middle) == ((), (), 3)
    chosen = FrameSet.select(KEPT / "segment", masks.rows(), 0, 1)
    image, mask = chosen.load(chosen.shots[0], 3)
    assert image.shape == (*mask.shape, 3) and mask.mean() == pytest.approx(first.areas[3], abs=0.05)
    usable = {}
    for row in lines(masks.listing):
        gone = {*row.get("odd", ()), *row.get("blank", ())}
        numbers = [number for number, area in enumerate(row["areas"], row["start"]) if area and number not in gone]
        usable |= {row["shot"]: numbers} if numbers else {}
    assert {one.name: one.numbers for one in chosen.shots} == usable and len(usable) == 4
    videos = {row.name: row.middle for row in MaskSet.find(KEPT / "videos").rows()}
    assert MaskSet.find(KEPT / "videos").whole and videos["damaged_middle"] == 3 and videos["anim"] == 12
    assert MaskSet.find(KEPT / "relevance/none") is None
    assert list(masks_of(KEPT / "predict").files)[:2] == ["a b/film/00000", "a b/film/00001"]


def test_lines_of_older_versions_lack_what_is_newer():
    old = {"shot": "cat/v_000004", "class": "cat", "video": "v", "start": 4, "stop": 6, "areas": [0.5, 0.5], "own": 7}
    shot = Shot.from_json(old)
    assert (shot.clip, shot.sha256, shot.identity, shot.confidences, shot.odd) == (None, None, None, (), ())
    assert shot.to_json() == old and np.isclose(sum(shot.areas), 1)


def test_a_line_that_is_no_record_is_reported(tmp_path):
    (tmp_path / "shots.jsonl").write_text(
        '{"shot": "a", "video": "v", "class": "cat", "start": 0, "stop": 1}\n{"shot": "b"}'
    )
    with pytest.raises(UserError, match="line 2 has no 'video'") as raised:
        list(Shot.read(tmp_path / "shots.jsonl"))
    assert raised.value.remedy == "run its stage again"
