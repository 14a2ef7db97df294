"""Time video segmentation step by step, and beside it, in the same run, optical flow alone.

A machine's speed varies with what else it does; the ratio to the flow of the same run does not, so compare ratios.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from wsvs.core.files import write_json
from wsvs.video.segmentation import Segmentation, SegmentSettings, describe_frames, segment

T = TypeVar("T")

STEP, UNIT = "segment.step.", "_wall_ms_per_frame_400"


def moving_ellipse(frames: int, height: int, width: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A textured ellipse that crosses a textured background, which itself pans; with a little sensor noise.

    Returns:
        (T, H, W, 3) uint8 RGB and (T, H, W) bool, the ellipse.
    """
    rng = np.random.default_rng(seed)
    ground = _texture(rng, height + frames, width + frames, (90, 120, 70))
    skin = _texture(rng, height, width, (170, 90, 60))
    y, x = np.mgrid[:height, :width]
    clip, masks = [], []
    for t in range(frames):
        centre = (0.5 + 0.1 * np.sin(t / 8)) * height, (0.25 + 0.5 * t / max(frames - 1, 1)) * width
        mask = ((y - centre[0]) / (0.27 * height)) ** 2 + ((x - centre[1]) / (0.17 * width)) ** 2 <= 1
        shift = (round(centre[0]), round(centre[1]))
        frame = np.where(mask[..., None], np.roll(skin, shift, (0, 1)), ground[t : t + height, t : t + width])
        clip.append(np.clip(frame + rng.normal(0, 3, frame.shape), 0, 255).astype(np.uint8))
        masks.append(mask)
    return np.stack(clip), np.stack(masks)


def _texture(rng: np.random.Generator, height: int, width: int, colour: tuple[int, int, int]) -> np.ndarray:
    """(H, W, 3) float: noise of three grain sizes around a colour."""
    texture = np.empty((height, width, 3)) + colour
    for sigma, contrast in ((2, 18), (8, 25), (30, 25)):
        grain = cv2.GaussianBlur(rng.normal(size=(height, width, 3)), (0, 0), sigma)
        texture += contrast * grain / grain.std()
    return texture


def timed(work: Callable[[], T]) -> tuple[T, float, float]:
    """Result, CPU seconds and wall seconds. CPU time does not count what other programs use: compare that."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return result, time.process_time() - cpu, time.perf_counter() - wall


def flow_alone(clip: np.ndarray) -> None:
    """DIS at its medium preset, forward, on every pair of frames: the floor of any method that needs flow."""
    flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    greys = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in clip]
    for previous, following in itertools.pairwise(greys):
        flow.calc(previous, following, None)


def bench_segment(frames: int, repeats: int) -> tuple[dict[str, float], Segmentation, float]:
    """Figures in ms per frame at 400x225, by name; the last segmentation; and its IoU with the true ellipse."""
    clip, truth = moving_ellipse(frames, 225, 400)
    attention = np.stack([cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 12) for mask in truth])
    settings = SegmentSettings()

    def whole() -> Segmentation:
        return segment(describe_frames(clip, settings), attention, settings)

    whole()  # the first call loads libraries
    totals, walls, floors, steps = [], [], [], []
    for _ in range(repeats):
        floors.append(timed(lambda: flow_alone(clip))[1] / (frames - 1))
        found, cpu, wall = timed(whole)
        totals.append(cpu / frames)
        walls.append(wall / frames)
        steps.append(found.seconds)
    masks = found.masks()
    figures = {
        "segment.ms_per_frame_400": 1e3 * statistics.median(totals),
        "segment.flow_ratio_400": statistics.median(
            total / floor for total, floor in zip(totals, floors, strict=True)
        ),
        "segment.wall_ms_per_frame_400": 1e3 * statistics.median(walls),
        "flow.dis_medium_ms_per_frame_400": 1e3 * statistics.median(floors),
    }
    for name in found.seconds:
        figures[f"{STEP}{name}{UNIT}"] = 1e3 * statistics.median(step[name] for step in steps) / frames
    return figures, found, float((masks & truth).sum() / (masks | truth).sum())


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--frames", type=int, default=40, help="length of the synthetic clip (default %(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="the median of so many runs (default %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("bench.json"), help="default %(default)s")
    arguments = parser.parse_args()
    if arguments.frames < 2 or arguments.repeats < 1:
        parser.error("--frames must be at least 2 and --repeats at least 1")
    cv2.setNumThreads(1)
    figures, found, iou = bench_segment(arguments.frames, arguments.repeats)
    table = Table("step", "wall", "CPU", title=f"ms per frame of 400x225, {arguments.frames} frames, one thread")
    for name, value in figures.items():
        if name.startswith(STEP):
            table.add_row(name.removeprefix(STEP).removesuffix(UNIT), f"{value:.2f}", "")
    table.add_section()
    whole = [f"{figures[f'segment.{kind}ms_per_frame_400']:.2f}" for kind in ("wall_", "")]
    table.add_row("segment, all steps", *whole)
    table.add_row("flow alone", "", f"{figures['flow.dis_medium_ms_per_frame_400']:.2f}")
    table.add_row("ratio of the two", "", f"{figures['segment.flow_ratio_400']:.2f}")
    console = Console()
    console.print(table)
    console.print(f"{found.graph.nodes / arguments.frames:.0f} superpixels per frame, IoU with the truth {iou:.3f}")
    write_json(arguments.out, {name: round(value, 3) for name, value in figures.items()})
    console.print(f"wrote {arguments.out}")


if __name__ == "__main__":
    main()
