"""Stage relevance: score every frame of every clip, and keep sequences of relevant frames as shots (section 3.2)."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wsvs.config.stages import RelevanceSettings
from wsvs.core.errors import UserError
from wsvs.core.files import read_jsonl, write_jsonl
from wsvs.core.ledger import Ledger
from wsvs.core.processes import rank
from wsvs.engine.run import Run
from wsvs.engine.stage import Stage, reads
from wsvs.retrieve.manifest import iter_clips
from wsvs.video.relevance import relevant_runs
from wsvs.video.shots import left_out, spans

_OF_THE_CLIP = frozenset({"id", "path", "start", "stop", "offset", "damaged"})


@dataclass(frozen=True)
class Settings:
    relevance: RelevanceSettings
    precision: str = reads("trainer.precision")


def run(run: Run[Settings]) -> None:
    from wsvs.data.work import ItemDataset
    from wsvs.engine.work import skip_failed, work_through
    from wsvs.lit.scorer import ScorerModule, ScoreWriter
    from wsvs.nets.model import load_net

    settings = run.settings.relevance
    net = load_net(run.checkpoint("encoder"))
    retrieved = run.inputs["retrieve"]
    clips = [
        {**clip, "id": clip["clip"], "file": str(retrieved / clip["path"])}
        for clip in iter_clips(retrieved / "manifest.jsonl")
    ]
    for clip in clips:
        if clip["class"] not in net.classes:
            raise UserError(
                f"the encoder does not know class {clip['class']!r}",
                where=retrieved / "manifest.jsonl",
                remedy="retrieve for the classes that the encoder was trained on",
            )
    ledger = Ledger(run.dir)
    work_through(
        run,
        clips,
        module=ScorerModule(net, batch_size=settings.batch_size, cuts=settings.cuts),
        writer=ScoreWriter(run.dir),
        finished=lambda clip: ledger.has(clip["id"]),
        dataset=ItemDataset,
        workers=0,
        size=lambda clip: clip["stop"] - clip["start"],
        unit="frames",
    )
    if rank() != 0:
        return
    good = skip_failed(run, {clip["id"]: ledger.read(clip["id"]) for clip in clips if ledger.has(clip["id"])})
    for name, record in good.items():
        if record["broken"]:
            run.skip(name, f"only the first frames are used ({record['frames']}): {record['broken']}")
    shots = write_jsonl(run.dir / "shots.jsonl", find_shots(run.dir, clips, settings.threshold, settings.min_frames))
    write_jsonl(run.dir / "clips.jsonl", clips)
    kept = list(read_jsonl(run.dir / "shots.jsonl"))
    frames = sum(record["frames"] for record in good.values())
    run.finish(
        counts={
            "clips": len(clips),
            "clips with a shot": len({shot["clip"] for shot in kept}),
            "shots": shots,
            "frames": frames,
            "relevant frames": sum(shot["stop"] - shot["start"] for shot in kept),
            "classes without a shot": len(set(net.classes) - {shot["class"] for shot in kept}),
        },
        wrote=run.dir / "shots.jsonl",
    )


def find_shots(
    folder: Path, clips: list[dict[str, Any]], threshold: float, min_frames: int
) -> Iterator[dict[str, Any]]:
    """A record for each sequence of relevant frames, in the order of the clips. It ends at a cut, not at an odd frame.

    {"shot": <clip>_<first frame>, "clip", "class", "file", "start", "stop", "score", ... of the clip}, and "odd" and
    "blank", frames of the clip that are ignored, if there are any.
    """
    ledger = Ledger(folder)
    for clip in clips:
        path = folder / "scores" / f"{clip['id']}.csv"
        if not path.is_file():
            continue
        found = ledger.read(clip["id"]) if ledger.has(clip["id"]) else {}
        odd, blank = found.get("odd", []), found.get("blank", [])
        scores = bridged(read_scores(path), {*odd, *blank})
        for begin, end in clip.get("damaged", ()):  # no shot contains a damaged frame
            scores[max(0, begin - clip["start"]) : max(0, end - clip["start"])] = -1
        runs = [
            (begin + start, begin + stop)
            for begin, end in spans(len(scores), found.get("cuts", []))
            for start, stop in relevant_runs(scores[begin:end], threshold=threshold, min_frames=min_frames)
        ]
        for start, stop in runs:
            record = {key: value for key, value in clip.items() if key not in _OF_THE_CLIP}
            first = clip["start"] + start
            span = {"start": first, "stop": clip["start"] + stop, "clip_start": clip["offset"]}
            score = round(float(scores[start:stop].mean()), 4)
            gone = {
                key: [clip["start"] + number for number in numbers]
                for key, numbers in left_out(start, stop, odd, blank).items()
            }
            yield {"shot": f"{clip['id']}_{first:06d}", **record, **span, "score": score, **gone}


def bridged(scores: np.ndarray, odd: Collection[int]) -> np.ndarray:
    """Scores of a clip, with those of odd frames interpolated from their neighbours."""
    sound = np.array([number for number in range(len(scores)) if number not in odd])
    return np.interp(np.arange(len(scores)), sound, scores[sound]) if odd and len(sound) else scores


def read_scores(path: Path) -> np.ndarray:
    """(T,) scores of the frames of a clip, from its start."""
    with path.open(encoding="utf-8") as stream:
        return np.array([float(row["score"]) for row in csv.DictReader(stream)])


STAGE = Stage("relevance", Settings, run, needs=("encoder", "retrieve"), makes=("shots",))
