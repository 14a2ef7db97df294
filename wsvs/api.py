"""The Python API: a trained model as one object."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, overload

import numpy as np
import torch
from PIL import Image

from wsvs.config.checked import checked
from wsvs.config.stages import ClassThreshold, Cut, Method, PredictSettings, Threshold, Zooms
from wsvs.core.classes import Classes
from wsvs.core.errors import BadItem, UserError
from wsvs.core.export_polygons import outlines
from wsvs.core.legend import with_legend
from wsvs.core.masks import write_mask
from wsvs.core.origin import Origin, origin_of
from wsvs.core.visualize import over
from wsvs.data.images import as_rgb, read_image
from wsvs.data.inputs import VIDEOS
from wsvs.data.loading import scaled
from wsvs.data.prefetch import batched, prefetch
from wsvs.data.tagged import to_tensor
from wsvs.lit.masks import mask_of, scores_of_video
from wsvs.nets.model import load_net, require_decoder
from wsvs.nets.pretrained import fetch, is_hub_name, push, read_folder, write_folder
from wsvs.nets.segmenter import Segmenter
from wsvs.video.reader import read_frames

_DEFAULT = PredictSettings()
_AT_ONCE = 4  # images that the network is given together: bounds the memory

Tags = Sequence[str]


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

    def polygons(self) -> dict[str, list[np.ndarray]]:
        """Class -> a polygon (N, 2) for each connected part of its mask.

        Corners (x, y) of pixels in [0, W] and [0, H]; a hole is joined to its border by a slit of zero width.
        """
        return {
            name: outlines(self.mask == label)
            for label, name in enumerate(self.classes, 1)
            if np.any(self.mask == label)
        }

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
        net: The network with its thresholds, a plain `torch.nn.Module`: (B, 3, H, W) images, uint8 or floats in
            [0, 1], and (B, C) bool tags or None -> labels (B, H, W) uint8 and scores (B, C).
        classes: Names of the labels 1, 2, ... of its masks.
        refine: 'cut' where the borders follow the image's colours, after the network.
        origin: Supervision, data and figures of its training; see `wsvs.core.origin.origin_of`.
    """

    @checked
    def __init__(self, net: Segmenter, refine: Cut = _DEFAULT.refine, origin: Origin | None = None) -> None:
        self.net = net.eval()
        self.refine = refine
        self.origin = origin or {}
        self.classes: tuple[str, ...] = net.classes

    @overload
    def predict(self, image: np.ndarray | Image.Image, tags: Tags | None = None) -> Prediction: ...
    @overload
    def predict(self, image: str | Path, tags: Tags | None = None) -> Any: ...  # of a video an iterator
    @overload
    def predict(
        self, image: list[Any] | tuple[Any, ...], tags: Tags | Sequence[Tags | None] | None = None
    ) -> list[Prediction]: ...
    @overload
    def predict(self, image: Iterator[Any], tags: Tags | None = None) -> Iterator[Prediction]: ...

    def predict(self, image: Any, tags: Any = None) -> Any:
        """Segment an image, several, or a video.

        Args:
            image: A file in any format that Pillow reads, a Pillow image, or RGB as (H, W, 3) uint8. Files and Pillow
                images are rotated according to EXIF, CMYK and 16-bit images are converted, transparent parts become
                white. A list or tuple of these returns a list. An iterator of these, such as the frames of a camera,
                returns an iterator that reads a few images ahead; so does the file of a video, frame by frame.
            tags: Classes in the image, if known; predicted otherwise, for the file of a video once for all its frames.
                For a list of images also a list with the tags of each, None where they are unknown.

        Raises:
            UserError: A file that cannot be read, or a tag that is not a class.
            ValueError: An image with another shape or type or without pixels, or tags that are not a list of names.
        """
        if isinstance(image, list | tuple):
            return list(self._several(prefetch(map(_pixels, image), _AT_ONCE), self._each(tags, len(image))))
        if isinstance(image, Iterator):
            return self._several(map(_pixels, image), repeat(self._numbers(tags)))
        if isinstance(image, str | Path) and Path(image).suffix.lower() in VIDEOS:
            return self._video(Path(image), self._numbers(tags))
        return next(self._several([_pixels(image)], [self._numbers(tags)]))

    def save_pretrained(
        self, folder: str | Path, *, name: str | None = None, license: str | None = None, data: str | None = None
    ) -> None:
        """Write a folder that `wsvs.load` reads, in the layout of the Hugging Face Hub; needs the extra `hub`.

        It has the weights as safetensors, config.json with the settings given to `wsvs.load`, and the model card
        README.md: supervision, data, licence, figures. What the runs around the checkpoint recorded is filled in.

        Args:
            name: Title of the model card.
            license: Of the weights, an identifier of the Hub's such as 'apache-2.0'.
            data: What the model was trained with, in words.

        Raises:
            UserError: safetensors is not installed, or the folder cannot be written.
        """
        write_folder(Path(folder), self.net.net, self._settings(), self.origin, name=name, license=license, data=data)

    def push_to_hub(
        self,
        name: str,
        *,
        license: str | None = None,
        data: str | None = None,
        private: bool = True,
        message: str = "Model of wsvs",
        token: str | None = None,
    ) -> str:
        """Upload what `save_pretrained` writes as one commit of owner/name, which is made if need be.

        Args:
            license: See `save_pretrained`.
            data: See `save_pretrained`.
            private: Whether a model that is made now is private.
            message: Of the commit.
            token: That may write; the one of `hf auth login` by default.

        Returns:
            The commit's address.

        Raises:
            UserError: The extra `hub` is not installed, no permission, or the Hub cannot be reached.
        """
        with TemporaryDirectory() as folder:
            self.save_pretrained(folder, name=name.rpartition("/")[2], license=license, data=data)
            return push(Path(folder), name, private=private, message=message, token=token)

    def _settings(self) -> dict[str, Any]:
        net = self.net
        return {
            "method": net.method,
            "class_threshold": net.class_threshold,
            "background": net.background,
            "flip": net.flip,
            "zooms": list(net.zooms),
            "refine": self.refine,
        }

    def _several(self, images: Iterable[np.ndarray], numbers: Iterable[list[int] | None]) -> Iterator[Prediction]:
        """The network gets those of one size together; they come out in their order."""
        for batch in batched(zip(images, numbers, strict=False), _AT_ONCE):
            groups: dict[tuple[int, int], list[int]] = {}
            for place, (pixels, _) in enumerate(batch):
                groups.setdefault(self.net.net.network_size(*pixels.shape[:2]), []).append(place)
            found: dict[int, Prediction] = {}
            for places in groups.values():
                found |= zip(places, self._together([batch[place] for place in places]), strict=True)
            yield from (found[place] for place in range(len(batch)))

    @torch.inference_mode()
    def _together(self, batch: Sequence[tuple[np.ndarray, list[int] | None]]) -> list[Prediction]:
        tensors = [to_tensor(pixels).to(self.net.device) for pixels, _ in batch]
        answers = self.net.find([scaled(tensor) for tensor in tensors], [numbers for _, numbers in batch])
        scores = torch.stack([found.scores for found in answers]).tolist()
        return [
            Prediction(
                pixels,
                mask_of(tensor, found, self.net.threshold(found), self.refine),
                tuple(self.classes[number] for number in found.classes),
                dict(zip(self.classes, row, strict=True)),
                self.classes,
            )
            for (pixels, _), tensor, found, row in zip(batch, tensors, answers, scores, strict=True)
        ]

    def _video(self, path: Path, numbers: list[int] | None) -> Iterator[Prediction]:
        if numbers is None:
            scores = scores_of_video(path, self._scores)
            numbers = self.net.net.classes_shown(scores, self.net.class_threshold)
        yield from self._several(prefetch(read_frames(path), _AT_ONCE), repeat(numbers))

    @torch.inference_mode()
    def _scores(self, frame: np.ndarray) -> torch.Tensor:
        [found] = self.net.find([scaled(to_tensor(frame).to(self.net.device))], [[]])
        return found.scores

    def _each(self, tags: Any, count: int) -> list[list[int] | None]:
        """Class numbers of each image of a list."""
        nested = isinstance(tags, list | tuple) and any(one is None or isinstance(one, list | tuple) for one in tags)
        if nested and len(tags) != count:
            raise ValueError(f"tags of each image: {len(tags)} lists for {count} images")
        if nested:
            return [self._numbers(one) for one in tags]
        return [self._numbers(tags)] * count

    def _numbers(self, tags: Any) -> list[int] | None:
        if tags is None:
            return None
        listed = isinstance(tags, Collection) and not isinstance(tags, str)
        if not listed or not all(isinstance(tag, str) for tag in tags):
            raise ValueError(f"tags are a list of names, such as {[self.classes[0]]}, got {tags!r}")
        return [Classes(self.classes).index(tag, where="tags") for tag in dict.fromkeys(tags)]


