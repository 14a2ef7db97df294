"""Stage retrieve: collect the clips of each class and the manifest that says where they came from (section 4)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

import torch
from omegaconf import DictConfig

from wsvs.core.classes import Classes
from wsvs.core.errors import UserError
from wsvs.core.files import read_jsonl, write_json
from wsvs.core.progress import follow
from wsvs.core.words import counted, fitting
from wsvs.nets.model import load_net
from wsvs.retrieve.crawl import Budget, Crawl
from wsvs.retrieve.examine import Choice, Tools
from wsvs.retrieve.folder import retrieve_folder
from wsvs.retrieve.manifest import FAILED, MANIFEST, Row
from wsvs.retrieve.table import tally
from wsvs.stages._devices import lease
from wsvs.stages._lightning import build_data
from wsvs.stages._retrieve import (
    ImageScorer,
    build_source,
    chosen_classes,
    estimate,
    folder_source,
    merge,
    packer,
    print_costs,
    print_tally,
    retried,
    tell_failures,
)
from wsvs.stages._run import Run, log, rank
from wsvs.video.convert import Converter
from wsvs.video.cuts import EDGE, find_cuts
from wsvs.video.decode import OpenVideo
from wsvs.video.reader import probe, read_frames

SECTIONS = ("data", "retrieve", "frame_rate")
_LOOK = "the manifest says of each video why it was left out; check data.classes and the settings of retrieve"


def needs(cfg: DictConfig) -> tuple[str, ...]:
    """The encoder, which scores; not for whole videos of a folder, nor to merge what is there."""
    if cfg.retrieve.merge or (cfg.retrieve.source == "folder" and not cfg.retrieve.score):
        return ()
    return ("encoder",)


def run(run: Run) -> None:
    cfg = run.cfg
    if rank() != 0:
        return
    known = build_data(cfg).class_list
    if cfg.retrieve.merge:
        merge(Path(cfg.retrieve.merge), run.dir)
        _close(run, read_jsonl(run.dir / MANIFEST), known)
    elif not needs(cfg):
        _whole(run, chosen_classes(cfg, known))
    else:
        _scored(run, known, chosen_classes(cfg, known))


def _whole(run: Run, classes: Classes) -> None:
    """Every video of a folder as one clip."""
    source = folder_source(run.cfg)
    counts = retrieve_folder(
        source, classes, run.dir, probe=probe, pack=packer(run.cfg), foreign=run.cfg.retrieve.foreign,
        progress=partial(follow, unit="videos"),
    )
    if not counts["retrieved"]:
        raise UserError("no video of any class", where=run.dir / MANIFEST, remedy=_LOOK)
    _skip_failed(run, read_jsonl(run.dir / MANIFEST))
    by_class = {name: count for name, count in counts.pop("retrieved_by_class").items() if count}
    run.finish(counts={**counts, "by class": by_class}, wrote=run.dir / MANIFEST)


def _scored(run: Run, known: Classes, classes: Classes) -> None:
    """Search, thumbnails, key frames: the paper's way."""
    cfg = run.cfg
    choice = Choice(
        threshold=cfg.retrieve.threshold, key_frames=cfg.retrieve.key_frames, window=cfg.retrieve.window,
        scan=cfg.retrieve.scan, batch=cfg.retrieve.batch,
        max_duration=cfg.retrieve.max_duration if "max_duration" in cfg.retrieve else None,
    )
    retry = retried(cfg, run.dir)
    budget = Budget(cfg.retrieve.max_videos, cfg.retrieve.max_bytes, cfg.retrieve.max_hours)
    source = build_source(cfg, known, classes)
    net = load_net(run.checkpoint("encoder"))
    unknown = sorted(set(classes) - set(net.classes))
    if unknown:
        raise UserError(
            f"the encoder does not know {', '.join(unknown)}", where=run.inputs["encoder"],
            remedy="retrieve for the classes that it was trained on, with retrieve.classes=[...]",
        )
    leased = lease(cfg, run.held, asked=1)
    on_gpu = torch.cuda.is_available() and cfg.trainer.accelerator != "cpu"
    score = ImageScorer(net, f"cuda:{leased[0]}" if leased else "cuda" if on_gpu else "cpu")
    convert = Converter(net.config.image_size)
    with Crawl(
        source, classes.names, run.dir, Tools(OpenVideo, convert, probe, _cuts, score), choice, budget,
        keep_videos="keep_videos" in cfg.retrieve and cfg.retrieve.keep_videos,
        streak=cfg.retrieve.streak if "streak" in cfg.retrieve else None, retry=retry,
    ) as crawl:
        if cfg.dry_run:
            _dry(run, crawl)
        else:
            rows = crawl.fetch()
            _skip_failed(run, rows)
            _close(run, rows, classes)


def _cuts(path: Path) -> Sequence[int]:
    return find_cuts(read_frames(path, longest_edge=EDGE)).cuts


def _dry(run: Run, crawl: Crawl) -> None:
    """Search and thumbnails only. The run stays unfinished, so that nobody takes it for an input."""
    wanted = crawl.look()
    found = sum(len(crawl.journal.candidates(name)) for name in crawl.classes)
    costs = {"found": found, "thumbnails passed": len(wanted), **estimate(run.cfg, wanted)}
    write_json(run.dir / "dry_run.json", costs)
    print_costs(costs)
    log.info("WSVS_RUN_ID=%s and the same command without dry_run=true goes on from here", run.dir.name)


def _close(run: Run, rows: Iterable[Row], classes: Classes) -> None:
    """The closing table, by class, and the summary."""
    tallies = tally(rows, classes.names)
    print_tally(tallies)
    tell_failures(tallies["all"].failures)
    write_json(run.dir / "by_class.json", {name: one.asdict() for name, one in tallies.items()})
    if not tallies["all"].retrieved:
        raise UserError("no video of any class", where=run.dir / MANIFEST, remedy=_LOOK)
    counts = {key: value for key, value in tallies["all"].asdict().items() if key != "lost" and value != {}}
    lacking = [name for name in classes if not tallies[name].clips]
    run.finish(counts={**counts, "classes_without_video": lacking}, wrote=run.dir / MANIFEST)


def _skip_failed(run: Run, rows: Iterable[Row]) -> None:
    """What could not be had, and what is damaged, as passed over."""
    for row in rows:
        for clip in row["clips"]:
            if "damaged" in clip:
                lost = sum(stop - start for start, stop in clip["damaged"])
                of = counted(clip.get("frames", row["frames"]), "frame|frames")
                run.skip(clip["clip"], f"{lost} of {of} {fitting(lost, 'is|are')} damaged and not used")
        if row["status"].startswith(FAILED):
            run.skip(row["video"], row["status"])
