"""Video segmentation, step by step, and beside it, in the same run, one call of optical flow.

The time of a machine varies with what else it does; the ratio to the flow of the same run varies less, so compare
ratios. All times are on one thread.
"""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import cv2
import numpy as np
from omegaconf import OmegaConf
from rich.table import Table

from benchmarks.clips import Clip, clips
from benchmarks.options import Options
from wsvs.core.console import show
from wsvs.core.masks import write_mask
from wsvs.video.segmentation import Segmentation, describe_frames, segment
from wsvs.video.settings import SegmentSettings

T = TypeVar("T")

EXPERIMENTS = Path(__file__).parents[1] / "conf" / "experiment"
SIZES = {"400": 400, "480p": 854}  # name of the figure: longest edge


@dataclass
class Timing:
    """Of all clips together: CPU ms per frame in total and of the flow, wall ms per frame of each step."""

    total: float
    flow: float
    steps: dict[str, float]
    iou: float
    nodes: float

    @property
    def ratio(self) -> float:
        return self.total / self.flow


def timed(work: Callable[[], T]) -> tuple[T, float, float]:
    """Result, CPU seconds and wall seconds. CPU time does not count what other programs use: compare that."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return result, time.process_time() - cpu, time.perf_counter() - wall


def flow_alone(greys: list[np.ndarray]) -> None:
    """DIS at its medium preset, forward, on every pair of frames: the floor of any method that needs flow."""
    flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    for previous, following in itertools.pairwise(greys):
        flow.calc(previous, following, None)


def segment_clip(
    clip: Clip, attention: np.ndarray, settings: SegmentSettings, out: Path
) -> tuple[Segmentation, dict[str, float]]:
    """From the video file to mask files of its own size; also the seconds of each step.

    Those of the first and the last are CPU time, for files may wait for the disk.
    """
    frames, decode, _ = timed(lambda: clip.frames(settings.longest_edge))
    found = segment(describe_frames(frames, settings), attention, settings)
    guides = frames if settings.refine == "guided" else None

    def write() -> None:
        for t, mask in enumerate(found.masks((clip.truth.shape[1], clip.truth.shape[2]), guides)):
            write_mask(out / f"{t:05d}.png", mask.view(np.uint8))

    return found, {"decode": decode, **found.seconds, "masks": timed(write)[1]}


def measure(videos: list[Clip], settings: SegmentSettings, repeats: int, out: Path) -> Timing:
    """The median of `repeats` runs, each of all clips, flow and segmentation in turn."""
    attentions = [video.attention(settings.longest_edge) for video in videos]
    segment_clip(videos[0], attentions[0], settings, out)  # the first call loads libraries
    frames, pairs = sum(len(video.truth) for video in videos), sum(len(video.truth) - 1 for video in videos)
    runs: list[tuple[float, float, Counter[str]]] = []
    inside = either = nodes = 0
    for _ in range(repeats):
        total = floor = 0.0
        steps: Counter[str] = Counter()
        for video, attention in zip(videos, attentions, strict=True):
            greys = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in video.frames(settings.longest_edge)]
            floor += timed(lambda greys=greys: flow_alone(greys))[1]  # type: ignore[misc]
            (found, seconds), cpu, _ = timed(
                lambda video=video, attention=attention: segment_clip(video, attention, settings, out)  # type: ignore[misc]
            )
            total += cpu
            steps.update(seconds)
            mask = found.masks((video.truth.shape[1], video.truth.shape[2]))
            inside, either = inside + (mask & video.truth).sum(), either + (mask | video.truth).sum()
            nodes += found.graph.nodes
        runs.append((1e3 * total / frames, 1e3 * floor / pairs, steps))
    runs.sort(key=lambda run: run[0] / run[1])
    middle = runs[len(runs) // 2]
    return Timing(
        middle[0],
        middle[1],
        {name: 1e3 * value / frames for name, value in middle[2].items()},
        float(inside / either),
        nodes / frames / repeats,
    )


def experiment(name: str) -> SegmentSettings:
    """The settings of an experiment file."""
    section = OmegaConf.to_container(OmegaConf.load(EXPERIMENTS / f"{name}.yaml").segment)
    assert isinstance(section, dict)
    return SegmentSettings(**{str(key): value for key, value in section.items() if key in SegmentSettings.model_fields})


def bench(options: Options) -> dict[str, float]:
    """segment.*: ms per frame and ratio to the flow, with the paper's settings at two sizes and the strongest ones."""
    figures: dict[str, float] = {}
    timings: dict[str, Timing] = {}
    paper = {size: SegmentSettings(longest_edge=edge) for size, edge in SIZES.items()}
    with TemporaryDirectory() as folder:
        place = Path(folder)
        videos = {"480p": clips(options.real, options.frames, place)}
        videos["400"] = [video.shrunk(SIZES["400"], place / "400") for video in videos["480p"]]
        for size, settings in paper.items():
            timing = timings[size] = measure(videos[size], settings, options.repeats, place)
            figures[f"segment.ms_per_frame_{size}"] = timing.total
            figures[f"segment.flow_ratio_{size}"] = timing.ratio
            figures[f"flow.dis_medium_ms_per_frame_{size}"] = timing.flow
            for step, value in timing.steps.items():
                figures[f"segment.step.{step}_ms_per_frame_{size}"] = value
        timings["480p at 400"] = measure(videos["480p"], paper["400"], options.repeats, place)
        timings["400, strongest"] = measure(videos["400"], experiment("full"), options.repeats, place)
        figures["segment.flow_ratio_480p_at_400"] = timings["480p at 400"].ratio
        figures["segment.strong_flow_ratio_400"] = timings["400, strongest"].ratio
        figures["segment.strong_ms_per_frame_400"] = timings["400, strongest"].total
    source = ", ".join(video.file.stem for video in videos["480p"])
    print_table(timings, f"Segmentation, ms per frame on one thread, of {source} ({options.frames} frames each)")
    return figures


def print_table(timings: dict[str, Timing], title: str) -> None:
    table = Table("", *timings, title=title)
    for step in dict.fromkeys(step for timing in timings.values() for step in timing.steps):
        table.add_row(step, *(f"{timing.steps.get(step, 0.0):.2f}" for timing in timings.values()))
    table.add_section()
    rows: dict[str, Callable[[Timing], str]] = {
        "all steps, CPU time": lambda timing: f"{timing.total:.2f}",
        "one DIS medium flow, CPU time": lambda timing: f"{timing.flow:.2f}",
        "ratio of the two": lambda timing: f"{timing.ratio:.2f}",
        "superpixels per frame": lambda timing: f"{timing.nodes:.0f}",
        "IoU with the truth": lambda timing: f"{timing.iou:.3f}",
    }
    for name, text in rows.items():
        table.add_row(name, *map(text, timings.values()))
    show(table)
