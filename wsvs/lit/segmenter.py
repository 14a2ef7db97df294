"""Video segmentation as a predict loop: attention on the device, then the graph cut (section 3.2)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.callbacks import BasePredictionWriter
from PIL import Image

from wsvs.config.base import Positive, Share
from wsvs.config.checked import checked
from wsvs.config.stages import Guided, SegmentLoop
from wsvs.core.errors import BadItem
from wsvs.core.files import write_bytes
from wsvs.core.ledger import Ledger
from wsvs.core.masks import write_mask
from wsvs.data.loading import scaled
from wsvs.data.shots import ShotDataset, is_whole, sound_frames
from wsvs.data.work import Item
from wsvs.lit.overlay import write_overlay
from wsvs.nets.attention import activations, merge_scales, resize
from wsvs.nets.model import SegmentationNet, require_finite
from wsvs.video.frame_graph import describe_frames
from wsvs.video.reader import read_frames
from wsvs.video.refine import enlarged, guided
from wsvs.video.segmentation import Segmentation, segment
from wsvs.video.settings import SegmentSettings

_DEFAULT = SegmentLoop()

TERM_WIDTH = 240  # px, maximum size of the images of A and M


@dataclass
class Segmented:
    """Result of a shot, passed to the writer.

    `frames` (T, h, w, 3) uint8 are set if they were kept, including odd and blank ones, which are not segmented;
    `broken` is the reason why a video ended early.
    """

    item: dict[str, Any]
    segmentation: Segmentation | None = None
    frames: np.ndarray | None = None
    seconds: dict[str, float] | None = None
    bad: str | None = None
    broken: str | None = None


class SegmenterModule(pl.LightningModule):
    """Segments the shots of `wsvs.data.shots.ShotDataset`.

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

    def predict_step(self, batch: dict[str, Any], batch_idx: int) -> Segmented:
        if "bad" in batch:
            return Segmented(batch["item"], bad=batch["bad"])
        begun = time.perf_counter()
        try:
            guide, attended = self.guide(batch)
        except BadItem as error:
            return Segmented(batch["item"], bad=error.message)
        spent = time.perf_counter() - begun
        if guide is None and self.settings.lambda_m == self.settings.lambda_c == 0:
            return Segmented(batch["item"], bad="no class that the encoder knows, and attention is the only term")
        result = segment(batch["graph"], guide, self.settings, attended=attended)
        seconds = {"decode": batch["decode"], "attention": spent, **result.seconds}
        return Segmented(batch["item"], result, batch["frames"], seconds, broken=batch.get("broken"))

    def guide(self, batch: dict[str, Any]) -> tuple[np.ndarray, np.ndarray] | tuple[None, None]:
        """The attention of a shot: `attend` for its classes, or None if it has none."""
        if self.net is None or not batch["item"]["classes"]:
            return None, None
        item, frames = batch["item"], batch["frames"]
        if not is_whole(item):
            frames = frames[[number - item["start"] for number in sound_frames(item)]]
        return self.attend(frames, item["classes"])

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


def shots(items: Sequence[Item], settings: SegmentSettings, *, needed: bool, guided: bool) -> ShotDataset:
    """The work of loader processes: frames and superpixel graph of each shot.

    Args:
        needed: The writer needs the frames.
        guided: Frames of shots with a class are needed for their attention.
    """
    return ShotDataset(
        items,
        describe=partial(describe_frames, settings=settings),
        read=partial(read_frames, longest_edge=settings.longest_edge),
        keep=partial(_keeps, needed=needed, guided=guided),
    )


def _keeps(item: Item, *, needed: bool, guided: bool) -> bool:
    return needed or (guided and bool(item["classes"]))


