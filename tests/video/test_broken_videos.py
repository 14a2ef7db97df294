"""Files that are no videos, and videos that are not all there."""

from __future__ import annotations

import pickle
import wave
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from wsvs.core.errors import BadItem
from wsvs.video.containers import missing_bytes
from wsvs.video.reader import check, glance, probe, read_frames

VP9 = {"codec": "libvpx-vp9", "options": {"deadline": "realtime", "cpu-used": "8", "g": "10"}}


def cut(path: Path, share: float) -> Path:
    short = path.with_name(f"short-{path.name}")
    data = path.read_bytes()
    short.write_bytes(data[: int(len(data) * share)])
    return short


def _silence(path: Path) -> Path:
    with wave.open(str(path), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", "not compressed"))
        sound.writeframes(bytes(16000))
    return path


def test_files_that_are_no_videos(tmp_path: Path, clips: Any) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("no film here\n" * 99)
    (tmp_path / "text.txt").write_text("no film here\n" * 99)
    (tmp_path / "noise.avi").write_bytes(np.random.default_rng(0).bytes(5000))
    (tmp_path / "list.m3u8").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\na\n#EXT-X-ENDLIST\n")
    cv2.imwrite(str(tmp_path / "picture.jpg"), clips.numbered(1, 144, 96))
    _silence(tmp_path / "sound.wav")
    (tmp_path / "folder.mp4").mkdir()
    expected = {
        "missing.mp4": "not found", "folder.mp4": "not found", "empty.mp4": "empty",
        "text.mp4": "not a video", "text.txt": "not a video", "noise.avi": "not a video",
        "list.m3u8": "not a video", "picture.jpg": "not a video", "sound.wav": "no pictures",
    }
    for name, problem in expected.items():
        for attempt in (probe, lambda path: list(read_frames(path))):
            with pytest.raises(BadItem) as caught:
                attempt(tmp_path / name)
            assert problem in caught.value.problem and caught.value.where == str(tmp_path / name)


def test_names_that_look_like_protocols(tmp_path: Path, clips: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    clips.make(tmp_path / "clip.mp4", frames=2).rename(tmp_path / "http:12:30 #1 50%.mp4")
    assert probe("http:12:30 #1 50%.mp4").frames == 2


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("clip.mp4", {"container": {"movflags": "faststart"}}),
        ("pieces.mp4", {"container": {"movflags": "frag_keyframe+empty_moov"}, "options": {"g": "10"}}),
        ("clip.mkv", {}), ("clip.webm", VP9), ("clip.avi", {"codec": "mpeg4"}),
        ("b.mkv", {"options": {"bf": "3"}}),
    ],
)
def test_truncated_file_gives_its_frames_and_then_breaks(tmp_path: Path, clips: Any, name: str, kind: dict) -> None:
    whole = clips.make(tmp_path / name, frames=60, **kind)
    images = list(read_frames(whole))
    path = cut(whole, 0.8)
    got: list[np.ndarray] = []
    with pytest.raises(BadItem, match="breaks off after") as caught:
        for image in read_frames(path):
            got.append(image)
    assert 5 < len(got) < 60 and f"after {len(got)} frames" in caught.value.problem
    assert caught.value.where == str(path)
    assert all(np.array_equal(a, b) for a, b in zip(got, images, strict=False))  # sound up to the last
    with pytest.raises(BadItem, match=f"after {len(got)} frames"):
        probe(path)
    assert probe(path, partial_ok=True).frames == len(got) == len(list(read_frames(path, partial_ok=True)))
    assert len(list(read_frames(path, 2, 5))) == 3  # the break lies behind
    assert pickle.loads(pickle.dumps(caught.value)).problem == caught.value.problem


FAST = {"container": {"movflags": "faststart"}}
ALONE = {"options": {"g": "1"}}  # pictures so large that the cut goes through one


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("clip.mp4", FAST), ("clip.mov", FAST), ("clip.mkv", {}), ("clip.webm", VP9), ("clip.avi", {"codec": "mpeg4"}),
        ("clip.ts", ALONE), ("clip.mpg", {"codec": "mpeg2video", **ALONE}), ("clip.flv", {"codec": "flv"}),
    ],
)
def test_a_check_tells_a_truncated_file_as_a_look_at_every_frame_does(
    tmp_path: Path, clips: Any, name: str, kind: dict
) -> None:
    whole = clips.make(tmp_path / name, frames=60, **kind)
    assert check(whole) == glance(whole)
    path = cut(whole, 1 / 3)
    problems = []
    for look in (check, probe):
        with pytest.raises(BadItem, match=r"breaks off after|no frame can|cut off before its index") as caught:
            look(path)
        problems.append(caught.value.problem)
    assert problems[0] == problems[1]


def test_truncated_before_the_index(tmp_path: Path, clips: Any) -> None:
    path = cut(clips.make(tmp_path / "clip.mp4"), 0.5)
    for partial_ok in (False, True):
        with pytest.raises(BadItem, match="cut off before its index"):
            probe(path, partial_ok=partial_ok)


