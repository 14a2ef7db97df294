"""Frames with their masks: which are used, how they are cropped and drawn; images with pseudo-labels."""

from __future__ import annotations

from collections import Counter

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import chisquare

from wsvs.core.classes import IGNORE
from wsvs.core.masks import write_mask
from wsvs.data.frames import FrameCrop, FrameDataset, FrameSet, PseudoLabelDataset, same_videos
from wsvs.data.transforms import FILL, ImageAugmentation
from wsvs.data.visits import Visit, visited
from wsvs.records.shots import Shot


def shot(name, video, areas, start=0, kind="cat", **more):
    return Shot(name, video, kind, start, start + len(areas), areas=areas, **more)


def test_select_keeps_frames_with_masks_of_a_sensible_size(tmp_path):
    shots = [shot("x", "v", [0.0, 0.1, 0.5, 0.95, 0.09], start=7), shot("y", "v", [0.99, 0.0])]
    frames = FrameSet.select(tmp_path, shots, 0.1, 0.9)
    assert [(s.shot, s.numbers) for s in frames.shots] == [("x", [8, 9])] and len(frames) == 2
    assert FrameSet.select(tmp_path, shots, 0, 1).shots[0].numbers == [8, 9, 10, 11]  # never an empty mask


def test_select_leaves_uncertain_frames_out(tmp_path):
    """A shot of a run that knew no confidence counts as certain."""
    shots = [shot("x", "v", [0.2] * 3, confidences=[0.4, 0.5, 0.9]), shot("y", "v", [0.2])]
    chosen = {least: FrameSet.select(tmp_path, shots, 0.1, 0.9, least).shots for least in (0, 0.5, 1)}
    assert {least: [s.numbers for s in found] for least, found in chosen.items()} == {
        0: [[0, 1, 2], [0]],
        0.5: [[1, 2], [0]],
        1: [[0]],
    }


@pytest.mark.parametrize("share", [0, 0.1, 0.25, 0.5, 0.9])
def test_split_puts_no_video_on_both_sides(tmp_path, share):
    counts = {"cat": 20, "dog": 3, "bus": 1}
    shots = [
        shot(f"{kind}{video}_{k}", f"{kind}{video}", [0.5] * 2, kind=kind)
        for kind, count in counts.items()
        for video in range(count)
        for k in range(3)
    ]
    frames = FrameSet.select(tmp_path, shots, 0, 1)
    train, held = frames.split(share)
    videos = [{(s.class_name, s.video) for s in part.shots} for part in (train, held)]
    assert not videos[0] & videos[1] and len(videos[0]) + len(videos[1]) == 24
    assert len(train) + len(held) == len(frames) == 144
    by_class = Counter(kind for kind, _ in videos[1])
    for kind, count in counts.items():  # the share of each class, but at least one video to train on
        assert by_class[kind] == min(round(share * count), count - 1)
    assert frames.split(share) == (train, held)


def test_split_takes_a_video_of_two_classes_whole(tmp_path):
    """By class, 'a' would be held out of x and taught to y."""
    shots = [
        shot(f"{kind}{video}", video, [0.5], kind=kind)
        for kind, videos in {"x": "abcd", "y": "abef", "z": "a"}.items()
        for video in videos
    ]
    train, held = FrameSet.select(tmp_path, shots[:-1], 0, 1).split(0.25)
    assert {s.video for s in held.shots} == {"a"} and {s.class_name for s in held.shots} == {"x", "y"}
    assert {s.video for s in train.shots} == set("bcdef")
    train, held = FrameSet.select(tmp_path, shots, 0, 1).split(0.25)
    assert not held.shots and len(train.shots) == 9  # z would have no video to learn from


def test_split_never_parts_copies_of_a_video(tmp_path):
    """The same content, or the same site and id, under other names; of old manifests nothing is known."""
    shots = [
        shot(f"{video}_0", video, [0.5], kind=kind, sha256=sha, identity=identity)
        for video, kind, sha, identity in (
            ("a", "x", "1", None),
            ("b", "x", "1", None),
            ("c", "y", "2", "site v"),
            ("d", "y", "3", "site v"),
            ("e", "y", "3", None),
            ("f", "x", "4", None),
            ("g", "y", "5", None),
            ("h", "x", None, None),
            ("i", "y", None, None),
            ("a", "y", "1", None),
        )
    ]
    frames = FrameSet.select(tmp_path, shots, 0, 1)
    same = same_videos(frames.shots)
    assert same == {**{v: v for v in "fghi"}, "a": "a", "b": "a", "c": "c", "d": "c", "e": "c"}
    for share in (0.2, 0.3, 0.5, 0.7):
        train, held = frames.split(share)
        assert not {same[s.video] for s in train.shots} & {same[s.video] for s in held.shots}
        assert held.shots and len(train.shots) + len(held.shots) == len(shots)


