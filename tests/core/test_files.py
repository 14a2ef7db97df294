"""Atomic writes: a file under its own name is whole, and a failure leaves nothing behind."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from wsvs.core import files
from wsvs.core.errors import UserError
from wsvs.core.files import (
    atomic_path,
    explain_os_error,
    files_below,
    read_json,
    read_jsonl,
    write_bytes,
    write_json,
    write_jsonl,
    write_text,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_new_file_appears_whole_with_its_folder(tmp_path):
    with atomic_path(tmp_path / "a" / "b" / "x.png") as temporary:
        assert temporary.suffix == ".png" and temporary.parent == tmp_path / "a" / "b"
        temporary.write_bytes(b"half")
        assert not (tmp_path / "a" / "b" / "x.png").exists()
        temporary.write_bytes(b"whole")
    assert (tmp_path / "a" / "b" / "x.png").read_bytes() == b"whole"
    assert names(tmp_path / "a" / "b") == ["x.png"]


@pytest.mark.parametrize("error", [RuntimeError("broken"), KeyboardInterrupt(), UserError("no")])
def test_failing_block_leaves_the_old_file_and_no_other(tmp_path, error):
    path = tmp_path / "x.txt"
    path.write_text("old")
    with pytest.raises(type(error)), atomic_path(path) as temporary:
        temporary.write_text("half of the new")
        raise error
    assert path.read_text() == "old" and names(tmp_path) == ["x.txt"]


def test_failing_block_leaves_no_new_file(tmp_path):
    with pytest.raises(RuntimeError), atomic_path(tmp_path / "x.txt") as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert names(tmp_path) == []


def test_existing_file_is_replaced_and_not_written_into(tmp_path):
    path = tmp_path / "x.txt"
    write_text(path, "old")
    os.link(path, tmp_path / "reader")  # someone who still reads the old file
    write_text(path, "new, Grüße")
    assert path.read_text() == "new, Grüße" and (tmp_path / "reader").read_text() == "old"


def test_mode_follows_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        write_bytes(tmp_path / "x", b"")
        assert os.umask(0o027) == 0o027  # and the umask is left as it was
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o640


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_full_disk_says_so_and_leaves_nothing(tmp_path, monkeypatch, code):
    write_text(tmp_path / "x.json", "old")

    def full(self: Path, data: bytes) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UserError, match="no space left on the disk") as caught:
        write_json(tmp_path / "x.json", {})
    assert caught.value.where == str(tmp_path / "x.json")
    assert "free some space and run the same command again" in str(caught.value)
    monkeypatch.undo()
    assert names(tmp_path) == ["x.json"] and (tmp_path / "x.json").read_text() == "old"


def test_full_disk_at_the_first_byte(tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "open", full)
    with pytest.raises(UserError, match="no space left"):
        write_text(tmp_path / "x", "")


def test_folder_that_is_a_file(tmp_path):
    (tmp_path / "a").write_text("")
    with pytest.raises(UserError, match="cannot write here") as caught:
        write_text(tmp_path / "a" / "x", "")
    assert caught.value.where == str(tmp_path / "a" / "x")


def test_file_that_is_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").mkdir()
    for path in ("a", "."):
        with pytest.raises(UserError, match="this is a folder, not a file"):
            write_text(path, "")
    assert names(tmp_path) == ["a"]


def test_other_errors_pass_unchanged():
    error = OSError(errno.EIO, "Input/output error")
    assert explain_os_error(error, "x") is error
    assert isinstance(explain_os_error(OSError(errno.EROFS, "Read-only file system"), "x"), UserError)


def test_files_below_follow_links_and_enter_no_folder_twice(tmp_path):
    root = tmp_path / "root"
    for path in (root / "b" / "1.jpg", root / "b" / ".hidden", root / ".c" / "2.jpg", tmp_path / "far" / "x" / "3.jpg"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (root / "a").symlink_to(root / "b")  # the folder itself keeps its name
    (root / "b" / "up").symlink_to("..")
    (root / "d").symlink_to(tmp_path / "far")
    (tmp_path / "far" / "back").symlink_to(root)
    (root / "lost").symlink_to("nowhere")
    (root / "4.jpg").symlink_to(root / "b" / "1.jpg")
    found = sorted(path.relative_to(root).as_posix() for path in files_below(root))
    assert found == ["4.jpg", "b/1.jpg", "d/x/3.jpg", "lost"]


def test_json_round_trip(tmp_path):
    value = {"b": [1, 2.5, None], "a": "ü"}
    write_json(tmp_path / "x.json", value)
    assert read_json(tmp_path / "x.json") == value


def test_json_that_cannot_be_written_leaves_no_file(tmp_path):
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "nan.json", float("nan"))
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("content", "said"), [(None, "file not found"), (b"{", "not a JSON"), (b"\xff\xfe", "not a J")]
)
def test_json_that_cannot_be_read_is_reported(tmp_path, content, said):
    if content is not None:
        (tmp_path / "bad.json").write_bytes(content)
    with pytest.raises(UserError, match=said):
        read_json(tmp_path / "bad.json")


def test_jsonl_round_trip(tmp_path):
    rows = [{"id": "a"}, {"id": "b", "n": 1}]
    assert write_jsonl(tmp_path / "x.jsonl", iter(rows)) == 2
    assert list(read_jsonl(tmp_path / "x.jsonl")) == rows


def test_line_that_is_not_json_is_named_after_those_before_it(tmp_path):
    (tmp_path / "bad.jsonl").write_text('{"id": "a"}\n\n{"id": \n')
    reader = read_jsonl(tmp_path / "bad.jsonl")
    assert next(reader) == {"id": "a"}
    with pytest.raises(UserError, match="line 3 is not JSON"):
        next(reader)


def test_line_in_another_encoding_is_named(tmp_path):
    (tmp_path / "latin.jsonl").write_bytes(b'{"id": "a"}\n{"id": "caf\xe9"}\n')
    with pytest.raises(UserError, match="line 2 is not JSON"):
        list(read_jsonl(tmp_path / "latin.jsonl"))


def test_missing_jsonl_is_reported(tmp_path):
    with pytest.raises(UserError, match="file not found"):
        list(read_jsonl(tmp_path / "missing.jsonl"))


def test_jsonl_source_that_fails_leaves_nothing(tmp_path):
    def rows():
        yield {"id": "a"}
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_jsonl(tmp_path / "x.jsonl", rows())
    assert names(tmp_path) == []
