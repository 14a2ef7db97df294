"""Video segmentation as a predict loop: attention on the device, then the graph cut (section 3.2)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.callbacks import BasePredictionWriter
from PIL import Image
from torch.utils.data import Dataset

from wsvs.config.base import Positive, Share
from wsvs.config.checked import checked
from wsvs.config.stages import Guided, SegmentLoop
from wsvs.core.errors import BadItem
from wsvs.core.masks import encode_mask
from wsvs.data.loading import scaled
from wsvs.data.shots import Described, Open, ShotDataset, ShotStream
from wsvs.lit.overlay import write_overlay
from wsvs.nets.attention import activations, merge_scales, resize
from wsvs.nets.model import SegmentationNet, require_finite
from wsvs.records.mask_writers import writer_of
from wsvs.records.masks import MaskSet
from wsvs.records.predicted import Bad
from wsvs.records.shots import Piece, SegmentedPiece
from wsvs.video.frame_graph import FrameGraph, describe_frames
from wsvs.video.instance_masks import kept, nodes_of, save
from wsvs.video.reader import read_frames
from wsvs.video.refine import enlarged, guided
from wsvs.video.segmentation import Segmentation, segment
from wsvs.video.settings import SegmentSettings

_DEFAULT = SegmentLoop()

TERM_WIDTH = 240  # px, maximum size of the images of A and M


@dataclass(frozen=True)
class Segmented:
    """Result of a piece on its way to the writer.

    `frames` are there if they were kept, (T, h, w, 3) uint8, odd and blank ones too, which the segmentation leaves out.
    """

    piece: Piece
    segmentation: Segmentation
    frames: np.ndarray | None
    seconds: dict[str, float]


class SegmenterModule(pl.LightningModule):
    """Segments the pieces that `wsvs.data.shots.ShotDataset` hands over.

    Args:
        net: Encoder for the attention; None if lambda_a is 0, or no shot has a class.
        settings: Settings of the energy.
        batch_size: Frames per forward pass.
    """

    @checked
    def __init__(
        self,
        net: SegmentationNet | None,
        settings: SegmentSettings,
        *,
        batch_size: Positive = _DEFAULT.attention_batch,
    ) -> None:
        super().__init__()
        self.net = net
        self.settings = settings
        self.batch_size = batch_size

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        return batch  # NumPy arrays: only frames are moved to the device, a few at a time

    def predict_step(self, batch: Described[FrameGraph] | Bad, batch_idx: int) -> Segmented | Bad:
        if isinstance(batch, Bad):
            return batch
        begun = time.perf_counter()
        try:
            guide, attended = self.guide(batch)
        except BadItem as error:
            return Bad(batch.piece.id, error.message)
        spent = time.perf_counter() - begun
        if guide is None and self.settings.lambda_m == self.settings.lambda_c == 0:
            return Bad(batch.piece.id, "no class that the encoder knows, and attention is the only term")
        result = segment(batch.graph, guide, self.settings, attended=attended)
        seconds = {"decode": batch.decode, "attention": spent, **result.seconds}
        return Segmented(batch.piece, result, batch.frames, seconds)

    def guide(self, batch: Described[FrameGraph]) -> tuple[np.ndarray, np.ndarray] | tuple[None, None]:
        """What tells the object from the rest: `attend` to the shot's classes, or nothing where it has none."""
        piece, frames = batch.piece, batch.frames
        if self.net is None or not piece.classes:
            return None, None
        assert frames is not None
        if not piece.whole:
            frames = frames[[number - piece.start for number in piece.sound]]
        return self.attend(frames, piece.classes)

    @torch.inference_mode()
    def attention(self, frames: np.ndarray, names: Sequence[str]) -> np.ndarray:
        """The maps of `attend`."""
        return self.attend(frames, names)[0]

    def attend(self, frames: np.ndarray, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Attention and scores of classes for (T, h, w, 3) uint8 frames.

        Returns:
            Maximum over classes of alpha, (T, h, w) float32 in [0, 1], with a maximum of 1 in every frame; and the
            highest class score, (T,) float32 in [0, 1].
        """
        assert self.net is not None
        numbers = [self.net.classes.index(name) for name in names]
        size = (frames.shape[1], frames.shape[2])
        found, scores = np.empty(frames.shape[:3], np.float32), np.empty(len(frames), np.float32)
        for first in range(0, len(frames), self.batch_size):
            x = torch.from_numpy(frames[first : first + self.batch_size]).permute(0, 3, 1, 2).to(self.device)
            x = resize(scaled(x), self.net.network_size(*size))
            maps, logits = activations(self.net.encoder, x, self.net.config.scales)
            alpha = merge_scales([one[:, numbers] for one in maps], size).amax(1)
            require_finite(alpha, logits)
            found[first : first + len(x)] = alpha.float().cpu().numpy()
            scores[first : first + len(x)] = logits[:, numbers].float().sigmoid().amax(1).cpu().numpy()
        return found, scores


def shots(
    tasks: Sequence[Any], settings: SegmentSettings, *, needed: bool, guided: bool, opener: Open | None = None
) -> Dataset[Described[FrameGraph] | Bad]:
    """The work of loader processes: frames and superpixel graph of each piece.

    Args:
        tasks: The pieces, or what an opener makes pieces of.
        needed: The writer needs the frames.
        guided: Frames of shots with a class are needed for their attention.
    """
    described: ShotDataset[FrameGraph] = ShotDataset(
        tasks,
        describe=partial(describe_frames, settings=settings),
        read=partial(read_frames, longest_edge=settings.longest_edge),
        keep=partial(_keeps, needed=needed, guided=guided),
    )
    return described if opener is None else ShotStream(described, tasks, opener)


def _keeps(piece: Piece, *, needed: bool, guided: bool) -> bool:
    return needed or (guided and bool(piece.classes))


class MaskWriter(BasePredictionWriter):
    """Writes what `MaskSet` has of a piece, and then its record in the ledger, which marks it as complete.

    Masks at the frame's own size; frames and overlay at working size; images of the terms, A and M of the middle frame
    from 0 (black) to 1, for people. An odd frame has the mask of the nearest frame that is not odd, a blank one has
    none. PNG encoding runs in a thread beside the next shot's attention; one shot waits for it.

    A shot with a confidence below `min_confidence` gets empty masks, and its record has "uncertain". Every record has
    the "confidence" of the shot and the "confidences" of its frames.

    Args:
        masks: Of the run.
        frames: Write the frames too.
        overlay: Write overlay videos, the mask drawn over the frames.
        refine: Let the masks' borders follow the frames' edges.
        min_confidence: That something moves by itself or is attended to, in [0, 1]; 0 keeps every mask.
        instances: Also store what tracking objects through the video needs (`wsvs.lit.tracked`).
    """

    @checked
    def __init__(
        self,
        masks: MaskSet,
        *,
        frames: bool,
        overlay: bool,
        refine: Guided = "none",
        min_confidence: Share = 0.0,
        instances: bool = False,
    ) -> None:
        super().__init__(write_interval="batch")
        self.min_confidence = min_confidence
        self.instances = instances
        self.run = masks.folder
        self.masks = masks
        self.frames = frames
        self.overlay = overlay
        self.refine = refine
        self.writer = writer_of(masks)
        self._pool = ThreadPoolExecutor(1)
        self._waiting: Future[None] | None = None

    def write_on_batch_end(
        self,
        trainer: pl.Trainer,
        module: pl.LightningModule,
        prediction: Segmented | Bad,
        batch_indices: Sequence[int] | None,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        self._finish()  # re-raises an exception of the thread
        self._waiting = self._pool.submit(self.write, prediction)

    def on_predict_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._finish()
        self.writer.close()

    def _finish(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.result()

    def write(self, result: Segmented | Bad) -> None:
        """All that there is of a piece, its record last."""
        if isinstance(result, Bad):
            self.masks.ledger.fail(result.id, result.reason)
            return
        piece = result.piece
        begun = time.perf_counter()
        masks = result.segmentation.masks()
        sources = mask_sources(piece, len(masks))
        uncertain = result.segmentation.confidence < self.min_confidence
        if uncertain:
            masks = np.zeros_like(masks)
        size, label = (piece.height, piece.width), np.uint8(piece.label)
        terms = _terms(result.segmentation)
        middle = next(one[1] for one in sources if one and one[0] == result.segmentation.graph.frames // 2)
        confidences = [
            0.0 if source is None else round(float(result.segmentation.confidences[source[0]]), 4) for source in sources
        ]
        areas = []
        for t, source in enumerate(sources):  # one at a time: at their own size they can be many times as large
            full = self._enlarged(masks, result.frames, source, size)
            areas.append(round(np.count_nonzero(full) / full.size, 5))
            parts = {"png": encode_mask(full * label)}
            if self.frames:
                assert result.frames is not None
                parts["jpg"] = _jpeg(Image.fromarray(result.frames[t]))
            about = {"area": areas[-1], "confidence": confidences[t], "uncertain": uncertain}
            self.writer.add(piece, piece.start + t, parts | (terms if t == middle else {}), about)
        if self.overlay:
            assert result.frames is not None
            shown = np.stack([self._enlarged(masks, result.frames, source, masks.shape[1:]) for source in sources])
            write_overlay(
                self.run / piece.overlay,
                result.frames,
                shown,
                int(label),
                piece.fps,
                aspect=piece.aspect,
                times=piece.times,
                mark=piece.mark,
            )
        if self.instances:
            labels = result.segmentation.labels
            save(kept(self.run, piece.id), *nodes_of(result.segmentation.graph, labels & (not uncertain)))
        seconds = {**result.seconds, "write": time.perf_counter() - begun}
        record = SegmentedPiece(
            len(sources),
            areas,
            round(result.segmentation.confidence, 4),
            confidences,
            energy={key: float(value) for key, value in result.segmentation.energies.items()},
            seconds={key: round(value, 4) for key, value in seconds.items()},
            uncertain=uncertain,
        )
        self.writer.finish(piece, record)

    def _enlarged(
        self, masks: np.ndarray, frames: np.ndarray | None, source: tuple[int, int] | None, size: tuple[int, int]
    ) -> np.ndarray:
        if source is None:
            return np.zeros(size, bool)
        mask, frame = source
        if self.refine == "none":
            return enlarged(masks[mask], size)
        assert frames is not None
        return guided(masks[mask], frames[frame], size)


def mask_sources(piece: Piece, count: int) -> list[tuple[int, int] | None]:
    """Which of `count` masks each frame of a shot takes, and the place in the shot of the frame that it belongs to.

    None for a blank frame. An odd frame gets the mask of the nearest frame that has one (the earlier of two).
    """
    if piece.whole:
        return [(t, t) for t in range(count)]
    sound = np.array(piece.sound) - piece.start
    blank = {number - piece.start for number in piece.blank}
    nearest = [int(np.abs(sound - t).argmin()) for t in range(piece.size)]
    return [None if t in blank else (mask, int(sound[mask])) for t, mask in enumerate(nearest)]


def _terms(found: Segmentation) -> dict[str, bytes]:
    """The images of the terms of the middle frame."""
    graph = found.graph
    shown = {}
    for term, values in (("attention", found.attention), ("motion", found.motion)):
        if values.any():  # all 0 if the term was not used
            grey = np.rint(255 * np.clip(values, 0, 1)).astype(np.uint8)
            image = Image.fromarray(graph.paint(grey)[graph.frames // 2])
            image.thumbnail((TERM_WIDTH, TERM_WIDTH))
            shown[f"{term}.jpg"] = _jpeg(image)
    return shown


def _jpeg(image: Image.Image) -> bytes:
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=92)
    return buffer.getvalue()
