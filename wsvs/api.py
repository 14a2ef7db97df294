"""The Python API: a trained model as one object."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from wsvs.config.stages import ClassThreshold, Cut, Method, PredictSettings, Threshold, Zooms
from wsvs.core.classes import Classes
from wsvs.core.errors import BadItem, UserError
from wsvs.core.legend import with_legend
from wsvs.core.masks import write_mask
from wsvs.core.visualize import over
from wsvs.data.images import as_rgb, read_image
from wsvs.data.tagged import to_tensor
from wsvs.lit.image_segmenter import ImageSegmenter
from wsvs.nets.model import load_net

_DEFAULT = PredictSettings()


@dataclass(frozen=True)
class Prediction:
    """Result for one image.

    Attributes:
        image: (H, W, 3) uint8 RGB, upright.
        mask: (H, W) uint8: 0 is background, k the k-th class of the model.
        tags: The segmented classes, given or predicted.
        scores: Class -> score of the classifier in [0, 1].
        classes: All classes of the model.
    """

    image: np.ndarray
    mask: np.ndarray
    tags: tuple[str, ...]
    scores: dict[str, float]
    classes: tuple[str, ...]

    def overlay(self) -> Image.Image:
        """The mask drawn over the image, with a legend below."""
        found = [int(label) for label in np.unique(self.mask) if label]
        return Image.fromarray(with_legend(over(self.image, self.mask), found, ("background", *self.classes)))

    def save(self, path: str | Path) -> None:
        """Write the mask as an indexed PNG with the VOC palette.

        Raises:
            UserError: The name has an extension other than .png, or the file cannot be written.
        """
        path = Path(path)
        if path.suffix.lower() not in ("", ".png") and not path.is_dir():
            raise UserError(
                f"a mask must be a PNG file: {path.suffix} could change its labels",
                where=path,
                remedy=f"save it as {path.with_suffix('.png').name}; overlay().save({path.name!r}) writes the image "
                "with the mask over it",
            )
        write_mask(path, self.mask)


class Model:
    """A trained model; create it with `wsvs.load`.

    Attributes:
        classes: Names of the labels 1, 2, ... of its masks.
    """

    def __init__(self, module: ImageSegmenter) -> None:
        self._module = module.eval()
        self.classes: tuple[str, ...] = module.net.classes

    def predict(self, image: str | Path | np.ndarray | Image.Image, tags: Sequence[str] | None = None) -> Prediction:
        """Segment one image.

        Args:
            image: A file in any format that Pillow reads, a Pillow image, or RGB as (H, W, 3) uint8. Files and Pillow
                images are rotated according to EXIF, CMYK and 16-bit images are converted, transparent parts become
                white.
            tags: Classes in the image, if known; predicted otherwise.

        Raises:
            UserError: A file that cannot be read, or a tag that is not a class.
            ValueError: An image with another shape or type or without pixels, or tags that are not a list of names.
        """
        pixels = _pixels(image)
        numbers = None
        if tags is not None:
            listed = isinstance(tags, Collection) and not isinstance(tags, str)
            if not listed or not all(isinstance(tag, str) for tag in tags):
                raise ValueError(f"tags are a list of names, such as {[self.classes[0]]}, got {tags!r}")
            numbers = [Classes(self.classes).index(tag, where="tags") for tag in dict.fromkeys(tags)]
        found = self._module.segment(to_tensor(pixels), numbers)
        scores = dict(zip(self.classes, found.scores.tolist(), strict=True))
        return Prediction(pixels, found.mask, tuple(self.classes[k] for k in found.classes), scores, self.classes)


def load(
    checkpoint: str | Path,
    *,
    device: str = "cpu",
    method: Method = _DEFAULT.method,
    class_threshold: ClassThreshold = _DEFAULT.class_threshold,
    background: Threshold = _DEFAULT.background,
    flip: bool = _DEFAULT.flip,
    zooms: Zooms = _DEFAULT.zooms,
    refine: Cut = _DEFAULT.refine,
) -> Model:
    """See `wsvs.load`."""
    net = load_net(checkpoint, need_decoder=method != "attention")
    module = ImageSegmenter(
        net,
        method=method,
        class_threshold=class_threshold,
        background=background,
        flip=flip,
        zooms=zooms,
        refine=refine,
    )
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return Model(module.to(torch.device(device)))
    except Exception as error:  # torch raises many types for invalid or missing devices
        raise UserError(
            f"the device cannot be used: {error}".splitlines()[0],
            where=f"device={device!r}",
            remedy="give 'cpu' or 'auto'; 'cuda' and 'cuda:1' need an NVIDIA GPU and a PyTorch built for it",
        ) from error


def _pixels(image: str | Path | np.ndarray | Image.Image) -> np.ndarray:
    if isinstance(image, str | Path):
        return read_image(image)
    if isinstance(image, Image.Image):
        if not image.width or not image.height:
            raise ValueError(f"an image has at least one pixel, got {image.size}")
        try:
            return as_rgb(image)
        except Exception as error:  # a lazily opened image is decoded here; decoders raise many types
            raise BadItem(f"image cannot be read: {error}", where="image") from error
    if not isinstance(image, np.ndarray):
        raise ValueError(f"an image is a path, a Pillow image or (H, W, 3) uint8, got {type(image).__name__}")
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise ValueError(f"an image is (H, W, 3) uint8, got {image.shape} {image.dtype}")
    return image
