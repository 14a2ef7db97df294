"""Every frame of the test clips shows its own number, so the frame numbering is checked in the images."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from wsvs.core.errors import BadItem
from wsvs.video import reader
from wsvs.video.reader import glance, probe, read_frames, shrunk_size

VP9 = {"codec": "libvpx-vp9", "options": {"deadline": "realtime", "cpu-used": "8", "g": "10"}}
HEVC = {"codec": "libx265", "options": {"x265-params": "log-level=none:pools=1:keyint=10"}}
KINDS: dict[str, dict[str, Any]] = {
    "h264.mp4": {},
    "h264-b-frames.mkv": {"options": {"bf": "3", "g": "9"}},
    "open-gop.mp4": {"options": {"g": "8", "bf": "2", "x264-params": "open-gop=1"}},
    "mpeg4.avi": {"codec": "mpeg4"},
    "mpeg4-b-frames.mp4": {"codec": "mpeg4", "options": {"bf": "2", "g": "7"}},
    "mpeg2.mpg": {"codec": "mpeg2video"},
    "h264.ts": {},
    "vp9.webm": VP9,
    "hevc.mp4": HEVC,
    "hevc-10-bit.mkv": {**HEVC, "pixels": "yuv420p10le"},
    "h264-10-bit.mp4": {"pixels": "yuv420p10le"},
    "grey.mp4": {"pixels": "gray"},
    "full-chroma.mkv": {"pixels": "yuv444p"},
    "odd.mkv": {"size": (145, 97), "pixels": "yuv444p"},
    "odd-420.webm": {**VP9, "size": (145, 97)},
    "motion.avi": {"codec": "mjpeg", "pixels": "yuvj420p"},
    "one.mp4": {"frames": 1},
}


@pytest.mark.parametrize("name", KINDS)
def test_a_glance_sees_what_a_look_at_every_frame_sees(tmp_path: Path, clips: Any, name: str) -> None:
    path = clips.make(tmp_path / name, **KINDS[name])
    seen, known = glance(path), probe(path)
    assert (seen.width, seen.height, seen.frames, seen.codec) == (known.width, known.height, known.frames, known.codec)
    assert seen.fps == pytest.approx(known.fps, rel=0.06)


def test_a_glance_turns_the_image_and_wants_one(tmp_path: Path, clips: Any) -> None:
    path = clips.make(tmp_path / "turned.mp4", turn=90)
    assert (glance(path).width, glance(path).height) == (96, 144) and glance(path).rotation == probe(path).rotation
    for content in (b"", b"no film"):
        (tmp_path / "bad.mp4").write_bytes(content)
        with pytest.raises(BadItem):
            glance(tmp_path / "bad.mp4")


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_gives_its_frames_in_order(tmp_path: Path, clips: Any, name: str) -> None:
    kind = KINDS[name]
    path = clips.make(tmp_path / name, **kind)
    frames, (width, height) = kind.get("frames", 20), kind.get("size", (144, 96))
    info = probe(path)
    assert (info.frames, info.width, info.height, info.rotation) == (frames, width, height, 0)
    assert info.fps == pytest.approx(25, rel=0.06)
    images = list(read_frames(path))
    assert [clips.number_of(image) for image in images] == list(range(frames))
    for image in images:
        assert image.shape == (height, width, 3) and image.dtype == np.uint8 and image.flags.c_contiguous
    difference = np.abs(images[-1].astype(int) - clips.numbered(frames - 1, width, height))
    if name != "grey.mp4":
        assert difference[clips.cell :].mean() < 6


def test_grey_is_the_luma_three_times(tmp_path: Path, clips: Any) -> None:
    image = next(read_frames(clips.make(tmp_path / "grey.mp4", frames=1, pixels="gray")))
    assert (np.ptp(image, axis=2) == 0).all()
    luma = clips.numbered(0, 144, 96) @ np.array([0.299, 0.587, 0.114])
    assert np.abs(image[..., 0] - luma).mean() < 6


COLOURS = [("yuv444p", 601), ("yuvj444p", 601), ("yuv444p", 709), ("yuv420p", 601)]


@pytest.mark.parametrize(("pixels", "matrix"), COLOURS)
def test_colours_follow_matrix_and_range_of_the_file(tmp_path: Path, pixels: str, matrix: int) -> None:
    """A plain (Y, U, V) is coded without loss and worked out by hand from ITU-R BT.601 / BT.709."""
    luma, blue, red = 120, 90, 170
    path = tmp_path / "colour.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"qp": "0"})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixels
        if matrix == 709:
            stream.codec_context.colorspace = 1
        frame = av.VideoFrame(64, 48, pixels)
        for plane, value in zip(frame.planes, (luma, blue, red), strict=True):
            plane.update(bytes([value]) * plane.buffer_size)
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    full = pixels == "yuvj444p"
    y = luma / 255 if full else (luma - 16) / 219
    u, v = ((chroma - 128) / (255 if full else 224) for chroma in (blue, red))
    kr, kb = {601: (0.299, 0.114), 709: (0.2126, 0.0722)}[matrix]
    r, b = y + 2 * (1 - kr) * v, y + 2 * (1 - kb) * u
    g = (y - kr * r - kb * b) / (1 - kr - kb)
    image = next(read_frames(path))
    np.testing.assert_allclose(image[20, 30], np.array([r, g, b]) * 255, atol=0.75)


def test_range_of_frames(tmp_path: Path, clips: Any) -> None:
    path = clips.make(tmp_path / "clip.mp4")

    def numbers(start: int, stop: int | None = None) -> list[int]:
        return [clips.number_of(image) for image in read_frames(path, start, stop)]

    assert numbers(5, 9) == [5, 6, 7, 8]
    assert numbers(17) == [17, 18, 19]
    assert numbers(17, 99) == [17, 18, 19]
    assert numbers(4, 4) == [] and numbers(30, 40) == []


@pytest.mark.parametrize("span", [(-1, None), (5, 4)])
def test_impossible_range(tmp_path: Path, span: tuple[int, int | None]) -> None:
    with pytest.raises(ValueError, match="0 <= start <= stop"):
        read_frames(tmp_path / "any.mp4", *span)


def test_impossible_edge(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="longest_edge"):
        read_frames(tmp_path / "any.mp4", longest_edge=0)


def test_shrinking_averages_and_never_enlarges(tmp_path: Path, clips: Any) -> None:
    path = clips.make(tmp_path / "clip.mp4", frames=3)
    whole, third = list(read_frames(path)), list(read_frames(path, longest_edge=48))
    means = whole[2].reshape(32, 3, 48, 3, 3).mean(axis=(1, 3))
    assert third[2].shape == (32, 48, 3)
    # colours and shrinking are rounded in one step: the chroma is shrunk from half the size
    np.testing.assert_allclose(third[2], means, atol=2)
    assert abs((third[2] - means).mean()) < 0.2  # and nothing gets darker
    for large in (144, 500):
        assert np.array_equal(next(read_frames(path, longest_edge=large)), whole[0])


@pytest.mark.parametrize(
    ("size", "edge", "expected"),
    [
        ((1280, 720), 400, (400, 225)),
        ((720, 1280), 400, (225, 400)),
        ((400, 3), 40, (40, 1)),
        ((9, 5), None, (9, 5)),
    ],
)
def test_shrunk_size(size: tuple[int, int], edge: int | None, expected: tuple[int, int]) -> None:
    assert shrunk_size(*size, edge) == expected


@pytest.mark.parametrize(("clockwise", "quarter_turns"), [(90, 1), (180, 2), (270, 3)])
def test_rotation_is_applied(tmp_path: Path, clips: Any, clockwise: int, quarter_turns: int) -> None:
    plain = next(read_frames(clips.make(tmp_path / "plain.mp4", frames=2)))
    path = clips.make(tmp_path / "turned.mp4", frames=2, turn=-clockwise)  # PyAV counts the other way round
    info = probe(path)
    image = next(read_frames(path))
    assert info.rotation == clockwise
    assert image.shape[:2] == (info.height, info.width) == ((144, 96) if clockwise % 180 else (96, 144))
    assert np.array_equal(image, np.rot90(plain, -quarter_turns))
    small = next(read_frames(path, longest_edge=72))
    assert small.shape[:2] == ((72, 48) if clockwise % 180 else (48, 72))


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ((-1, 0, 0, 1), lambda image: image[:, ::-1]),
        ((1, 0, 0, -1), lambda image: image[::-1]),
        ((0, 1, 1, 0), lambda image: image.swapaxes(0, 1)),
    ],
)
def test_mirror_images(tmp_path: Path, clips: Any, matrix: tuple[int, int, int, int], expected) -> None:
    """The matrix is written into the track header by hand, as a telephone's front camera does."""
    path = clips.make(tmp_path / "plain.mp4", frames=1)
    plain = next(read_frames(path))
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 44  # ISO/IEC 14496-12, 8.3.2, version 0
    a, b, c, d = (value << 16 for value in matrix)
    data[at : at + 36] = np.array([a, b, 0, c, d, 0, 0, 0, 1 << 30], ">i4").tobytes()
    path.write_bytes(data)
    assert np.array_equal(next(read_frames(path)), expected(plain))


