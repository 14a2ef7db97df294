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

from tests.films import pictures, write_film
from wsvs.core.errors import BadItem
from wsvs.core.video_files import why_not_video
from wsvs.video.containers import holes, missing_bytes
from wsvs.video.decode import Packets
from wsvs.video.reader import check, glance, probe, read_frames
from wsvs.video.scan import number_frames, spoiled

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
        "missing.mp4": "not found",
        "folder.mp4": "no images",
        "empty.mp4": "empty",
        "text.mp4": "not a video",
        "text.txt": "not a video",
        "noise.avi": "not a video",
        "list.m3u8": "not a video",
        "picture.jpg": "not a video",
        "sound.wav": "no video",
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


def test_metadata_that_are_no_text_do_no_harm(tmp_path: Path, clips: Any) -> None:
    path = clips.make(tmp_path / "clip.mp4", frames=2)
    written = path.read_bytes()
    assert b"Lavf" in written  # the encoder's name
    path.write_bytes(written.replace(b"Lavf", b"\xff\xfe\xc3("))
    assert why_not_video(path) is None and probe(path).frames == 2


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("clip.mp4", {"container": {"movflags": "faststart"}}),
        ("pieces.mp4", {"container": {"movflags": "frag_keyframe+empty_moov"}, "options": {"g": "10"}}),
        ("clip.mkv", {}),
        ("clip.webm", VP9),
        ("clip.avi", {"codec": "mpeg4"}),
        ("b.mkv", {"options": {"bf": "3"}}),
    ],
)
def test_truncated_file_gives_its_frames_and_then_breaks(tmp_path: Path, clips: Any, name: str, kind: dict) -> None:
    whole = clips.make(tmp_path / name, frames=60, **kind)
    images = list(read_frames(whole))
    path = cut(whole, 0.8)
    got: list[np.ndarray] = []
    with pytest.raises(BadItem, match="breaks off") as caught:
        for image in read_frames(path):
            got.append(image)
    assert 5 < len(got) < 60 and f"complete frames: {len(got)}" in caught.value.problem
    assert caught.value.where == str(path)
    assert all(np.array_equal(a, b) for a, b in zip(got, images, strict=False))  # sound up to the last
    with pytest.raises(BadItem, match=f"complete frames: {len(got)}"):
        probe(path)
    assert probe(path, partial_ok=True).frames == len(got) == len(list(read_frames(path, partial_ok=True)))
    assert len(list(read_frames(path, 2, 5))) == 3  # the break lies behind
    assert pickle.loads(pickle.dumps(caught.value)).problem == caught.value.problem


FAST = {"container": {"movflags": "faststart"}}
ALONE = {"options": {"g": "1"}}  # frames so large that the cut goes through one


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("clip.mp4", FAST),
        ("clip.mov", FAST),
        ("clip.mkv", {}),
        ("clip.webm", VP9),
        ("clip.avi", {"codec": "mpeg4"}),
    ],
)
def test_check_and_full_probe_agree_on_a_truncated_file(tmp_path: Path, clips: Any, name: str, kind: dict) -> None:
    whole = clips.make(tmp_path / name, frames=60, **kind)
    assert check(whole) == glance(whole)
    path = cut(whole, 1 / 3)
    problems = []
    for look in (check, probe):
        with pytest.raises(BadItem, match=r"breaks off|no frame can|cut off before its index") as caught:
            look(path)
        problems.append(caught.value.problem)
    assert problems[0] == problems[1]


@pytest.mark.parametrize(
    ("name", "kind"),
    [("clip.ts", ALONE), ("clip.mpg", {"codec": "mpeg2video", **ALONE}), ("clip.flv", {"codec": "flv"})],
)
def test_the_last_image_of_a_truncated_stream_is_damaged(tmp_path: Path, clips: Any, name: str, kind: dict) -> None:
    """Such files tell no length: what is there is the video, and the image that the cut went through is none."""
    whole = clips.make(tmp_path / name, frames=60, **kind)
    assert check(whole) == probe(whole) and not probe(whole).damaged
    path = cut(whole, 1 / 3)
    info = check(path)
    assert info == probe(path) and 5 < info.frames < 40
    assert info.damaged == ((info.frames - 1, info.frames),)


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
def test_damage_at_the_start_lasts_to_the_next_key_frame(tmp_path: Path, clips: Any, codec: str, share: float) -> None:
    path = clips.make(tmp_path / "clip.mp4", frames=50, codec=codec, options={"g": "20"})
    blank(path, 0, share)
    info = probe(path)
    assert (info.frames, info.damaged) == (50, ((0, 20),))
    assert [clips.number_of(image) for image in read_frames(path)][20:] == list(range(20, 50))


