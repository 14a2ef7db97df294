"""A trained network with the settings of its masks, as a plain module: images in, labels and scores out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from wsvs.config.checked import checked
from wsvs.config.stages import ClassThreshold, Method, PredictSettings, Threshold, Zooms
from wsvs.core.otsu import otsu
from wsvs.nets.model import Found, SegmentationNet, label_map

_DEFAULT = PredictSettings()


class Output(NamedTuple):
    """Labels (B, H, W) uint8, class number + 1 or 0, and scores (B, C) in [0, 1] of every class."""

    labels: Tensor
    scores: Tensor


class Segmenter(nn.Module):
    """Labels of images by a trained network.

    Args:
        net: Trained networks.
        method: What gives the probabilities.
        class_threshold: A class is predicted where its score reaches this, or, with 'auto', the threshold that the
            encoder's training has chosen for it; the best one always is.
        background: Pixels whose best probability does not exceed this are background; 'otsu' finds it per image.
        flip: Average with the mirrored image.
        zooms: Average over the image at these multiples of the network's size.
    """

    @checked
    def __init__(
        self,
        net: SegmentationNet,
        *,
        method: Method = _DEFAULT.method,
        class_threshold: ClassThreshold = _DEFAULT.class_threshold,
        background: Threshold = _DEFAULT.background,
        flip: bool = _DEFAULT.flip,
        zooms: Zooms = _DEFAULT.zooms,
    ) -> None:
        super().__init__()
        self.net = net
        self.method = method
        self.class_threshold = class_threshold
        self.background = background
        self.flip = flip
        self.zooms = tuple(zooms)

    @property
    def classes(self) -> tuple[str, ...]:
        return self.net.classes

    @property
    def device(self) -> torch.device:
        return self.net.encoder.mean.device

    def forward(self, images: Tensor, tags: Tensor | None = None) -> Output:
        """Segment images of one size.

        Args:
            images: RGB, (B, 3, H, W), uint8 or floats in [0, 1].
            tags: (B, C) bool, the classes that each image shows; None predicts them.

        Raises:
            BadItem: The networks give NaN or infinity.
        """
        images = images / 255 if images.dtype == torch.uint8 else images
        known: list[list[int] | None] = (
            [None] * len(images) if tags is None else [torch.nonzero(row)[:, 0].tolist() for row in tags]
        )
        found = self.find(list(images), known)
        size = (images.shape[-2], images.shape[-1])
        labels = [label_map(one.probabilities, one.classes, size, self.threshold(one)) for one in found]
        return Output(torch.stack(labels), torch.stack([one.scores for one in found]))

    def find(self, images: Sequence[Tensor], classes: Sequence[Sequence[int] | None]) -> list[Found]:
        """What the networks say of images (3, H, W) in [0, 1] of one network size, whose classes may be known."""
        return self.net.batch(
            images,
            classes,
            class_threshold=self.class_threshold,
            method=self.method,
            flip=self.flip,
            zooms=self.zooms,
        )

    def threshold(self, found: Found) -> float:
        """The probability that an object must exceed in this image."""
        return background_threshold(found.probabilities, self.background)


def background_threshold(probabilities: Tensor, background: Threshold) -> float:
    """The probability that an object must exceed, given (K, h, w); with 'otsu' that of the image itself."""
    if background != "otsu":
        return float(background)
    if not len(probabilities):
        return 0.5
    return otsu(probabilities.amax(0).float().cpu().numpy(), limits=(0, 1), flat=0.5)
