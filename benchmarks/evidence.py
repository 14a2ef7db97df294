"""How well `wsvs.video.evidence` tells videos in which something moves by itself from those in which nothing does.

python -m benchmarks.evidence --real DIR [--photos DIR]

DIR holds <name>.mp4 and masks/<name>/*.png: two stretches of each are positives, as are objects cut out of them that
cross the still frame of another at 0.5 to 4 px a frame, slow ones among them. Negatives are made of a still frame of
each, and of photographs: still, with noise, coded, panned, zoomed, turned, shaken, with changing light. The logistic
map is fitted on nine tenths of the sources and judged on the rest, in turn; its constants are printed, and with them
the table of what it promises and what happens.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import av
import cv2
import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.optimize import minimize

from benchmarks.clips import real_clip
from wsvs.video import evidence
from wsvs.video.frame_graph import describe_frames
from wsvs.video.reader import read_frames
from wsvs.video.settings import SegmentSettings

FRAMES, WIDTH = 8, 400
STILL = (  # kind: noise (grey levels), H.264 quality, pan (px a frame), zoom, turn, shake (px), light
    ("still", 0, 0, 0, 0, 0, 0, 0),
    ("noise 2", 2, 0, 0, 0, 0, 0, 0),
    ("noise 6", 6, 0, 0, 0, 0, 0, 0),
    ("noise 15", 15, 0, 0, 0, 0, 0, 0),
    ("coded", 0, 26, 0, 0, 0, 0, 0),
    ("coded low", 0, 36, 0, 0, 0, 0, 0),
    ("noise coded", 8, 28, 0, 0, 0, 0, 0),
    ("drift", 0, 0, 0.3, 0, 0, 0, 0),
    ("pan", 0, 0, 2, 0, 0, 0, 0),
    ("fast pan", 0, 0, 6, 0, 0, 0, 0),
    ("pan noise", 6, 0, 3, 0, 0, 0, 0),
    ("pan coded", 0, 30, 3, 0, 0, 0, 0),
    ("zoom", 0, 0, 0, 0.01, 0, 0, 0),
    ("zoom noise", 6, 0, 0, 0.01, 0, 0, 0),
    ("turn", 0, 0, 0, 0, 0.008, 0, 0),
    ("shake", 0, 0, 0, 0, 0.004, 2, 0),
    ("light", 0, 0, 0, 0, 0, 0, 0.06),
)
MOVING = (  # kind: speed of an object in px a frame, noise, H.264 quality, pan of the ground
    ("0.5 px", 0.5, 0, 0, 0),
    ("1 px", 1, 0, 0, 0),
    ("2 px", 2, 0, 0, 0),
    ("4 px", 4, 0, 0, 0),
    ("1 px noise", 1, 6, 0, 0),
    ("1 px pan", 1, 0, 0, 2),
    ("1 px coded", 1, 0, 28, 0),
    ("2 px pan coded", 2, 0, 28, 3),
)


def placed(image: np.ndarray, size: tuple[int, int], scale: float, turn: float, shift: np.ndarray) -> np.ndarray:
    """The middle of an image under a similarity, (height, width) of it."""
    cos, sin = scale * np.cos(turn), scale * np.sin(turn)
    middle = np.array(image.shape[1::-1]) / 2 + shift - np.array([[cos, -sin], [sin, cos]]) @ (np.array(size[::-1]) / 2)
    matrix = np.array([[cos, -sin, middle[0]], [sin, cos, middle[1]]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(image, matrix, size[::-1], flags=flags, borderMode=cv2.BORDER_REFLECT_101)


def finished(video: list[np.ndarray], noise: float, quality: int, rng: np.random.Generator) -> np.ndarray:
    """(T, H, W, 3) uint8 with sensor noise, through H.264 where a quality is given."""
    clip = np.stack([np.clip(np.rint(f + (rng.normal(0, noise, f.shape) if noise else 0)), 0, 255) for f in video])
    clip = clip.astype(np.uint8)
    if not quality:
        return clip
    with TemporaryDirectory() as folder:
        path = Path(folder) / "coded.mp4"
        with av.open(str(path), "w") as out:
            stream = out.add_stream("libx264", rate=25, options={"crf": str(quality), "threads": "1"})
            assert isinstance(stream, av.VideoStream)
            stream.height, stream.width, stream.pix_fmt = clip.shape[1], clip.shape[2], "yuv420p"
            for frame in clip:
                out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            out.mux(stream.encode(None))
        return np.stack(list(read_frames(path)))


def still_clip(image: np.ndarray, kind: Sequence[Any], rng: np.random.Generator, frames: int = FRAMES) -> np.ndarray:
    """A photograph as a video in which nothing moves by itself."""
    _, noise, quality, pan, zoom, turn, shake, light = kind
    size = (int(0.8 * image.shape[0]) // 2 * 2, int(0.8 * image.shape[1]) // 2 * 2)
    unit, angle = max(size) / WIDTH, rng.uniform(0, 2 * np.pi)
    way, video = np.array([np.cos(angle), np.sin(angle)]), []
    for t in np.arange(frames) - frames / 2:
        shift = unit * (pan * t * way + shake * rng.normal(size=2))
        turned = turn * (rng.normal() if shake else t)
        frame = placed(image, size, 1 - zoom * t, turned, shift).astype(np.float32)
        video.append(frame * (1 + light * rng.normal()) + 50 * light * rng.normal())
    return finished(video, noise, quality, rng)


def moving_clip(
    image: np.ndarray,
    thing: np.ndarray,
    mask: np.ndarray,
    kind: Sequence[Any],
    rng: np.random.Generator,
    frames: int = FRAMES,
) -> tuple[np.ndarray, np.ndarray]:
    """The object of another image that crosses this one: (T, H, W, 3) uint8 and its true masks (T, H, W) bool."""
    _, speed, noise, quality, pan = kind
    size = (int(0.8 * image.shape[0]) // 2 * 2, int(0.8 * image.shape[1]) // 2 * 2)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    centre = np.array([columns.mean(), rows.mean()]) - np.array(mask.shape[::-1]) / 2
    scale = np.sqrt(mask.mean() / rng.uniform(0.01, 0.06))
    unit, angles, video, truth = max(size) / WIDTH, rng.uniform(0, 2 * np.pi, 2), [], []
    at = rng.uniform(-0.15, 0.15, 2) * size[::-1]
    for t in np.arange(frames) - frames / 2:
        ground = placed(image, size, 1, 0, unit * pan * t * np.array([np.cos(angles[0]), np.sin(angles[0])]))
        shift = centre - scale * (at + unit * speed * t * np.array([np.cos(angles[1]), np.sin(angles[1])]))
        alpha = placed_alpha(mask, size, scale, shift)
        video.append(ground * (1 - alpha) + placed(thing, size, scale, 0, shift) * alpha)
        truth.append(alpha[..., 0] > 0.5)
    return finished(video, noise, quality, rng), np.stack(truth)


def placed_alpha(mask: np.ndarray, size: tuple[int, int], scale: float, shift: np.ndarray) -> np.ndarray:
    """(height, width, 1) float32: `placed` without the reflection at the borders."""
    middle = np.array(mask.shape[::-1]) / 2 + shift - scale * np.array(size[::-1]) / 2
    matrix = np.array([[scale, 0, middle[0]], [0, scale, middle[1]]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(mask.astype(np.float32), matrix, size[::-1], flags=flags)[..., None]


def measured(clip: np.ndarray) -> float:
    """The figure that the logistic maps: the quantile of the frames' evidence."""
    graph = describe_frames(clip, SegmentSettings(lambda_a=0.0))
    found = evidence.frame_evidence(graph.own, graph.sizes, graph.spatial, graph.offsets)[:-1]
    return float(np.quantile(found, evidence._MANY))


