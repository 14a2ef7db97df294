"""Drawing: shares and masks against areas worked out by hand, and what the scenes are meant to show."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from wsvs.config.world import WorldSettings
from wsvs.data.scenes import make_video, paint_image
from wsvs.data.shapes import (
    FACES,
    PATCH,
    Canvas,
    Part,
    creature,
    distractor,
    ground,
    make_thing,
    noise,
    oval,
    pick_skin,
    scale,
    shift,
    to_lab,
    turn,
)

SETTINGS = WorldSettings()
RED = np.broadcast_to(np.array([255, 0, 0], np.float32), (4, 4, 3)).copy()
UNIT = np.array([(0.0, 0.0), (1, 0), (1, 1), (0, 1)])


def grey(height: int = 12, width: int = 16) -> np.ndarray:
    return np.full((height, width, 3), 100, np.float32)


def test_a_rectangle_covers_its_pixels() -> None:
    """Pixel k spans k - 0.5 to k + 0.5: columns 3 to 6 and rows 2 to 4 are covered whole, column 7 by half."""
    canvas = Canvas(grey(), 1)
    canvas.draw(1, UNIT * (4.5, 3), RED, shift(2.5, 1.5))
    expected = np.zeros((12, 16))
    expected[2:5, 3:7] = 1
    expected[2:5, 7] = 0.5
    assert np.abs(canvas.share[1] - expected).max() <= 0.26  # a quarter of a pixel is the finest step
    np.testing.assert_array_equal(canvas.share[1][2:5, 3:7], 1)
    np.testing.assert_allclose(canvas.image[3, 4], (255, 0, 0), atol=0.01)
    np.testing.assert_array_equal(canvas.image[0], grey()[0])


@pytest.mark.parametrize("place", [(8.0, 6.0), (8.3, 5.6)])
def test_area_of_a_disc(place: tuple[float, float]) -> None:
    canvas = Canvas(grey(64, 64), 1)
    canvas.draw(1, oval(1, 1, points=200), RED, shift(*place) @ shift(24, 24) @ scale(40))
    assert canvas.share[1].sum() == pytest.approx(np.pi * 20**2, rel=0.03)
    rows, columns = np.nonzero(canvas.share[1] >= 0.5)
    assert (columns.mean(), rows.mean()) == pytest.approx((place[0] + 24, place[1] + 24), abs=0.3)


def test_shares_sum_to_one_and_the_later_one_covers() -> None:
    canvas = Canvas(grey(), 2)
    canvas.draw(1, UNIT * 6, RED, shift(1.2, 1.3))
    canvas.draw(2, UNIT * 6, RED * 0.5, shift(4.7, 2.1) @ turn(0.3))
    np.testing.assert_allclose(canvas.share.sum(0), 1, atol=1e-5)
    assert canvas.share.min() >= 0
    alone = Canvas(grey(), 2)
    alone.draw(2, UNIT * 6, RED, shift(4.7, 2.1) @ turn(0.3))
    np.testing.assert_allclose(canvas.share[2], alone.share[2])


@pytest.mark.parametrize("place", [(-50.0, 0.0), (100.0, 3.0), (3.0, 90.0)])
def test_nothing_is_drawn_outside(place: tuple[float, float]) -> None:
    canvas = Canvas(grey(), 1)
    canvas.draw(1, UNIT * 6, RED, shift(*place))
    assert canvas.share[1].max() == 0 and np.array_equal(canvas.image, grey())


def test_a_patch_moves_with_its_part() -> None:
    """One half of the patch is red; turned by a quarter, the red half of the part turns with it."""
    patch = np.zeros((PATCH, PATCH, 3), np.float32)
    patch[:, : PATCH // 2, 0] = 200
    square = UNIT - 0.5
    pictures = []
    for angle in (0, np.pi / 2):
        canvas = Canvas(grey(40, 40), 1)
        canvas.draw(1, square, patch, shift(19.5, 19.5) @ turn(angle) @ scale(30))
        pictures.append(canvas.image)
    assert pictures[0][20, 8, 0] > 190 and pictures[0][20, 30, 0] < 10
    inside = np.s_[7:33, 7:33]
    np.testing.assert_allclose(np.rot90(pictures[0], -1)[inside], pictures[1][inside], atol=12)


def test_area_of_a_thing() -> None:
    thing = make_thing(None, [Part(UNIT * (2, 1), RED), Part(UNIT, RED)])
    assert thing.area == pytest.approx(2, rel=0.05)
    np.testing.assert_allclose((thing.low, thing.high), ((0, 0), (2, 1)))


@pytest.mark.parametrize("name", FACES)
def test_masks_agree_with_the_pixels(name: str) -> None:
    """Images with and without an object differ only in its mask and at the mask's smooth edge."""
    rng = np.random.default_rng(3)
    back = ground(rng, 96, 128)
    thing = creature(rng, name, pick_skin(rng, back.mean((0, 1)), 35), SETTINGS.head_size)
    canvas = Canvas(back, 2)
    thing.draw(canvas, (1, 2), shift(55, 50) @ turn(0.1) @ scale(48), 1.0)
    mask = canvas.share[1:].sum(0) >= 0.5
    changed = np.abs(canvas.image - back).max(2) > 1
    wide = cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    assert not (changed & ~wide).any()
    assert (changed & mask).sum() > 0.97 * mask.sum() > 500


