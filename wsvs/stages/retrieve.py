"""Stage retrieve: collect clips of each class, and a manifest of their sources (section 4)."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

from wsvs.config.base import Section
from wsvs.config.groups import FolderRetrieve, RetrieveSettings, WebRetrieve
from wsvs.core.classes import Classes
from wsvs.core.errors import UserError
from wsvs.core.files import write_json
from wsvs.core.progress import follow
from wsvs.core.runs import Home
from wsvs.engine.run import Run
from wsvs.engine.stage import Stage, reads
from wsvs.records.retrieved import FoundVideo
from wsvs.retrieve.closing import estimate, print_costs, print_tally, tell_failures
from wsvs.retrieve.folder import Pack, retrieve_folder
from wsvs.retrieve.manifest import FAILED, MANIFEST
from wsvs.retrieve.merge import merge
from wsvs.retrieve.sources import build_source, chosen_classes, folder_source, retried
from wsvs.retrieve.table import tally
from wsvs.video.reader import probe, read_frames

if TYPE_CHECKING:
    from wsvs.retrieve.crawl import Crawl

log = logging.getLogger("wsvs")

_LOOK = "the manifest gives the reason for each video; check data.classes and the settings of retrieve"


@dataclass(frozen=True)
class Settings:
    data: Section
    retrieve: RetrieveSettings
    frame_rate: float
    dry_run: bool = reads("dry_run", result=False)


def needs(settings: Settings, home: Home) -> tuple[str, ...]:
    """The encoder, which scores frames; not needed for whole videos of a folder, or to merge earlier results."""
    return () if settings.retrieve.merge or _is_whole(settings.retrieve) else ("encoder",)


def _is_whole(retrieve: RetrieveSettings) -> TypeGuard[FolderRetrieve]:
    """Whether every video of a folder is used whole, without scores."""
    return isinstance(retrieve, FolderRetrieve) and not retrieve.score


def run(run: Run[Settings]) -> None:
    from wsvs.engine.data import build_data

    settings = run.settings.retrieve
    known = build_data(run).class_list
    if settings.merge:
        merge(Path(settings.merge), run.dir)
        _close(run, FoundVideo.read(run.dir / MANIFEST), known)
    elif _is_whole(settings):
        _whole(run, settings, chosen_classes(settings, known))
    else:
        _scored(run, known, chosen_classes(settings, known))


def _packer(run: Run[Settings]) -> Pack:
    """A function that encodes a folder of numbered images as a video file."""
    from wsvs.video.pack import pack

    return partial(pack, rate=run.settings.frame_rate)


def _whole(run: Run[Settings], settings: FolderRetrieve, classes: Classes) -> None:
    """Use every video of a folder as one clip."""
    source = folder_source(settings, run.settings.data)
    counts = retrieve_folder(
        source,
        classes,
        run.dir,
        probe=probe,
        pack=_packer(run),
        foreign=settings.foreign,
        progress=partial(follow, unit="videos"),
    )
    if not counts["retrieved"]:
        raise UserError("no video of any class", where=run.dir / MANIFEST, remedy=_LOOK)
    _skip_failed(run, FoundVideo.read(run.dir / MANIFEST))
    by_class = {name: count for name, count in counts.pop("retrieved_by_class").items() if count}
    run.finish(counts={**counts, "by class": by_class}, wrote=run.dir / MANIFEST)


def _scored(run: Run[Settings], known: Classes, classes: Classes) -> None:
    """Search, then score thumbnails and key frames, as in the paper."""
    from wsvs.retrieve.crawl import Budget, Crawl
    from wsvs.retrieve.examine import Choice, Tools
    from wsvs.video.convert import Converter
    from wsvs.video.decode import OpenVideo

    settings = run.settings.retrieve
    web = settings if isinstance(settings, WebRetrieve) else None
    choice = Choice(
        threshold=settings.threshold,
        key_frames=settings.key_frames,
        window=settings.window,
        scan=settings.scan,
        batch=settings.batch,
        max_duration=web.max_duration if web else None,
    )
    retry = retried(settings, run.dir)
    budget = Budget(settings.max_videos, settings.max_bytes, settings.max_hours)
    source = build_source(
        settings, known, classes, data=run.settings.data, pack=_packer(run), dry_run=run.settings.dry_run
    )
    import torch  # only where frames are scored

    from wsvs.engine.devices import lease
    from wsvs.lit.image_scorer import ImageScorer
    from wsvs.nets.model import load_net

    net = load_net(run.checkpoint("encoder"))
    unknown = sorted(set(classes) - set(net.classes))
    if unknown:
        raise UserError(
            f"the encoder does not know {', '.join(unknown)}",
            where=run.inputs["encoder"],
            remedy="retrieve for the classes that it was trained on, with retrieve.classes=[...]",
        )
    leased = lease(run.cfg, run.held, asked=1)
    on_gpu = torch.cuda.is_available() and run.cfg.trainer.accelerator != "cpu"
    score = ImageScorer(net, f"cuda:{leased[0]}" if leased else "cuda" if on_gpu else "cpu")
    convert = Converter(net.config.image_size)
    with Crawl(
        source,
        classes.names,
        run.dir,
        Tools(OpenVideo, convert, probe, _cuts, score),
        choice,
        budget,
        keep_videos=web is not None and web.keep_videos,
        streak=web.streak if web else None,
        retry=retry,
    ) as crawl:
        if run.settings.dry_run:
            _dry(run, crawl)
        else:
            rows = crawl.fetch()
            _skip_failed(run, rows)
            _close(run, rows, classes)


def _cuts(path: Path) -> Sequence[int]:
    from wsvs.video.cuts import EDGE, find_cuts

    return find_cuts(read_frames(path, longest_edge=EDGE)).cuts


def _dry(run: Run[Settings], crawl: Crawl) -> None:
    """Search and thumbnails only. The run stays unfinished, so that no stage uses it as input."""
    wanted = crawl.look()
    found = sum(len(crawl.journal.candidates(name)) for name in crawl.classes)
    costs = {"found": found, "thumbnails passed": len(wanted), **estimate(run.settings.retrieve, wanted)}
    write_json(run.dir / "dry_run.json", costs)
    print_costs(costs)
    log.info("to continue: WSVS_RUN_ID=%s with the same command without dry_run=true", run.dir.name)


def _close(run: Run[Settings], rows: Iterable[FoundVideo], classes: Classes) -> None:
    """Print the closing table by class, and write the summary."""
    tallies = tally(rows, classes.names)
    print_tally(tallies)
    tell_failures(tallies["all"].failures)
    write_json(run.dir / "by_class.json", {name: one.asdict() for name, one in tallies.items()})
    if not tallies["all"].retrieved:
        raise UserError("no video of any class", where=run.dir / MANIFEST, remedy=_LOOK)
    counts = {key: value for key, value in tallies["all"].asdict().items() if key != "lost" and value != {}}
    lacking = [name for name in classes if not tallies[name].clips]
    run.finish(counts={**counts, "classes_without_video": lacking}, wrote=run.dir / MANIFEST)


def _skip_failed(run: Run[Settings], rows: Iterable[FoundVideo]) -> None:
    """Record videos that could not be retrieved, and clips with damaged frames, as skipped."""
    for row in rows:
        for clip in row.clips:
            if clip.damaged:
                lost = sum(stop - start for start, stop in clip.damaged)
                run.skip(clip.clip, f"damaged frames, not used: {lost} of {clip.frames or row.frames}")
        if row.status is not None and row.status.startswith(FAILED):
            run.skip(row.video, row.status)


# Version 2: a run resumes with other budgets and request options.
STAGE = Stage(
    "retrieve",
    Settings,
    run,
    needs=needs,
    paths=("data.root", "data.labels", "retrieve.root", "retrieve.labels", "retrieve.file", "retrieve.merge"),
    makes=("clips",),
    version=2,
    ranks="first",
)
