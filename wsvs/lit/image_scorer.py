"""Class scores of thumbnails and key frames for stage retrieve (section 4)."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch

from wsvs.core.errors import BadItem, UserError
from wsvs.data.loading import scaled
from wsvs.nets.attention import resize
from wsvs.nets.model import SegmentationNet, require_finite
from wsvs.video.reader import shrunk_size


class ImageScorer:
    """Scores images of any size with the encoder, in batches of equal size.

    Args:
        net: Networks; only the encoder is used.
        device: Device of the computation.
    """

    def __init__(self, net: SegmentationNet, device: str) -> None:
        self.net = net.to(device).eval()
        self.device = device

    @torch.inference_mode()
    def __call__(self, images: Sequence[np.ndarray], class_name: str) -> np.ndarray:
        """(H, W, 3) uint8 RGB images -> (N,) scores of a class in [0, 1]."""
        number = self.net.classes.index(class_name)
        by_size: dict[tuple[int, int], list[int]] = {}
        small = []
        for k, image in enumerate(images):
            width, height = shrunk_size(image.shape[1], image.shape[0], self.net.config.image_size)
            small.append(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA))
            by_size.setdefault((height, width), []).append(k)
        scores = np.zeros(len(images), np.float32)
        for size, members in by_size.items():
            x = torch.from_numpy(np.stack([small[k] for k in members])).permute(0, 3, 1, 2).to(self.device)
            logits = self.net.encoder(resize(scaled(x), self.net.network_size(*size)))
            try:
                require_finite(logits)
            except BadItem as error:  # caused by the encoder, not by the video
                raise UserError(f"{error.problem}, so no video can be scored", remedy=error.remedy) from error
            scores[members] = logits.sigmoid().float().cpu().numpy()[:, number]
        return scores
