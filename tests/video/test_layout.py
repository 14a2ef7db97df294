"""Bars beside a video, and what is segmented between them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tests.video.test_evidence import film, with_object
from wsvs.video.layout import active_area
from wsvs.video.segmentation import SegmentSettings, describe_frames, segment

CONTRAST = SegmentSettings(lambda_a=0.0, motion="contrast", superpixels=600, lambda_c=1.0, alpha_s=80.0, alpha_t=64.0)
BARS = 70  # px on each side


def in_bars(clip: np.ndarray, bars: str) -> np.ndarray:
    """(T, H, W, 3) between bars on the left and on the right."""
    _, height, width, _ = clip.shape
    made = []
    for frame in clip:
        if bars == "blurred":
            large = cv2.resize(frame, (width + 2 * BARS, height * (width + 2 * BARS) // width))
            top = (len(large) - height) // 2
            whole = cv2.GaussianBlur(large, (0, 0), 9)[top : top + height].copy()
        else:
            whole = np.full((height, width + 2 * BARS, 3), {"black": 0, "grey": 90}[bars], np.uint8)
        whole[:, BARS : BARS + width] = frame
        made.append(whole)
    return np.stack(made)


def turned(clip: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(clip.transpose(0, 2, 1, 3))


@pytest.mark.parametrize("bars", ["blurred", "black", "grey"])
def test_bars_are_found_on_either_axis(bars: str) -> None:
    clip = in_bars(film("pan noise"), bars)
    height, width = clip.shape[1:3]
    rows, columns = active_area(list(clip))
    assert rows == slice(0, height)
    assert abs(columns.start - BARS) <= 1 and abs(columns.stop - (width - BARS)) <= 1
    assert active_area(list(turned(clip))) == (columns, rows)


def test_a_bar_on_one_side_is_plain() -> None:
    """A clear sky ends at a horizon as a bar does, but it has a gradient, and no like below."""
    clip = turned(in_bars(film("pan"), "black"))[:, :-BARS]
    assert active_area(list(clip))[0].start >= BARS - 1
    sky = clip.copy()
    sky[:, :BARS] = np.linspace(120, 220, BARS, dtype=np.uint8)[None, :, None, None]
    assert active_area(list(sky))[0].start == 0


@pytest.mark.parametrize("kind", ["still", "noise", "pan", "shake"])
def test_a_frame_without_bars_is_whole(kind: str) -> None:
    clip = film(kind)
    assert active_area(list(clip)) == (slice(0, clip.shape[1]), slice(0, clip.shape[2]))
    assert active_area([np.zeros((9, 5, 3), np.uint8)]) == (slice(0, 9), slice(0, 5))
    assert active_area([np.zeros((1, 1, 3), np.uint8)]) == (slice(0, 1), slice(0, 1))


@pytest.mark.parametrize("bars", ["blurred", "black"])
@pytest.mark.parametrize("settings", [CONTRAST, SegmentSettings(lambda_a=0.0, superpixels=600, gain="adaptive")])
def test_nothing_is_found_in_the_bars(bars: str, settings: SegmentSettings) -> None:
    clip = with_object(film("pan"), 3)
    truth = np.zeros(clip.shape[:3], bool)
    for t in range(len(clip)):
        truth[t, 40:70, 100 - 3 * t : 130 - 3 * t] = True
    found = segment(describe_frames(in_bars(clip, bars), settings), None, settings)
    masks = found.masks()
    assert masks.shape == (len(clip), clip.shape[1], clip.shape[2] + 2 * BARS) and found.confidence > 0.8
    inside = masks[:, :, BARS:-BARS]
    assert not np.delete(masks, np.s_[BARS - 1 : -BARS + 1], axis=2).any()
    if settings is CONTRAST:
        assert (inside & truth).sum() / (inside | truth).sum() > 0.7


def test_photograph_panning_between_bars_has_no_own_motion() -> None:
    assert segment(describe_frames(in_bars(film("pan"), "blurred"), CONTRAST), None, CONTRAST).confidence < 0.2


def test_attention_is_read_where_the_video_is() -> None:
    clip = in_bars(film("pan"), "black")
    graph = describe_frames(clip, CONTRAST)
    across = np.broadcast_to(np.arange(clip.shape[2], dtype=np.float32), clip.shape[:3])
    np.testing.assert_allclose(graph.means(across), graph.centres[:, 1] + graph.area[1].start, atol=1e-3)
    assert graph.paint(np.ones(graph.nodes)).sum() == graph.labels.size