def boxed(height, width, box):
    mask = np.zeros((height, width), np.uint8)
    y0, y1, x0, x1 = box
    mask[y0:y1, x0:x1] = 1
    return mask


@pytest.mark.parametrize("box", [(40, 80, 60, 110), (0, 30, 0, 40), (90, 120, 120, 160)])  # inside, and in corners
@pytest.mark.parametrize("coverage", [(0.25, 0.25), (0.3, 0.6)])
def test_zoom_gives_the_box_its_share_of_the_window(box, coverage):
    mask = boxed(120, 160, box)
    image = np.repeat(mask[..., None] * 200, 3, 2)
    crop = FrameCrop(200, "zoom", coverage, jitter=0)
    places = set()
    for seed in range(40):
        found, target = crop(image, mask, np.random.default_rng(seed))
        assert found.shape == (200, 200, 3) and target.shape == (200, 200)
        assert set(np.unique(target)) == {0, 1}  # the window lies inside the frame
        share = (target == 1).mean()
        assert coverage[0] - 0.02 <= share <= coverage[1] + 0.02  # the mask is its box, so all of it is inside
        inner = cv2.erode((target == 1).astype(np.uint8), np.ones((7, 7))) > 0
        outer = cv2.dilate((target == 1).astype(np.uint8), np.ones((7, 7))) == 0
        assert (found[inner] == 200).all() and (found[outer] == 0).all()
        places.add((int(np.flatnonzero((target == 1).any(1))[0]), int(np.flatnonzero((target == 1).any(0))[0])))
    assert len(places) > (20 if box[0] == 40 else 1)  # the window moves; in a corner only mirroring is left


def test_outside_the_frame_is_ignored():
    mask = boxed(60, 160, (0, 60, 30, 130))  # a window that holds it four times is taller than the frame
    image = np.full((60, 160, 3), 9, np.uint8)
    for seed in range(20):
        found, target = FrameCrop(100, "zoom", (0.25, 0.25), jitter=0)(image, mask, np.random.default_rng(seed))
        outside = target == IGNORE
        assert abs(outside.mean() - (1 - 60 / 155)) < 0.02  # side = sqrt(60 * 100 / 0.25) = 154.9
        deep = cv2.erode(outside.astype(np.uint8), np.ones((5, 5))) > 0
        assert deep.any() and (found[deep] == FILL).all()
        assert (target == 1).any()


def test_long_box_gets_a_window_inside_it():
    mask = boxed(40, 400, (18, 22, 0, 400))
    for seed in range(10):
        _, target = FrameCrop(64, "zoom", (0.5, 0.5), jitter=0)(
            np.zeros((40, 400, 3), np.uint8), mask, np.random.default_rng(seed)
        )
        assert (target == 1).any(0).all()  # side 57: the object crosses the whole window


def test_small_box_is_not_blown_up_without_end():
    mask = boxed(100, 100, (50, 52, 50, 52))
    _, target = FrameCrop(160, "zoom", (1, 1), jitter=0)(
        np.zeros((100, 100, 3), np.uint8), mask, np.random.default_rng(0)
    )
    assert (target == 1).sum() == 20 * 20  # 2 px of a window of 16, at ten times the size


def test_whole_frames_are_padded_to_a_square():
    mask = boxed(50, 100, (10, 20, 30, 60))
    image = np.full((50, 100, 3), 9, np.uint8)
    found, target = FrameCrop(100, "frame", jitter=0, mirror=False)(image, mask, np.random.default_rng(0))
    assert (target[50:] == IGNORE).all() and (found[50:] == FILL).all()
    assert np.array_equal(target[:50], mask) and (found[:50] == 9).all()


def test_empty_mask_gives_the_whole_frame():
    _, target = FrameCrop(64, "zoom", jitter=0)(
        np.zeros((64, 64, 3), np.uint8), np.zeros((64, 64), np.uint8), np.random.default_rng(0)
    )
    assert not target.any()


def test_mirror_turns_image_and_target_alike():
    mask = boxed(64, 64, (0, 64, 0, 10))
    image = np.repeat(mask[..., None], 3, 2)
    seen = []
    for seed in range(60):
        found, target = FrameCrop(64, "frame", jitter=0)(image, mask, np.random.default_rng(seed))
        assert np.array_equal(found[..., 0], target)
        seen.append(bool(target[0, 0]))
    assert 15 < sum(seen) < 45


