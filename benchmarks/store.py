"""Masks in files and in archives: files and time per frame to write, time to read one, and to open a long journal.

Both stores get the same masks and frames in turn, as stage segment writes them, encoding included. A journal is one of
`videos=`, with a line for each of a million videos.
"""

from __future__ import annotations

import statistics
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any, cast, get_args

import numpy as np
from rich.table import Table

from benchmarks.clips import moving_ellipse
from benchmarks.options import Options
from benchmarks.segment import timed
from wsvs.core.console import show
from wsvs.data.images import read_image
from wsvs.lit.segmenter import MaskWriter, Segmented
from wsvs.records.journal import JournalLedger
from wsvs.records.masks import MaskSet, Store
from wsvs.records.shots import Piece

HEIGHT, WIDTH, CHUNK = 224, 400, 100
CHUNKS = 10
LINES = 1_000_000
LINE = '{"items": ["class/video %07d"], "records": {"class/video %07d": {"damage": "", "width": 854, "height": 480, '
LINE += '"fps": 25.0, "frames": 250, "damaged": [], "times": null, "aspect": 1.0, "broken": null, "promised": 250, '
LINE += '"notes": [], "cuts": [], "cut_seconds": [], "odd": [], "blank": []}}}\n'


def bench(options: Options) -> dict[str, float]:
    """store.<figure>; ratios are those of archives to files."""
    found: dict[str, dict[Store, list[float]]] = {}
    with TemporaryDirectory() as place:
        for turn in range(options.repeats + 1):  # the first one loads libraries
            for store in get_args(Store):
                folder = Path(place, f"{store}-{turn}")
                for name, value in measure(folder, store).items():
                    found.setdefault(name, {}).setdefault(store, []).append(value)
        lines = LINES // 100 if options.tiny else LINES
        journal = open_journal(Path(place), lines)
    table = Table("", *get_args(Store), "ratio", title=f"masks and frames, {WIDTH}x{HEIGHT}, medians")
    figures = {"store.journal_s": journal}
    for name, by_store in found.items():
        files, shards = (statistics.median(by_store[store][1:]) for store in get_args(Store))
        table.add_row(name, f"{files:.4f}", f"{shards:.4f}", f"{shards / files:.3f}")
        figures[f"store.{name.replace(', ms', '').replace(' ', '_')}_ratio"] = shards / files
        if name == "files per frame":
            figures["store.files_per_frame"] = shards
    table.add_row(f"journal of {lines:,} lines, s", "", f"{journal:.2f}", "")
    show(table)
    return figures


def measure(folder: Path, store: Store) -> dict[str, float]:
    """Of `CHUNKS` chunks that are written and then read in random order."""
    masks = MaskSet.of(folder, whole=True, store=store)
    writer = MaskWriter(masks, frames=True, overlay=False)
    clip = moving_ellipse(CHUNK, HEIGHT, WIDTH)

    def write() -> None:
        for number in range(CHUNKS):
            writer.write(chunk(number, *clip))
        writer.writer.close()

    _, _, written = timed(write)
    order = np.random.default_rng(0).permutation(CHUNK * CHUNKS)[:200]
    again = MaskSet.of(folder, whole=True)
    again.mask("video", 0).is_file()  # opens the journal
    _, _, read = timed(lambda: [read_image(again.frame("video", int(number))) for number in order])
    count = sum(path.is_file() for path in folder.rglob("*"))
    return {
        "files per frame": count / CHUNK / CHUNKS,
        "write a frame, ms": 1e3 * written / CHUNK / CHUNKS,
        "read a frame, ms": 1e3 * read / len(order),
    }


def chunk(number: int, frames: np.ndarray, masks: np.ndarray) -> Segmented:
    """What stage segment hands to its writer."""
    graph = SimpleNamespace(frames=CHUNK, paint=lambda values: np.broadcast_to(values[0], masks.shape))
    nothing = np.zeros(1)
    found = SimpleNamespace(
        masks=lambda: masks,
        graph=graph,
        attention=nothing,
        motion=nothing,
        energies={"total": 1.0},
        confidence=1.0,
        confidences=np.ones(CHUNK),
    )
    first = number * CHUNK
    piece = Piece(
        id=f"video_{first:06d}",
        name="video",
        file="video.mp4",
        start=first,
        stop=first + CHUNK,
        total=CHUNK * CHUNKS,
        height=HEIGHT,
        width=WIDTH,
        fps=25.0,
        classes=(),
        label=1,
        overlay="",
    )
    return Segmented(piece, cast(Any, found), frames, {})


def open_journal(folder: Path, lines: int) -> float:
    """Seconds until the first answer about a journal of as many items."""
    path = folder / "done" / "rank-0.jsonl"
    path.parent.mkdir()
    with path.open("w", encoding="utf-8") as stream:
        stream.writelines(LINE % (number, number) for number in range(lines))
    ledger = JournalLedger(folder)
    _, _, seconds = timed(lambda: ledger.has("never"))
    assert sum(1 for _ in ledger.items()) == lines
    return seconds