@pytest.mark.parametrize("name", FACES)
def test_the_head_is_the_smaller_part(name: str) -> None:
    for seed in range(8):
        rng = np.random.default_rng(seed)
        thing = creature(rng, name, np.array([90, 60, 40], np.float32), SETTINGS.head_size)
        canvas = Canvas(grey(160, 200), 2)
        thing.draw(canvas, (1, 2), shift(100, 80) @ scale(90), 0.0)
        whole, head = canvas.share[1:].sum((1, 2)).sum(), canvas.share[2].sum()
        assert 0.15 < head / whole < 0.4
        assert whole / 90**2 == pytest.approx(thing.area, rel=0.05)


def test_classes_differ_in_their_heads_alone() -> None:
    pictures, heads = [], []
    for name in FACES:
        canvas = Canvas(grey(160, 200), 2)
        thing = creature(np.random.default_rng(5), name, np.array([90, 60, 40], np.float32), SETTINGS.head_size)
        thing.draw(canvas, (1, 2), shift(100, 80) @ scale(90), 2.0)
        pictures.append(canvas.image)
        heads.append(canvas.share[2] > 0)
    for k in range(1, len(pictures)):
        different = np.abs(pictures[k] - pictures[0]).max(2) > 0
        assert np.array_equal(heads[k], heads[0]) and not (different & ~heads[0]).any()
        assert (np.abs(pictures[k] - pictures[0]).max(2) > 40)[heads[0]].mean() > 0.3


def test_skins_stand_off_the_background() -> None:
    for seed in range(30):
        rng = np.random.default_rng(seed)
        mean = ground(rng, 96, 128).mean((0, 1))
        colour = pick_skin(rng, mean, 30)
        assert np.linalg.norm(to_lab(colour[None]) - to_lab(mean[None])) >= 30


def test_noise_has_about_unit_deviation() -> None:
    for cell in (3, 9):
        values = noise(np.random.default_rng(0), 300, 300, cell)
        assert values.shape == (300, 300) and values.std() == pytest.approx(1, abs=0.25) and abs(values.mean()) < 0.1


def test_images_show_what_their_tags_say() -> None:
    for seed, names in enumerate([(), ("panda",), ("parrot", "tiger"), ("tiger", "panda")] * 4):
        picture = paint_image(np.random.default_rng(seed), names, SETTINGS)
        assert picture.tags == names and picture.image.dtype == picture.labels.dtype == np.uint8
        assert picture.image.shape[:2] == picture.labels.shape
        assert {SETTINGS.classes[k - 1] for k in np.unique(picture.labels) if k} == set(names)
        for name in names:
            share = (picture.labels == SETTINGS.classes.index(name) + 1).mean()
            assert 0.05 < share < 0.5


