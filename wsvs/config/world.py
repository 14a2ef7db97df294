"""Settings of the synthetic data set: `data.world` of `data=synthetic`."""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt, MinLen, MultipleOf
from pydantic import AfterValidator, model_validator

from wsvs.config.base import (
    AtLeast0,
    Natural,
    Pair,
    Positive,
    RangeAbove0,
    Section,
    Several,
    Share,
    different,
    option,
    ordered,
)

EXIT_FRAMES = 8  # frames until an object that leaves is out of view
Creature = Literal["tiger", "panda", "parrot", "zebra"]
Open = Annotated[float, Gt(0), Lt(1)]
OpenRange = Annotated[Pair[Open], AfterValidator(ordered)]


class WorldSettings(Section):
    """Sizes and difficulty of the synthetic data set. Areas are fractions of an image or a frame."""

    seed: Natural = option(0, "seed of the generated data")
    classes: Annotated[Several[Creature], MinLen(1), AfterValidator(different)] = option(
        ("tiger", "panda", "parrot"), "classes, in the order of their labels"
    )
    images: Positive = option(240, "tagged images")
    val_share: Share = option(0.25, "share of the images in val.txt")
    image_sides: Annotated[Pair[Annotated[int, Ge(48)]], AfterValidator(ordered)] = option(
        (96, 128), "range of an image's width and height, in multiples of 16", unit="px"
    )
    image_area: OpenRange = option((0.18, 0.40), "area of a single object in an image; each of two has 0.6 of that")
    two_objects: Share = option(0.4, "share of images with two objects of different classes")
    empty_images: Share = option(0.1, "share of images without any object and so without tags")
    clips_per_class: Natural = option(8, "videos per class")
    video_size: Pair[Annotated[int, Ge(32), MultipleOf(2)]] = option(
        (128, 96), "width and height of a video", unit="px"
    )
    video_area: OpenRange = option((0.12, 0.24), "area of the object in a frame")
    frames: Annotated[Pair[Annotated[int, Ge(2 * EXIT_FRAMES)]], AfterValidator(ordered)] = option(
        (24, 40), "range of a video's number of frames"
    )
    rates: Annotated[Several[Positive], MinLen(1)] = option(
        (8, 12, 15, 25), "frame rates to choose from", unit="frames/s"
    )
    partial_videos: Share = option(
        0.35, "share of videos that show their class only part of the time: it enters, leaves, or there is a cut"
    )
    gap: OpenRange = option((0.25, 0.40), "range of the share of frames without the object in these videos")
    irrelevant_videos: Share = option(0.15, "share of videos that never show their class: another class, or none")
    companions: Share = option(0.15, "share of videos that also show an object of another class")
    pauses: Share = option(0.3, "share of videos in which the object stands still for a third of the time")
    object_speed: RangeAbove0 = option((1.0, 2.2), "range of an object's speed over the ground", unit="px/frame")
    camera_speed: AtLeast0 = option(0.8, "maximum speed of the camera", unit="px/frame")
    distractors: Natural = option(2, "maximum number of objects without a class in an image or a frame")
    head_size: Annotated[float, Ge(0.05), Le(0.35)] = option(
        0.27, "radius of the head as a fraction of the body's length; only the head shows the class"
    )
    contrast: AtLeast0 = option(35.0, "minimum CIE Lab distance of a body's colour from the mean background")
    noise: AtLeast0 = option(2.5, "standard deviation of the sensor noise", unit="grey levels")

    @model_validator(mode="after")
    def _consistent(self) -> WorldSettings:
        for one, other in (("two_objects", "empty_images"), ("partial_videos", "irrelevant_videos")):
            if getattr(self, one) + getattr(self, other) > 1:
                raise ValueError(f"{one} + {other} must be at most 1, got {getattr(self, one) + getattr(self, other)}")
        return self
