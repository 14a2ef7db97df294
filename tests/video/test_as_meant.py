"""Tracks, times and shapes of pixels as the file means them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.films import make_film, pictures
from wsvs.lit.overlay import join, stretched, write_overlay
from wsvs.records.spans import middle, sound_spans
from wsvs.video.reader import glance, probe, read_frames


def tracks(path: Path, *kinds: tuple[tuple[int, int], int]) -> Path:
    """A file with a track of each (size, frames)."""
    with av.open(str(path), "w") as out:
        streams = []
        for (width, height), _ in kinds:
            stream = out.add_stream("libx264", rate=25)
            assert isinstance(stream, av.VideoStream)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            streams.append(stream)
        for stream, ((width, height), frames) in zip(streams, kinds, strict=True):
            for image in pictures(frames, width, height):
                out.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            out.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("kinds", "chosen"),
    [
        ([((64, 36), 1), ((96, 64), 24)], 1),  # a thumbnail first
        ([((320, 240), 1), ((96, 64), 24)], 1),  # a large still image is no video
        ([((48, 32), 24), ((96, 64), 24)], 1),
        ([((96, 64), 24), ((48, 32), 24)], 0),
        ([((96, 64), 12), ((96, 64), 24)], 1),  # both are videos of one size: the longer
    ],
)
def test_of_several_tracks_the_video_is_read(tmp_path: Path, kinds: list, chosen: int) -> None:
    path = tracks(tmp_path / "a.mkv", *kinds)
    (width, height), frames = kinds[chosen]
    for info in (probe(path), glance(path)):
        assert (info.width, info.height, info.frames) == (width, height, frames)
        assert f"track {chosen} ({width}x{height}, images: {frames}) is read, not track {1 - chosen}" in info.notes[0]
    assert {image.shape for image in read_frames(path)} == {(height, width, 3)}


def test_one_track_is_no_choice(tmp_path: Path) -> None:
    assert probe(make_film(tmp_path / "a.mkv", 3)).notes == ()


def test_uneven_times_are_those_of_the_file(tmp_path: Path) -> None:
    times = [0, 40, 80, 1000, 1040, 2000]
    path = make_film(tmp_path / "a.mkv", 6, times=times)
    info = probe(path)
    assert info.times == tuple(time / 1000 for time in times) and info.fps == pytest.approx(5 / 2)
    assert glance(path).fps == pytest.approx(5 / 2)
    assert probe(make_film(tmp_path / "b.mkv", 6)).times is None


def test_an_overlay_plays_at_true_speed(tmp_path: Path) -> None:
    """Two pieces, joined: each frame at its own time, also after a gap between them."""
    times = [0.0, 0.04, 0.5, 0.54, 2.0, 2.9]
    frames, masks = pictures(6, 32, 32), np.zeros((6, 32, 32), bool)
    pieces = []
    for number, (start, stop) in enumerate([(0, 3), (3, 6)]):
        pieces.append(tmp_path / f"{number}.mp4")
        write_overlay(pieces[-1], frames[start:stop], masks[start:stop], 1, 2.0, times=times[start:stop])
    join(pieces, tmp_path / "all.mp4", [times[0], times[3]])
    with av.open(str(tmp_path / "all.mp4")) as film:
        shown = [float(frame.time or 0) for frame in film.decode(video=0)]
    assert shown == pytest.approx(times, abs=2e-3)


def test_pixels_that_are_not_square(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mp4"), "w") as out:
        stream = out.add_stream("libx264", rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 48, 64, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(2, 1)
        for image in pictures(3, 48, 64):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        out.mux(stream.encode(None))
    info = probe(tmp_path / "a.mp4")
    assert (info.width, info.height, info.aspect) == (48, 64, 2.0)  # masks have the stored pixels
    assert stretched(64, 48, 2.0) == (64, 96) and stretched(64, 48, 0.5) == (128, 48)
    write_overlay(tmp_path / "o.mp4", pictures(3, 48, 64), np.zeros((3, 64, 48), bool), 1, 25.0, aspect=2.0)
    assert (probe(tmp_path / "o.mp4").width, probe(tmp_path / "o.mp4").height) == (96, 64)


def test_spans_without_the_damaged_frames() -> None:
    assert sound_spans(0, 10, []) == [(0, 10)] and sound_spans(0, 10, [(0, 10)]) == []
    assert sound_spans(0, 10, [(2, 4), (7, 10)]) == [(0, 2), (4, 7)] and sound_spans(3, 8, [(0, 5)]) == [(5, 8)]
    assert middle(10) == 5 and middle(24, [(7, 24)]) == 3 and middle(10, [(0, 2), (3, 5)]) == 7
