"""The network of the paper: its configuration, construction and loading from a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from wsvs.config.base import Several, option
from wsvs.config.groups import NetSettings
from wsvs.config.stages import ClassThreshold, Method, PredictSettings
from wsvs.core.errors import BadItem, UserError
from wsvs.nets.attention import activations, fit_size, merge_scales, resize, round_size
from wsvs.nets.backbone import Features
from wsvs.nets.decoder import Decoder, foreground
from wsvs.nets.encoder import Encoder
from wsvs.nets.weights import load_backbone_weights

_DEFAULT = PredictSettings()


class NetConfig(NetSettings):
    """Everything needed to rebuild the networks: the settings, the class names and their thresholds."""

    classes: Several[str] = Field(description="class names, background left out")
    class_thresholds: Several[float] = option(
        (), "scores from which each class counts as present, chosen on held-out tags when the encoder was trained"
    )
    deepest: bool = option(True, "timm backbone down to its deepest stage, dilated; false: in earlier checkpoints")

    @classmethod
    def read(cls, net: Mapping[str, Any]) -> NetConfig:
        """Read the configuration in a checkpoint."""
        return cls(**{"deepest": False, **net})

    def asdict(self) -> dict[str, Any]:
        """Primitives only, so that checkpoints are plain data."""
        return self.model_dump(mode="json")

    def build_encoder(self, weights: str | None = None, sha256: str | None = None) -> Encoder:
        encoder = Encoder(
            backbone=self.backbone,
            classes=self.classes,
            hidden=self.hidden,
            dropout=self.dropout,
            trainable=self.trainable,
            deepest=self.deepest,
        )
        if weights:
            load_backbone_weights(encoder.backbone, weights, sha256)
        return encoder

    def build_decoder(self, encoder: Encoder) -> Decoder:
        return Decoder(encoder.backbone, batch_norm=self.batch_norm, guidance=self.guidance, width=self.decoder_width)


class SegmentationNet(nn.Module):
    """Encoder and decoder (section 3.4). `decoder` is None while only the encoder is trained."""

    def __init__(self, config: NetConfig, encoder: Encoder, decoder: Decoder | None) -> None:
        super().__init__()
        self.config = config
        self.encoder = encoder
        self.decoder = decoder
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # convolutions are faster so

    @property
    def classes(self) -> tuple[str, ...]:
        return self.config.classes

    def network_size(self, height: int, width: int) -> tuple[int, int]:
        """Size at which an image of this shape enters the network."""
        return fit_size(height, width, self.config.image_size, self.encoder.stride)

    def masks_of(self, images: Tensor, alpha: Tensor) -> Tensor:
        """f_dec(alpha): foreground probability (B, H, W) of images (B, 3, H, W) under attention (B, 1, any, any)."""
        if self.decoder is None:
            raise ValueError("this checkpoint has no decoder")
        with torch.no_grad():  # the encoder is always frozen when the decoder is used
            features = self.encoder.backbone_features(images, with_pools=True)
        return foreground(self.decoder(alpha, features, tuple(images.shape[-2:])))

    @torch.inference_mode()
    def probabilities(
        self,
        image: Tensor,
        classes: Sequence[int] | None = None,
        *,
        class_threshold: ClassThreshold = _DEFAULT.class_threshold,
        method: Method = _DEFAULT.method,
        flip: bool = _DEFAULT.flip,
        zooms: Sequence[float] = _DEFAULT.zooms,
    ) -> Found:
        """Foreground probability of each class of one image.

        Args:
            image: RGB in [0, 1], (3, H, W), any size.
            classes: Class numbers to segment; None predicts them: sigmoid >= `class_threshold`, else the best one.
            class_threshold: One number for all classes, or 'auto': thresholds per class, chosen on held-out tags in the
                encoder's training.
            method: The decoder's probability, the attention itself, or their mean.
            flip: Average with the mirrored image.
            zooms: Multi-scale test-time augmentation: average over these multiples of the network's size.

        Raises:
            BadItem: The network's output is not finite.
        """
        [found] = self.batch([image], [classes], class_threshold=class_threshold, method=method, flip=flip, zooms=zooms)
        return found

    def batch(
        self,
        images: Sequence[Tensor],
        classes: Sequence[Sequence[int] | None],
        *,
        class_threshold: ClassThreshold = _DEFAULT.class_threshold,
        method: Method = _DEFAULT.method,
        flip: bool = _DEFAULT.flip,
        zooms: Sequence[float] = _DEFAULT.zooms,
    ) -> list[Found]:
        """As `probabilities`, of several images at once. Their sizes may differ, but not their `network_size`."""
        sides = (False, True) if flip else (False,)
        views = [self.look(images, zoom, mirrored) for zoom in zooms for mirrored in sides]
        scores = torch.stack([view.logits for view in views]).mean(0).sigmoid()
        rows = scores.cpu() if None in classes else scores  # one transfer for all images
        chosen = [
            self.classes_shown(row, class_threshold) if given is None else list(given)
            for given, row in zip(classes, rows, strict=True)
        ]
        size = self.network_size(*images[0].shape[-2:])
        if not any(chosen):
            require_finite(scores)
            return [Found([], row.new_zeros(0, *size), row) for row in scores]
        maps = [resize(self.foreground_in(view, chosen, method), size) for view in views]
        probabilities = torch.stack(maps).mean(0)
        require_finite(scores, probabilities)
        return [
            Found(numbers, found[: len(numbers)], row)
            for numbers, found, row in zip(chosen, probabilities, scores, strict=True)
        ]

    def look(self, images: Tensor | Sequence[Tensor], zoom: float, mirrored: bool) -> View:
        """Images of one network size, as the networks see them at a multiple of it."""
        height, width = self.network_size(*images[0].shape[-2:])
        size = (height, width) if zoom == 1 else round_size(height * zoom, width * zoom, self.encoder.stride)
        if isinstance(images, Tensor):
            x = resize(images, size)
        else:
            x = torch.cat([resize(image[None], size) for image in images])
        x = x.flip(-1) if mirrored else x
        features = self.encoder.backbone_features(x, with_pools=self.decoder is not None)
        raw, logits = activations(self.encoder, x, self.config.scales, features)
        return View(size, features, raw, logits, mirrored)

    def foreground_in(self, view: View, classes: Sequence[Sequence[int]], method: Method) -> Tensor:
        """Probability of the classes of each image (B, K, h, w) at the view's size, turned back if it is mirrored.

        K is the most that an image has; those of fewer end with zeros.
        """
        ranks = []
        for rank in range(max(map(len, classes))):  # the first class of each image, then the second, ...
            rows = [row for row, numbers in enumerate(classes) if len(numbers) > rank]
            numbers = [classes[row][rank] for row in rows]
            alpha = merge_scales([scale[rows, numbers][:, None] for scale in view.raw], view.size)
            features = view.features if len(rows) == len(classes) else view.features.of(rows)
            found = self.foreground_of(alpha, features, method)
            if len(rows) < len(classes):
                found = found.new_zeros(len(classes), *view.size).index_copy_(
                    0, torch.tensor(rows, device=found.device), found
                )
            ranks.append(found)
        stacked = torch.stack(ranks, 1)
        return stacked.flip(-1) if view.mirrored else stacked

    def foreground_of(self, alpha: Tensor, features: Features, method: Method) -> Tensor:
        """Foreground probability (B, h, w) under attention (B, 1, h, w) at the size of the images."""
        parts = []
        if method in ("attention", "mean"):
            parts.append(alpha[:, 0])
        if method in ("decoder", "mean"):
            if self.decoder is None:
                raise ValueError("this checkpoint has no decoder: method must be 'attention'")
            parts.append(foreground(self.decoder(alpha, features, (alpha.shape[-2], alpha.shape[-1]))))
        return torch.stack(parts).mean(0)

    def classes_shown(self, scores: Tensor, class_threshold: ClassThreshold) -> list[int]:
        """Numbers of the classes whose score (C,) reaches the threshold, else the best one."""
        thresholds = self.thresholds(class_threshold).to(scores.device)
        return torch.nonzero(scores >= thresholds)[:, 0].tolist() or [int(scores.argmax())]

    def thresholds(self, class_threshold: ClassThreshold) -> Tensor:
        """Score from which each class counts as shown, (C,)."""
        if class_threshold != "auto":
            return torch.full((len(self.classes),), float(class_threshold))
        if not self.config.class_thresholds:
            raise UserError(
                "this checkpoint has no class thresholds",
                where="class_threshold='auto'",
                remedy="give class_threshold a number",
                kind="no class thresholds",
            )
        return torch.tensor(self.config.class_thresholds)


class Found(NamedTuple):
    """What the networks say of one image.

    Attributes:
        classes: Class numbers (K).
        probabilities: Of these classes, (K, h, w) in [0, 1] at the network's size.
        scores: Of all classes, (C,) in [0, 1].
    """

    classes: list[int]
    probabilities: Tensor
    scores: Tensor


class View(NamedTuple):
    """Images at one size (h, w): the backbone's features, raw alpha at each scale, logits (B, C); mirrored or not."""

    size: tuple[int, int]
    features: Features
    raw: list[Tensor]
    logits: Tensor
    mirrored: bool


