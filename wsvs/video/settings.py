"""The settings of section 3.2 in one flat record."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args, get_type_hints

from wsvs.video.flow import FLOWS
from wsvs.video.graph import Solver
from wsvs.video.inside_outside import Angle, Cleanup, Gain, Gradient
from wsvs.video.superpixels import SlicMethod

Motion = Literal["inside_outside", "contrast"]
Refine = Literal["none", "guided"]


@dataclass(frozen=True)
class SegmentSettings:
    """How a video is segmented: the paper's lambdas; what it leaves open follows Papazoglou & Ferrari.

    Attributes:
        superpixels: Wanted in a frame.
        compactness: SLIC's m.
        longest_edge: Larger frames are shrunk to this, px.
        flow: Name in `FLOWS` of the optical flow; the faster ones are coarser.
        motion: What M is made of: "inside_outside" as in the paper, or "contrast" with the surroundings, which also
            finds slow objects and open motion boundaries (`wsvs.video.contrast`) and needs the flow both ways.
        saliency: Power with which the contrast of colours counts beside that of motion; 0 leaves it out. Of
            motion="contrast" only.
        lambda_a, lambda_m, lambda_c: Weights of attention, motion and appearance in Eq. (4); 0 leaves a term
            out.
        alpha_s, alpha_t: Weights of the spatial and the temporal part of Eq. (5), beside un-scaled unaries.
        clip_a: A stays within [clip_a, 1 - clip_a]. Attention sees parts of an object; unclipped it would
            forbid the rest of it.
        floor_a: A is at least this; at 0.5 attention speaks for the object where it sees it and is silent elsewhere.
        floor_m: M stays within [floor_m, 1 - floor_m]; 0 is the release of Papazoglou & Ferrari.
        fg_components, bg_components: Gaussians of the two colour models.
        fg_threshold, bg_threshold: Superpixels with at least / at most this share of the video's largest
            attention are samples of the foreground / background colours. Equal: every superpixel is one or
            the other. With motion="contrast", or without attention, others make the samples.
        reestimate: Rounds in which the colour models are learned anew from the labels, at most; 0 as in the
            paper.
        grad, angle, cleanup: Of motion="inside_outside", variants of the map; "cross", "sum", "sweep" is the release.
        gain: Of motion="inside_outside": "adaptive" also finds the boundaries of slow objects; "none" is the release.
        refine: "guided" lets the borders of the masks follow the frame's edges instead of the superpixels'.
        solver: Of the graph cut.
        seed: Of the colour models' start.
        superpixel_method: Library.

    Raises:
        ValueError: A value outside its range; the message names the field.
    """

    superpixels: int = 1500
    compactness: float = 30.0
    longest_edge: int = 400
    flow: str = "dis_medium"
    motion: Motion = "inside_outside"
    saliency: float = 0.0
    lambda_a: float = 2.0
    lambda_m: float = 1.0
    lambda_c: float = 2.0
    alpha_s: float = 500.0
    alpha_t: float = 400.0
    clip_a: float = 0.05
    floor_a: float = 0.0
    floor_m: float = 1e-3
    fg_components: int = 5
    bg_components: int = 8
    fg_threshold: float = 0.5
    bg_threshold: float = 0.1
    reestimate: int = 0
    grad: Gradient = "full"
    angle: Angle = "circular"
    cleanup: Cleanup = "flood"
    gain: Gain = "none"
    refine: Refine = "none"
    solver: Solver = "auto"
    seed: int = 0
    superpixel_method: SlicMethod = "auto"

    def __post_init__(self) -> None:
        kinds: dict[str, Any] = get_type_hints(type(self))
        for field in fields(self):
            value, kind = getattr(self, field.name), kinds[field.name]
            if kind is int:
                least = 0 if field.name in ("reestimate", "seed") else 1
                if isinstance(value, bool) or not isinstance(value, int) or value < least:
                    raise ValueError(f"{field.name} must be a whole number >= {least}, got {value!r}")
            elif kind is float:
                if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                    raise ValueError(f"{field.name} must be a finite number, got {value!r}")
                if value < 0:
                    raise ValueError(f"{field.name} must not be negative, got {value!r}")
            elif field.name == "flow":
                if value not in FLOWS:
                    raise ValueError(
                        f"flow must be one of {', '.join(FLOWS)}, got {value!r}; one of your own needs "
                        "plugins=[its module]"
                    )
            elif value not in get_args(kind):
                raise ValueError(f"{field.name} must be one of {', '.join(get_args(kind))}, got {value!r}")
        if self.compactness == 0:
            raise ValueError("compactness must be positive, got 0")
        for name in ("clip_a", "floor_m"):
            if getattr(self, name) >= 0.5:
                raise ValueError(f"{name} must be below 0.5, got {getattr(self, name)!r}")
        if self.floor_a > 0.5:
            raise ValueError(f"floor_a must be at most 0.5, got {self.floor_a!r}")
        if not self.bg_threshold <= self.fg_threshold <= 1:
            raise ValueError(
                f"thresholds must satisfy bg_threshold <= fg_threshold <= 1, got {self.bg_threshold!r} and "
                f"{self.fg_threshold!r}"
            )
        if self.lambda_a == self.lambda_m == self.lambda_c == 0:
            raise ValueError("one of lambda_a, lambda_m, lambda_c must be positive, got 0 for all")
