"""Class relevance of every frame of a clip: y . f_enc(v) (section 3.2)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.callbacks import BasePredictionWriter
from torch import Tensor

from wsvs.core.errors import BadItem
from wsvs.core.files import write_text
from wsvs.data.loading import scaled
from wsvs.data.prefetch import Stopwatch
from wsvs.lit.clip_frames import End, Frames
from wsvs.nets.attention import resize
from wsvs.nets.model import SegmentationNet, require_finite
from wsvs.records.ledger import Ledger
from wsvs.records.predicted import Bad
from wsvs.records.shots import Clip, ScoredClip
from wsvs.video.cuts import Cuts


@dataclass(frozen=True)
class Scores:
    """(T,) scores in [0, 1] of a clip, why it ended before its time, and its cuts from its start on, if wanted."""

    clip: Clip
    scores: np.ndarray
    broken: str | None = None
    cuts: Cuts | None = None


class ScorerModule(pl.LightningModule):
    """Scores clips; memory use does not grow with a clip's length.

    A batch is an iterator over the frames of several clips in turns (`wsvs.lit.clip_frames`), the same one in every
    step. A step ends with the next clip that is done.

    Args:
        net: Networks; only the encoder is used.

    Attributes:
        watch: How long it waits for frames.
    """

    def __init__(self, net: SegmentationNet) -> None:
        super().__init__()
        self.net = net
        self.watch = Stopwatch()
        self._scores: defaultdict[str, list[np.ndarray]] = defaultdict(list)  # of clips that are not done
        self._failed: dict[str, str] = {}  # whose output was not finite, and why

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        return batch  # its frames go there, a few at a time

    def predict_step(self, batch: Iterator[Frames | End], batch_idx: int) -> Scores | Bad:
        for part in self.watch.over(batch):
            if isinstance(part, End):
                return self._finish(part)
            if part.clip.id not in self._failed:
                try:
                    scores = self._score(part.images)
                except BadItem as error:
                    self._failed[part.clip.id] = error.message
                else:
                    self._scores[part.clip.id].append(scores[:, self.net.classes.index(part.clip.class_name)])
        raise RuntimeError("the frames of a clip have no end")

    def _finish(self, end: End) -> Scores | Bad:
        """The part before a break is as good as any other clip."""
        name = end.clip.id
        found, broken = self._scores.pop(name, []), self._failed.pop(name, end.broken)
        if not found:
            return Bad(name, broken or "the clip has no frames")
        scores, cuts = np.concatenate(found), end.cuts
        if cuts is not None and cuts.frames > len(scores):  # frames after the last score
            kept = (tuple(t for t in one if t < len(scores)) for one in (cuts.cuts, cuts.odd, cuts.blank))
            cuts = Cuts(len(scores), *kept)
        return Scores(end.clip, scores, broken, cuts)

    def _score(self, frames: Tensor) -> np.ndarray:
        x = frames.to(self.device).permute(0, 3, 1, 2)
        x = resize(scaled(x), self.net.network_size(*x.shape[-2:]))
        logits = self.net.encoder(x)
        require_finite(logits)
        return logits.sigmoid().float().cpu().numpy()


class ScoreWriter(BasePredictionWriter):
    """Writes scores/<clip>.csv for each clip, and its record in the ledger."""

    def __init__(self, run: Path) -> None:
        super().__init__(write_interval="batch")
        self.run = run
        self.ledger = Ledger(run)

    def write_on_batch_end(
        self,
        trainer: pl.Trainer,
        module: pl.LightningModule,
        prediction: Scores | Bad,
        batch_indices: Sequence[int] | None,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        if isinstance(prediction, Bad):
            self.ledger.fail(prediction.id, prediction.reason)
            return
        clip, found = prediction.clip, prediction.cuts
        numbered = enumerate(prediction.scores, clip.start)
        lines = ["frame,score", *(f"{t},{score:.6f}" for t, score in numbered)]
        write_text(self.run / "scores" / f"{clip.id}.csv", "\n".join(lines) + "\n")
        looked = () if found is None else (found.cuts, found.odd, found.blank)
        self.ledger.write(clip.id, ScoredClip(len(prediction.scores), prediction.broken, *looked))