def place_of(path: Path, number: int) -> tuple[int, int]:
    """(position, length) of a coded frame in the file, in bytes."""
    with av.open(str(path)) as video:
        packets = [packet for packet in video.demux(video.streams.video[0]) if packet.size]
        position = packets[number].pos
        assert position is not None
        return position, packets[number].size


def blank(path: Path, number: int, share: float = 1.0) -> None:
    """Overwrite the last part of one coded frame with zeros."""
    position, size = place_of(path, number)
    lost = int(size * share)
    data = bytearray(path.read_bytes())
    data[position + size - lost : position + size] = bytes(lost)
    path.write_bytes(data)


def test_the_stump_of_an_image_is_no_frame(tmp_path: Path, clips: Any) -> None:
    """The decoder makes a whole frame of a motion JPEG cut inside a frame, without an error."""
    path = clips.make(
        tmp_path / "clip.mov", frames=40, codec="mjpeg", pixels="yuvj420p", container={"movflags": "faststart"}
    )
    position, size = place_of(path, 30)
    path.write_bytes(path.read_bytes()[: position + int(0.6 * size)])
    assert [clips.number_of(image) for image in read_frames(path, partial_ok=True)] == list(range(30))


def test_a_lost_image_keeps_its_number(tmp_path: Path, clips: Any) -> None:
    """What builds on it is damaged; after the next key frame all is sound and numbered as in the whole video."""
    path = clips.make(
        tmp_path / "clip.mp4", frames=60, options={"bf": "0", "g": "20"}, container={"movflags": "faststart"}
    )
    whole = list(read_frames(path))
    blank(path, 30)
    assert missing_bytes(path) == 0
    info = probe(path)
    assert (info.frames, info.damaged) == (60, ((30, 40),))
    assert info.damage == "damaged frames: 10 of 60 (30 to 39)"
    images = list(read_frames(path))
    assert len(images) == 60
    for number in (*range(30), *range(40, 60)):
        assert np.array_equal(images[number], whole[number])
    assert np.array_equal(images[30], whole[29])  # what was shown before it
    late = list(read_frames(path, 45, total=60))
    assert len(late) == 15 and all(np.array_equal(one, two) for one, two in zip(late, whole[45:], strict=True))


def test_an_image_that_the_decoder_made_up_is_damaged(tmp_path: Path, clips: Any) -> None:
    path = clips.make(tmp_path / "clip.mp4", frames=50, codec="mpeg4", options={"g": "20"})
    blank(path, 25, 0.5)
    assert probe(path).damaged == ((25, 40),)
    assert [clips.number_of(image) for image in read_frames(path)][40:] == list(range(40, 50))


