"""Answers of a review: kept whatever happens to the process, and what of them counts for a stage."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from wsvs.core.errors import UserError
from wsvs.core.reviews import (
    Answer,
    Journal,
    Reviews,
    Subject,
    identity,
    read_history,
    reviews,
    subject_of,
)

SHOT = Subject("shot", "cat/a_000000", "cat/a_000000")
IMAGE = Subject("image", "i0", "0" * 64, 7)
YES, NO = Answer("accept"), Answer("reject")


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "n" / "review.jsonl"


def test_the_last_answer_counts_and_is_read_again(path):
    with Journal(path) as journal:
        journal.answer(SHOT, YES, run="segment/r")
        journal.answer(IMAGE, Answer(None, ("cat", "dog")))
        journal.answer(SHOT, NO)
    found = read_history(path)
    assert found.now(SHOT) == NO and found.now(IMAGE) == Answer(None, ("cat", "dog"))
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["verdict"] for row in rows] == ["accept", None, "reject"] and rows[0]["run"] == "segment/r"
    assert [row["name"] for row in rows] == ["cat/a_000000", "i0", "cat/a_000000"]


def test_undo_goes_back_through_an_earlier_start(path):
    with Journal(path) as journal:
        journal.answer(SHOT, YES)
        journal.answer(SHOT, NO)
        journal.answer(IMAGE, NO)
        assert journal.undo() == IMAGE and journal.now(IMAGE) == Answer()
    with Journal(path) as journal:
        assert journal.undo() == SHOT and journal.now(SHOT) == YES
        journal.answer(IMAGE, YES)
        assert [journal.undo(), journal.undo(), journal.undo()] == [IMAGE, SHOT, None]
    assert [read_history(path).now(one) for one in (SHOT, IMAGE)] == [Answer(), Answer()]


def test_a_line_that_was_cut_short_does_not_count(path):
    """After a full disk or a power failure: the answer was never reported as saved."""
    with Journal(path) as journal:
        journal.answer(SHOT, YES)
        journal.answer(SHOT, NO)
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for length in range(first, len(whole)):
        path.write_bytes(whole[:length])
        assert read_history(path).now(SHOT) == YES
        with Journal(path) as journal:
            journal.answer(IMAGE, NO)
        found = read_history(path)
        assert (found.now(SHOT), found.now(IMAGE)) == (YES, NO)


def test_answers_survive_kill_9(path):
    code = (
        "import os, signal, sys; from pathlib import Path; from wsvs.core.reviews import *\n"
        "journal = Journal(Path(sys.argv[1]))\n"
        "for number in range(20): journal.answer(Subject('shot', str(number), str(number)), Answer('reject'))\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)], check=False).returncode == -9
    with Journal(path) as journal:  # its lock went with it
        assert list(journal.answers) == [str(number) for number in range(20)]


def test_only_one_process_reviews_a_name(path):
    code = "import sys; from pathlib import Path; from wsvs.core.reviews import *; Journal(Path(sys.argv[1]))"
    with Journal(path) as journal:
        journal.answer(SHOT, YES)
        other = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False)
    assert "another process reviews this name" in other.stderr


@pytest.mark.parametrize(
    "line",
    [
        "x",
        "[1]",
        "{}",
        '{"kind": "shot", "name": "a", "key": "a", "size": 0, "verdict": "maybe", "tags": null}',
        '{"kind": "shot", "name": "a", "key": "a", "size": 0, "verdict": null, "tags": "cat"}',
    ],
)
def test_a_line_that_is_no_answer_is_reported_with_its_number(path, line):
    with Journal(path) as journal:
        journal.answer(SHOT, YES)
    with path.open("a") as stream:
        stream.write(line + "\n")
    with pytest.raises(UserError, match="line 2 is not a valid answer") as caught:
        read_history(path)
    assert "review.use=false" in str(caught.value.remedy)


def test_a_full_disk_keeps_what_was_saved(path, monkeypatch):
    with Journal(path) as journal:
        journal.answer(SHOT, YES)
        before = path.read_bytes()
        whole = __import__("os").write
        monkeypatch.setattr("os.write", lambda number, data: whole(number, data[:9]))
        with pytest.raises(UserError, match="no space left"):
            journal.answer(SHOT, NO)
        monkeypatch.undo()
        assert path.read_bytes() == before and journal.now(SHOT) == YES


def test_files_are_known_by_their_content(tmp_path):
    first = tmp_path / "a.jpg"
    first.write_bytes(bytes(3_000_000))
    (tmp_path / "copy.png").write_bytes(first.read_bytes())
    for place in (0, 2_999_999):  # the beginning and the end are looked at
        data = bytearray(3_000_000)
        data[place] = 1
        (tmp_path / "other.jpg").write_bytes(data)
        assert identity(tmp_path / "other.jpg") != identity(first)
    (tmp_path / "longer.jpg").write_bytes(bytes(3_000_001))
    assert identity(tmp_path / "copy.png") == identity(first) != identity(tmp_path / "longer.jpg")
    subject = subject_of("image", "a", first)
    assert subject == Subject("image", "a", identity(first), 3_000_000)
    answers = Reviews(files={subject.key: NO}, sizes={3_000_000})
    files = {path.name: path for path in tmp_path.iterdir()} | {"gone": tmp_path / "gone"}
    assert answers.of(files) == {"a.jpg": NO, "copy.png": NO}
    assert subject_of("image", "a", tmp_path / "gone") is subject_of("video", "a", None) is None


@pytest.fixture
def said(path):
    video, other = Subject("video", "v", "1" * 64, 9), Subject("shot", "dog/b", "dog/b")
    with Journal(path) as journal:
        journal.answer(SHOT, NO)
        journal.answer(other, YES)
        journal.answer(IMAGE, Answer("reject", ("cat",)))
        journal.answer(video, Answer("reject", ()))
    return read_history(path)


def test_each_stage_reads_what_concerns_it(said):
    """Who has accepted something has changed nothing, unless that weighs more."""
    assert reviews(said, ["shots"], accepted=False) == Reviews({SHOT.key: NO})
    assert reviews(said, ["shots"], accepted=True) == Reviews({SHOT.key: NO, "dog/b": YES})
    retagged = Reviews({}, {IMAGE.key: Answer(None, ("cat",)), "1" * 64: Answer(None, ())}, frozenset({7, 9}))
    assert reviews(said, ["tags"], accepted=False) == retagged
    assert reviews(said, ["images"], accepted=False) == Reviews({}, {IMAGE.key: NO}, frozenset({7}))
    assert reviews(said, [], accepted=True) == Reviews()


def test_what_a_run_keeps_of_it(said):
    found = reviews(said, ["shots", "images", "tags"], accepted=True)
    assert Reviews.read(json.loads(json.dumps(found.asdict()))) == found
    assert Reviews().asdict() == {} and Reviews().summary() == []
    assert found.summary() == [
        "reviewed by a person: shots 2 (1 accepted, 1 rejected)",
        "reviewed by a person: images 2 (1 rejected, 2 with other tags)",
    ]
