"""Are two objects of different speed both found? Recall of each, on cut-out objects before a still frame.

python -m benchmarks.speeds --real DIR

DIR holds <name>.mp4 and masks/<name>/*.png. Each video shows a frame of one of them, at rest or panned over, and two
objects cut out of others, one fast and one slow, with sensor noise. Segmented with the settings of experiment=motion.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from rich.table import Table

from benchmarks.clips import real_clip
from benchmarks.segment import experiment
from wsvs.core.console import show
from wsvs.video.frame_graph import describe_frames
from wsvs.video.reader import read_frames
from wsvs.video.segmentation import segment

FRAMES, HEIGHT, WIDTH, SIDE = 24, 225, 400, 70


class Speeds(NamedTuple):
    """Of the fast object, the slow one and the ground, px a frame; and the noise, grey levels."""

    fast: float
    slow: float
    pan: float
    noise: float


SPEEDS = (
    Speeds(6, 1, 0, 2),
    Speeds(6, 0.7, 0, 2),
    Speeds(4, 1, 1.5, 2),
    Speeds(8, 1.5, 0, 4),
    Speeds(6, 1, -1, 2),
    Speeds(3, 1, 0, 2),
)


def cut_out(file: Path) -> tuple[np.ndarray, np.ndarray]:
    """The object of a video's tenth frame, `SIDE` px long: float32 RGB and (h, w) opacity."""
    clip = real_clip(file, 10)
    frame, mask = next(read_frames(file, 9, 10)), clip.truth[-1]
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = SIDE / max(frame[box].shape)
    parts = (frame[box], mask[box].astype(np.float32))
    shrunk = [cv2.resize(part, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) for part in parts]
    return shrunk[0].astype(np.float32), shrunk[1]


def scene(files: list[Path], speeds: Speeds, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(T, H, W, 3) uint8 and (T, 2, H, W) bool of the fast and of the slow object."""
    still, fast, slow = rng.choice(np.array(files, object), 3, replace=False)
    ground = cv2.resize(next(read_frames(still)), (WIDTH + 80, HEIGHT + 45), interpolation=cv2.INTER_AREA)
    objects = [cut_out(fast), cut_out(slow)]
    frames, truth = [], []
    for t in range(FRAMES):
        shift = np.array([[1, 0, -40 - speeds.pan * t], [0, 1, -20]], np.float64)
        frame = cv2.warpAffine(ground, shift, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT_101).astype(np.float64)
        masks = []
        for (colours, opacity), x, y in zip(
            objects, (40 + speeds.fast * t, 300 - speeds.slow * t), (30, 130), strict=True
        ):
            at = np.array([[1, 0, x], [0, 1, y]], np.float64)
            alpha = cv2.warpAffine(opacity, at, (WIDTH, HEIGHT))
            frame += (cv2.warpAffine(colours, at, (WIDTH, HEIGHT)) - frame) * alpha[..., None]
            masks.append(alpha > 0.5)
        frames.append(np.clip(frame + rng.normal(0, speeds.noise, frame.shape), 0, 255).astype(np.uint8))
        truth.append(masks)
    return np.stack(frames), np.array(truth)


def measured(number: int, files: list[Path]) -> tuple[Speeds, list[float]]:
    """Recall of the fast and of the slow object, and what is wrongly found, as a share of both objects."""
    cv2.setNumThreads(1)
    speeds = SPEEDS[number % len(SPEEDS)]
    frames, truth = scene(files, speeds, np.random.default_rng(number))
    settings = experiment("motion")
    found = segment(describe_frames(frames, settings), None, settings).masks()
    recall = [(found & truth[:, which]).sum() / truth[:, which].sum() for which in (0, 1)]
    return speeds, [*recall, (found & ~truth.any(1)).sum() / truth.any(1).sum()]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speeds", description=__doc__)
    parser.add_argument("--real", type=Path, required=True, help="folder of videos with masks")
    parser.add_argument("--videos", type=int, default=24, help="default %(default)s")
    parser.add_argument("--processes", type=int, default=2, help="default %(default)s")
    arguments = parser.parse_args()
    files = sorted(arguments.real.glob("*.mp4"))
    if len(files) < 3:
        parser.error(f"at least three *.mp4 are needed in {arguments.real}")
    with ProcessPoolExecutor(arguments.processes) as pool:
        rows = list(pool.map(partial(measured, files=files), range(arguments.videos)))
    table = Table("fast, slow, pan (px a frame), noise", "videos", "recall, fast", "recall, slow", "false")
    for speeds in SPEEDS:
        here = np.array([row for one, row in rows if one == speeds])
        if len(here):
            name = ", ".join(f"{value:g}" for value in speeds)
            table.add_row(name, str(len(here)), *(f"{value:.2f}" for value in here.mean(0)))
    table.add_row("all", str(len(rows)), *(f"{value:.3f}" for value in np.mean([row for _, row in rows], axis=0)))
    show(table)


if __name__ == "__main__":
    main()