def source(number: int, files: list[Path], real: Path, seed: int) -> Iterator[tuple[str, bool, float]]:
    """(kind, does something move, figure) of all clips of one source."""
    cv2.setNumThreads(1)
    file, rng = files[number], np.random.default_rng([seed, number])
    if file.suffix == ".mp4":
        frames = list(read_frames(file))
        for first in (0, len(frames) // 2):
            yield "real", True, measured(np.stack(frames[first : first + FRAMES]))
        image = frames[len(frames) // 4]
    else:
        image = cv2.resize(cv2.imread(str(file))[..., ::-1], None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    for kind in STILL:
        yield kind[0], False, measured(still_clip(image, kind, rng))
    others = sorted(real.glob("*.mp4"))
    for moving in MOVING:
        other = others[int(rng.integers(len(others)))]
        thing = next(iter(read_frames(other, 0, 1)))
        mask = real_clip(other, 1).truth[0]
        yield moving[0], True, measured(moving_clip(image, thing, mask, moving, rng)[0])


def rows_of(number: int, files: list[Path], real: Path, seed: int) -> list[tuple[str, bool, float]]:
    return list(source(number, files, real, seed))


def fitted(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(offset, slope) of the logistic of log(x + faint); Platt's targets keep a clean split from an endless slope."""
    positive, negative = y.sum(), (~y).sum()
    target = np.where(y, (positive + 1) / (positive + 2), 1 / (negative + 2))
    weight = np.where(y, 0.5 / positive, 0.5 / negative)  # as many videos move as do not
    z = np.log(x + evidence._FAINT)

    def loss(p: np.ndarray) -> float:
        odds = p[0] + p[1] * z
        return float((weight * (np.logaddexp(0, odds) - target * odds)).sum())

    return minimize(loss, np.array([0.0, 1.0]), method="BFGS").x


def area_under_curve(scores: np.ndarray, y: np.ndarray) -> float:
    """Probability that a positive scores more than a negative; ties count half."""
    above = (scores[y][:, None] > scores[~y][None]).mean() + 0.5 * (scores[y][:, None] == scores[~y][None]).mean()
    return float(above)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.evidence", description=__doc__)
    parser.add_argument("--real", type=Path, required=True, help="folder of videos with masks")
    parser.add_argument("--photos", type=Path, help="folder of photographs, *.jpg")
    parser.add_argument("--sources", type=int, default=30, help="of each folder, at most; default %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="default %(default)s")
    parser.add_argument("--processes", type=int, default=2, help="default %(default)s")
    arguments = parser.parse_args()
    videos = sorted(arguments.real.glob("*.mp4"))
    photos = sorted(arguments.photos.glob("*.jpg")) if arguments.photos else []
    most = arguments.sources
    files = [file for all_ in (videos, photos) for file in all_[:: max(1, len(all_) // most)][:most]]
    work = partial(rows_of, files=files, real=arguments.real, seed=arguments.seed)
    with ProcessPoolExecutor(arguments.processes) as pool:
        found = [(number, *row) for number, rows in enumerate(pool.map(work, range(len(files)))) for row in rows]
    group, kinds = np.array([row[0] for row in found]), np.array([row[1] for row in found])
    y, x = np.array([row[2] for row in found]), np.array([row[3] for row in found])
    p, folds = np.empty(len(x)), np.random.default_rng(arguments.seed).permutation(len(files)) % 10
    for fold in range(10):
        held = folds[group] == fold
        offset, slope = fitted(x[~held], y[~held])
        p[held] = 1 / (1 + np.exp(-offset - slope * np.log(x[held] + evidence._FAINT)))
    offset, slope = fitted(x, y)
    console = Console(width=110)
    console.print(
        f"{len(files)} sources, {y.sum()} clips with own motion and {(~y).sum()} without; "
        f"AUC {area_under_curve(p, y):.4f}; _OFFSET, _SLOPE = {offset:.2f}, {slope:.2f}"
    )
    table = Table("confidence", "clips", "mean confidence", "with own motion", title="on sources left out of the fit")
    weight = 1 / np.where(y, y.sum(), (~y).sum())  # as in the fit
    for low, high in pairwise((0, 0.05, 0.2, 0.5, 0.8, 0.95, 1.01)):
        here = (p >= low) & (p < high)
        if here.any():
            share = (y * weight)[here].sum() / weight[here].sum()
            table.add_row(f"{low:g} to {min(high, 1):g}", str(here.sum()), f"{p[here].mean():.3f}", f"{share:.3f}")
    console.print(table)
    each = Table("clips", "number", "10 % quantile", "median", "90 % quantile", "below 0.5", title="figure, by kind")
    for kind in dict.fromkeys(kinds):
        here = kinds == kind
        quantiles = (f"{np.quantile(x[here], q):.3f}" for q in (0.1, 0.5, 0.9))
        each.add_row(kind, str(here.sum()), *quantiles, f"{(p[here] < 0.5).mean():.2f}")
    console.print(each)


if __name__ == "__main__":
    main()
