"""What each term and each improvement of the video segmentation is worth, on videos with masks.

python -m benchmarks.ablation --real DIR [--checkpoint FILE --classes person,dog,...]

DIR holds <name>.mp4, masks/<name>/*.png and, for the attention of a checkpoint, index.tsv (sequence, pascal_labels).
Columns: mean J over frames and videos without attention; with attention over the videos whose classes are all among
`--classes`, and beside it without attention on the same videos; CPU ms per frame without attention.

Then what each change of the strongest settings is worth on each of `--folds` parts of the videos, and a
cross-validation: the change that is best on the other parts, judged on each part in turn.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.folds import Scores, cross_validate, gains
from benchmarks.segment import experiment
from wsvs.core.tables import read_tags
from wsvs.metrics.video import jaccard
from wsvs.video import contrast
from wsvs.video.frame_graph import describe_frames
from wsvs.video.reader import read_frames
from wsvs.video.segmentation import SegmentSettings, segment


@dataclass(frozen=True)
class Row:
    """A line of the table: changes to the settings of the paper or of the strongest experiment."""

    name: str
    change: dict[str, Any]
    strongest: bool = True
    contrast: Mapping[str, Any] = field(default_factory=dict)  # names in the module of this term: what replaces them


def unchanged(values: np.ndarray, *_: Any) -> np.ndarray:
    """In place of a function that is left out."""
    return values


STRONGEST = "strongest"
ROWS = (
    Row("paper: inside-outside maps", {}, strongest=False),
    Row("+ adaptive gain", {"gain": "adaptive"}, strongest=False),
    Row("+ contrast instead", {"motion": "contrast"}, strongest=False),
    Row(STRONGEST, {}),
    Row("- colour contrast", {"saliency": 0.0}),
    Row("- motion carried over", {}, contrast={"carried": unchanged}),
    Row("- consensus", {}, contrast={"consensus": unchanged}),
    Row("- colour models (C)", {"lambda_c": 0.0}),
    Row("- re-estimated colours", {"reestimate": 0}),
    Row("- spatial smoothness", {"alpha_s": 0.0}),
    Row("- temporal smoothness", {"alpha_t": 0.0}),
    Row("- weak smoothness: 500, 400", {"alpha_s": 500.0, "alpha_t": 400.0}),
    Row("- refined borders", {"refine": "none"}),
    Row("colour contrast 0.2", {"saliency": 0.2}),
    Row("colour contrast 0.8", {"saliency": 0.8}),
    Row("colour models 0.5", {"lambda_c": 0.5}),
    Row("colour models 2", {"lambda_c": 2.0}),
    Row("re-estimated three times", {"reestimate": 3}),
    Row("spatial smoothness 160", {"alpha_s": 160.0}),
    Row("temporal smoothness 128", {"alpha_t": 128.0}),
    Row("threshold at 0.5", {}, contrast={"_LEVEL": 0.5}),
    Row("threshold at 0.8", {}, contrast={"_LEVEL": 0.8}),
    Row("slope 3", {}, contrast={"_SLOPE": 3}),
)


@contextmanager
def variant(row: Row) -> Iterator[None]:
    """Leave a function of the contrast term out, or change its constants."""
    with mock.patch.multiple(contrast, **row.contrast) if row.contrast else nullcontext():
        yield


def settings_of(row: Row, full: bool) -> SegmentSettings:
    """Settings of a row, without or with attention."""
    if row.strongest:
        base = experiment("full" if full else "motion")
    else:
        base = SegmentSettings() if full else SegmentSettings(lambda_a=0.0)
    return base.replaced(**row.change)


def measure(name: str, real: Path, attention: np.ndarray | None) -> dict[tuple[str, bool], tuple[float, float]]:
    """(row, with attention) -> mean J over the frames of one video, and CPU ms per frame."""
    cv2.setNumThreads(1)
    frames = np.stack(list(read_frames(real / f"{name}.mp4", longest_edge=400)))
    truth = np.stack([cv2.imread(str(p), cv2.IMREAD_GRAYSCALE) > 0 for p in sorted((real / "masks" / name).iterdir())])
    found = {}
    graphs: dict[tuple[str, str], tuple[Any, ...]] = {}
    for row in ROWS:
        for full in (False, True) if attention is not None else (False,):
            settings = settings_of(row, full)
            key = (settings.flow, settings.motion + settings.gain)
            if key not in graphs:
                begun = time.process_time()
                graph = describe_frames(frames, settings)
                graphs[key] = graph, time.process_time() - begun
            graph, described = graphs[key]
            begun = time.process_time()
            with variant(row):
                result = segment(graph, attention if full else None, settings)
            masks = result.masks(truth.shape[1:], frames if settings.refine == "guided" else None)
            spent = described + time.process_time() - begun
            j = float(np.mean([jaccard(mask, true) for mask, true in zip(masks, truth, strict=True)]))
            found[row.name, full] = j, 1e3 * spent / len(frames)
    return found


def measured(name: str, real: Path, checkpoint: Path | None, classes: dict[str, list[str]]) -> tuple[Any, ...]:
    """`measure` of one video, with the attention of its classes if it has any."""
    attention = None
    if checkpoint is not None and classes.get(name):
        import torch

        from wsvs.lit.segmenter import SegmenterModule
        from wsvs.nets.model import load_net

        torch.set_num_threads(1)
        module = SegmenterModule(load_net(checkpoint).eval(), SegmentSettings())
        frames = np.stack(list(read_frames(real / f"{name}.mp4", longest_edge=400)))
        with torch.inference_mode():
            attention = module.attention(frames, classes[name])
    return name, measure(name, real, attention)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ablation", description=__doc__)
    parser.add_argument("--real", type=Path, required=True, help="folder of videos with masks")
    parser.add_argument("--checkpoint", type=Path, help="encoder for the attention")
    parser.add_argument("--classes", default="", help="classes that the encoder knows, separated by commas")
    parser.add_argument("--processes", type=int, default=2, help="default %(default)s")
    parser.add_argument("--folds", type=int, default=3, help="of the cross-validation, default %(default)s")
    arguments = parser.parse_args()
    names = sorted(path.stem for path in arguments.real.glob("*.mp4"))
    if not names:
        parser.error(f"no *.mp4 in {arguments.real}")
    known = set(filter(None, arguments.classes.split(",")))
    tags = read_tags(arguments.real / "index.tsv") if known else {}
    classes = {name: list(found) for name, found in tags.items() if found and set(found) <= known}
    work = partial(measured, real=arguments.real, checkpoint=arguments.checkpoint, classes=classes)
    with ProcessPoolExecutor(arguments.processes) as pool:
        results: dict[str, Any] = dict(pool.map(work, names))

    def mean(row: Row, full: bool, of: list[str], what: int = 0) -> str:
        values = [results[name][row.name, full][what] for name in of if (row.name, full) in results[name]]
        return f"{np.mean(values):.3f}" if what == 0 and values else f"{np.mean(values):.0f}" if values else "-"

    table = Table("", f"J, {len(names)} videos", f"with attention, {len(classes)}", "the same without", "ms/frame")
    some = sorted(classes)
    for row in ROWS:
        table.add_row(
            row.name, mean(row, False, names), mean(row, True, some), mean(row, False, some), mean(row, False, names, 1)
        )
    console = Console(width=110)
    console.print(table)
    each = Table("video", "motion", "full", title="strongest settings")
    for name in names:
        one = results[name]
        with_attention = one.get((STRONGEST, True))
        each.add_row(name, f"{one[STRONGEST, False][0]:.3f}", f"{with_attention[0]:.3f}" if with_attention else "-")
    console.print(each)
    for title, full, chosen in (("motion", False, names), ("with attention", True, some)):
        if len(chosen) >= 2 * arguments.folds:
            rows = (row for row in ROWS if row.strongest)
            scores = {row.name: {name: results[name][row.name, full][0] for name in chosen} for row in rows}
            console.print(over_folds(title, scores, arguments.folds))


def over_folds(title: str, scores: Scores, count: int) -> Table:
    """Mean and spread over folds of what each change brings; in the caption, the cross-validation."""
    table = Table("", "change of J", "sd over folds", *(f"fold {k}" for k in range(count)), title=title)
    for name, change in gains(scores, STRONGEST, count).items():
        if name != STRONGEST:
            folds = (f"{one:+.3f}" for one in change)
            table.add_row(name, f"{change.mean():+.3f}", f"{change.std(ddof=1):.3f}", *folds)
    held_out = cross_validate(scores, count)
    judged, fitted = np.mean([fold.score for fold in held_out]), np.mean(list(scores[STRONGEST].values()))
    table.caption = (
        f"J of the change chosen on the other folds: {judged:.3f} ({', '.join(fold.chosen for fold in held_out)}); "
        f"of the strongest settings: {fitted:.3f}"
    )
    return table


if __name__ == "__main__":
    main()
