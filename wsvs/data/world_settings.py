"""Sizes and difficulty of the synthetic world."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from wsvs.data.shapes import FACES

EXIT_FRAMES = 8  # an object that leaves is outside the image after this number of frames


@dataclass(frozen=True)
class WorldSettings:
    """Sizes and difficulty of the synthetic world. Shares are of 1, areas are shares of an image.

    Attributes:
        seed: Two worlds of one seed are the same.
        classes: Any of tiger, panda, parrot and zebra, in the order of their labels.
        images: Number of tagged images.
        val_share: Share of the images in val.txt.
        image_sides: Range of an image's width and height in px; multiples of 16 are drawn.
        image_area: Area of the object in an image of one object; of two, each has 0.6 of that.
        two_objects: Share of images with two objects of different classes.
        empty_images: Share of images without any object and so without tags.
        clips_per_class: Videos per class.
        video_size: (width, height) of a video in px.
        video_area: Area of the object in a frame.
        frames: Range of a video's number of frames.
        rates: Frame rates to choose from.
        partial_videos: Share of videos that do not show their class all the time: it comes, goes, or there is a cut.
        gap: Range of the share of frames that these videos spend without it.
        irrelevant_videos: Share of videos that do not show their class at all: another class, or none.
        companions: Share of videos that show a creature of another class beside their own.
        pauses: Share of videos in which the object rests for a third of the time.
        object_speed: Range of an object's speed over the ground in px per frame.
        camera_speed: Highest speed of the camera in px per frame.
        distractors: Highest number of objects without a class in an image.
        head_size: Radius of a head as a share of a body's length: the one part that shows the class.
        contrast: Least distance in CIE Lab of a body's colour from the mean of the background.
        noise: Standard deviation of the sensor's noise in grey levels.
    """

    seed: int = 0
    classes: tuple[str, ...] = ("tiger", "panda", "parrot")
    images: int = 240
    val_share: float = 0.25
    image_sides: tuple[int, int] = (96, 128)
    image_area: tuple[float, float] = (0.18, 0.40)
    two_objects: float = 0.4
    empty_images: float = 0.1
    clips_per_class: int = 8
    video_size: tuple[int, int] = (128, 96)
    video_area: tuple[float, float] = (0.12, 0.24)
    frames: tuple[int, int] = (24, 40)
    rates: tuple[int, ...] = (8, 12, 15, 25)
    partial_videos: float = 0.35
    gap: tuple[float, float] = (0.25, 0.40)
    irrelevant_videos: float = 0.15
    companions: float = 0.15
    pauses: float = 0.3
    object_speed: tuple[float, float] = (1.0, 2.2)
    camera_speed: float = 0.8
    distractors: int = 2
    head_size: float = 0.27
    contrast: float = 35.0
    noise: float = 2.5

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if isinstance(value, Sequence) and not isinstance(value, str):  # lists of a configuration
                object.__setattr__(self, name, tuple(value))
        unknown = [name for name in self.classes if name not in FACES]
        if unknown or not self.classes or len(set(self.classes)) < len(self.classes):
            raise ValueError(f"classes must be different ones of {', '.join(FACES)}, got {self.classes}")
        for name in ("val_share", "two_objects", "empty_images", "partial_videos", "irrelevant_videos", "companions",
                     "pauses"):
            _check(0 <= getattr(self, name) <= 1, f"{name} must be in [0, 1]", getattr(self, name))
        for low, high in (("two_objects", "empty_images"), ("partial_videos", "irrelevant_videos")):
            _check(getattr(self, low) + getattr(self, high) <= 1, f"{low} + {high} must be at most 1", self)
        for name in ("image_area", "video_area", "gap"):
            low, high = getattr(self, name)
            _check(0 < low <= high < 1, f"{name} must be (low, high) with 0 < low <= high < 1", (low, high))
        for name, least in (("image_sides", 48), ("frames", 2 * EXIT_FRAMES), ("video_size", 32)):
            _check(min(getattr(self, name)) >= least, f"{name} must be at least {least}", getattr(self, name))
        for name in ("image_sides", "frames", "object_speed"):
            low, high = getattr(self, name)
            _check(0 < low <= high, f"{name} must be (low, high) with 0 < low <= high", (low, high))
        _check(not any(side % 2 for side in self.video_size), "video_size must be even", self.video_size)
        _check(self.images >= 1 and self.clips_per_class >= 0, "images and clips_per_class must be positive", self)
        _check(bool(self.rates) and min(self.rates) >= 1, "rates must be at least 1", self.rates)
        _check(0.05 <= self.head_size <= 0.35, "head_size must be in [0.05, 0.35]", self.head_size)
        for name in ("camera_speed", "distractors", "contrast", "noise"):
            _check(getattr(self, name) >= 0, f"{name} must not be negative", getattr(self, name))


def _check(good: bool, rule: str, got: object) -> None:
    if not good:
        raise ValueError(f"{rule}, got {got}")
