from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest

from wsvs.core.classes import Classes
from wsvs.core.errors import BadItem, UserError
from wsvs.retrieve import folder
from wsvs.retrieve.folder import FolderSource, retrieve_folder
from wsvs.retrieve.manifest import iter_clips
from wsvs.video.reader import probe, read_frames

CLASSES = Classes(["cat", "dog"])


def fake(path: Path, frames: int = 10) -> Path:
    """A file in place of a video with this number of frames; it is never decoded."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{frames} {path.name}")
    return path


def fake_probe(path: Path) -> SimpleNamespace:
    frames = path.read_text().split()[0]
    if frames == "broken":
        raise BadItem("the video breaks off\nafter 3 frames", where=path)
    return SimpleNamespace(width=64, height=48, fps=5.0, frames=int(frames), damaged=())


def real(path: Path, frames: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=10)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(frames):
            image = np.full((48, 64, 3), 20 + 10 * number, np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        out.mux(stream.encode(None))
    return path


def rows_of(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]


def fates(out: Path) -> dict[tuple[str, str | None], str]:
    return {(row["video"], row["class"]): row["status"] for row in rows_of(out)}


def test_real_videos_become_clips(tmp_path: Path) -> None:
    source = real(tmp_path / "in" / "cat" / "tom.mp4", 8)
    real(tmp_path / "in" / "dog" / "rex.mkv", 5)
    (tmp_path / "in" / "dog" / "bad.mp4").write_text("no film")
    out = tmp_path / "out"
    counts = retrieve_folder(FolderSource(tmp_path / "in"), CLASSES, out, probe=probe)
    assert counts == {
        "candidates": 3,
        "retrieved": 2,
        "skipped": 0,
        "failed": 1,
        "distractors": 0,
        "frames": 13,
        "retrieved_by_class": {"cat": 1, "dog": 1},
        "classes_without_video": [],
    }
    row = rows_of(out)[0]
    assert row == {
        "video": "cat/tom",
        "class": "cat",
        "url": source.as_uri(),
        "licence": None,
        "title": "tom",
        "query": None,
        "rank": None,
        "uploader": None,
        "identity": None,
        "failure": None,
        "thumbnail_score": None,
        "thumbnail_passed": None,
        "key_frames": [],
        "duration": 0.8,
        "width": 64,
        "height": 48,
        "fps": 10.0,
        "frames": 8,
        "sha256": hashlib.sha256(source.read_bytes()).hexdigest(),
        "bytes": source.stat().st_size,
        "status": "retrieved",
        "distractor": False,
        "clips": [
            {
                "clip": "cat/tom_0",
                "path": "clips/cat/tom_0.mp4",
                "class": "cat",
                "start": 0,
                "stop": 8,
                "url": source.as_uri(),
                "distractor": False,
            }
        ],
    }
    assert [
        (row["video"], row["clips"]) for row in rows_of(out) if row["status"].startswith("failed: not a video")
    ] == [("dog/bad", [])]
    clips = list(iter_clips(out / "manifest.jsonl"))
    assert [(clip.clip, clip.video, clip.frames) for clip in clips] == [
        ("cat/tom_0", "cat/tom", 8),
        ("dog/rex_0", "dog/rex", 5),
    ]
    for clip in clips:
        frames = list(read_frames(clip.file, clip.start, clip.stop, total=clip.frames))
        assert len(frames) == clip.stop
    assert sorted(str(p.relative_to(out)) for p in out.rglob("*") if p.is_file()) == [
        "clips/cat/tom_0.mp4",
        "clips/dog/rex_0.mkv",
        "manifest.jsonl",
    ]


def test_hard_link_and_the_users_file_stays_as_it_is(tmp_path: Path) -> None:
    source = fake(tmp_path / "in" / "cat" / "a.mp4")
    source.chmod(0o640)
    retrieve_folder(FolderSource(tmp_path / "in"), CLASSES, tmp_path / "out", probe=fake_probe)
    assert (tmp_path / "out/clips/cat/a_0.mp4").samefile(source)
    assert source.stat().st_mode & 0o777 == 0o640


def test_copy_where_no_link_is_possible(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_link(*_: object, **__: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", no_link)
    source = fake(tmp_path / "in" / "cat" / "a.mp4")
    seen: list[Path] = []
    for _ in range(2):
        retrieve_folder(
            FolderSource(tmp_path / "in"),
            CLASSES,
            tmp_path / "out",
            probe=lambda path: seen.append(path) or fake_probe(path),  # type: ignore[func-returns-value]
        )
        assert len(seen) == 1  # the copy has the source's time stamp and is known again
        clip = tmp_path / "out/clips/cat/a_0.mp4"
        assert clip.read_bytes() == source.read_bytes() and not clip.samefile(source)
        assert sorted(p.name for p in clip.parent.iterdir()) == ["a_0.mp4"]


def test_symbolic_links_are_followed(tmp_path: Path) -> None:
    target = fake(tmp_path / "store" / "x.mp4")
    (tmp_path / "in" / "cat").mkdir(parents=True)
    (tmp_path / "in" / "cat" / "a.mp4").symlink_to(target)
    (tmp_path / "in" / "cat" / "up").symlink_to("..")
    assert [video.id for video in FolderSource(tmp_path / "in").videos] == ["cat/a"]
    retrieve_folder(FolderSource(tmp_path / "in"), CLASSES, tmp_path / "out", probe=fake_probe)
    clip = tmp_path / "out/clips/cat/a_0.mp4"
    assert not clip.is_symlink() and clip.read_bytes() == target.read_bytes()


@pytest.mark.parametrize("extension", ["", ".mp4"])
def test_classes_from_a_table(tmp_path: Path, extension: str) -> None:
    for name in ("a", "sub/b", "c", "d"):
        fake(tmp_path / "in" / f"{name}.mp4")
    table = tmp_path / "videos.tsv"
    lines = {"a": "cat", "sub/b": "dog,cat,bird", "c": "bird", "gone": "dog"}
    table.write_text("video\ttags\n" + "".join(f"{name}{extension}\t{tags}\n" for name, tags in lines.items()))
    counts = retrieve_folder(FolderSource(tmp_path / "in", table), CLASSES, tmp_path / "out", probe=fake_probe)
    assert fates(tmp_path / "out") == {
        ("a", "cat"): "retrieved",
        ("sub/b", "cat"): "retrieved",
        ("sub/b", "dog"): "retrieved",
        ("c", None): "skipped: no class among its tags (bird)",
        ("d", None): "skipped: it has no tag",
        (f"gone{extension}", "dog"): "failed: no such file below the folder",
    }
    assert (counts["candidates"], counts["retrieved"], counts["skipped"], counts["failed"]) == (6, 3, 2, 1)
    assert counts["retrieved_by_class"] == {"cat": 2, "dog": 1}


def test_foreign_videos_dealt_to_the_classes_in_turn(tmp_path: Path) -> None:
    for name in ("cat/own", "bird/own", "bird/x", "fish/y", "loose"):
        fake(tmp_path / "in" / f"{name}.mp4")
    counts = retrieve_folder(
        FolderSource(tmp_path / "in"), CLASSES, tmp_path / "out", probe=fake_probe, foreign="assign"
    )
    rows = rows_of(tmp_path / "out")
    assert {row["video"]: (row["class"], row["distractor"]) for row in rows} == {
        "bird/own": ("cat", True),
        "bird/x": ("dog", True),
        "cat/own": ("cat", False),
        "fish/y": ("cat", True),
        "loose": ("dog", True),
    }
    clips = list(iter_clips(tmp_path / "out/manifest.jsonl"))
    assert {clip.video: clip.line["distractor"] for clip in clips} == {r["video"]: r["distractor"] for r in rows}
    assert len({clip.clip for clip in clips}) == 5
    assert (counts["distractors"], counts["retrieved_by_class"]) == (4, {"cat": 3, "dog": 2})
    assert counts["classes_without_video"] == ["dog"]  # wrong videos alone


def test_unknown_setting(tmp_path: Path) -> None:
    fake(tmp_path / "cat" / "a.mp4")
    with pytest.raises(ValueError, match="skip or assign, got 'drop'"):
        retrieve_folder(FolderSource(tmp_path), CLASSES, tmp_path, probe=fake_probe, foreign="drop")  # type: ignore[arg-type]


def test_names_are_safe_and_never_shared(tmp_path: Path) -> None:
    names = ["a b", "a_b", "a/b", "ä", "-x", "c.v2", "%s$(rm)", "l" * 180]
    for name in names:
        fake(tmp_path / "in" / "cat" / f"{name}.mp4")
    fake(tmp_path / "in" / "cat" / "a_b.MKV")  # the same but for the extension
    fake(tmp_path / "in" / "c.v2.mp4").write_text("10 foreign")  # of the same name as one of the class
    source, classes = FolderSource(tmp_path / "in"), Classes(["cat"])
    retrieve_folder(source, classes, tmp_path / "out", probe=fake_probe, foreign="assign")
    clips = list(iter_clips(tmp_path / "out/manifest.jsonl"))
    assert len(clips) == len({clip.clip for clip in clips}) == len(names) + 2
    for clip in clips:
        name = clip.clip.removeprefix("cat/")
        assert name.isascii() and all(c.isalnum() or c in "._-" for c in name) and len(name) < 130
        assert clip.path == f"clips/{clip.clip}{Path(clip.line['url']).suffix}"
        video = tmp_path / "in" / clip.video
        found = [path for path in video.parent.iterdir() if path.name.startswith(video.name)]
        assert Path(clip.file).read_bytes() in [path.read_bytes() for path in found]


def dies_at(last: str | None, seen: list[str]):
    def probe(path: Path) -> SimpleNamespace:
        seen.append(path.stem)
        if path.stem == last:
            raise KeyboardInterrupt
        return fake_probe(path)

    return probe


def test_resumes_after_a_kill(tmp_path: Path) -> None:
    for name in "abc":
        fake(tmp_path / "in" / "cat" / f"{name}.mp4")
    seen: list[str] = []
    source, out = FolderSource(tmp_path / "in"), tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        retrieve_folder(source, CLASSES, out, probe=dies_at("b", seen))
    assert not (out / "manifest.jsonl").exists()
    journal = out / "manifest.partial.jsonl"
    journal.write_text(journal.read_text() + '{"video": "cat/b", "cla')  # killed in the middle of a line
    with pytest.raises(KeyboardInterrupt):
        retrieve_folder(source, CLASSES, out, probe=dies_at("c", seen))
    retrieve_folder(source, CLASSES, out, probe=dies_at(None, seen))
    assert seen == ["a", "b", "b", "c", "c"]
    assert [row["video"] for row in rows_of(out)] == ["cat/a", "cat/b", "cat/c"]
    assert not journal.exists()


def test_a_stump_of_a_line_spoils_no_other(tmp_path: Path) -> None:
    for name in "ab":
        fake(tmp_path / "in" / "cat" / f"{name}.mp4")
    seen: list[str] = []
    source, out = FolderSource(tmp_path / "in"), tmp_path / "out"
    out.mkdir()
    (out / "manifest.partial.jsonl").write_text('{"video": "cat/a", "cla')
    with pytest.raises(KeyboardInterrupt):
        retrieve_folder(source, CLASSES, out, probe=dies_at("b", seen))
    retrieve_folder(source, CLASSES, out, probe=dies_at(None, seen))
    assert seen == ["a", "b", "b"]


def test_a_second_kill_loses_nothing(tmp_path: Path) -> None:
    for name in "abc":
        fake(tmp_path / "in" / "cat" / f"{name}.mp4")
    seen: list[str] = []
    source, out = FolderSource(tmp_path / "in"), tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        retrieve_folder(source, CLASSES, out, probe=dies_at("c", seen))
    (out / "clips/cat/a_0.mp4").unlink()
    with pytest.raises(KeyboardInterrupt):
        retrieve_folder(source, CLASSES, out, probe=dies_at("a", seen))
    retrieve_folder(source, CLASSES, out, probe=dies_at(None, seen))
    assert seen == ["a", "b", "c", "a", "a", "c"]


def test_a_second_call_redoes_only_what_has_changed(tmp_path: Path) -> None:
    for name in "abcde":
        fake(tmp_path / "in" / "cat" / f"{name}.mp4")
    fake(tmp_path / "in" / "cat" / "f.mp4").write_text("broken")
    out = tmp_path / "out"
    seen: list[str] = []

    def spy(path: Path) -> SimpleNamespace:
        seen.append(path.stem)
        return fake_probe(path)

    retrieve_folder(FolderSource(tmp_path / "in"), CLASSES, out, probe=spy)
    assert fates(out)["cat/f", "cat"] == "failed: the video breaks off after 3 frames"
    seen.clear()
    (tmp_path / "in/cat/a.mp4").unlink()
    fake(tmp_path / "in/cat/a.mp4", 77)  # fetched again
    (out / "clips/cat/b_0.mp4").unlink()
    (out / "clips/cat/c_0.mp4").unlink()
    (out / "clips/cat/c_0.mp4").write_text("stump")
    fake(tmp_path / "in/cat/f.mp4", 4)  # fixed
    counts = retrieve_folder(FolderSource(tmp_path / "in"), CLASSES, out, probe=spy)
    assert seen == ["a", "b", "c", "f"]
    assert (counts["retrieved"], counts["failed"], counts["frames"]) == (6, 0, 77 + 4 * 10 + 4)
    for clip in iter_clips(out / "manifest.jsonl"):
        assert Path(clip.file).read_text().split()[0] == str(clip.stop)


def test_a_class_without_video_is_named(tmp_path: Path) -> None:
    fake(tmp_path / "in" / "cat" / "a.mp4")
    fake(tmp_path / "in" / "dog" / "a.mp4").write_text("broken")
    counts = retrieve_folder(FolderSource(tmp_path / "in"), CLASSES, tmp_path / "out", probe=fake_probe)
    assert counts["classes_without_video"] == ["dog"] and counts["failed"] == 1


def test_progress(tmp_path: Path) -> None:
    for name in "abc":
        fake(tmp_path / "in" / "cat" / f"{name}.mp4")
    seen: list[str] = []
    retrieve_folder(
        FolderSource(tmp_path / "in"),
        CLASSES,
        tmp_path / "out",
        probe=fake_probe,
        progress=lambda work: (seen.append(pair[0].short) or pair for pair in work),
    )
    assert seen == ["a", "b", "c"]


def test_bad_folders(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not found") as caught:
        FolderSource(tmp_path / "none")
    assert caught.value.where == str(tmp_path / "none")
    fake(tmp_path / "in" / "cat" / "notes.txt")
    fake(tmp_path / "in" / "cat" / ".hidden.mp4")
    fake(tmp_path / "in" / ".trash" / "a.mp4")
    with pytest.raises(UserError, match="no video in this folder"):
        FolderSource(tmp_path / "in")
    fake(tmp_path / "in" / "cat" / "a.mp4")
    table = tmp_path / "t.csv"
    table.write_text("video,tags\nzzz,cat\n")
    with pytest.raises(UserError, match="lists no video") as caught:
        FolderSource(tmp_path / "in", table)
    assert "'cat/a'" in str(caught.value.remedy)


def test_unwritable_target_stops_the_work(tmp_path: Path) -> None:
    fake(tmp_path / "in" / "cat" / "a.mp4")
    (tmp_path / "out").write_text("a file")
    with pytest.raises(UserError, match="cannot write here"):
        retrieve_folder(FolderSource(tmp_path / "in"), CLASSES, tmp_path / "out", probe=fake_probe)


def test_full_disk_stops_the_work_and_leaves_no_stump(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: Path, target: Path) -> None:
        Path(target).write_text("stu")
        raise OSError(28, "No space left on device")

    def no_link(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", no_link)
    monkeypatch.setattr(shutil, "copyfile", full)
    fake(tmp_path / "in" / "cat" / "a.mp4")
    with pytest.raises(UserError, match="no space left"):
        retrieve_folder(FolderSource(tmp_path / "in"), CLASSES, tmp_path / "out", probe=fake_probe)
    assert list((tmp_path / "out/clips/cat").iterdir()) == []


def test_unreadable_source_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(tmp_path / "in" / "cat" / "a.mp4")
    fake(tmp_path / "in" / "cat" / "b.mp4")

    def denied(path: Path) -> tuple[str, int]:
        if path.stem == "a":
            raise PermissionError(13, "Permission denied")
        return "0" * 64, 1

    monkeypatch.setattr(folder, "digest_file", denied)
    retrieve_folder(FolderSource(tmp_path / "in"), CLASSES, tmp_path / "out", probe=fake_probe)
    assert fates(tmp_path / "out") == {
        ("cat/a", "cat"): "failed: cannot be read (Permission denied)",
        ("cat/b", "cat"): "retrieved",
    }
