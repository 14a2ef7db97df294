"""The parts of a review that a stage reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from wsvs.core.reviews import REVIEWS, Part, Reviews, content_of, read_history, reviews
from wsvs.core.runs import Home


def reviews_for(home: Home, stage: str, parts: Sequence[Part], cfg: DictConfig) -> Reviews:
    """The answers that a stage reads, and the digest of corrected masks.

    There are no answers without a review, with review.use=false, and for stages that do not read any. Accepted items
    change the result only if their weight differs from that of other items.
    """
    masks = OmegaConf.select(cfg, f"{stage}.corrected", default=None)
    corrected = content_of(Path(masks)) if masks else ""
    if not parts or not cfg.review.use:
        return Reviews(corrected=corrected)
    accepted = OmegaConf.select(cfg, f"{stage}.accepted_weight", default=1.0) != 1
    found = reviews(read_history(home.folder / REVIEWS), parts, accepted=accepted)
    return replace(found, corrected=corrected)
