"""What is taken for a video, and what is counted and named instead."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.films import make_film, make_sound, pictures
from wsvs.core.classes import Classes
from wsvs.core.errors import UserError
from wsvs.core.frame_folders import FrameFolder, find_frames
from wsvs.core.video_files import why_not_video
from wsvs.retrieve.find import find_videos
from wsvs.retrieve.folder import FolderSource, retrieve_folder
from wsvs.retrieve.manifest import iter_clips
from wsvs.video.pack import pack
from wsvs.video.reader import probe, read_frames


def frames(folder: Path, numbers: list[int], pattern: str = "{:05d}.jpg") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in zip(numbers, pictures(len(numbers), 96, 64), strict=True):
        cv2.imwrite(str(folder / pattern.format(number)), image[..., ::-1])
    return folder


def animation(path: Path) -> Path:
    images = [Image.fromarray(image) for image in pictures(5, 64, 48)]
    images[0].save(path, save_all=True, append_images=images[1:], duration=[40, 40, 40, 200, 40], lossless=True)
    return path


@pytest.mark.parametrize(
    ("made", "name"),
    [
        ("a.mkv", "b"),
        ("a.mp4", "b.f4v"),
        ("a.mpg", "b.vob"),
        ("a.mkv", "b.part"),
        ("a.ts", "b.m2t"),
        ("a.avi", "b.divx"),
    ],
)
def test_a_video_under_any_name_is_one(tmp_path: Path, made: str, name: str) -> None:
    codec = {"a.mpg": "mpeg2video", "a.avi": "mpeg4"}.get(made, "libx264")
    make_film(tmp_path / made, 5, codec=codec).rename(tmp_path / name)
    assert why_not_video(tmp_path / name) is None and probe(tmp_path / name).frames == 5


def test_raw_video_and_animations_are_videos(tmp_path: Path) -> None:
    header = b"YUV4MPEG2 W16 H8 F25:1 Ip A1:1 C420jpeg\n"
    (tmp_path / "a.y4m").write_bytes(header + 3 * (b"FRAME\n" + bytes(16 * 8 * 3 // 2)))
    make_film(tmp_path / "b.h264", 5)
    animation(tmp_path / "c.webp")
    for name, count in (("a.y4m", 3), ("b.h264", 5), ("c.webp", 5)):
        assert why_not_video(tmp_path / name) is None and probe(tmp_path / name).frames == count
    info = probe(tmp_path / "c.webp")
    assert info.times == (0.0, 0.04, 0.08, 0.12, 0.32)
    whole = pictures(5, 64, 48)
    assert all(np.array_equal(a, b) for a, b in zip(read_frames(tmp_path / "c.webp"), whole, strict=True))


def test_what_is_no_video_is_reported_in_short(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("ANSI art\n" * 99)
    (tmp_path / "b.json").write_text('{"a": 1}')
    (tmp_path / "c.srt").write_text("1\n00:00:01,000 --> 00:00:02,000\nHello\n")
    (tmp_path / "d.txt").write_text("Grüße, in einer anderen Schrift\n" * 9, encoding="cp1252")
    (tmp_path / "e").write_bytes(gzip.compress(b"text"))
    (tmp_path / "f.bin").write_bytes(np.random.default_rng(0).bytes(50000))
    (tmp_path / "g.bin").touch()
    make_sound(tmp_path / "h.m4a")
    image = pictures(1, 64, 48)[0]
    for suffix in ("png", "jpg", "bmp", "tif", "webp"):
        cv2.imwrite(str(tmp_path / f"i.{suffix}"), image)
    kinds = {path.name: why_not_video(path) for path in tmp_path.iterdir()}
    assert {kinds[name] for name in ("a.txt", "b.json", "c.srt", "d.txt")} == {"text"}
    assert {kinds[f"i.{suffix}"] for suffix in ("png", "jpg", "bmp", "tif", "webp")} == {"an image"}
    assert kinds["e"] == "an archive" and kinds["f.bin"] == "of unknown kind" and kinds["g.bin"] == "empty"
    assert kinds["h.m4a"] == "sound or data without images"


def test_files_that_are_not_read_are_counted_and_named(tmp_path: Path) -> None:
    make_film(tmp_path / "cat" / "a.mp4", 5)
    for name in ("notes.txt", "more.srt"):
        (tmp_path / "cat" / name).write_text("words")
    (tmp_path / "cat" / "z.zip").write_bytes(b"PK\x03\x04" + bytes(30))
    (tmp_path / "t.tsv").write_text("id\ttags\ncat/a\tcat\n")
    source = FolderSource(tmp_path, tmp_path / "t.tsv")
    assert [video.id for video in source.videos] == ["cat/a"]
    listed = "cat/more.srt, cat/notes.txt, cat/z.zip"
    assert source.not_read == f"files that are not videos (text: 2, an archive: 1): {listed}"


def test_a_folder_a_file_a_pattern_or_a_list(tmp_path: Path) -> None:
    for name in ("a/one.mp4", "a/two.mp4", "b/one.mkv", "c [x]/three.mp4"):
        make_film(tmp_path / name, 2)

    def ids(*given: str) -> list[str]:
        names = [str(tmp_path / name) for name in given]
        return [video.id for video in FolderSource(names[0] if len(names) == 1 else names).videos]

    assert ids("a") == ["one", "two"] and ids("a/one.mp4") == ["one"]
    assert ids("a/*.mp4") == ["one", "two"] and ids("*/one.*") == ["a/one", "b/one"]
    assert ids("**/*.mkv") == ["b/one"] and ids("c [x]/*.mp4") == ["three"]
    assert ids("[ab]") == ["a/one", "a/two", "b/one"]
    assert ids("a/one.mp4", "b") == ["a/one", "b/one"] and ids("a", "a/one.mp4", "a/t*") == ["one", "two"]
    with pytest.raises(UserError, match="folder of videos not found"):
        ids("d")
    with pytest.raises(UserError, match="no video matches this pattern"):
        ids("a/*.avi")
    (tmp_path / "n.txt").write_text("words")
    with pytest.raises(UserError, match=r"not a video \(text\)"):
        ids("n.txt")


def test_numbered_images_are_one_video(tmp_path: Path) -> None:
    folder = frames(tmp_path / "cat" / "run", [8, 9, 10, 11], "frame_{}.png")
    found = find_videos(tmp_path, "videos")
    assert found.videos == [folder]
    kept = find_frames(folder)
    assert isinstance(kept, FrameFolder) and list(kept.frames) == [8, 9, 10, 11]  # not 10, 11, 8, 9
    info = probe(folder, rate=12)
    assert (info.frames, info.fps, info.width, info.height) == (4, 12, 96, 64)
    assert all(np.array_equal(a, b) for a, b in zip(read_frames(folder), pictures(4, 96, 64), strict=True))
    assert [video.tags for video in FolderSource(tmp_path).videos] == [("cat",)]
    assert find_videos(folder, "videos").root == folder.parent and find_videos(folder, "videos").videos == [folder]


def test_gaps_other_sizes_and_broken_frames_are_reported(tmp_path: Path) -> None:
    folder = frames(tmp_path / "v", [1, 2, 3, 6, 7])
    cv2.imwrite(str(folder / "00006.jpg"), np.zeros((32, 48, 3), np.uint8))
    content = (folder / "00002.jpg").read_bytes()
    (folder / "00002.jpg").write_bytes(content[: len(content) // 2])
    info = probe(folder)
    assert (info.frames, info.damaged) == (5, ((1, 2),))
    said = " ".join(info.notes)
    assert "numbered from 1: mask 00000 is of 00001.jpg" in said and "missing frame numbers: 2 (4 to 5)" in said
    assert "48x32 from frame 3 on" in said and {image.shape for image in read_frames(folder)} == {(64, 96, 3)}


def test_masks_and_photographs_are_no_frames(tmp_path: Path) -> None:
    frames(tmp_path / "JPEGImages" / "bear", [0, 1, 2])
    for folder, mode in (("Annotations", "P"), ("Binary", "L")):
        (tmp_path / folder / "bear").mkdir(parents=True)
        for number in range(3):
            mask = Image.fromarray(np.eye(64, 96, dtype=np.uint8) * 255)
            mask.convert(mode).save(tmp_path / folder / "bear" / f"{number:05d}.png")
    frames(tmp_path / "photos", [0, 1], "holiday-{}.jpg")
    cv2.imwrite(str(tmp_path / "photos" / "portrait.jpg"), np.zeros((8, 8, 3), np.uint8))
    make_film(tmp_path / "films" / "a.mp4", 2)
    frames(tmp_path / "films", [0, 1], "poster{}.jpg")
    source = FolderSource(tmp_path)
    assert [video.id for video in source.videos] == ["JPEGImages/bear", "films/a"]
    for said in ("palette or of two values): 6", "images without numbers: 3", "images beside videos: 2"):
        assert said in source.not_read


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_images_become_a_clip_with_the_same_frames(tmp_path: Path, suffix: str) -> None:
    folder = tmp_path / "in" / "cat"
    if suffix == "webp":
        folder.mkdir(parents=True)
        source = animation(folder / "x.webp")
    else:
        source = frames(folder / "x.v1", list(range(6)), "{:05d}." + suffix)
    out, packed = tmp_path / "out", []

    def packer(path: Path, target: Path) -> None:
        packed.append(path)
        pack(path, target, 10)

    for _ in range(2):
        counts = retrieve_folder(FolderSource(tmp_path / "in"), Classes(["cat"]), out, probe=probe, pack=packer)
        assert counts["retrieved"] == 1
    assert packed == [source]  # the second call takes over what has not changed
    [clip] = iter_clips(out / "manifest.jsonl")
    assert clip.path.endswith(".mkv") and clip.video == f"cat/{'x' if suffix == 'webp' else 'x.v1'}"
    both = zip(read_frames(source), read_frames(clip.file), strict=True)
    assert all(np.array_equal(one, two) for one, two in both)
    if suffix == "webp":
        assert probe(clip.file).times == pytest.approx((0.0, 0.04, 0.08, 0.12, 0.32), abs=1e-3)
    else:
        assert clip.line["fps"] == 10
        shutil.copy(source / f"00005.{suffix}", source / f"00006.{suffix}")
        retrieve_folder(FolderSource(tmp_path / "in"), Classes(["cat"]), out, probe=probe, pack=packer)
        assert len(packed) == 2
