"""How sure it is that something moves by itself: against closed forms, a slow sum, and small videos of both kinds."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from wsvs.video.camera import camera_plane
from wsvs.video.evidence import confidence, confidences, detail, frame_evidence, own_motion
from wsvs.video.segmentation import SegmentSettings, describe_frames, segment
from wsvs.video.superpixels import superpixel_means

SETTINGS = SegmentSettings(lambda_a=0.0, superpixels=400)
SIZE = (120, 160)


def texture(seed: int, size: tuple[int, int] = (200, 260)) -> np.ndarray:
    rng = np.random.default_rng(seed)
    grain = sum(cv2.GaussianBlur(rng.normal(0, 30 * s, (*size, 3)), (0, 0), s) for s in (2, 5))
    return np.clip(grain + 120, 0, 255).astype(np.float32)


def seen(image: np.ndarray, scale: float = 1, turn: float = 0, right: float = 0, down: float = 0) -> np.ndarray:
    matrix = cv2.getRotationMatrix2D((image.shape[1] / 2, image.shape[0] / 2), turn, scale)
    matrix[:, 2] += (right - (image.shape[1] - SIZE[1]) / 2, down - (image.shape[0] - SIZE[0]) / 2)
    return cv2.warpAffine(image, matrix, SIZE[::-1], flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)


def film(kind: str, frames: int = 8) -> np.ndarray:
    image, rng, clip = texture(0), np.random.default_rng(1), []
    for t in range(frames):
        move = {
            "pan": {"right": 2.3 * t - 8, "down": 0.6 * t},
            "zoom": {"scale": 1 + 0.012 * t},
            "turn": {"turn": 0.7 * t},
            "shake": dict(zip(("right", "down", "turn"), rng.normal(0, (2, 2, 0.3)), strict=True)),
        }.get(kind.split()[0], {})
        frame = seen(image, **move)
        if kind == "light":
            frame = frame * (1 + 0.1 * rng.normal()) + 5 * rng.normal()
        if "noise" in kind:
            frame = frame + rng.normal(0, 8, frame.shape)
        clip.append(np.clip(np.rint(frame), 0, 255))
    return np.stack(clip).astype(np.uint8)


def with_object(clip: np.ndarray, speed: float, side: int = 30) -> np.ndarray:
    skin, clip = texture(7, (side, side)), clip.copy()
    for t, frame in enumerate(clip):
        matrix = np.array([[1, 0, 100 - speed * t], [0, 1, 40.0]])  # against the pan
        alpha = cv2.warpAffine(np.ones((side, side), np.float32), matrix, SIZE[::-1])[..., None]
        frame[:] = frame * (1 - alpha) + cv2.warpAffine(skin, matrix, SIZE[::-1]) * alpha
    return clip


@pytest.mark.parametrize("kind", ["still", "noise", "pan", "zoom", "turn", "shake", "light", "pan noise", "zoom noise"])
def test_a_photograph_does_not_move_by_itself(kind: str) -> None:
    found = segment(describe_frames(film(kind), SETTINGS), None, SETTINGS)
    assert found.confidence < 0.2 and (found.confidences < 0.2).all()


@pytest.mark.parametrize("kind", ["still", "noise", "pan", "zoom", "light", "pan noise"])
@pytest.mark.parametrize("speed", [1.5, 5])
def test_an_object_moves_by_itself(kind: str, speed: float) -> None:
    found = segment(describe_frames(with_object(film(kind), speed), SETTINGS), None, SETTINGS)
    assert found.confidence > 0.5 and (found.confidences > 0.5).all()


def test_an_object_that_rests_keeps_the_shot_confident() -> None:
    """It moves in 6 pairs and rests in 14: under four fifths of the shot."""
    moves = with_object(film("noise", 7), 3)
    rng = np.random.default_rng(2)
    rests = np.clip(moves[-1] + rng.normal(0, 8, (14, *moves.shape[1:])), 0, 255).astype(np.uint8)
    assert segment(describe_frames(np.concatenate([moves, rests]), SETTINGS), None, SETTINGS).confidence > 0.8
    assert segment(describe_frames(rests, SETTINGS), None, SETTINGS).confidence < 0.2


def own(before: np.ndarray, after: np.ndarray, flow: np.ndarray, labels: np.ndarray, centres: np.ndarray) -> np.ndarray:
    motion = superpixel_means(labels, flow, len(centres))
    return own_motion(before, after, flow, motion, camera_plane(motion, centres, labels.shape), labels, centres)


def test_evidence_in_closed_form() -> None:
    """Stripes move by one, 3 px, where the camera does not: errors of 10 grey levels against 0, noise of 1."""
    labels = np.arange(80)[None, :].repeat(60, axis=0) // 4  # 20 columns
    centres = np.stack([np.full(20, 29.5), 4 * np.arange(20) + 1.5], axis=1)
    flow = np.zeros((60, 80, 2), np.float32)
    flow[:, 32:44, 1] = 3
    before, after = np.zeros((60, 80), np.float32), np.zeros((60, 80), np.float32)
    stripes = 10.0 * (np.arange(60) // 3 % 2)  # 3 px down is one stripe farther
    before[:, 32:44] = stripes[:, None]
    after[:, 32:44] = 10 - stripes[:, None]
    found = own(before, after, flow, labels, centres)
    moved = (centres[:, 1] > 32) & (centres[:, 1] < 44)
    np.testing.assert_allclose(found[moved], np.log((100 + 1) / (0 + 1)), rtol=2e-3)
    assert not found[~moved].any()
    assert not own(before, before, flow * 0, labels, centres).any()


def test_no_evidence_where_the_frame_does_not_show_it() -> None:
    labels = np.arange(80)[None, :].repeat(60, axis=0) // 4
    centres = np.stack([np.full(20, 29.5), 4 * np.arange(20) + 1.5], axis=1)
    flow = np.full((60, 80, 2), 500, np.float32)
    noise = np.random.default_rng(0).normal(0, 30, (2, 60, 80)).astype(np.float32)
    assert not own(*noise, flow, labels, centres).any()


def test_frames_against_a_slow_sum() -> None:
    rng = np.random.default_rng(3)
    offsets = np.array([0, 40, 100])
    own, sizes = rng.exponential(size=100), rng.integers(5, 60, 100)
    draws = [np.sort(rng.choice(np.arange(a, b), 2, replace=False)) for a, b in ((0, 40), (40, 100)) for _ in range(99)]
    pairs = {(int(i), int(j)) for i, j in draws}
    spatial = np.array(sorted(pairs), np.int32)
    expected = []
    for first, end in ((0, 40), (40, 100)):
        means = {}
        for i in range(first, end):
            around = [i, *(b if a == i else a for a, b in pairs if i in (a, b))]
            means[i] = sum(own[k] * sizes[k] for k in around) / sum(sizes[k] for k in around)
        left = 0.003 * sizes[first:end].sum()
        for i in sorted(means, key=lambda i: -means[i]):
            left -= sizes[i]
            if left <= 0:
                expected.append(means[i])
                break
    np.testing.assert_allclose(frame_evidence(own, sizes, spatial, offsets), expected)


def test_confidence_grows_with_the_evidence() -> None:
    values = [confidence(np.full(9, x)) for x in (0, 0.05, 0.2, 0.5, 1, 3, 10)]
    assert (np.diff(values) > 0).all() and values[0] < 0.01 and values[-1] > 0.99
    assert confidence(np.zeros(0)) == 0  # a single frame
    mixed = np.array([0.0] * 7 + [5.0] * 3)
    assert confidence(mixed) > 0.9 and confidence(np.array([0.0] * 9 + [5.0])) < 0.01  # one odd pair is no motion


def test_a_frame_is_judged_by_those_around_it() -> None:
    evidence = np.zeros(99)
    evidence[:30] = 5
    found = confidences(evidence)
    assert found.shape == (100,) and (found[:31] > 0.9).all() and (found[60:] < 0.01).all()
    assert (np.diff((found > 0.5).astype(int)) != 0).sum() == 1  # no flicker


def test_light_is_no_detail() -> None:
    image = texture(5)
    bright = np.clip(image * 0.5 + 40, 0, 255)
    apart = detail(np.rint(bright).astype(np.uint8)) - 0.5 * detail(np.rint(image).astype(np.uint8))
    assert np.abs(apart).max() < 1 and np.abs(detail(np.full((50, 60, 3), 200, np.uint8))).max() < 1e-3


def test_what_is_attended_to_counts_as_a_reason() -> None:
    graph = describe_frames(film("still"), SETTINGS)
    seen_in = np.array([0.9, 0.7, 0.9, 0.9, 0.1, 0.9, 0.9, 0.9])
    found = segment(graph, None, SETTINGS, attended=seen_in)
    assert found.confidence == pytest.approx(seen_in.mean())
    np.testing.assert_allclose(found.confidences, seen_in)