class MaskWriter(BasePredictionWriter):
    """Writes the files of a shot, then done/<id>.json, which marks them as complete.

    masks/<folder>/<number>.png at the size of the original frame; frames/<folder>/<number>.jpg and <overlay> at working
    size; terms/<id>/attention.jpg and motion.jpg, A and M of the middle frame from 0 (black) to 1, for inspection. An
    odd frame gets the mask of the nearest frame that is not odd, a blank frame an empty one. PNGs are encoded in a
    thread during the next shot's attention, with at most one shot waiting.

    A shot with a confidence below `min_confidence` gets empty masks, and its record has "uncertain". Every record has
    the "confidence" of the shot and the "confidences" of its frames.

    Args:
        run: Run directory.
        frames: Also write the frames.
        overlay: Write overlay videos, the mask drawn over the frames.
        refine: Align mask borders with edges in the frames.
        min_confidence: Minimum confidence that something moves or has attention, in [0, 1]; 0 keeps every mask.
    """

    @checked
    def __init__(
        self, run: Path, *, frames: bool, overlay: bool, refine: Guided = "none", min_confidence: Share = 0.0
    ) -> None:
        super().__init__(write_interval="batch")
        self.min_confidence = min_confidence
        self.run = run
        self.frames = frames
        self.overlay = overlay
        self.refine = refine
        self.ledger = Ledger(run)
        self._pool = ThreadPoolExecutor(1)
        self._waiting: Future[None] | None = None

    def write_on_batch_end(
        self,
        trainer: pl.Trainer,
        module: pl.LightningModule,
        prediction: Segmented,
        batch_indices: Sequence[int] | None,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        self._finish()  # re-raises an exception of the thread
        self._waiting = self._pool.submit(self.write, prediction)

    def on_predict_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._finish()

    def _finish(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.result()

    def write(self, result: Segmented) -> None:
        """Write all files of a shot, its ledger record last."""
        item = result.item
        if result.bad is not None:
            self.ledger.fail(item["id"], result.bad)
            return
        assert result.segmentation is not None and result.seconds is not None
        begun = time.perf_counter()
        masks = result.segmentation.masks()
        sources = mask_sources(item, len(masks))
        uncertain = result.segmentation.confidence < self.min_confidence
        if uncertain:
            masks = np.zeros_like(masks)
        size, label = (item["height"], item["width"]), np.uint8(item["label"])
        areas = []
        for t, source in enumerate(sources):  # one at a time: at full size they can be many times larger
            name = f"{item['folder']}/{item['start'] + t:0{item['digits']}d}"
            full = self._enlarged(masks, result.frames, source, size)
            areas.append(round(np.count_nonzero(full) / full.size, 5))
            write_mask(self.run / "masks" / f"{name}.png", full * label)
            if self.frames:
                assert result.frames is not None
                write_bytes(self.run / "frames" / f"{name}.jpg", _jpeg(Image.fromarray(result.frames[t])))
        if self.overlay:
            assert result.frames is not None
            shown = np.stack([self._enlarged(masks, result.frames, source, masks.shape[1:]) for source in sources])
            write_overlay(
                self.run / item["overlay"],
                result.frames,
                shown,
                int(label),
                item["fps"],
                aspect=item.get("aspect", 1.0),
                times=item.get("times"),
                mark=item.get("mark", ""),
            )
        self._write_terms(item["id"], result.segmentation)
        seconds = {**result.seconds, "write": time.perf_counter() - begun}
        confidences = [
            0.0 if source is None else round(float(result.segmentation.confidences[source[0]]), 4) for source in sources
        ]
        record = {
            "frames": len(sources),
            "areas": areas,
            "confidence": round(result.segmentation.confidence, 4),
            "confidences": confidences,
            "energy": {key: float(value) for key, value in result.segmentation.energies.items()},
            "seconds": {key: round(value, 4) for key, value in seconds.items()},
        }
        notes: dict[str, Any] = {"uncertain": True} if uncertain else {}
        if result.broken is not None:
            notes["broken"] = result.broken
        self.ledger.write(item["id"], {**record, **notes})

    def _write_terms(self, name: str, found: Segmentation) -> None:
        graph = found.graph
        t = graph.frames // 2
        for term, values in (("attention", found.attention), ("motion", found.motion)):
            if values.any():  # all 0 if the term was not used
                grey = np.rint(255 * np.clip(values, 0, 1)).astype(np.uint8)
                shown = Image.fromarray(graph.paint(grey)[t])
                shown.thumbnail((TERM_WIDTH, TERM_WIDTH))
                write_bytes(self.run / "terms" / name / f"{term}.jpg", _jpeg(shown))

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


def mask_sources(item: dict[str, Any], count: int) -> list[tuple[int, int] | None]:
    """For each frame of a shot: the index of its mask among `count`, and the index of the frame that the mask is of.

    None for a blank frame. An odd frame gets the mask of the nearest frame that has one (the earlier of two).
    """
    if is_whole(item):
        return [(t, t) for t in range(count)]
    sound = np.array(sound_frames(item)) - item["start"]
    blank = {number - item["start"] for number in item.get("blank", ())}
    nearest = [int(np.abs(sound - t).argmin()) for t in range(item["stop"] - item["start"])]
    return [None if t in blank else (mask, int(sound[mask])) for t, mask in enumerate(nearest)]


def _jpeg(image: Image.Image) -> bytes:
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=92)
    return buffer.getvalue()
