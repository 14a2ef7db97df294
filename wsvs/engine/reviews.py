"""What a stage reads of the review of its name."""

from __future__ import annotations

from collections.abc import Sequence

from omegaconf import DictConfig, OmegaConf

from wsvs.core.reviews import REVIEWS, Part, Reviews, read_history, reviews
from wsvs.core.runs import Home


def reviews_for(home: Home, stage: str, parts: Sequence[Part], cfg: DictConfig) -> Reviews:
    """Nothing where the stage reads none, where there is no review, and with review.use=false.

    Accepted items change the result only where they weigh more or less than others.
    """
    if not parts or not cfg.review.use:
        return Reviews()
    accepted = OmegaConf.select(cfg, f"{stage}.accepted_weight", default=1.0) != 1
    return reviews(read_history(home.folder / REVIEWS), parts, accepted=accepted)