def centre(mask: np.ndarray) -> np.ndarray:
    return np.argwhere(mask).mean(0)


def test_objects_move_over_a_ground_that_moves() -> None:
    still = SETTINGS.replaced(pauses=0.0, companions=0.0, distractors=0, noise=0.0, camera_speed=0.8)
    film = make_video(np.random.default_rng(1), "panda", "whole", still)
    assert all(mask.any() for mask in film.masks)
    # What the object never covers: the ground, seen by a camera that pans.
    free = ~np.any(film.masks, axis=0)
    first, later = (film.frames[k].astype(int) for k in (0, len(film.frames) // 2))
    assert np.abs(first - later)[free].mean() > 3
    window = slice(20, 76), slice(40, 88)
    moved = [np.abs(centre(film.masks[k + 4]) - centre(film.masks[k])).max() for k in range(0, len(film.masks) - 4, 4)]
    assert np.mean(moved) > 0.5 and film.frames[0][window].std() > 5


def test_a_pause_freezes_the_gait_and_the_place_on_the_ground() -> None:
    """With a fixed camera a pausing creature's frames repeat but for the zoom, so its mask hardly changes."""
    calm = SETTINGS.replaced(pauses=1.0, companions=0.0, distractors=0, noise=0.0, camera_speed=0.0)
    calm = calm.replaced(video_area=(0.1, 0.1))
    found = 0
    for seed in range(6):
        film = make_video(np.random.default_rng(seed), "tiger", "whole", calm)
        shifts = [np.linalg.norm(centre(b) - centre(a)) for a, b in zip(film.masks, film.masks[1:], strict=False)]
        found += int(np.sum(np.array(shifts) < 0.25) >= len(film.masks) // 3 - 2)
    assert found >= 5


@pytest.mark.parametrize("kind", ["leaves", "cut", "other", "nothing"])
def test_frames_without_the_class_have_empty_masks(kind) -> None:
    for seed in range(6):
        film = make_video(np.random.default_rng(seed), "parrot", kind, SETTINGS)
        shown = np.array([mask.any() for mask in film.masks])
        assert len(film.frames) == len(film.masks) == len(film.heads) and film.kind == kind
        if kind in ("other", "nothing"):
            assert not shown.any()
        else:
            assert 0.2 < 1 - shown.mean() < 0.55
        for mask, head in zip(film.masks, film.heads, strict=True):
            assert not (head & ~mask).any()


def test_another_class_is_background_of_the_mask() -> None:
    """The same video under two names: the object of another class is background."""
    both = SETTINGS.replaced(companions=1.0, classes=("tiger", "panda"))
    film = make_video(np.random.default_rng(2), "tiger", "whole", both)
    red, green, blue = np.moveaxis(np.array(film.frames), -1, 0)
    orange = (red > 190) & (blue < 90) & (green > 90) & (green < 170)
    masks = np.array(film.masks)
    assert (orange & masks).sum() > 0.9 * orange.sum() > 100  # tigers' heads are the orange there is
    white = np.array([(f.min(2) > 215) for f in film.frames])
    assert (white & masks).sum() < 0.1 * white.sum() and white.sum() > 100  # pandas' heads lie outside


def test_one_class_alone_has_no_other() -> None:
    alone = SETTINGS.replaced(classes=("zebra",), companions=1.0)
    for kind in ("other", "cut", "whole"):
        film = make_video(np.random.default_rng(0), "zebra", kind, alone)
        assert any(mask.any() for mask in film.masks) is (kind != "other")


def test_distractors_can_be_turned_off() -> None:
    calm = SETTINGS.replaced(distractors=0, noise=0.0)
    film = make_video(np.random.default_rng(0), "tiger", "nothing", calm)
    saturation = [np.ptp(cv2.GaussianBlur(f, (9, 9), 0).astype(int), axis=2) for f in film.frames]
    assert np.max([s.max() - np.median(s) for s in saturation]) < 60
    assert distractor(np.random.default_rng(0)).name is None