def test_variable_frame_rate(tmp_path: Path, clips: Any) -> None:
    times = [0, 40, 80, 300, 310, 900, 1000, 1040, 2000, 2900]
    path = clips.make(tmp_path / "uneven.mkv", frames=10, times=times)
    assert [clips.number_of(image) for image in read_frames(path)] == list(range(10))
    assert probe(path).fps == pytest.approx(9 / 2.9, rel=0.1)


@pytest.mark.parametrize(
    "name",
    [
        "h264.mp4",
        "h264-b-frames.mkv",
        "open-gop.mp4",
        "vp9.webm",
        "hevc.mp4",
        "h264.ts",
        "mpeg4-b-frames.mp4",
        "mpeg4.avi",
    ],
)
def test_far_start_gives_the_same_frames(
    tmp_path: Path, clips: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = {"options": {"g": "10"}, **KINDS[name]}
    path = clips.make(tmp_path / name, frames=80, **kind)
    whole = list(read_frames(path))
    decoded: list[av.VideoFrame] = []
    convert = reader.Converter.__call__

    def counting(self: reader.Converter, frame: av.VideoFrame) -> np.ndarray:
        decoded.append(frame)
        return convert(self, frame)

    monkeypatch.setattr(reader.Converter, "__call__", counting)
    for start, stop in ((33, 40), (50, 51), (64, None), (79, 90), (80, 85)):
        for total in (None, 80, 79):
            got = list(read_frames(path, start, stop, total=total))
            assert len(got) == len(whole[start:stop])
            assert all(np.array_equal(a, b) for a, b in zip(got, whole[start:stop], strict=True))
    assert len(decoded) == sum(3 * len(whole[a:b]) for a, b in ((33, 40), (50, 51), (64, None), (79, 90)))


def test_a_far_start_seeks_only_with_a_proven_count(tmp_path: Path, clips: Any) -> None:
    path = clips.make(tmp_path / "clip.mp4", frames=80, options={"g": "10"})

    def sought(total: int) -> list[int | None]:
        return [frame.pts for frame in islice(reader._from_seek(path, 64, total), 2)]

    assert len(sought(80)) == 2
    assert sought(79) == [] and sought(81) == []


@pytest.mark.parametrize("name", ["mpeg4-b-frames.mp4", "mpeg4.avi", "h264.ts"])
def test_no_seek_where_time_stamps_are_no_proof(tmp_path: Path, clips: Any, name: str) -> None:
    path = clips.make(tmp_path / name, frames=80, **KINDS[name])
    assert next(reader._from_seek(path, 64, 80), None) is None


def test_real_clips(real_data: Path) -> None:
    """Frame counts as two other programs give them: the packets of the container and OpenCV's reader."""
    clips = sorted((real_data / "data" / "clips").iterdir())
    assert clips
    for path in clips[:6]:
        capture = cv2.VideoCapture(str(path))
        seen, last = 0, None
        while True:
            fine, image = capture.read()
            if not fine:
                break
            seen, last = seen + 1, image
        assert last is not None
        info = probe(path)
        assert (info.frames, info.height, info.width) == (seen, *last.shape[:2])
        final = list(read_frames(path, seen - 1, total=seen))
        assert len(final) == 1
        assert np.abs(final[0].astype(int) - last[..., ::-1]).mean() < 4