def test_a_piece_of_a_stream_starts_at_its_first_key_frame(tmp_path: Path, clips: Any) -> None:
    path = clips.make(tmp_path / "clip.ts", frames=60, options={"g": "20"})
    data = path.read_bytes()
    path.write_bytes(data[len(data) // 5 // 188 * 188 :])  # MPEG-TS comes in packets of 188 bytes
    assert [clips.number_of(image) for image in read_frames(path)] == list(range(20, 60))
    assert probe(path).frames == 40


@pytest.mark.parametrize(("codec", "share"), [("libx264", 1), ("mpeg4", 1), ("mpeg4", 0.5), ("mpeg2video", 0.5)])
def test_frames_before_the_first_sound_key_frame_do_not_count(
    tmp_path: Path, clips: Any, codec: str, share: float
) -> None:
    path = clips.make(tmp_path / "clip.mp4", frames=50, codec=codec, options={"g": "20"})
    blank(path, 0, share)
    assert [clips.number_of(image) for image in read_frames(path)] == list(range(20, 50))


def place_of(path: Path, number: int) -> tuple[int, int]:
    """(position, length) of a coded picture in the file, in bytes."""
    with av.open(str(path)) as video:
        packets = [packet for packet in video.demux(video.streams.video[0]) if packet.size]
        position = packets[number].pos
        assert position is not None
        return position, packets[number].size


def blank(path: Path, number: int, share: float = 1.0) -> None:
    """Overwrite the last part of one coded picture with zeros."""
    position, size = place_of(path, number)
    lost = int(size * share)
    data = bytearray(path.read_bytes())
    data[position + size - lost : position + size] = bytes(lost)
    path.write_bytes(data)


def test_the_stump_of_a_picture_is_no_frame(tmp_path: Path, clips: Any) -> None:
    """Of a motion JPEG cut inside a picture the decoder makes a whole frame without complaint."""
    path = clips.make(
        tmp_path / "clip.mov", frames=40, codec="mjpeg", pixels="yuvj420p", container={"movflags": "faststart"}
    )
    position, size = place_of(path, 30)
    path.write_bytes(path.read_bytes()[: position + int(0.6 * size)])
    assert [clips.number_of(image) for image in read_frames(path, partial_ok=True)] == list(range(30))


def test_a_hole_in_the_middle_ends_the_video(tmp_path: Path, clips: Any) -> None:
    path = clips.make(tmp_path / "clip.mp4", frames=60, options={"bf": "0"}, container={"movflags": "faststart"})
    blank(path, 30)
    assert missing_bytes(path) == 0
    with pytest.raises(BadItem, match="breaks off after 30 frames"):
        probe(path)
    assert [clips.number_of(image) for image in read_frames(path, partial_ok=True)] == list(range(30))


def test_a_damaged_picture_in_the_middle_ends_the_video(tmp_path: Path, clips: Any) -> None:
    """The decoder mends the picture and goes on, so that only its mark tells."""
    path = clips.make(tmp_path / "clip.mp4", frames=50, codec="mpeg4", options={"g": "20"})
    blank(path, 20, 0.5)
    with pytest.raises(BadItem, match=r"breaks off after 20 frames \(a damaged picture\)"):
        probe(path)
    assert [clips.number_of(image) for image in read_frames(path, partial_ok=True)] == list(range(20))


def test_a_new_frame_size_ends_the_video(tmp_path: Path, clips: Any) -> None:
    parts = [clips.make(tmp_path / f"{width}.264", frames=12, size=(width, 96)) for width in (144, 160)]
    path = tmp_path / "both.264"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    with pytest.raises(BadItem, match=r"after 12 frames \(the size of the pictures changes\)"):
        probe(path)
    assert {image.shape for image in read_frames(path, partial_ok=True)} == {(96, 144, 3)}


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.webm", "a.avi", "a.mov"])
def test_missing_bytes(tmp_path: Path, clips: Any, name: str) -> None:
    kind = VP9 if name.endswith("webm") else {"codec": "mpeg4"}
    path = clips.make(tmp_path / name, **kind)
    assert missing_bytes(path) == 0
    size = path.stat().st_size
    for lost in (1, 700):
        short = cut(path, (size - lost) / size)
        assert missing_bytes(short) == size - short.stat().st_size > 0


def test_cover_picture_of_a_song_is_no_video(tmp_path: Path, clips: Any) -> None:
    cv2.imwrite(str(tmp_path / "cover.png"), clips.numbered(1, 144, 96))
    path = tmp_path / "song.m4a"
    with av.open(str(tmp_path / "cover.png")) as source, av.open(str(path), "w", format="mp4") as out:
        sound = out.add_stream("aac", rate=8000)
        assert isinstance(sound, av.AudioStream)
        picture = out.add_stream_from_template(source.streams.video[0])
        picture.disposition = av.stream.Disposition.attached_pic
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 8000
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = picture
                out.mux(packet)
        out.mux(sound.encode(frame))
        out.mux(sound.encode(None))
    with pytest.raises(BadItem, match="no pictures"):
        probe(path)


