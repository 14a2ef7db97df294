"""Optical flow."""

from __future__ import annotations

import pickle

import cv2
import numpy as np
import pytest

from wsvs.video.flow import DISFlow


def texture(height: int, width: int) -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 3), None, 0, 255, cv2.NORM_MINMAX)


@pytest.mark.parametrize("preset", ["ultrafast", "fast", "medium"])
def test_shift_and_its_signs(preset: str) -> None:
    big = texture(140, 200)
    previous, following = big[10:130, 20:180], big[8:128, 15:175]  # content moves 2 down and 5 to the right
    flow = DISFlow(preset)(previous, following)  # type: ignore[arg-type]
    assert flow.shape == (120, 160, 2) and flow.dtype == np.float32
    np.testing.assert_allclose(np.median(flow[20:-20, 20:-20], axis=(0, 1)), (5, 2), atol=0.2)


@pytest.mark.parametrize("size", [(8, 8), (1, 1), (8, 100), (11, 12), (33, 65)])
def test_small_frames(size: tuple[int, int]) -> None:
    frame = texture(*size)
    flow = DISFlow()(frame, frame)
    assert flow.shape == (*size, 2)
    assert np.abs(flow).max() < 0.5


def test_flow_does_not_depend_on_earlier_frames() -> None:
    big = texture(225, 400)
    used = DISFlow()
    used(big[:13, :40], big[:13, :40])
    assert np.array_equal(used(big, np.roll(big, 3, 1)), DISFlow()(big, np.roll(big, 3, 1)))


def test_an_engine_used_again_remembers_nothing() -> None:
    big = texture(120, 160)
    used = DISFlow()
    used(big, np.roll(big, 9, 0))
    assert np.array_equal(used(big, np.roll(big, 3, 1)), DISFlow()(big, np.roll(big, 3, 1)))


def test_same_flow_for_any_number_of_threads() -> None:
    big, threads = texture(225, 400), cv2.getNumThreads()
    try:
        cv2.setNumThreads(1)
        one = DISFlow()(big, np.roll(big, 3, 1))
        cv2.setNumThreads(4)
        assert np.array_equal(one, DISFlow()(big, np.roll(big, 3, 1)))
    finally:
        cv2.setNumThreads(threads)


def test_travels_to_a_worker() -> None:
    flow, big = DISFlow("fast"), texture(40, 60)
    flow(big, big)
    assert pickle.loads(pickle.dumps(flow)).preset == "fast"


def test_errors() -> None:
    with pytest.raises(ValueError, match="preset must be one of"):
        DISFlow("slow")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="one size"):
        DISFlow()(texture(20, 20), texture(20, 24))
