"""Cuts between shots, and odd frames inside them, on videos of moving textures."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from wsvs.records.spans import left_out, pieces, spans
from wsvs.video.cuts import MOST_ODD, Cuts, distance, find_cuts, unmixed
from wsvs.video.flow import DISFlow

HEIGHT, WIDTH = 72, 128


def shot(frames: int, seed: int, speed: float = 2.0, noise: float = 0.0) -> np.ndarray:
    """(T, H, W, 3) uint8: a texture under a camera that pans by `speed` px a frame."""
    rng = np.random.default_rng(seed)
    ground = np.zeros((HEIGHT, WIDTH + 400, 3))
    for sigma, contrast in ((3, 15), (10, 35), (30, 35)):
        grain = cv2.GaussianBlur(rng.normal(size=ground.shape), (0, 0), sigma)
        ground += contrast * grain / grain.std()
    ground += rng.uniform(90, 150, 3)
    film = np.stack([ground[:, round(speed * t) : round(speed * t) + WIDTH] for t in range(frames)])
    return np.clip(film + noise * rng.normal(size=film.shape), 0, 255).astype(np.uint8)


def mixed(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """A dissolve from the one shot to the other, both of its length."""
    share = ((np.arange(len(one)) + 1) / (len(one) + 1))[:, None, None, None]
    return ((1 - share) * one + share * other).astype(np.uint8)


@pytest.mark.parametrize("speed", [0, 2, 12])
@pytest.mark.parametrize("noise", [0, 12])
def test_one_shot_has_no_cut(speed, noise):
    assert find_cuts(shot(30, 0, speed, noise)) == Cuts(30)


@pytest.mark.parametrize("lengths", [(6,) * 8, (30, 7, 3, 12), (40, 2, 40)])
def test_hard_cuts_are_found_where_they_are(lengths):
    film = np.concatenate([shot(length, seed, 3) for seed, length in enumerate(lengths)])
    assert find_cuts(film) == Cuts(len(film), tuple(np.cumsum(lengths)[:-1].tolist()))


@pytest.mark.parametrize("size", [(9, 16), (3, 400), (720, 1280)])
def test_frames_of_any_size(size):
    film = [cv2.resize(frame, size[::-1]) for frame in np.concatenate([shot(8, 1), shot(8, 2)])]
    assert find_cuts(film).frames == 16
    assert size == (3, 400) or find_cuts(film).cuts == (8,)


@pytest.mark.parametrize("level", [0, 255])
@pytest.mark.parametrize("plain", [0, 8])
def test_a_slow_fade_is_no_dissolve(level, plain):
    """Frames of a fade are mixtures of its first and its last frame, and these have not much in common."""
    one, other = shot(60, 7, 1), shot(60, 8, 1)
    share = np.linspace(1, 0, 25)[1:-1, None, None, None]
    out = (share * one[37:] + (1 - share) * level).astype(np.uint8)
    into = (share[::-1] * other[:23] + (1 - share[::-1]) * level).astype(np.uint8)
    film = np.concatenate([one[:37], out, np.full((plain, HEIGHT, WIDTH, 3), level, np.uint8), into, other[23:]])
    [cut] = find_cuts(film).cuts
    assert 55 <= cut <= 75 + plain


def test_a_video_without_frames():
    assert find_cuts([]) == Cuts(0)


def test_a_dissolve_is_one_cut_inside_it():
    one, other = shot(40, 3, 1), shot(40, 4, 1)
    film = np.concatenate([one[:24], mixed(one[24:], other[:16]), other[16:]])
    [cut] = find_cuts(film).cuts
    assert 24 < cut < 40


@pytest.mark.parametrize("level", [0, 255])
def test_fades_through_black_and_white(level):
    share = np.linspace(0.9, 0, 10)[:, None, None, None]
    one, other = shot(30, 5), shot(30, 6)
    plain = np.full((12, HEIGHT, WIDTH, 3), level, np.uint8)
    out = (share * one[20:] + (1 - share) * level).astype(np.uint8)
    into = (share[::-1] * other[:10] + (1 - share[::-1]) * level).astype(np.uint8)
    film = np.concatenate([one[:20], out, plain, into, other[10:]])
    found = find_cuts(film)
    assert len(found.cuts) == 1 and 28 <= found.cuts[0] <= 45 and not found.odd
    assert set(range(30, 42)) <= set(found.blank) <= set(range(28, 45))


def test_fading_out_and_in_again_is_no_cut():
    share = np.concatenate([np.linspace(0.9, 0, 8), np.linspace(0, 0.9, 8)])[:, None, None, None]
    film = shot(46, 7, 1)
    film[15:31] = share * film[15:31]
    assert find_cuts(film).cuts == () and find_cuts(film).odd == ()


@pytest.mark.parametrize("count", range(1, MOST_ODD + 1))
@pytest.mark.parametrize("kind", ["black", "other", "noise"])
def test_odd_frames_are_bridged(kind, count):
    film = shot(30, 8)
    rng = np.random.default_rng(0)
    film[12 : 12 + count] = {
        "black": np.zeros((count, HEIGHT, WIDTH, 3)),
        "other": shot(count, 9),
        "noise": cv2.resize(rng.integers(0, 255, (9, 16, 3)).astype(np.uint8), (WIDTH, HEIGHT))[None],
    }[kind]
    found = find_cuts(film)
    numbers = tuple(range(12, 12 + count))
    assert found == Cuts(30, (), *(((), numbers) if kind == "black" else (numbers, ())))


def test_a_shot_longer_than_odd_frames_is_a_shot():
    film = np.concatenate([shot(12, 10), shot(MOST_ODD + 1, 11), shot(12, 10)])
    assert find_cuts(film).cuts == (12, 12 + MOST_ODD + 1)


def test_a_change_of_light_is_no_cut():
    film = shot(30, 12).astype(float)
    film[15:] = 0.6 * film[15:] + 20
    assert find_cuts(film.astype(np.uint8)).cuts == ()


def test_a_flash_at_a_cut_does_not_hide_it():
    film = np.concatenate([shot(15, 13), shot(15, 14)])
    film[14] = 255
    assert find_cuts(film).cuts == (15,)


def test_distance_by_the_formula():
    """SSIM's contrast and structure part by hand, for frames that do not move."""
    rng = np.random.default_rng(1)
    one, other = rng.integers(0, 255, (2, 7, 7)).astype(np.uint8)
    still = np.zeros((7, 7, 2), np.float32)
    p, q = (np.pad(frame.astype(float), 3, "reflect") for frame in (one, other))
    alike, structure = [], []
    for y in range(7):
        for x in range(7):
            a, b = p[y : y + 7, x : x + 7], q[y : y + 7, x : x + 7]
            together = ((a - a.mean()) * (b - b.mean())).mean()
            alike.append((2 * together + 10) / (a.var() + b.var() + 10))
            structure.append((together + 5) / (a.std() * b.std() + 5))
    assert distance(one, other, still) == pytest.approx(1 - np.mean(alike), abs=1e-4)
    assert distance(one, other, still, contrast=False) == pytest.approx(1 - np.mean(structure), abs=1e-4)
    assert distance(one, one, still) == pytest.approx(0, abs=1e-6)


