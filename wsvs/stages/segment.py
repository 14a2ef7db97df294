"""Stage segment: a mask for every frame of every shot by a graph cut over superpixels (section 3.2, Eqs. 3 to 5)."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import cv2
import lightning.pytorch as pl
import numpy as np
import torch
from omegaconf import DictConfig

from wsvs.core.classes import BACKGROUND
from wsvs.core.errors import UserError
from wsvs.core.files import read_jsonl, write_jsonl, write_text
from wsvs.core.ledger import Ledger
from wsvs.core.words import counted
from wsvs.data.shots import ShotDataset
from wsvs.data.work import Item
from wsvs.lit.segmenter import MaskWriter, SegmenterModule
from wsvs.nets.model import load_net
from wsvs.stages._lightning import plain
from wsvs.stages._media import attention_of, middle_frames
from wsvs.stages._run import Run, rank
from wsvs.stages._videos import UNKNOWN, VideoFolder
from wsvs.stages._work import Totals, work_through
from wsvs.video.frame_graph import describe_frames
from wsvs.video.reader import read_frames
from wsvs.video.settings import SegmentSettings
from wsvs.video.shots import left_out, pieces

log = logging.getLogger("wsvs")

NEEDS = ("encoder", "relevance")
SECTIONS = ("segment", "videos", "labels", "frame_rate", "trainer.precision")
LOOP_KEYS = (  # of the loop; all others are SegmentSettings
    "checkpoint", "max_frames", "attention_batch", "workers", "frames", "overlay", "cuts", "min_confidence",
)
SAID = ("areas", "confidence", "confidences", "uncertain")  # of a shot's line in done/, also in shots.jsonl


def needs(cfg: DictConfig) -> tuple[str, ...]:
    """The runs to read: videos of one's own need no relevance run, and without attention no encoder either."""
    encoder = () if cfg.segment.checkpoint or (cfg.videos and not cfg.segment.lambda_a) else ("encoder",)
    return (*encoder, *(() if cfg.videos else ("relevance",)))


def run(run: Run) -> None:
    cfg = run.cfg
    settings = segment_settings(cfg)
    net = None
    if not cfg.videos or settings.lambda_a:
        net = load_net(cfg.segment.checkpoint or run.checkpoint("encoder"))
    classes = net.classes if net is not None else ()
    source: VideoFolder | RelevantShots
    if cfg.videos:
        source = VideoFolder(
            run, classes, max_frames=cfg.segment.max_frames, workers=cfg.segment.workers, cuts=cfg.segment.cuts
        )
    else:
        source = RelevantShots(run, classes, max_frames=cfg.segment.max_frames)
    cv2.setNumThreads(1)  # ranks and workers are the parallelism
    describe_frames(np.zeros((2, 64, 96, 3), np.uint8), settings)  # compiled here once, not by every worker anew
    ledger = Ledger(run.dir)
    frames, overlay, guided = cfg.segment.frames, cfg.segment.overlay, settings.lambda_a > 0
    needed = frames or overlay or settings.refine != "none"
    module = SegmenterModule(net if guided else None, settings, batch_size=cfg.segment.attention_batch)
    seconds = work_through(
        run, source.items, module=module,
        writer=MaskWriter(
            run.dir, frames=frames, overlay=overlay, refine=settings.refine, min_confidence=cfg.segment.min_confidence
        ),
        finished=lambda item: ledger.has(item["id"]), workers=cfg.segment.workers,
        dataset=partial(_dataset, settings=settings, keep=partial(_keeps, needed=needed, guided=guided)),
        size=lambda item: item["size"], unit="frames",
    )
    if rank() == 0:
        totals = Totals(run, ledger)
        counts = source.close(totals)
        names = (BACKGROUND, *(classes or (UNKNOWN,)))
        write_text(run.dir / "labels.txt", "".join(f"{name}\n" for name in names))
        _show(run, module, names)
        results = totals.results(seconds)
        if totals.uncertain:
            log.warning(
                "no mask for %s of %s in %s: nothing seems to move by itself there (a still image, or only the camera "
                "moves), nor is it attended to; segment.min_confidence=0 keeps every mask",
                counted(totals.uncertain["frames"], "frame|frames"), totals.frames,
                counted(totals.uncertain["shots"], "shot|shots"),
            )
        run.finish(counts=counts, results=results, wrote=run.dir / "masks", goes_on=totals.frames > 0)


