"""Cuts found in videos that are joined from real shots: precision, recall and F1, ours beside PySceneDetect's.

Every second sequence is for choosing thresholds, the others are for the figures. Each video is joined from random
pieces of sequences of one half, by hard cuts, dissolves or fades, disturbed or not, and coded as H.264. PySceneDetect
is measured where it is installed (pip install --no-deps scenedetect: it would bring a second OpenCV).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
from rich.table import Table

from benchmarks.clips import write_video
from benchmarks.options import Options
from wsvs.core.console import show
from wsvs.video.cuts import EDGE, find_cuts
from wsvs.video.reader import read_frames

SIZE = (256, 144)
SHOTS = 8  # of a video
STYLES = {  # videos of each
    "hard": 4,
    "short": 4,
    "fast": 4,
    "noise": 4,
    "flash": 4,
    "odd": 4,
    "fade": 4,
    "dissolve": 4,
    "none": 10,
}
SEED = 0
CONTENT, ADAPTIVE, HISTOGRAM = 40.0, (3.0, 15.0), 0.2  # best on the other half, of 3, 4 and 2 choices
Detector = Callable[[np.ndarray], Sequence[int]]


@dataclass(frozen=True)
class Joined:
    """Frames (T, h, w, 3) uint8, and the transitions: a cut is right from the first to the last frame of one."""

    style: str
    frames: np.ndarray
    transitions: list[tuple[int, int]]


def join_shots(style: str, sequences: Sequence[np.ndarray], rng: np.random.Generator) -> Joined:
    """Random shots of different sequences one after the other; "none" is a single one, disturbed in every way."""
    count = 1 if style == "none" else SHOTS
    video: list[np.ndarray] = []
    transitions: list[tuple[int, int]] = []
    for which in rng.choice(len(sequences), count, replace=count > len(sequences)):
        shot = _shot(style, sequences[which], rng)
        begin = len(video)
        if style == "dissolve" and video:
            span = min(int(rng.integers(6, 25)), len(shot) // 2)
            for k, share in enumerate((np.arange(span) + 1) / (span + 1)):
                video[begin - span + k] = (1 - share) * video[begin - span + k] + share * shot[k]
            transitions.append((begin - span, begin))
            shot = shot[span:]
        elif style == "fade" and video:
            out, plain, into = int(rng.integers(4, 13)), int(rng.integers(0, 11)), int(rng.integers(4, 13))
            level = float(rng.choice([0, 0, 0, 255]))
            for k in range(out):
                share = (k + 1) / (out + 1)
                video[begin - out + k] = (1 - share) * video[begin - out + k] + share * level
            video += [np.full_like(shot[0], level)] * plain
            for k in range(into):
                share = (k + 1) / (into + 1)
                shot[k] = share * shot[k] + (1 - share) * level
            transitions.append((begin - out // 2, begin + plain + into // 2))
        elif video:
            transitions.append((begin, begin))
        video += list(shot)
    return Joined(style, np.stack([np.clip(frame, 0, 255).astype(np.uint8) for frame in video]), transitions)


def _shot(style: str, source: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A piece of a sequence, (T, h, w, 3) float32, mirrored or not, in its style's disturbance."""
    step = {"fast": int(rng.integers(3, 5)), "none": int(rng.integers(1, 5))}.get(style, 1)
    source = source[::step]
    low, high = {"short": (6, 11), "fade": (30, 60), "dissolve": (30, 60)}.get(style, (8, 60))
    length = min(int(rng.integers(low, high)), len(source))
    first = int(rng.integers(0, len(source) - length + 1))
    shot = source[first : first + length].astype(np.float32)
    if rng.random() < 0.5:
        shot = shot[:, :, ::-1].copy()
    if style in ("noise", "none"):
        shot += rng.normal(0, rng.uniform(5, 20), shot.shape).astype(np.float32)
    kinds = {"flash": ["flash"], "odd": ["black", "damage"], "none": ["flash", "black", "damage"]}.get(style)
    if kinds and length >= 8:
        for at in range(2, length - 6, int(rng.integers(10, 25))):
            kind = str(rng.choice(kinds))
            for t in range(at, at + int(rng.integers(1, 4))):
                shot[t] = disturbed(shot[t], kind, rng)
    return shot


def disturbed(frame: np.ndarray, kind: str, rng: np.random.Generator) -> np.ndarray:
    """A flash, a black frame, or one with blocks in the wrong place and of the wrong colour."""
    if kind == "flash":
        return frame * rng.uniform(1.5, 3) + rng.uniform(20, 120)
    if kind == "black":
        return np.zeros_like(frame)
    frame = frame.copy()
    for _ in range(int(rng.integers(15, 60))):
        h, w = 16 * rng.integers(1, 4), 16 * rng.integers(1, 8)
        y, x = rng.integers(0, frame.shape[0] - h + 1), rng.integers(0, frame.shape[1] - w + 1)
        v, u = rng.integers(0, frame.shape[0] - h + 1), rng.integers(0, frame.shape[1] - w + 1)
        frame[y : y + h, x : x + w] = frame[v : v + h, u : u + w] if rng.random() < 0.5 else rng.integers(0, 255, 3)
    return frame