def test_distance_sees_through_motion_and_light():
    film = shot(2, 15, 6)
    small = [cv2.resize(frame, (64, 36), interpolation=cv2.INTER_AREA) for frame in film]
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in small]
    flow = DISFlow("ultrafast")
    assert distance(*grey, flow(*grey)) < 0.2
    dim = (0.3 * grey[0]).astype(np.uint8)
    still = np.zeros((36, 64, 2), np.float32)
    assert distance(grey[0], dim, still) > 0.3 and distance(grey[0], dim, still, contrast=False) < 0.1


def test_mixtures_are_distinguished_from_steps():
    one, other = np.random.default_rng(2).normal(size=(2, 50)).astype(np.float32)
    line = np.stack([(1 - share) * one + share * other for share in np.linspace(0, 1, 9)])
    step = np.stack([one, one + 0.01, one - 0.01, other, other + 0.01, other])
    assert unmixed(line) == (pytest.approx(0, abs=1e-5), 5)
    assert unmixed(step)[0] > 0.5 and unmixed(step)[1] == 3
    assert unmixed(np.stack([one] * 4)) == (1.0, 0)


def test_memory_does_not_grow_with_the_video():
    """Frames are freed: their number in memory is bounded."""
    alive: list[int] = []

    class Picture(np.ndarray):
        def __del__(self):
            alive.pop()

    def film():
        for frame in shot(60, 16):
            alive.append(1)
            most.append(len(alive))
            yield cv2.resize(frame, (64, 36)).view(Picture)

    most: list[int] = []
    find_cuts(film())
    assert max(most) <= 3


def test_spans_and_pieces_and_what_is_left_out():
    assert spans(10, ()) == [(0, 10)] and spans(10, (3, 9)) == [(0, 3), (3, 9), (9, 10)]
    assert [pieces(*span, 4) for span in spans(10, (3,))] == [[(0, 3)], [(3, 6), (6, 10)]]
    assert left_out(3, 9, [2, 4, 9], [5]) == {"odd": [4], "blank": [5]} and left_out(5, 9, [4], []) == {}
    assert left_out(3, 5, [3], [4]) == {}  # a graph needs a frame
