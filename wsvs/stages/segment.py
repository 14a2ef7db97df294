"""Stage segment: a mask for every frame of every shot by a graph cut over superpixels (section 3.2, Eqs. 3 to 5)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from omegaconf import DictConfig

from wsvs.core.errors import UserError
from wsvs.core.files import read_jsonl, write_jsonl
from wsvs.core.ledger import Ledger
from wsvs.data.shots import ShotDataset
from wsvs.lit.segmenter import MaskWriter, SegmenterModule
from wsvs.nets.model import load_net
from wsvs.stages._lightning import plain
from wsvs.stages._run import Run, rank
from wsvs.stages._work import skip_failed, work_through
from wsvs.video.frame_graph import describe_frames
from wsvs.video.reader import read_frames
from wsvs.video.settings import SegmentSettings
from wsvs.video.shots import pieces

NEEDS = ("encoder", "relevance")
SECTIONS = ("segment",)
LOOP_KEYS = ("max_frames", "attention_batch", "workers", "frames")  # of the loop; all others are SegmentSettings


def run(run: Run) -> None:
    cfg = run.cfg
    settings = segment_settings(cfg)
    net = load_net(run.checkpoint("encoder"))
    labels = {name: number + 1 for number, name in enumerate(net.classes)}
    shots = list(cut(read_jsonl(run.inputs["relevance"] / "shots.jsonl"), cfg.segment.max_frames))
    if not shots:
        raise UserError(
            "no shot is relevant to its class", where=run.inputs["relevance"] / "shots.jsonl",
            remedy="lower relevance.threshold, add videos, or train the encoder longer; scores/ shows why",
        )
    ledger = Ledger(run.dir)
    work_through(
        run, shots,
        module=SegmenterModule(net if settings.lambda_a else None, settings, batch_size=cfg.segment.attention_batch),
        writer=MaskWriter(run.dir, labels, frames=cfg.segment.frames),
        finished=lambda shot: ledger.has(shot["shot"]), workers=cfg.segment.workers,
        dataset=partial(_dataset, settings=settings), size=lambda shot: shot["stop"] - shot["start"],
    )
    if rank() != 0:
        return
    records = skip_failed(run, {s["shot"]: ledger.read(s["shot"]) for s in shots if ledger.has(s["shot"])})
    done = ({**shot, "areas": records[shot["shot"]]["areas"]} for shot in shots if shot["shot"] in records)
    write_jsonl(run.dir / "shots.jsonl", done)
    frames = sum(record["frames"] for record in records.values())
    seconds: Counter[str] = Counter()
    for record in records.values():
        seconds.update(record["seconds"])
    run.finish(
        counts={"shots": len(shots), "segmented": len(records), "frames": frames},
        results={
            "ms per frame": {key: round(1000 * value / max(frames, 1), 1) for key, value in seconds.items()},
            "energy per frame": sum(r["energy"]["total"] for r in records.values()) / max(frames, 1),
        },
        wrote=run.dir / "masks",
    )


def segment_settings(cfg: DictConfig) -> SegmentSettings:
    """`SegmentSettings` from the segment section. Raises ValueError for a bad value."""
    energy = {key: value for key, value in plain(cfg.segment).items() if key not in LOOP_KEYS}
    return SegmentSettings(seed=cfg.seed, **energy)


def cut(shots: Iterator[dict[str, Any]], max_frames: int) -> Iterator[dict[str, Any]]:
    """Shots of at most `max_frames` frames; each piece is named after its clip and first frame."""
    for shot in shots:
        for start, stop in pieces(shot["start"], shot["stop"], max_frames):
            name = f"{shot['clip']}_{start:06d}"
            yield {**shot, "shot": name, "id": name, "start": start, "stop": stop}


def _dataset(items: Sequence[dict[str, Any]], settings: SegmentSettings) -> ShotDataset:
    return ShotDataset(
        items, describe=partial(describe_frames, settings=settings),
        read=partial(read_frames, longest_edge=settings.longest_edge),
    )
