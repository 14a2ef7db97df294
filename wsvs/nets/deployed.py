"""A trained network as a program of its own, for any number and size of images: what torch.export and ONNX hold."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import lcm
from typing import NamedTuple

import torch
import torch.export
from torch import Tensor, nn

from wsvs.config.stages import Method
from wsvs.nets.attention import activations_at, base_of, merge_scales
from wsvs.nets.decoder import foreground
from wsvs.nets.model import SegmentationNet

INPUT = "images"
FEWEST = 3  # of `multiple` in each side: some backbones give no map of half a smaller image


class DeployedOutput(NamedTuple):
    """What a deployed network says of images.

    Attributes:
        labels: (B, H, W) uint8: 0 is background, k the k-th of its classes; the best of `probabilities`.
        probabilities: (B, 1 + K, H, W) in [0, 1]: the background's is the threshold that an object must exceed, those
            of classes that are not predicted are 0. Resized to another size, the best are the labels there.
        scores: (B, K) in [0, 1], how sure it is that an image shows each class.
    """

    labels: Tensor
    probabilities: Tensor
    scores: Tensor


class Deployed(nn.Module):
    """Labels, probabilities and scores of images that have the network's size, the thresholds inside.

    It computes the masks of all its classes and leaves out those that are not predicted, so its time grows with their
    number. All sizes in it are whole multiples of parts of the input's, so the program has no choices.

    Args:
        net: Trained networks.
        classes: Numbers of the classes that it is for; label k is the k-th of them.
        method: What gives the probabilities.
        thresholds: Of these classes: a class is predicted where its score reaches this; the best one always is.
        background: Pixels whose best probability does not exceed this are background.

    Attributes:
        multiple: Height and width of the images are multiples of this, and at least `FEWEST` times this.
    """

    thresholds: Tensor

    def __init__(
        self,
        net: SegmentationNet,
        classes: Sequence[int],
        method: Method,
        thresholds: Sequence[float],
        background: float,
    ) -> None:
        super().__init__()
        self.net = net
        self.classes = list(classes)
        self.method = method
        self.background = background
        self.scales = [Fraction(str(scale)) for scale in net.config.scales]
        self.multiple = net.encoder.stride * lcm(*(scale.denominator for scale in self.scales))
        self.register_buffer("thresholds", torch.tensor(list(thresholds)), persistent=False)
        self.eval()

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The values of `DeployedOutput`, as a plain tuple that a saved program can hold.

        Images are RGB in [0, 1], (B, 3, H, W).
        """
        net, size = self.net, (images.shape[-2], images.shape[-1])
        sizes = [(size[0] * s.numerator // s.denominator, size[1] * s.numerator // s.denominator) for s in self.scales]
        features = net.encoder.backbone_features(images, with_pools=self.method != "attention")
        raw, logits = activations_at(net.encoder, images, sizes, base_of(net.config.scales), features)
        scores = logits.sigmoid()[:, self.classes]
        maps = []
        for number in self.classes:  # one after the other: all at once would take so much more memory
            alpha = merge_scales([scale[:, number : number + 1] for scale in raw], size)
            parts = []
            if self.method != "decoder":
                parts.append(alpha)
            if self.method != "attention":
                assert net.decoder is not None
                cells = area(alpha, (features.map.shape[-2], features.map.shape[-1]))
                parts.append(foreground(net.decoder(cells, features, size))[:, None])
            maps.append(torch.stack(parts).mean(0))
        above = scores >= self.thresholds
        best = scores.argmax(1, keepdim=True) == torch.arange(len(self.classes), device=scores.device)
        shown = above | (best & ~above.any(1, keepdim=True))
        found = torch.cat(maps, 1) * shown[:, :, None, None].to(scores.dtype)
        probabilities = torch.cat([torch.full_like(found[:, :1], self.background), found], 1)
        return probabilities.argmax(1).to(torch.uint8), probabilities, scores


def area(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Adaptive average pooling to (h, w), as two products: runtimes have none whose size is open."""
    rows, columns = (shares(few, many).to(x) for few, many in zip(size, (x.shape[-2], x.shape[-1]), strict=True))
    return rows @ x @ columns.mT


def shares(few: int, many: int) -> Tensor:
    """(few, many) weights with which adaptive average pooling takes `many` cells into `few`."""
    cells, pixels = torch.arange(few)[:, None], torch.arange(many)
    start, stop = cells * many // few, ((cells + 1) * many + few - 1) // few
    return ((pixels >= start) & (pixels < stop)) / (stop - start)


def export(deployed: Deployed) -> torch.export.ExportedProgram:
    """The network by torch.export, its number of images and their height and width left open."""
    step = deployed.multiple
    example = torch.rand(2, 3, (FEWEST + 1) * step, (FEWEST + 2) * step)
    rows, columns = (torch.export.Dim(name, min=FEWEST) for name in ("rows", "columns"))
    dims = {0: torch.export.Dim("batch", min=1), 2: step * rows, 3: step * columns}
    with torch.no_grad():
        return torch.export.export(deployed, (example,), dynamic_shapes=(dims,))
