"""Stage relevance: score every frame of every clip, and keep sequences of relevant frames as shots (section 3.2)."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from wsvs.config.stages import RelevanceSettings
from wsvs.core.errors import UserError
from wsvs.core.processes import rank
from wsvs.engine.run import Run
from wsvs.engine.shards import share
from wsvs.engine.stage import Stage, reads
from wsvs.records.ledger import Ledger
from wsvs.records.masks import SHOTS
from wsvs.records.row import write_rows
from wsvs.records.shots import Clip, ScoredClip, Shot
from wsvs.records.spans import spans
from wsvs.retrieve.manifest import iter_clips
from wsvs.video.relevance import relevant_runs


@dataclass(frozen=True)
class Settings:
    relevance: RelevanceSettings
    precision: str = reads("trainer.precision")


def run(run: Run[Settings]) -> None:
    import cv2

    from wsvs.engine.work import work_through
    from wsvs.lit.clip_frames import ClipFrames, ClipLoader
    from wsvs.lit.scorer import ScorerModule, ScoreWriter
    from wsvs.nets.model import load_net

    settings = run.settings.relevance
    net = load_net(run.checkpoint("encoder"))
    retrieved = run.inputs["retrieve"]
    clips = list(iter_clips(retrieved / "manifest.jsonl"))
    for clip in clips:
        if clip.class_name not in net.classes:
            raise UserError(
                f"the encoder does not know class {clip.class_name!r}",
                where=retrieved / "manifest.jsonl",
                remedy="retrieve for the classes that the encoder was trained on",
            )
    cv2.setNumThreads(1)  # ranks and workers are the parallelism
    mine = share(run, settings.shard, lambda: {clip.id: clip.stop - clip.start for clip in clips})
    if mine is not None:
        clips = [clip for clip in clips if clip.id in mine]
    ledger = Ledger(run.dir)
    loop = work_through(
        run,
        clips,
        module=ScorerModule(net),
        writer=ScoreWriter(run.dir),
        finished=lambda clip: ledger.has(clip.id),
        dataset=partial(ClipFrames, size=net.config.image_size, batch_size=settings.batch_size, cuts=settings.cuts),
        loader=ClipLoader,
        workers=settings.workers,
        size=lambda clip: clip.stop - clip.start,
        unit="frames",
    )
    if rank() != 0:
        return
    records = {clip.id: ledger.get(clip.id, ScoredClip, run.skip) for clip in clips}
    good = {name: record for name, record in records.items() if record is not None}
    for name, record in good.items():
        if record.broken:
            run.skip(name, f"only the first frames are used ({record.frames}): {record.broken}")
    kept = list(find_shots(run.dir, clips, settings.threshold, settings.min_frames))
    write_rows(run.dir / SHOTS, kept)
    write_rows(run.dir / "clips.jsonl", clips)
    run.finish(
        counts={
            "clips": len(clips),
            "clips with a shot": len({shot.clip for shot in kept}),
            "shots": len(kept),
            "frames": sum(record.frames for record in good.values()),
            "relevant frames": sum(shot.stop - shot.start for shot in kept),
            "classes without a shot": len(set(net.classes) - {shot.class_name for shot in kept}),
        },
        results=loop,
        wrote=run.dir / SHOTS,
    )


def find_shots(folder: Path, clips: Sequence[Clip], threshold: float, min_frames: int) -> Iterator[Shot]:
    """Every sequence of relevant frames, in the order of the clips. It ends at a cut, not at an odd frame."""
    ledger = Ledger(folder)
    for clip in clips:
        path = folder / "scores" / f"{clip.id}.csv"
        if not path.is_file():
            continue
        found = ledger.get(clip.id, ScoredClip)
        cuts, odd, blank = (found.cuts or (), found.odd or (), found.blank or ()) if found else ((), (), ())
        scores = bridged(read_scores(path), {*odd, *blank})
        for begin, end in clip.damaged:  # no shot contains a damaged frame
            scores[max(0, begin - clip.start) : max(0, end - clip.start)] = -1
        for begin, end in spans(len(scores), cuts):
            for first, last in relevant_runs(scores[begin:end], threshold=threshold, min_frames=min_frames):
                start, stop = begin + first, begin + last
                yield clip.shot(start, stop, round(float(scores[start:stop].mean()), 4), odd, blank)


def bridged(scores: np.ndarray, odd: Collection[int]) -> np.ndarray:
    """Scores of a clip, with those of odd frames interpolated from their neighbours."""
    sound = np.array([number for number in range(len(scores)) if number not in odd])
    return np.interp(np.arange(len(scores)), sound, scores[sound]) if odd and len(sound) else scores


def read_scores(path: Path) -> np.ndarray:
    """(T,) scores of the frames of a clip, from its start."""
    with path.open(encoding="utf-8") as stream:
        return np.array([float(row["score"]) for row in csv.DictReader(stream)])


STAGE = Stage("relevance", Settings, run, needs=("encoder", "retrieve"), makes=("shots",))