@pytest.mark.parametrize("name", ["h264.mp4", "h264.mkv", "h264.ts", "hevc.mp4", "vp9.webm"])
def test_a_hole_that_the_decoder_does_not_notice(tmp_path: Path, clips: Any, name: str) -> None:
    """Zeros in the middle of an image; every frame that looks otherwise than before is among the damaged."""
    kinds = {"hevc": {"codec": "libx265", "options": {"x265-params": "log-level=none:pools=1:keyint=20:bframes=3"}}}
    kinds |= {"vp9": {**VP9, "options": {**VP9["options"], "g": "20"}}, "h264": {"options": {"g": "20", "bf": "3"}}}
    path = tmp_path / name
    write_film(
        path,
        pictures(60, 320, 176),
        size=(320, 176),
        codec=kinds[path.stem].get("codec", "libx264"),
        pixels="yuv420p",
        turn=None,
        times=None,
        container={},
        options=kinds[path.stem]["options"],
    )
    whole = [image.astype(int) for image in read_frames(path)]
    assert not probe(path).damaged
    with av.open(str(path)) as video:
        packets = [(packet.size, packet.pos or 0) for packet in video.demux(video.streams.video[0]) if packet.size]
    size, position = max(packets[25:35])
    data = bytearray(path.read_bytes())
    data[position + size // 3 : position + size // 3 + min(size // 2, 100 if name.endswith("ts") else size)] = bytes(
        min(size // 2, 100 if name.endswith("ts") else size)
    )
    path.write_bytes(data)
    info = probe(path)
    assert info.frames == 60 and 0 < info.lost <= 20
    damaged = {number for start, stop in info.damaged for number in range(start, stop)}
    images = [image.astype(int) for image in read_frames(path)]
    other = {number for number in range(60) if np.abs(images[number] - whole[number]).mean() > 0.1}
    assert other and other <= damaged
    assert glance(path).lost > 0 or name == "h264.ts"  # the bytes alone tell, where the container is no part of them


def test_three_zero_bytes_inside_a_unit_are_damage() -> None:
    """ISO/IEC 14496-10, 7.4.1: no 00 00 00 or 00 00 02 inside a unit; 00 00 01 begins one; zeros may follow one."""
    avcc, hvcc = b"\x01dd\x1f\xff", b"\x01" + 20 * b"x" + b"\xff"
    for header, codec in ((avcc, "h264"), (hvcc, "hevc")):
        assert not holes(codec, b"\0\0\0\x04\x65\1\2\3\0\0\0\x02\x41\1", header)
        assert holes(codec, b"\0\0\0\x06\x65\0\0\0\4\3", header)
        assert holes(codec, b"\0\0\0\x05\x65\0\0\2\3", header)
        assert not holes(codec, b"\0\0\0\x06\x65\0\0\3\1\3", header)  # the escape of the standard
        assert holes(codec, b"\0\0\0\x09\x65\1\2\3", header)  # the length leads beyond the end
        assert holes(codec, bytes(20), header)
    assert not holes("h264", b"\0\0\0\1\x65\1\2\0\0\0\0\1\x41\1\0\0\0")
    assert holes("h264", b"\0\0\0\1\x65\1\0\0\0\0\x41\1")
    assert not holes("rawvideo", bytes(500)) and not holes("ffv1", bytes(500))
    assert holes("vp9", b"\x82" + bytes(64) + b"\1") and not holes("vp9", b"\x82" + bytes(20) + b"\1" + bytes(99))
    assert holes("mjpeg", bytes(50)) and not holes("mjpeg", b"\xff\xd8" + bytes(99))


def test_what_builds_on_a_damaged_image() -> None:
    """Decoded I0 P4 B2 b1 b3 | I8 with the leading B6, b5, b7 | I9, as in an open GOP."""
    pts = [0, 4, 2, 1, 3, 8, 6, 5, 7, 9, 10]
    read = Packets(
        pts=list(pts),
        keys=[number in (0, 5, 9) for number in range(11)],
        shown=11 * [True],
        alone=[pts[number] in (1, 3, 5, 7) for number in range(11)],
        holes=11 * [False],
    )
    assert spoiled(read, []) == []
    assert spoiled(read, [3]) == [3]  # nothing builds on b1
    assert spoiled(read, [2]) == [2, 3, 4, 6, 7, 8]
    assert spoiled(read, [1]) == [1, 2, 3, 4, 6, 7, 8]
    assert spoiled(read, [5]) == [5, 6, 7, 8]
    assert spoiled(read, [9]) == [9, 10]


def test_lost_images_are_numbered_by_time_or_place() -> None:
    assert number_frames([0, 2, 1, 5], [3, 4], [0, 20, 10, 40, 30, 50]) == [0, 2, 1, 4, 3, 5]
    assert number_frames([0, 1, 3], [2], [None] * 4) == [0, 1, 2, 3]
    assert number_frames([0, 2, 1], [], [None] * 3) == [0, 2, 1]


def test_of_a_new_frame_size_both_halves_are_read(tmp_path: Path, clips: Any) -> None:
    parts = [clips.make(tmp_path / f"{width}.264", frames=12, size=(width, 96)) for width in (144, 288)]
    path = tmp_path / "both.264"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    info = probe(path)
    assert (info.frames, info.width, info.height, info.damaged) == (24, 144, 96, ())
    assert "the size changes (288x96 from frame 12 on): all frames are brought to 144x96" in info.notes[0]
    for edge, shape in ((None, (96, 144, 3)), (72, (48, 72, 3))):
        images = list(read_frames(path, longest_edge=edge))
        assert len(images) == 24 and {image.shape for image in images} == {shape}
    first = [clips.number_of(image) for image in read_frames(path)][:12]
    second = cv2.resize(clips.numbered(5, 288, 96), (144, 96), interpolation=cv2.INTER_AREA)
    assert first == list(range(12)) and np.abs(list(read_frames(path))[17].astype(int) - second).mean() < 6


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.webm", "a.avi", "a.mov"])
def test_missing_bytes(tmp_path: Path, clips: Any, name: str) -> None:
    kind = VP9 if name.endswith("webm") else {"codec": "mpeg4"}
    path = clips.make(tmp_path / name, **kind)
    assert missing_bytes(path) == 0
    size = path.stat().st_size
    for lost in (1, 700):
        short = cut(path, (size - lost) / size)
        assert missing_bytes(short) == size - short.stat().st_size > 0


def test_cover_image_of_a_song_is_no_video(tmp_path: Path, clips: Any) -> None:
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
    with pytest.raises(BadItem, match="no video"):
        probe(path)