def test_bad_crop():
    with pytest.raises(ValueError, match=r"coverage must be two numbers in \(0, 1\], the lower one first, got"):
        FrameCrop(64, coverage=(0.6, 0.5))


def write_frames(run, name, numbers, size=(24, 32)):
    """Frames whose grey value is their number, and masks whose box starts at column `number`."""
    for number in numbers:
        mask = boxed(*size, (4, 20, number, number + 12)) * 5  # label 5 of the class in question
        write_mask(run / "masks" / name / f"{number:06d}.png", mask)
        place = run / "frames" / name / f"{number:06d}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", size[::-1], number * 10).save(place, quality=95)


@pytest.fixture
def frames(tmp_path):
    """Class dog: one shot of one frame; class cat: a clip of nine frames, and one of three cut into two shots."""
    shots = [
        shot("cat/a_0", "a", [0.3] * 9),
        shot("cat/b_0", "b", [0.3], start=10),
        shot("cat/b_1", "b", [0.3] * 2, start=11),
        shot("dog/c_0", "c", [0.3], start=4, kind="dog"),
    ]
    for record in shots:
        write_frames(tmp_path, record.shot, range(record.start, record.stop))
    return FrameSet.select(tmp_path, shots, 0, 1)


def test_load_brings_the_mask_to_the_size_of_the_frame(frames, tmp_path):
    image, mask = frames.load(frames.shots[0], 3)
    assert abs(int(image[0, 0, 0]) - 30) <= 2 and np.array_equal(mask, boxed(24, 32, (4, 20, 3, 15)))
    large = np.kron(boxed(24, 32, (4, 20, 3, 15)), np.ones((5, 5), np.uint8))  # masks have the video's own size
    write_mask(tmp_path / "masks/cat/a_0/000003.png", large * 5)
    assert np.array_equal(frames.load(frames.shots[0], 3)[1], mask)


