"""Class relevance of every frame of a clip: y . f_enc(v) (section 3.2)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.callbacks import BasePredictionWriter

from wsvs.config.base import Positive
from wsvs.config.checked import checked
from wsvs.config.stages import RelevanceSettings
from wsvs.core.errors import BadItem
from wsvs.core.files import write_text
from wsvs.data.loading import scaled
from wsvs.data.prefetch import Stopwatch, batched, prefetch
from wsvs.nets.attention import resize
from wsvs.nets.model import SegmentationNet, require_finite
from wsvs.records.ledger import Ledger
from wsvs.records.predicted import Bad
from wsvs.records.shots import Clip, ScoredClip
from wsvs.video.cuts import CutFinder, Cuts
from wsvs.video.reader import read_frames

_DEFAULT = RelevanceSettings()


@dataclass(frozen=True)
class Scores:
    """(T,) scores in [0, 1] of a clip, why it ended before its time, and its cuts from its start on, if wanted."""

    clip: Clip
    scores: np.ndarray
    broken: str | None = None
    cuts: Cuts | None = None


class ScorerModule(pl.LightningModule):
    """Scores whole clips, with frames prefetched in a thread; memory use does not grow with a clip's length.

    A batch is one clip.

    Args:
        net: Networks; only the encoder is used.
        batch_size: Frames per forward pass.
        cuts: Also detect cuts between shots.

    Attributes:
        watch: How long it waits for frames.
    """

    @checked
    def __init__(self, net: SegmentationNet, *, batch_size: Positive = _DEFAULT.batch_size, cuts: bool = False) -> None:
        super().__init__()
        self.net = net
        self.batch_size = batch_size
        self.cuts = cuts
        self.watch = Stopwatch()

    def transfer_batch_to_device(self, batch: Clip, device: torch.device, dataloader_idx: int) -> Clip:
        return batch  # its frames go there, a few at a time

    def predict_step(self, batch: Clip, batch_idx: int) -> Scores | Bad:
        number = self.net.classes.index(batch.class_name)
        scores: list[np.ndarray] = []
        finder = CutFinder() if self.cuts else None
        broken = None
        try:
            frames = read_frames(batch.file, batch.start, batch.stop, longest_edge=self.net.config.image_size)
            frames = frames if finder is None else _watched(frames, finder)
            for group in batched(self.watch.over(prefetch(frames, 2 * self.batch_size)), self.batch_size):
                scores.append(self._score(group)[:, number])
        except BadItem as error:
            if not scores:
                return Bad(batch.id, error.message)
            broken = error.message  # the part before the break is as good as any other clip
        if not scores:
            return Bad(batch.id, "the clip has no frames")
        return Scores(batch, np.concatenate(scores), broken, None if finder is None else finder.finish())

    def _score(self, frames: Sequence[np.ndarray]) -> np.ndarray:
        x = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).to(self.device)
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


def _watched(frames: Iterator[np.ndarray], finder: CutFinder) -> Iterator[np.ndarray]:
    for frame in frames:
        finder.add(frame)
        yield frame