def _show(run: Run, module: SegmenterModule, names: Sequence[str]) -> None:
    """Some frames with their masks and their attention, for W&B."""
    if run.tracker is None:
        return
    frames = list(middle_frames(run.dir, run.tracker.media, module.settings.longest_edge))
    run.tracker.show("segment/masks", [picture for picture, _ in frames], names)
    if module.net is not None:
        run.tracker.show("segment/attention", attention_of(frames, torch.inference_mode()(module.attention)), names)


def _keeps(item: Item, *, needed: bool, guided: bool) -> bool:
    """Are the frames of a shot needed after its graph is made?"""
    return needed or (guided and bool(item["classes"]))


def segment_settings(cfg: DictConfig) -> SegmentSettings:
    """`SegmentSettings` from the segment section. Raises ValueError for a bad value."""
    energy = {key: value for key, value in plain(cfg.segment).items() if key not in LOOP_KEYS}
    return SegmentSettings(seed=cfg.seed, **energy)


class RelevantShots:
    """The shots of a relevance run, cut into items; their masks are masks/<shot>/%06d.png, numbered within the clip.

    Raises:
        UserError: There is no shot.
    """

    def __init__(self, run: Run, classes: Sequence[str], *, max_frames: int) -> None:
        self.run = run
        self.manifest = run.inputs["relevance"] / "shots.jsonl"
        self.labels = {name: number + 1 for number, name in enumerate(classes)}
        self.max_frames = max_frames
        if next(read_jsonl(self.manifest), None) is None:
            raise UserError(
                "no shot is relevant to its class", where=self.manifest,
                remedy="lower relevance.threshold, add videos, or train the encoder longer; scores/ shows why",
            )

    def items(self, trainer: pl.Trainer) -> list[Item]:
        if not trainer.is_global_zero:
            return []
        return [
            {
                "id": shot["shot"], "file": shot["file"], "start": shot["start"], "stop": shot["stop"],
                "size": shot["stop"] - shot["start"], "total": shot["frames"], "height": shot["height"],
                "width": shot["width"], "fps": shot["fps"], "classes": [shot["class"]],
                "label": self.labels[shot["class"]], "folder": shot["shot"], "digits": 6,
                "overlay": f"overlay/{shot['shot']}.mp4",
                **{key: shot[key] for key in ("odd", "blank") if key in shot},
            }
            for shot in cut(read_jsonl(self.manifest), self.max_frames)
        ]

    def close(self, totals: Totals) -> dict[str, Any]:
        """Write shots.jsonl, those that have masks; returns the counts."""
        count = 0

        def done() -> Iterator[dict[str, Any]]:
            nonlocal count
            for shot in cut(read_jsonl(self.manifest), self.max_frames):
                count += 1
                record = totals.take(shot["shot"])
                if record is not None:
                    yield {**shot, **{key: record[key] for key in SAID if key in record}}

        written = write_jsonl(self.run.dir / "shots.jsonl", done())
        return {"shots": count, "segmented": written, "frames": totals.frames, **totals.without_motion}


def cut(shots: Iterator[dict[str, Any]], max_frames: int) -> Iterator[dict[str, Any]]:
    """Shots of at most `max_frames` frames; each piece is named after its clip and first frame."""
    for shot in shots:
        for start, stop in pieces(shot["start"], shot["stop"], max_frames):
            name = f"{shot['clip']}_{start:06d}"
            odd, blank = shot.get("odd", ()), shot.get("blank", ())
            whole = {key: value for key, value in shot.items() if key not in ("odd", "blank")}
            yield {
                **whole, "shot": name, "id": name, "start": start, "stop": stop, **left_out(start, stop, odd, blank)
            }


def _dataset(items: Sequence[Item], settings: SegmentSettings, keep: Any) -> ShotDataset:
    return ShotDataset(
        items, describe=partial(describe_frames, settings=settings),
        read=partial(read_frames, longest_edge=settings.longest_edge), keep=keep,
    )