def load(
    source: str | Path,
    *,
    device: str = "cpu",
    method: Method | None = None,
    class_threshold: ClassThreshold | None = None,
    background: Threshold | None = None,
    flip: bool | None = None,
    zooms: Zooms | None = None,
    refine: Cut | None = None,
    revision: str | None = None,
) -> Model:
    """See `wsvs.load`."""
    given = {
        "method": method,
        "class_threshold": class_threshold,
        "background": background,
        "flip": flip,
        "zooms": zooms,
        "refine": refine,
    }
    path = fetch(str(source), revision) if is_hub_name(source) else Path(source)
    if (inside := path / "checkpoints" / "best.ckpt").is_file():
        path = inside
    if path.is_dir():
        net, config = read_folder(path)
        saved, origin = config["predict"], config["origin"]
    else:
        net, saved, origin = load_net(path), _DEFAULT.model_dump(include=set(given)), origin_of(path)
    settings: dict[str, Any] = {**saved, **{key: value for key, value in given.items() if value is not None}}
    if settings["method"] != "attention":
        require_decoder(net, source)
    cut = settings.pop("refine")
    model = Model(Segmenter(net, **settings), cut, origin)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        model.net.to(torch.device(device))
    except Exception as error:  # torch raises many types for invalid or missing devices
        raise UserError(
            f"the device cannot be used: {error}".splitlines()[0],
            where=f"device={device!r}",
            remedy="give 'cpu' or 'auto'; 'cuda' and 'cuda:1' need an NVIDIA GPU and a PyTorch built for it",
        ) from error
    return model


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
