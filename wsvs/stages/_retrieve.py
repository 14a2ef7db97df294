"""What the stage retrieve is built from: sources and settings of the configuration, scores, merging, tables."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf
from rich.table import Table

from wsvs.core.classes import Classes
from wsvs.core.console import show
from wsvs.core.errors import BadItem, UserError
from wsvs.core.files import read_jsonl, write_jsonl
from wsvs.core.runs import SUMMARY
from wsvs.data.loading import scaled
from wsvs.nets.attention import resize
from wsvs.nets.model import SegmentationNet, require_finite
from wsvs.retrieve.clips import place_clip
from wsvs.retrieve.folder import FolderSource, Pack
from wsvs.retrieve.journal import JOURNAL
from wsvs.retrieve.local import LocalSource
from wsvs.retrieve.manifest import MANIFEST, Row, skip
from wsvs.retrieve.source import KINDS, SOURCES, Candidate, Source
from wsvs.retrieve.table import COLUMNS, Tally
from wsvs.stages._lightning import plain
from wsvs.video.pack import pack
from wsvs.video.reader import shrunk_size

log = logging.getLogger("wsvs")

# What a video of YouTube in 360 lines takes, about; only for the estimate of a dry run.
BYTES_PER_SECOND = 62_500.0
UNKNOWN_DURATION = 180.0  # seconds
REQUESTS_PER_VIDEO = 3
OURS = ("folder", "urls", "youtube")


class ImageScorer:
    """Scores pictures of any size by the encoder, in batches of one size.

    Args:
        net: Networks; only the encoder is used.
        device: Where it computes.
    """

    def __init__(self, net: SegmentationNet, device: str) -> None:
        self.net = net.to(device).eval()
        self.device = device

    @torch.inference_mode()
    def __call__(self, images: Sequence[np.ndarray], class_name: str) -> np.ndarray:
        """(H, W, 3) uint8 RGB images -> (N,) scores of a class in [0, 1]."""
        number = self.net.classes.index(class_name)
        by_size: dict[tuple[int, int], list[int]] = {}
        small = []
        for k, image in enumerate(images):
            width, height = shrunk_size(image.shape[1], image.shape[0], self.net.config.image_size)
            small.append(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA))
            by_size.setdefault((height, width), []).append(k)
        scores = np.zeros(len(images), np.float32)
        for size, members in by_size.items():
            x = torch.from_numpy(np.stack([small[k] for k in members])).permute(0, 3, 1, 2).to(self.device)
            logits = self.net.encoder(resize(scaled(x), self.net.network_size(*size)))
            try:
                require_finite(logits)
            except BadItem as error:  # the encoder is to blame, not the video
                raise UserError(f"{error.problem}, so no video can be judged", remedy=error.remedy) from error
            scores[members] = logits.sigmoid().float().cpu().numpy()[:, number]
        return scores


def chosen_classes(cfg: DictConfig, known: Classes) -> Classes:
    """The classes to retrieve: all, or those of retrieve.classes. Raises `UserError` for one that is none."""
    given = cfg.retrieve.classes
    names = list(known) if given is None else [given] if isinstance(given, str) else [str(name) for name in given]
    for name in names:
        known.index(name, "retrieve.classes")
    if cfg.retrieve.source == "folder" and cfg.retrieve.foreign == "assign" and len(names) < len(known):
        raise UserError(
            "videos of other classes cannot be told from those of none", where="retrieve.classes, retrieve.foreign",
            remedy="use retrieve.foreign=skip with some of the classes, or all classes",
        )
    return Classes(names)


def folder_source(cfg: DictConfig) -> FolderSource:
    if not cfg.retrieve.root:
        raise UserError("no folder of videos", where="retrieve.root", remedy="give retrieve.root=DIR")
    known = OmegaConf.select(cfg, "data.classes") or ()
    root = cfg.retrieve.root
    source = FolderSource(root if isinstance(root, str) else list(root), cfg.retrieve.labels, list(known))
    if source.not_read:
        log.info("%s", source.not_read)
    return source


def packer(cfg: DictConfig) -> Pack:
    """Makes a video file out of a folder of numbered images."""
    return partial(pack, rate=cfg.frame_rate)


def build_source(cfg: DictConfig, known: Classes, classes: Classes) -> Source:
    """The source that the configuration names; what it needs is checked first.

    Raises:
        UserError: Something that it needs is missing.
    """
    if cfg.retrieve.source == "folder":
        return LocalSource(folder_source(cfg), classes, cfg.retrieve.foreign, packer(cfg))
    if cfg.retrieve.source in SOURCES:
        return SOURCES[cfg.retrieve.source](plain(cfg.retrieve), classes.names)
    if cfg.retrieve.source not in OURS:
        raise UserError(
            f"there is no source {cfg.retrieve.source!r}", where="retrieve.source",
            remedy=f"one of {', '.join((*OURS, *SOURCES))}; one of your own needs plugins=[its module]",
        )
    from wsvs.retrieve.pace import Pace  # yt-dlp only where the web is asked
    from wsvs.retrieve.urls import UrlSource
    from wsvs.retrieve.web import Web, check_javascript
    from wsvs.retrieve.youtube import YouTubeSource

    javascript = list(cfg.retrieve.javascript)
    web = Web(
        Pace(
            pause=list(cfg.retrieve.pause), rate=cfg.retrieve.rate, backoff=cfg.retrieve.backoff,
            retries=cfg.retrieve.retries,
        ),
        timeout=cfg.retrieve.timeout, format=cfg.retrieve.format, javascript=javascript,
        options=plain(cfg.retrieve.yt_dlp),
    )
    limits = {"max_duration": cfg.retrieve.max_duration, "max_size": cfg.retrieve.max_size}
    if cfg.retrieve.source == "youtube":
        queries = plain(cfg.retrieve.queries) if cfg.retrieve.queries else {}
        for name in queries:
            known.index(name, "retrieve.queries")
        if not cfg.dry_run:
            check_javascript(javascript)
        return YouTubeSource(web, per_class=cfg.retrieve.per_class, queries=queries, **limits)
    if not cfg.retrieve.file:
        raise UserError("no list of addresses", where="retrieve.file", remedy="give retrieve.file=FILE (url, class)")
    source = UrlSource(web, file=cfg.retrieve.file, per_list=cfg.retrieve.per_list, **limits)
    for name in source.names():
        known.index(name, cfg.retrieve.file)
    if source.asks_youtube():
        check_javascript(javascript)
    return source


def retried(cfg: DictConfig, run: Path) -> list[str]:
    """Kinds of failures that retrieve.retry opens again.

    Raises:
        UserError: There is no such kind, or no earlier start of this run.
    """
    given = cfg.retrieve.retry if "retry" in cfg.retrieve else None
    if given is None:
        return []
    kinds = [given] if isinstance(given, str) else list(given)
    if kinds == ["all"]:
        kinds = list(KINDS)
    unknown = sorted(set(map(str, kinds)) - set(KINDS))
    if unknown:
        raise UserError(
            f"no kind of failure is called {', '.join(unknown)}", where="retrieve.retry",
            remedy=f"one or more of {', '.join(KINDS)}; or all",
        )
    if not (run / JOURNAL).is_file():
        raise UserError(
            "this would be a new run, and has no failures yet", where="retrieve.retry",
            remedy="type the command of the earlier run with it, or name that run: WSVS_RUN_ID=<its folder's name>",
        )
    return kinds


def tell_failures(failures: Mapping[str, int]) -> None:
    """What can be done about videos that were not had."""
    if "later" in failures:
        log.info("failed for now: videos %d; the same command tries them again", failures["later"])
    if "budget" in failures:
        log.info("left by a budget: videos %d; the same command with a larger one goes on", failures["budget"])
    if "account" in failures:
        log.info(
            "need an account: videos %d; the same command with retrieve.yt_dlp.cookies=FILE retrieve.retry=[account] "
            "tries them again", failures["account"],
        )
    if "region" in failures:
        log.info(
            "blocked in this country: videos %d; the same command with retrieve.yt_dlp.proxy=URL "
            "retrieve.retry=[region] tries them again", failures["region"],
        )
    if "unknown" in failures:
        log.info(
            "failed in an earlier version: videos %d; the same command with retrieve.retry=[unknown] tries them again",
            failures["unknown"],
        )


def estimate(cfg: DictConfig, wanted: Sequence[tuple[str, Candidate]]) -> dict[str, Any]:
    """What fetching these videos would cost: {"videos", "hours of video"}, from the web also {"GB", "hours"}."""
    videos = {candidate.video: candidate.duration for _, candidate in wanted}
    known = [duration for duration in videos.values() if duration is not None]
    usual = sum(known) / len(known) if known else UNKNOWN_DURATION
    seconds = [usual if duration is None else duration for duration in videos.values()]
    found = {"videos": len(videos), "hours of video": sum(seconds) / 3600}
    if "rate" not in cfg.retrieve:  # nothing comes from the web
        return found
    size = sum(min(BYTES_PER_SECOND * duration, cfg.retrieve.max_size) for duration in seconds)
    pauses = REQUESTS_PER_VIDEO * sum(cfg.retrieve.pause) / 2 * len(videos)
    return {**found, "GB": size / 1e9, "hours": (pauses + size / cfg.retrieve.rate) / 3600}


def print_costs(costs: dict[str, Any]) -> None:
    table = Table("", "", title="what a full run would cost, about", show_header=False)
    for name, value in costs.items():
        table.add_row(name, f"{value:.4g}")
    show(table)


def print_tally(tallies: dict[str, Tally]) -> None:
    table = Table(*COLUMNS, title="what came of the candidates")
    for name, one in tallies.items():
        if name == "all":
            table.add_section()
        table.add_row(name, *one.cells())
    show(table)


def merge(folder: Path, out: Path) -> None:
    """Make one run out of the jobs of a sweep: their clips as hard links (or copies), and one manifest.

    A video that several jobs had for the same class counts once. Memory grows with the number of videos by their ids
    alone.

    Raises:
        UserError: No sweep there, or one of its jobs has not finished.
    """
    jobs = sorted(
        (path for path in folder.glob("*/") if (path / ".hydra").is_dir() or (path / MANIFEST).exists()),
        key=lambda path: (len(path.name), path.name),
    )
    if not jobs:
        raise UserError(
            "no jobs of a sweep in this folder", where=folder, remedy="give retrieve.merge=outputs/NAME/retrieve/RUN"
        )
    for job in jobs:
        if not (job / SUMMARY).is_file():
            raise UserError(
                "this job of the sweep has not finished", where=job,
                remedy=f"run the sweep's command again with WSVS_RUN_ID={folder.resolve().name}: it goes on from there",
            )
    write_jsonl(out / MANIFEST, _merged(jobs, out))


def _merged(jobs: Iterable[Path], out: Path) -> Iterator[Row]:
    seen = set()
    had: dict[tuple[str, str], str] = {}
    for job in jobs:
        for row in read_jsonl(job / MANIFEST):
            key = row["class"], row["video"]
            if key not in seen:
                seen.add(key)
                other = had.setdefault((row["class"], row["sha256"]), row["video"]) if row["clips"] else row["video"]
                if other != row["video"]:
                    row = {**skip(row, f"the same video as {other} (by its content)"), "clips": []}
                for clip in row["clips"]:
                    place_clip(job / clip["path"], out / clip["path"])
                yield row
