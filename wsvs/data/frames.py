"""Training data of the decoder: video frames with the masks of the segment stage, or images with pseudo-labels."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

from wsvs.config.base import BelowOne, Positive, Share
from wsvs.config.checked import checked
from wsvs.config.stages import Coverage, Crop, DecoderSettings, Side
from wsvs.core.classes import IGNORE
from wsvs.core.errors import BadItem
from wsvs.core.masks import read_mask
from wsvs.core.reviews import REJECT, Answer
from wsvs.data.images import read_image
from wsvs.data.loading import Sample
from wsvs.data.tagged import jitter_of, to_tensor
from wsvs.data.transforms import FILL, ImageAugmentation, crop_or_pad, resize_image
from wsvs.data.visits import Visit, visited
from wsvs.records.masks import MaskSet
from wsvs.records.shots import Shot

_DEFAULT = DecoderSettings()


def reviewed(shots: Iterable[Shot], answers: Mapping[str, Answer]) -> list[Shot]:
    """Shots of a segment run without rejected ones, with corrected classes.

    A shot trains one class: a shot that was given no class, or several, is left out.
    """
    kept = []
    for shot in shots:
        answer = answers.get(shot.shot, Answer())
        if answer.verdict != REJECT and (answer.tags is None or len(answer.tags) == 1):
            kept.append(shot if answer.tags is None else replace(shot, class_name=answer.tags[0]))
    return kept


@dataclass(frozen=True)
class UsableShot(Shot):
    """A shot with the numbers of its usable frames, which are on no disk."""

    numbers: Sequence[int] = ()


@dataclass(frozen=True)
class FrameSet:
    """Usable frames of a segment run: with sufficient confidence and a mask of reasonable area."""

    masks: MaskSet
    shots: list[UsableShot]

    @classmethod
    @checked
    def select(
        cls, run: Path, shots: Iterable[Shot], min_area: Share, max_area: Share, min_confidence: Share = 0.0
    ) -> FrameSet:
        """Frames with min_area <= area of the mask <= max_area; empty masks are of no use for training.

        Frames with a confidence below `min_confidence` are excluded, since their mask may be spurious, as are odd and
        blank frames, whose masks are copies of other frames' masks, or empty.
        """
        chosen = []
        for shot in shots:
            known = shot.confidences or [1.0] * len(shot.areas)  # not in runs of earlier versions
            odd = {*shot.odd, *shot.blank}
            numbers = [
                number
                for number, (area, confidence) in enumerate(zip(shot.areas, known, strict=True), shot.start)
                if area > 0 and min_area <= area <= max_area and confidence >= min_confidence and number not in odd
            ]
            if numbers:
                chosen.append(UsableShot(**vars(shot), numbers=numbers))
        return cls(MaskSet.of(run, whole=False), chosen)

    @checked
    def split(self, share: BelowOne) -> tuple[FrameSet, FrameSet]:
        """(training, held out) by video: every 1/share-th video of each class is held out.

        Files with the same content are the same video. A video of two classes is held out for both, unless it is the
        last training video of one of them.
        """
        same = same_videos(self.shots)
        classes = sorted({shot.class_name for shot in self.shots})
        videos = {
            name: sorted({same[shot.video] for shot in self.shots if shot.class_name == name}) for name in classes
        }
        held: set[str] = set()
        for name in classes:
            count = min(round(share * len(videos[name])), len(videos[name]) - 1)
            for k in range(count):
                video = videos[name][k * len(videos[name]) // count]
                if all({*theirs} - held - {video} for theirs in videos.values() if video in theirs):
                    held.add(video)
        inside = [shot for shot in self.shots if same[shot.video] in held]
        outside = [shot for shot in self.shots if same[shot.video] not in held]
        return FrameSet(self.masks, outside), FrameSet(self.masks, inside)

    def __len__(self) -> int:
        return sum(len(shot.numbers) for shot in self.shots)

    def load(self, shot: Shot, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Frame (h, w, 3) uint8 and mask (h, w) uint8 in {0, 1} at the frame's size. Raises `BadItem`."""
        image = read_image(self.masks.frame(shot.name, number))
        mask = (read_mask(self.masks.mask(shot.name, number)) > 0).astype(np.uint8)
        if mask.shape != image.shape[:2]:
            mask = cv2.resize(mask, image.shape[1::-1], interpolation=cv2.INTER_NEAREST_EXACT)
        return image, mask


