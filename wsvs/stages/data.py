"""Stage data: prepare and check a data set; for your own images and videos, report what is usable."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable
from urllib.parse import urlparse

from rich.table import Table

from wsvs.config.base import Section
from wsvs.config.groups import FolderRetrieve, ModelSettings, RetrieveSettings, SyntheticData
from wsvs.core.classes import plainly
from wsvs.core.console import plain_console, show
from wsvs.core.errors import BadItem, UserError
from wsvs.core.files import write_json
from wsvs.core.progress import follow
from wsvs.data.report import Progress, Report
from wsvs.engine.explain import advised, build, model_words
from wsvs.engine.next import key_of
from wsvs.engine.run import Run
from wsvs.engine.stage import Stage, reads
from wsvs.engine.status import is_part
from wsvs.retrieve.sources import folder_source
from wsvs.video.reader import check, probe

FEW_IMAGES, LONG = 100, 2000  # images; steps of the decoder
DECODE_BUDGET = 10_000_000_000  # pixels of video that are decoded to find damage, about a minute on one core
SMALL, SMALL_BACKBONE = "small", "efficientnet_lite2"  # the experiment for few images, and its network


@dataclass(frozen=True)
class Settings:
    data: Section
    retrieve: RetrieveSettings
    model: ModelSettings
    frame_rate: float
    min_frames: int = reads("relevance.min_frames", result=False)
    steps: int = reads("decoder.steps", result=False)


def run(run: Run[Settings]) -> None:
    from wsvs.data.own import check_tagged
    from wsvs.data.tagged import TaggedImages

    settings = run.settings
    data = build(run.cfg.data)
    words: list[str] = []
    report = data.make(follow) if isinstance(data, Preparable) else check_tagged(data, follow)
    if isinstance(data, TaggedImages):
        if isinstance(settings.retrieve, FolderRetrieve) and settings.retrieve.root:
            add_videos(settings, settings.retrieve, list(report.by_class), report, follow)
        words = add_training(settings, {key_of(word) for word in run.overrides}, report)
    print_report(report)
    write_json(run.dir / "report.json", report.asdict())
    if report.fatal:
        first = report.fatal[0]
        raise UserError(
            f"problems to fix first: {len(report.fatal)}; {first.text}",
            where=first.where,
            remedy=first.remedy,
        )
    for problem in report.problems:
        for item in problem.items or (problem.where,):
            run.skipped.append({"item": item, "reason": problem.what})  # logged above, grouped by kind
    run.finish(counts=report.counts, wrote=run.dir / "report.json", proposed=words)


@runtime_checkable
class Preparable(Protocol):
    """A data set that is prepared from a download."""

    def make(self, progress: Progress) -> Report: ...


def add_videos(
    settings: Settings, retrieve: FolderRetrieve, classes: Sequence[str], report: Report, progress: Progress
) -> None:
    """Count the usable videos of each class below retrieve.root; report it as fatal if there are none."""
    source, rate = folder_source(retrieve, settings.data), settings.frame_rate
    videos = source.videos
    for name in classes:
        report.by_class[name] |= {"videos": 0, "minutes of video": 0.0}
    usable, lost, foreign, unreadable, short, damaged = 0, [], [], [], [], []
    left, glanced = DECODE_BUDGET, 0
    for video in progress(videos, "videos"):
        own = [tag for tag in video.tags if tag in classes]
        if video.path is None:
            lost.append(video.id)
        elif not own:
            foreign.append(_with_hint(video.id, video.tags, classes))
        else:
            try:
                info = check(video.path, rate=rate)
                if (cost := info.frames * info.width * info.height) <= left:
                    left -= cost
                    info = probe(video.path, rate=rate)
                else:
                    glanced += 1
            except BadItem as item:
                unreadable.append(f"{video.id} ({item.problem})")
                continue
            report.notes += [f"{video.id}: {note}" for note in info.notes]
            if info.damage:
                damaged.append(f"{video.id} ({info.damage})")
            if info.frames - info.lost < settings.min_frames:
                short.append(f"{video.id} (frames: {info.frames})")
                continue
            usable += 1
            for tag in own:
                row = report.by_class[tag]
                row["videos"] += 1
                row["minutes of video"] = round(row["minutes of video"] + info.frames / info.fps / 60, 2)
    root = source.root
    if source.not_read:
        report.notes.append(source.not_read)
    if glanced:
        report.notes.append(
            f"videos not decoded by this check: {glanced}; stage retrieve reports damage that only decoding reveals"
        )
    report.add_items(
        damaged,
        "videos with damaged frames, which are not used",
        root,
        "get the files again if these frames matter",
        fatal=False,
    )
    report.add_items(lost, "videos in the table without a file", root, f"fix {retrieve.labels}", fatal=False)
    report.add_items(unreadable, "videos that cannot be read", root, "replace them", fatal=False)
    report.add_items(
        short,
        f"videos with fewer than relevance.min_frames={settings.min_frames} frames, which are not used",
        root,
        "replace them",
        fatal=False,
    )
    if foreign and retrieve.foreign == "assign":
        report.notes.append(f"videos without a class, assigned to classes as distractors: {len(foreign)}")
    else:
        report.add_items(
            foreign,
            "videos without a class of the images",
            root,
            "name their class as in the images' tags: by the first folder below retrieve.root, or in retrieve.labels",
            fatal=False,
        )
    without = [name for name in classes if not report.by_class[name]["videos"]]
    report.add_items(
        without if usable else [],
        "classes without a video, whose shapes the decoder cannot learn",
        root,
        "add videos of them; otherwise the decoder relies on what it learns from the other classes",
        fatal=False,
    )
    report.counts |= {"videos": len(videos), "usable videos": usable}
    if not usable:
        report.add(
            "no video can be used",
            root,
            f"a video needs a file that can be read and a class of the images ({', '.join(classes)}): put it into a "
            "folder of that name, or list it in retrieve.labels",
        )


def _with_hint(video: str, tags: Sequence[str], classes: Sequence[str]) -> str:
    near = [name for name in classes if plainly(name) in {plainly(tag) for tag in tags}]
    return f"{video} (did you mean {near[0]!r}?)" if near else video


def add_training(settings: Settings, said: Collection[str], report: Report) -> list[str]:
    """Check the network in advance: its weights, and whether the settings suit the number of images.

    Args:
        settings: Of the stage.
        said: Keys on the command line.
        report: Receives the findings.

    Returns:
        Overrides for the next command: the model that the given weights belong to.
    """
    from wsvs.nets.backbones import build_backbone
    from wsvs.nets.published import TITLES
    from wsvs.nets.timm_backbone import PREFIX as TIMM
    from wsvs.nets.weights import ForeignWeights, check_weights

    weights, backbone = settings.model.weights, settings.model.backbone
    words: list[str] = []
    usable = report.counts.get("usable images", 0)
    few = 0 < usable < FEW_IMAGES and settings.steps > LONG and "experiment" not in said
    fetched = urlparse(weights or "").scheme in ("http", "https") or (weights == "timm" and backbone.startswith(TIMM))
    try:
        if weights and not fetched and not Path(weights).expanduser().is_file():
            where = f"model.weights={weights}"
            report.add("weights file not found", where, "check the path, or give an http(s) URL")
        elif weights and not fetched:
            check_weights(build_backbone(backbone), weights)
        elif backbone.startswith(TIMM):
            build_backbone(backbone)
    except ForeignWeights as error:
        owner = error.owner.backbone if error.owner else ""
        if owner and not {"model", "model.backbone"} & set(said) and not is_part():
            words = [f"experiment={SMALL}"] if few and owner == SMALL_BACKBONE else model_words(owner)
            report.notes.append(f"{error.problem}: the next command has {' '.join(words)}")
        else:
            _add(report, error)
    except UserError as error:
        _add(report, error)
    if not weights and not isinstance(settings.data, SyntheticData):
        report.notes.append(
            f"model.weights is not given: {backbone} is trained from scratch, which needs many thousands of images"
        )
    if few and words != [f"experiment={SMALL}"]:
        report.notes.append(
            f"usable images: {usable}, with decoder.steps={settings.steps}: experiment={SMALL} has settings "
            f"for small data sets, with the weights of {TITLES[SMALL_BACKBONE]}"
        )
    return words


def _add(report: Report, error: UserError) -> None:
    error = advised(error)
    report.add(error.problem, error.where, error.remedy or "check model.weights and model.backbone")


def print_report(report: Report) -> None:
    """Print the tags as they were parsed, the classes, and the problems."""
    console = plain_console()
    if report.format:
        console.print(f"format: {report.format}", highlight=False, soft_wrap=True)
    if report.rows:
        table = Table("file", "tags as read", title=f"first rows: {len(report.rows)}")
        for one in report.rows:
            table.add_row(one.file, ", ".join(one.tags) or "(none)")
        show(table)
    if report.by_class:
        columns = list(dict.fromkeys(key for row in report.by_class.values() for key in row))
        table = Table("class", *columns)
        for name, row in report.by_class.items():
            table.add_row(name, *(str(row.get(key, 0)) for key in columns))
        show(table)
    for problem in report.problems:
        word, style = ("must be fixed:", "bold") if problem.fatal else ("skipped:", None)
        console.print(word, end=" ", style=style)
        console.print(problem.text, highlight=False, soft_wrap=True)
        console.print(f"  where: {problem.where}\n  next:  {problem.remedy}", highlight=False, soft_wrap=True)
    for note in report.notes:
        console.print(f"note: {note}", highlight=False, soft_wrap=True)


STAGE = Stage(
    "data", Settings, run, paths=("data.root", "data.labels", "retrieve.root", "retrieve.labels"), ranks="first"
)