def label_map(probabilities: Tensor, classes: Sequence[int], size: tuple[int, int], background: float) -> Tensor:
    """Pixel-wise maximum over classes (section 3.4); background where none exceeds `background`.

    Args:
        probabilities: (K, h, w) in [0, 1].
        classes: Their class numbers.
        size: Output size.

    Returns:
        (H, W) uint8, class number + 1, or 0.
    """
    if not len(classes):
        return torch.zeros(size, dtype=torch.uint8, device=probabilities.device)
    full = torch.nn.functional.interpolate(probabilities[None].float(), size=size, mode="bilinear", align_corners=False)
    best, which = full[0].max(0)
    labels = torch.tensor([number + 1 for number in classes], dtype=torch.uint8, device=which.device)
    return torch.where(best > background, labels[which], torch.zeros_like(labels[which]))


def load_net(path: str | Path, *, need_decoder: bool = False) -> SegmentationNet:
    """Networks from a checkpoint of stage encoder, decoder or adapt, ready for inference.

    Raises:
        UserError: Missing, unreadable, not written by wsvs, or without the decoder that is needed.
    """
    checkpoint = read_checkpoint(path)
    config = NetConfig.read(checkpoint["hyper_parameters"]["net"])
    encoder = config.build_encoder()
    state: dict[str, Tensor] = checkpoint["state_dict"]
    encoder.load_state_dict(_under("net.encoder.", state))
    decoder = None
    if any(key.startswith("net.decoder.") for key in state):
        decoder = config.build_decoder(encoder)
        decoder.load_state_dict(_under("net.decoder.", state))
    net = SegmentationNet(config, encoder, decoder).eval()
    if need_decoder:
        require_decoder(net, path)
    return net


