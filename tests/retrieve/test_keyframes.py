"""Key frames and windows, against full decoding: for every codec the exact set, and identical pixels."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.retrieve.films import CODECS, film, picture
from wsvs.core.errors import BadItem
from wsvs.retrieve.clips import cut
from wsvs.retrieve.keyframes import PacketIndex, key_frames, read_index, stand_ins, windows
from wsvs.video.convert import Converter
from wsvs.video.decode import OpenVideo
from wsvs.video.reader import probe, read_frames


def decoded_keys(path: Path) -> list[int]:
    """Numbers of the key frames, as a decoder that decodes everything marks them."""
    with OpenVideo(path) as video:
        return [number for number, (_, frame) in enumerate(video.frames()) if frame is not None and frame.key_frame]


def check(path: Path, folder: Path, seconds: float) -> list[int]:
    """Hold key frames and cuts of one file against full decoding; the numbers of its key frames."""
    index = read_index(OpenVideo, path)
    whole = list(read_frames(path))
    assert index.frames == len(whole)
    order = sorted(index.pts[index.shown].tolist())
    convert = Converter(None)
    found = {order.index(time): convert(frame) for time, frame in key_frames(OpenVideo, path, set(index.key_times))}
    expected = decoded_keys(path)
    assert list(found) == expected
    for number, image in found.items():
        assert np.array_equal(image, whole[number])

    chosen = index.key_times[:: max(1, len(expected) // 3)]
    spans = windows(index, chosen, seconds)
    cuts = cut(OpenVideo, path, index, spans, folder)
    assert len(cuts) == len(spans) > 0
    for span, piece in zip(spans, cuts, strict=True):
        inside = [number for number, time in enumerate(order) if span[0] <= time <= span[1]]
        assert [piece.offset + piece.start, piece.offset + piece.stop - 1] == [inside[0], inside[-1]]
        frames = list(read_frames(piece.path, piece.start, piece.stop))
        assert len(frames) == len(inside)
        for number, frame in zip(inside, frames, strict=True):
            assert np.array_equal(frame, whole[number])
        assert probe(piece.path).frames == piece.frames  # what follows the window is whole too
        near = [key for key in expected if key <= inside[0]]
        assert piece.offset == near[-1]  # begins with the key frame at or before the window
    return expected


@pytest.mark.parametrize("codec", CODECS)
def test_every_codec(tmp_path: Path, codec: str) -> None:
    scheduling = os.sched_getscheduler(0)
    path = film(tmp_path / f"film{CODECS[codec][2]}", codec, frames=80, gop=20)
    assert os.sched_getscheduler(0) == scheduling  # a real-time process would starve all other tests
    keys = check(path, tmp_path / "cut", 0.5)
    if codec != "mpeg4-b":  # its encoder counts in another way where there are B-frames
        assert keys[:4] == [0, 20, 40, 60]  # that of mpeg4 makes one of the last frame too


def test_the_open_group_is_open(tmp_path: Path) -> None:
    """Else its test would test nothing: a decoder with skip_frame loses key frames of this stream."""
    path = film(tmp_path / "film.mp4", "h264-open", frames=80, gop=20)
    with av.open(str(path)) as container:
        container.streams.video[0].codec_context.skip_frame = "NONKEY"
        assert sum(1 for _ in container.decode(video=0)) < 4
    index = read_index(OpenVideo, path)
    assert len(index.key_times) == 4
    second = int(np.flatnonzero(index.keys)[1])
    assert index.pts[second + 1] < index.pts[second]  # a frame that is shown before its key frame


def test_real_clips(real_data: Path, tmp_path: Path) -> None:
    paths = sorted((real_data / "data" / "clips").iterdir())
    assert len(paths) > 5
    for path in paths:
        if probe(path).width <= 640:
            check(path, tmp_path / path.name, 0.6)


def test_rotation_survives_the_cut(tmp_path: Path) -> None:
    path = film(tmp_path / "film.mp4", frames=40, gop=20)
    turned = tmp_path / "turned.mp4"
    turned.write_bytes(rotated(path.read_bytes()))
    assert probe(turned).rotation == 90
    index = read_index(OpenVideo, turned)
    [piece] = cut(OpenVideo, turned, index, windows(index, index.key_times[1:], 0.2), tmp_path / "cut")
    assert probe(piece.path).rotation == 90
    assert next(read_frames(piece.path)).shape == (96, 64, 3)


def rotated(content: bytes) -> bytes:
    """An MP4 file with the matrix of its track header changed: shown turned by 90 degrees."""
    at = content.index(b"tkhd") + 4
    matrix = at + 40
    one, zero = (1 << 16).to_bytes(4, "big"), bytes(4)
    minus = (-(1 << 16)).to_bytes(4, "big", signed=True)
    last = content[matrix + 32 : matrix + 36]
    return content[:matrix] + zero + one + zero + minus + zero + zero + zero + zero + last + content[matrix + 36 :]


def test_the_same_cut_gives_the_same_bytes(tmp_path: Path) -> None:
    path = film(tmp_path / "film.mp4", frames=60, gop=20)
    index = read_index(OpenVideo, path)
    cuts = [cut(OpenVideo, path, index, [(index.key_times[1], index.last)], tmp_path / name) for name in "ab"]
    assert cuts[0][0].path.read_bytes() == cuts[1][0].path.read_bytes()


def test_two_windows_share_a_key_frame(tmp_path: Path) -> None:
    path = film(tmp_path / "film.mp4", frames=60, gop=60)
    index = read_index(OpenVideo, path)
    times = sorted(index.pts.tolist())
    first, second = cut(OpenVideo, path, index, [(times[5], times[9]), (times[20], times[29])], tmp_path / "cut")
    assert (first.start, first.stop, second.start, second.stop) == (5, 10, 20, 30)
    assert first.offset == second.offset == 0
    whole = list(read_frames(path))
    for piece in (first, second):
        for number, frame in enumerate(read_frames(piece.path, piece.start, piece.stop), piece.start):
            assert np.array_equal(frame, whole[number])


def numbered(count: int, keys: list[int]) -> PacketIndex:
    """This number of frames, ten per second."""
    return PacketIndex(np.arange(count), np.isin(np.arange(count), keys), np.ones(count, bool), Fraction(1, 10))


def test_windows() -> None:
    index = numbered(101, [0, 20, 50, 100])
    assert windows(index, [20, 50], 2.0) == [(0, 70)]  # [0, 40] and [30, 70]
    assert windows(index, [50, 20], 1.0) == [(10, 30), (40, 60)]
    assert windows(index, [20, 40], 1.0) == [(10, 50)]  # they touch
    assert windows(index, [0, 100], 2.0) == [(0, 20), (80, 100)]  # not beyond the video
    assert windows(index, [50], 0.25) == [(48, 52)]  # frames that are not further away than that
    assert windows(index, [], 2.0) == []


def test_files_that_cannot_be_cut(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no film")
    with pytest.raises(BadItem, match="not a video"):
        read_index(OpenVideo, tmp_path / "text.mp4")
    whole = film(tmp_path / "film.mkv", frames=60).read_bytes()
    (tmp_path / "half.mkv").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadItem, match="cut off"):
        read_index(OpenVideo, tmp_path / "half.mkv")


def test_in_the_place_of_a_black_key_frame_another_stands(tmp_path: Path) -> None:
    """The video fades in from black over two seconds; its second key frame shows something, its third is black."""
    path = tmp_path / "film.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=10, options={"x264-params": "scenecut=0:keyint=40:min-keyint=40"})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for number in range(120):
            light = min(number / 20, 1) if number < 80 else 0
            image = (picture(number, 0.5) * light).astype(np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        out.mux(stream.encode(None))
    index = read_index(OpenVideo, path)
    first, second, third = index.key_times
    found = [(key, index.seconds(time)) for key, time, _ in stand_ins(OpenVideo, path, index, {first, third})]
    assert [key for key, _ in found] == [first]  # nothing stands in for the third: all is black to the end
    assert 1.7 <= found[0][1] <= 2.5  # the fade is over at 2.0
    assert [key for key, _, _ in stand_ins(OpenVideo, path, index, {second})] == [second]


def test_windows_end_at_cuts() -> None:
    """25 frames a second, shots from 0, 40, 60 and 150: a window stays in the shot of its key frame."""
    index = PacketIndex(np.arange(200), np.arange(200) % 25 == 0, np.ones(200, bool), Fraction(1, 25))
    shots = [40, 60, 150]
    assert windows(index, [25, 50, 75], 1.0) == [(0, 100)]
    assert windows(index, [25, 50, 75], 1.0, shots) == [(0, 39), (40, 59), (60, 100)]
    assert windows(index, [150], 1.0, shots) == [(150, 175)] and windows(index, [125], 1.0, shots) == [(100, 149)]
    assert windows(index, [75, 100], 1.0, shots) == [(60, 125)]  # of one shot, merged