def test_classes_are_drawn_alike_then_clips_then_frames(frames):
    """Half of the draws for each class, half of a class's for each clip, whatever their lengths: chi-squared."""
    dataset = FrameDataset(frames, ["bus", "cat", "dog"], FrameCrop(16))
    assert len(dataset) == len(frames) == 13
    expected = {("cat/a_0", k): 1 / 4 / 9 for k in range(9)}
    expected |= {("cat/b_0", 10): 1 / 12, ("cat/b_1", 11): 1 / 12, ("cat/b_1", 12): 1 / 12, ("dog/c_0", 4): 1 / 2}
    draws = [dataset._draw(visited(Visit(k % 13, k // 13, 0))[1]) for k in range(6500)]
    names = [(shot.shot, number) for shot, number in draws]
    counts = Counter(names)
    assert set(counts) == set(expected)
    assert chisquare([counts[name] for name in expected], [6500 * p for p in expected.values()]).pvalue > 0.01
    dogs = np.array([name == "dog/c_0" for name, _ in names])
    assert abs((dogs[1:] == dogs[:-1]).mean() - 0.5) < 0.03  # one draw says nothing about the next


def test_a_clip_counts_once_into_however_many_shots_it_was_cut(tmp_path):
    """Of one video two clips, one of them cut in three: `clip` counts where shots have one."""
    shots = [
        shot(f"v_{clip}_{k}", "v", [0.5] * 2, start=2 * k, clip=f"v_{clip}")
        for clip, count in ((0, 3), (1, 1))
        for k in range(count)
    ]
    dataset = FrameDataset(FrameSet.select(tmp_path, shots, 0, 1), ["cat"], FrameCrop(16))
    drawn = Counter(dataset._draw(np.random.default_rng(k))[0].shot for k in range(2000))
    assert (
        chisquare([drawn[f"v_0_{k}"] for k in range(3)] + [drawn["v_1_0"]], [2000 / 6, 2000 / 6, 2000 / 6, 1000]).pvalue
        > 0.01
    )


def test_drawn_items_follow_the_visit(frames):
    dataset = FrameDataset(frames, ["bus", "cat", "dog"], FrameCrop(16))
    visits = [Visit(k, 0, 5) for k in range(13)]
    items = [dataset[visit] for visit in visits]
    for one, other in zip(items, [dataset[visit] for visit in visits], strict=True):
        assert one["id"] == other["id"] and torch.equal(one["image"], other["image"])
        assert torch.equal(one["jitter"], other["jitter"])
    assert [item["id"] for item in items] != [dataset[visit._replace(turn=1)]["id"] for visit in visits]
    for item in items:
        assert item["class"].item() == (2 if item["id"].startswith("dog") else 1)
        assert item["image"].shape == (3, 16, 16) and item["image"].dtype == torch.uint8
        assert item["target"].shape == (16, 16) and item["target"].dtype == torch.int64
        assert set(item["target"].unique().tolist()) <= {0, 1, 255} and (item["target"] == 1).any()


def test_fixed_items_are_repeatable_and_spread_over_all_frames(frames):
    dataset = FrameDataset(frames, ["cat", "dog"], FrameCrop(16), fixed=13)
    assert len(dataset) == 13
    first = [dataset[k] for k in range(13)]
    again = [dataset[k] for k in reversed(range(13))][::-1]
    for one, other in zip(first, again, strict=True):
        assert one["id"] == other["id"] and torch.equal(one["image"], other["image"])
        assert torch.equal(one["target"], other["target"])
    assert len({item["id"] for item in first}) == 13  # every frame once
    few = FrameDataset(frames, ["cat", "dog"], FrameCrop(16), fixed=4)
    assert [few[k]["id"] for k in range(4)] == [
        "cat/a_0/000000",
        "cat/a_0/000003",
        "cat/a_0/000006",
        "cat/b_0/000010",  # places 0, 3, 6, 9 of 13
    ]
    many = FrameDataset(frames, ["cat", "dog"], FrameCrop(16), fixed=39)
    assert set(Counter(many[k]["id"] for k in range(39)).values()) == {3}


def test_bad_frame_or_mask_is_an_item_with_its_reason(frames, tmp_path):
    dataset = FrameDataset(frames, ["cat", "dog"], FrameCrop(16), fixed=13)
    mask, frame = tmp_path / "masks/cat/a_0/000000.png", tmp_path / "frames/cat/a_0/000001.jpg"
    mask.write_bytes(b"no mask")
    frame.unlink()
    for item, name, path in ((dataset[0], "cat/a_0/000000", mask), (dataset[1], "cat/a_0/000001", frame)):
        assert item["id"] == name and str(path) in item["bad"] and "image" not in item
    with pytest.raises(ValueError, match="fixed must be a whole number >= 1"):
        FrameDataset(frames, ["cat", "dog"], FrameCrop(16), fixed=0)


LABELS = np.kron(np.array([[0, 1], [3, IGNORE]], np.uint8), np.ones((16, 16), np.uint8))


def pseudo(tmp_path, numbers):
    Image.new("RGB", (32, 32), (50, 60, 70)).save(tmp_path / "a.png")
    write_mask(tmp_path / "mask.png", LABELS)
    return PseudoLabelDataset(
        ["a"],
        path=lambda name: tmp_path / f"{name}.png",
        mask=lambda name: tmp_path / "mask.png",
        numbers=lambda name: numbers,
        augmentation=ImageAugmentation(32, (1, 1), jitter=0),
    )


@pytest.mark.parametrize(("number", "block"), [(0, (0, 1)), (2, (1, 0))])
def test_pseudo_label_is_one_class_against_all_else(tmp_path, number, block):
    dataset = pseudo(tmp_path, [number])
    seen = set()
    for turn in range(20):
        item = dataset[Visit(0, turn, 0)]
        expected = np.zeros((2, 2), np.int64)
        expected[block], expected[1, 1] = 1, IGNORE  # void stays void
        found = item["target"].numpy()
        mirrored = not np.array_equal(found, np.kron(expected, np.ones((16, 16), np.int64)))
        seen.add(mirrored)
        assert np.array_equal(found[:, ::-1] if mirrored else found, np.kron(expected, np.ones((16, 16))))
        assert item["class"].item() == number and item["id"] == "a"
    assert seen == {False, True}


def test_one_of_the_tags_is_drawn(tmp_path):
    dataset = pseudo(tmp_path, [0, 2])
    counts = Counter(dataset[Visit(0, turn, 0)]["class"].item() for turn in range(100))
    assert set(counts) == {0, 2} and min(counts.values()) > 30
    for visit in (0, Visit(0, 4, 1)):  # a plain number, for validation, or a visit: the same every time
        first, again = dataset[visit], dataset[visit]
        assert torch.equal(again["target"], first["target"]) and again["class"] == first["class"]


def test_bad_pseudo_label(tmp_path):
    dataset = pseudo(tmp_path, [0])
    (tmp_path / "mask.png").write_bytes(b"")
    assert str(tmp_path / "mask.png") in dataset[0]["bad"] and set(dataset[0]) == {"id", "bad"}
    (tmp_path / "a.png").unlink()
    assert "image not found" in dataset[0]["bad"]


def test_odd_and_blank_frames_do_not_teach(tmp_path):
    shots = [shot("x", "v", [0.5] * 5, start=7, odd=[8], blank=[10])]
    assert FrameSet.select(tmp_path, shots, 0.1, 0.9).shots[0].numbers == [7, 9, 11]
