"""Stage segment: a mask for every frame of every shot by a graph cut over superpixels (section 3.2, Eqs. 3 to 5)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from wsvs.config.stages import SegmentSettings
from wsvs.core.classes import BACKGROUND
from wsvs.core.errors import UserError
from wsvs.core.files import write_text
from wsvs.core.processes import rank
from wsvs.core.runs import Home
from wsvs.engine.reuse import take_over
from wsvs.engine.run import Run
from wsvs.engine.shards import share
from wsvs.engine.stage import Stage, reads
from wsvs.records.masks import MaskSet
from wsvs.records.sources import state_of

if TYPE_CHECKING:
    from wsvs.lit.segmenter import SegmenterModule

log = logging.getLogger("wsvs")


@dataclass(frozen=True)
class Settings:
    segment: SegmentSettings
    videos: str | list[str] | None
    labels: str | None
    frame_rate: float
    precision: str = reads("trainer.precision")


def needs(settings: Settings, home: Home) -> tuple[str, ...]:
    """Your own videos need no relevance run, and without attention no encoder either."""
    segment, videos = settings.segment, settings.videos
    encoder = () if segment.checkpoint or (videos and not segment.lambda_a) else ("encoder",)
    return (*encoder, *(() if videos else ("relevance",)))


def run(run: Run[Settings]) -> None:
    import cv2
    import numpy as np

    from wsvs.engine.work import work_through
    from wsvs.lit.relevant_shots import RelevantShots
    from wsvs.lit.segmenter import MaskWriter, SegmenterModule, shots
    from wsvs.lit.totals import Totals
    from wsvs.lit.tracked import track_videos
    from wsvs.lit.whole_videos import UNKNOWN, VideoFolder
    from wsvs.nets.model import load_net
    from wsvs.video.frame_graph import describe_frames
    from wsvs.video.settings import SegmentSettings as VideoSettings

    settings, videos = run.settings.segment, run.settings.videos
    refuse_archives(settings)
    net = network = None
    if not videos or settings.lambda_a:
        checkpoint = settings.checkpoint or run.checkpoint("encoder")
        net, network = load_net(checkpoint), state_of(checkpoint)
    classes = net.classes if net is not None else ()
    source: VideoFolder | RelevantShots
    if videos:
        source = VideoFolder(
            run.dir,
            videos,
            run.settings.labels,
            classes,
            frame_rate=run.settings.frame_rate,
            settings=settings,
            skip=run.skip,
        )
    elif settings.reuse:
        raise UserError(
            "masks are taken over for whole videos only",
            where="segment.reuse",
            remedy="leave it out, or name your videos with videos=FOLDER",
        )
    else:
        manifest = run.inputs["relevance"] / "shots.jsonl"
        source = RelevantShots(run.dir, manifest, classes, max_frames=settings.max_frames, store=settings.store)
    mine = share(run, settings.shard, source.sizes)
    if mine is not None:
        source.keep(mine)
    if isinstance(source, VideoFolder):
        state = partial(source.state, network=network)
        take_over(run, settings.reuse, source.videos, state, source.results, source.taken)
    energy = VideoSettings.of(settings, run.seed)
    cv2.setNumThreads(1)  # ranks and workers are the parallelism
    describe_frames(np.zeros((2, 64, 96, 3), np.uint8), energy)  # compile once here, not in every worker
    ledger = source.masks.ledger
    guided = settings.lambda_a > 0
    needed = settings.frames or settings.overlay or settings.refine != "none"
    module = SegmenterModule(net if guided else None, energy, batch_size=settings.attention_batch)
    opener = source.opener if isinstance(source, VideoFolder) else None
    loop = work_through(
        run,
        module=module,
        writer=MaskWriter(
            source.masks,
            frames=settings.frames,
            overlay=settings.overlay,
            refine=settings.refine,
            min_confidence=settings.min_confidence,
            instances=settings.instances,
        ),
        workers=settings.workers,
        dataset=partial(shots, settings=energy, needed=needed, guided=guided, opener=opener),
        unit="frames",
        **source.work(),
    )
    if rank() == 0:
        ledger.refresh()
        source.masks.seen.refresh()
        source.masks.tidy()
        totals = Totals(ledger, run.skip)
        counts = source.close(totals)
        names = (BACKGROUND, *(classes or (UNKNOWN,)))
        write_text(run.dir / "labels.txt", "".join(f"{name}\n" for name in names))
        if settings.instances:
            counts["tracks"] = track_videos(source.masks, source.pieces(), names, settings.workers)
        _show(run, source.masks, module, names)
        results = totals.results(loop, {one["item"]: one["reason"] for one in run.skipped})
        if totals.uncertain:
            log.warning(
                "frames without a mask: %d of %d (shots: %d): no object motion was found there (a still image, or only "
                "the camera moves), and no attention; segment.min_confidence=0 keeps every mask",
                totals.uncertain["frames"],
                totals.frames,
                totals.uncertain["shots"],
            )
        run.finish(counts=counts, results=results, wrote=source.masks.masks, goes_on=totals.frames > 0)


def refuse_archives(settings: SegmentSettings) -> None:
    """Raises `UserError` for settings that need a file for each frame."""
    if settings.store == "files":
        return
    for name, given in (("instances", settings.instances), ("reuse", settings.reuse)):
        if given:
            raise UserError(
                f"segment.{name} works on masks in files of their own, not in archives",
                where=f"segment.store={settings.store}",
                remedy=f"give segment.store=files, or leave out segment.{name}",
            )


def _show(run: Run[Settings], masks: MaskSet, module: SegmenterModule, names: Sequence[str]) -> None:
    """Some frames with their masks and their attention, for W&B."""
    from wsvs.lit.media import attention_of, middle_frames

    if run.tracker is None:
        return
    frames = list(middle_frames(masks, run.tracker.media, module.settings.longest_edge))
    run.tracker.show("segment/masks", [image for image, _ in frames], names)
    if module.net is not None:
        run.tracker.show("segment/attention", attention_of(frames, module.attention), names)


STAGE = Stage("segment", Settings, run, needs=needs, paths=("videos", "labels", "segment.checkpoint"), makes=("masks",))