def same_videos(shots: Sequence[Shot]) -> dict[str, str]:
    """{video: its representative}: videos that share a file's content (sha256) or its identity on a site."""
    parent: dict[str, str] = {}

    def find(name: str) -> str:
        while parent.setdefault(name, name) != name:
            name = parent[name]
        return name

    for shot in shots:
        first = find(f"video {shot.video}")
        for key, value in (("sha256", shot.sha256), ("identity", shot.identity)):
            if value:
                other = find(f"{key} {value}")
                parent[max(first, other)] = first = min(first, other)
    by_root: dict[str, str] = {}
    found = {}
    for video in sorted({shot.video for shot in shots}):
        found[video] = by_root.setdefault(find(f"video {video}"), video)
    return found


@checked
@dataclass(frozen=True)
class FrameCrop:
    """A square crop of a frame for the decoder.

    Args:
        size: Side in px.
        crop: 'zoom' takes a window around the mask's bounding box; 'frame' the whole frame, padded to a square.
        coverage: Range of the fraction of the window that the box fills, for 'zoom'. Objects are larger in photographs
            than in video frames; this matches the scales.
        jitter: Colour jitter of the crop's item, 0 to 1.
        mirror: Random mirroring.
    """

    size: Side
    crop: Crop = _DEFAULT.crop
    coverage: Coverage = _DEFAULT.coverage
    jitter: Share = _DEFAULT.jitter
    mirror: bool = True

    def __call__(self, image: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Image (S, S, 3) uint8 and target (S, S) uint8 in {0, 1, 255}; outside the frame the target is 255."""
        top, left, side = self._window(mask, rng)
        image = crop_or_pad(image, top, left, side, FILL)
        mask = crop_or_pad(mask, top, left, side, IGNORE)
        image = resize_image(image, self.size, self.size)
        mask = cv2.resize(mask, (self.size, self.size), interpolation=cv2.INTER_NEAREST_EXACT)
        if self.mirror and rng.random() < 0.5:
            image, mask = image[:, ::-1], mask[:, ::-1]
        return np.ascontiguousarray(image), np.ascontiguousarray(mask)

    def _window(self, mask: np.ndarray, rng: np.random.Generator) -> tuple[int, int, int]:
        """(top, left, side) of the window; it contains the whole bounding box if the box's shape allows."""
        height, width = mask.shape
        if self.crop == "frame" or not mask.any():  # a tiny mask can vanish when frames are stored smaller
            return 0, 0, max(height, width)
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        y0, y1, x0, x1 = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
        share = rng.uniform(*self.coverage)
        side = int(np.ceil(np.sqrt((y1 - y0) * (x1 - x0) / share)))
        side = max(side, 16)
        return self._place(y0, y1, side, height, rng), self._place(x0, x1, side, width, rng), side

    @staticmethod
    def _place(low: int, high: int, side: int, length: int, rng: np.random.Generator) -> int:
        """Start of a window of `side` that contains [low, high) if possible, and is inside the frame if possible."""
        first, last = sorted((high - side, low))
        inner_first, inner_last = max(first, 0), min(last, length - side)
        if inner_first <= inner_last:
            first, last = inner_first, inner_last
        return int(rng.integers(first, last + 1))


class FrameDataset(Dataset[Sample]):
    """Crops of frames of a `FrameSet`: drawn at random (class, then clip, then frame, each uniformly), or fixed.

    Classes are drawn first because the number and length of clips vary widely; a clip counts once, regardless of the
    number of its shots.

    Args:
        frames: The frames.
        classes: Class names; an item's class is its index.
        crop: The crop.
        fixed: Number of items spread evenly over the frames, for validation; None draws at random.
        weights: {shot: weight in the loss}, 1 for other shots; if not empty, every item has a "weight".
    """

    @checked
    def __init__(
        self,
        frames: FrameSet,
        classes: Sequence[str],
        crop: FrameCrop,
        *,
        fixed: Positive | None = None,
        weights: Mapping[str, float] | None = None,
    ) -> None:
        self.frames = frames
        self.classes = tuple(classes)
        self.crop = crop
        self.fixed = fixed
        self.weights = weights or {}
        clips: dict[str, dict[str, list[tuple[UsableShot, int]]]] = {}
        for shot in frames.shots:
            clip = clips.setdefault(shot.class_name, {}).setdefault(shot.clip or shot.video, [])
            clip.extend((shot, number) for number in shot.numbers)
        self.by_class = [list(clips[name].values()) for name in sorted(clips)]
        self.ends = np.cumsum([len(shot.numbers) for shot in frames.shots]).tolist()

    def __len__(self) -> int:
        return len(self.frames) if self.fixed is None else self.fixed

    def __getitem__(self, visit: Visit | int) -> Sample:
        index, rng = visited(visit)
        shot, number = self._draw(rng) if self.fixed is None else self._spread(index, self.fixed)
        try:
            image, mask = self.frames.load(shot, number)
        except BadItem as error:
            return {"id": self.frames.masks.frame_name(shot.name, number), "bad": error.message}
        image, target = self.crop(image, mask, rng)
        name, label = self.frames.masks.frame_name(shot.name, number), self.classes.index(shot.class_name)
        item = as_item(name, image, target, label)
        return {**item, **jitter_of(self.crop.jitter, rng), **weight_of(shot.shot, self.weights)}

    def _draw(self, rng: np.random.Generator) -> tuple[UsableShot, int]:
        clips = self.by_class[rng.integers(len(self.by_class))]
        clip = clips[rng.integers(len(clips))]
        return clip[rng.integers(len(clip))]

    def _spread(self, index: int, count: int) -> tuple[UsableShot, int]:
        place = index * self.ends[-1] // count
        which = bisect.bisect_right(self.ends, place)
        shot = self.frames.shots[which]
        return shot, shot.numbers[place - (self.ends[which] - len(shot.numbers))]


class PseudoLabelDataset(Dataset[Sample]):
    """Tagged images with pseudo-labels: one random class of the image against everything else (section 5.2.1).

    Pixels of the image's other classes count as background, which adds context between classes.

    Args:
        ids: Images.
        path: id -> image file.
        mask: id -> pseudo-label file, labels are class numbers + 1.
        numbers: id -> class numbers of the image's tags.
        augmentation: Size, crop, mirror, colour.
        weights: {id: weight in the loss} of those that do not weigh 1; with any, every item has a "weight".
    """

    def __init__(
        self,
        ids: Sequence[str],
        *,
        path: Callable[[str], Path],
        mask: Callable[[str], Path],
        numbers: Callable[[str], Sequence[int]],
        augmentation: ImageAugmentation,
        weights: Mapping[str, float] | None = None,
    ) -> None:
        self.ids = list(ids)
        self.path = path
        self.mask = mask
        self.numbers = numbers
        self.augmentation = augmentation
        self.weights = weights or {}

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, visit: Visit | int) -> Sample:
        index, rng = visited(visit)
        name = self.ids[index]
        try:
            image, labels = read_image(self.path(name)), read_mask(self.mask(name))
        except BadItem as error:
            return {"id": name, "bad": error.message}
        number = int(rng.choice(self.numbers(name)))
        target = np.where(labels == IGNORE, IGNORE, labels == number + 1).astype(np.uint8)
        image, target = self.augmentation.with_mask(image, target, rng)
        item = as_item(name, image, target, number)
        return {**item, **jitter_of(self.augmentation.jitter, rng), **weight_of(name, self.weights)}


def weight_of(name: str, weights: Mapping[str, float]) -> Sample:
    """What an item carries of its weight in the loss; nothing where all weigh the same."""
    return {"weight": torch.tensor(weights.get(name, 1.0))} if weights else {}


def as_item(name: str, image: np.ndarray, target: np.ndarray, number: int) -> Sample:
    return {
        "id": name,
        "image": to_tensor(image),
        "target": torch.from_numpy(target.astype(np.int64)),
        "class": torch.tensor(number),
    }
