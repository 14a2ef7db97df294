"""Overlay videos: their content, and pieces joined into one."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from wsvs.core.visualize import over
from wsvs.lit.overlay import join, write_overlay


def shown(path: Path) -> tuple[np.ndarray, list[float], str]:
    """Frames (T, H, W, 3), their times in seconds, and the codec."""
    with av.open(str(path)) as video:
        stream = video.streams.video[0]
        frames = list(video.decode(stream))
        return (
            np.stack([frame.to_ndarray(format="rgb24") for frame in frames]),
            [float(frame.pts * stream.time_base) for frame in frames],
            stream.codec_context.name,
        )


def film(count: int, height: int = 48, width: int = 64) -> tuple[np.ndarray, np.ndarray]:
    frames = np.full((count, height, width, 3), 90, np.uint8)
    masks = np.zeros((count, height, width), bool)
    for t in range(count):
        masks[t, : height // 2, 4 * t : 4 * t + 20] = True
    return frames, masks


def test_video_shows_the_mask_in_the_colour_of_its_label(tmp_path):
    frames, masks = film(5)
    write_overlay(tmp_path / "a" / "o.mp4", frames, masks, 2, fps=10.0)
    found, times, codec = shown(tmp_path / "a" / "o.mp4")
    assert codec == "h264" and times == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    for t in range(5):
        expected = over(frames[t], masks[t] * np.uint8(2)).astype(int)
        assert np.abs(found[t] - expected).mean() < 6
        inside = found[t, 8, 4 * t + 10].astype(int)
        assert inside[1] > inside[0] + 30  # label 2 of the palette is green
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["o.mp4"]


@pytest.mark.parametrize(("size", "expected"), [((47, 33), (46, 32)), ((1, 5), (2, 4)), ((2, 2), (2, 2))])
def test_odd_sides(tmp_path, size, expected):
    frames, masks = film(2, *size)
    write_overlay(tmp_path / "o.mp4", frames, masks, 1, fps=0.001)
    found, times, _ = shown(tmp_path / "o.mp4")
    assert found.shape == (2, *expected, 3) and times == [0, 1]  # one frame a second is slow enough


def test_pieces_become_one_video(tmp_path):
    frames, masks = film(11)
    cuts = [(0, 4), (4, 5), (5, 11)]
    for first, end in cuts:
        write_overlay(tmp_path / f"{first}.mp4", frames[first:end], masks[first:end], 1, fps=24000 / 1001)
    join([tmp_path / f"{first}.mp4" for first, _ in cuts], tmp_path / "whole.mp4")
    whole, times, _ = shown(tmp_path / "whole.mp4")
    parts = np.concatenate([shown(tmp_path / f"{first}.mp4")[0] for first, _ in cuts])
    assert np.array_equal(whole, parts)  # not coded again
    assert times == pytest.approx([t * 1001 / 24000 for t in range(11)], abs=1e-3)