def match(cuts: Sequence[int], transitions: Sequence[tuple[int, int]]) -> tuple[int, int, int]:
    """(right, wrong, missed): a transition is found by one cut in it, or one frame beside it; other cuts are wrong."""
    right = sum(any(first - 1 <= cut <= last + 1 for cut in cuts) for first, last in transitions)
    return right, len(cuts) - right, len(transitions) - right


def videos(sequences: Sequence[np.ndarray], place: Path) -> Iterator[Joined]:
    """All videos of a half, as a decoder gives them."""
    rng = np.random.default_rng(SEED)
    for style, count in STYLES.items():
        for _ in range(count):
            video = join_shots(style, sequences, rng)
            write_video(place / "video.mp4", video.frames)
            yield Joined(style, np.stack(list(read_frames(place / "video.mp4"))), video.transitions)


def ours(frames: np.ndarray) -> Sequence[int]:
    height = round(EDGE * frames.shape[1] / frames.shape[2])
    return find_cuts(cv2.resize(frame, (EDGE, height), interpolation=cv2.INTER_AREA) for frame in frames).cuts


def detectors() -> dict[str, Detector]:
    """PySceneDetect's are those with the best F1 on the half for choosing, of a few thresholds each."""
    found: dict[str, Detector] = {"ours": ours}
    if find_spec("scenedetect") is None:
        return found
    from scenedetect import FrameTimecode  # type: ignore[import-not-found]
    from scenedetect import detectors as theirs

    def run(make: Callable[[], object]) -> Detector:
        def detect(frames: np.ndarray) -> Sequence[int]:
            detector = make()
            cuts = []
            for number, frame in enumerate(frames):
                shown = np.ascontiguousarray(frame[..., ::-1])
                cuts += detector.process_frame(FrameTimecode(number, 25.0), shown)  # type: ignore[attr-defined]
            cuts += detector.post_process(FrameTimecode(len(frames), 25.0))  # type: ignore[attr-defined]
            return sorted({cut.frame_num for cut in cuts})

        return detect

    return found | {
        "ContentDetector": run(lambda: theirs.ContentDetector(threshold=CONTENT, min_scene_len=1)),
        "AdaptiveDetector": run(lambda: theirs.AdaptiveDetector(ADAPTIVE[0], 2, min_content_val=ADAPTIVE[1])),
        "HistogramDetector": run(lambda: theirs.HistogramDetector(HISTOGRAM, min_scene_len=1)),
    }


def bench(options: Options) -> dict[str, float]:
    """cuts.<precision, recall, f1 or ms>_<detector> on the half for the figures, and false cuts on all sequences."""
    if options.real is None:
        print("cuts: skipped, for they are looked for in real videos (--real DIR)")
        return {}
    files = sorted(options.real.glob("*.mp4"))
    if len(files) < 4:
        print(f"cuts: skipped, for it joins shots of at least 4 videos, and there are {len(files)}")
        return {}
    sequences = [
        np.stack([cv2.resize(frame, SIZE, interpolation=cv2.INTER_AREA) for frame in read_frames(file)])
        for file in files
    ]
    figures: dict[str, float] = {}
    table = Table("", *STYLES, "precision", "recall", "F1", "ms/frame", "false on whole sequences")
    with TemporaryDirectory() as place:
        joined = list(videos(sequences[1::2], Path(place)))
    for name, detect in detectors().items():
        by_style = {style: np.zeros(3, int) for style in STYLES}
        begun = time.process_time()
        for video in joined:
            by_style[video.style] += match(detect(video.frames), video.transitions)
        spent = 1e3 * (time.process_time() - begun) / sum(len(video.frames) for video in joined)
        right, wrong, missed = np.sum(list(by_style.values()), axis=0).tolist()
        values = {
            "precision": right / max(1, right + wrong),
            "recall": right / max(1, right + missed),
            "f1": 2 * right / max(1, 2 * right + wrong + missed),
            "ms": spent,
            "false": float(sum(len(detect(frames)) for frames in sequences)),
        }
        cells = [f"{one[0]}/{one[1]}/{one[2]}" for one in by_style.values()]
        table.add_row(name, *cells, *(f"{value:.3f}" for value in values.values()))
        figures |= {f"cuts.{key}_{name}": value for key, value in values.items()}
    table.title = f"Cuts right/wrong/missed in {len(joined)} videos of {len(sequences[1::2])} sequences, seed {SEED}"
    show(table)
    return figures