def require_decoder(net: SegmentationNet, where: object) -> None:
    """Raises `UserError` for networks without one."""
    if net.decoder is None:
        raise UserError(
            "this checkpoint has an encoder only",
            where=where,
            remedy="give a checkpoint of stage decoder or adapt, or use method='attention'",
            kind="no decoder",
        )


def not_finite(checkpoint: Mapping[str, Any]) -> str | None:
    """Name of the first weight of a checkpoint with NaN or infinity; None if all are finite.

    With a moving average there are two sets of weights: the average and the trained ones.
    """
    for state in (checkpoint["state_dict"], checkpoint.get("current_model_state", {})):
        for key, value in state.items():
            if not value.isfinite().all():
                return key
    return None


def require_finite(*outputs: Tensor) -> None:
    """Raises `BadItem` if the network's output for an image is not finite."""
    if not all(bool(output.isfinite().all()) for output in outputs):
        raise BadItem(
            "the network's output is not finite (nan or inf)",
            remedy="use 32-bit precision, or train again with a lower learning rate",
        )


def read_checkpoint(path: str | Path, *, remedy: str | None = None) -> Mapping[str, Any]:
    """Read a checkpoint of wsvs as data only.

    Raises:
        UserError: Missing, unreadable, not written by wsvs, or with weights that are not finite.
    """
    lower = remedy or "train again with a lower learning rate, or give another checkpoint"
    remedy = remedy or "give a checkpoint that wsvs wrote: <run>/checkpoints/best.ckpt"
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError("checkpoint not found", where=path, remedy=remedy) from None
    except OSError as error:
        raise UserError(f"checkpoint cannot be read: {error.strerror or error}", where=path, remedy=remedy) from error
    except Exception as error:  # torch raises many types for damaged files, and advises weights_only=False
        raise UserError(
            "checkpoint cannot be read: it is damaged, or holds more than numbers", where=path, remedy=remedy
        ) from error
    if not isinstance(checkpoint, dict) or "net" not in checkpoint.get("hyper_parameters", {}):
        raise UserError("this is not a checkpoint of wsvs", where=path, remedy=remedy)
    if bad := not_finite(checkpoint):
        raise UserError(f"weights of this checkpoint are not finite (nan or inf): {bad}", where=path, remedy=lower)
    return checkpoint


def _under(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)}
