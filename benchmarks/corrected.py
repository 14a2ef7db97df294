"""What masks that a person has corrected bring: python -m benchmarks.corrected --masks MASKS --out DIR -- OVERRIDES

The overrides are those of a finished pipeline, name=... among them; for images of your own also input=DIR and
labels=TABLE, which `predict` reads. The pipeline's decoder is adapted with 0, 10, 50 and 100
corrected masks: true masks of training images, a larger set always with the smaller ones in it. Images of none of
these sets are predicted and scored, the same ones for every set. The mean and the standard deviation are over seeds.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from wsvs.core.files import read_json, write_json, write_text
from wsvs.core.runs import mask_ids, require_run
from wsvs.core.tables import read_ids


def chosen(masks: Path, ids: Sequence[str], most: int) -> tuple[list[str], list[str]]:
    """(images to correct, the first of them for smaller sets; images to score) of those that have a true mask."""
    known = sorted(set(mask_ids(masks)) & set(ids), key=lambda name: hashlib.sha256(name.encode()).digest())
    if len(known) <= most:
        raise SystemExit(f"only {len(known)} images of the list have a true mask in {masks}: give smaller --counts")
    return known[:most], sorted(known[most:])


def corrected_masks(folder: Path, masks: Path, names: Sequence[str]) -> Path:
    """A folder with the true masks of these images alone."""
    shutil.rmtree(folder, ignore_errors=True)
    for name in names:
        target = folder / f"{name}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(masks / f"{name}.png", target)
    return folder


def wsvs(stage: str, run_id: str, words: Sequence[str], more: Sequence[str]) -> None:
    """Run a stage in a process of its own, under this run id; its output is shown if it fails."""
    command = [sys.executable, "-m", "wsvs", f"stage={stage}", *words, *more]
    env = {**os.environ, "WSVS_RUN_ID": run_id}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 3):
        raise SystemExit(f"{' '.join(command)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")


def score(out: Path, name: str, count: int, seed: int, words: Sequence[str], folder: Path, masks: Path) -> float:
    """mIoU on the images that are no set's, after an adaptation with a number of corrected masks; stored in its run."""
    run_id, home = f"corrected-{count}-{seed}", out / name
    result = home / "evaluate" / run_id / "metrics.json"
    if not result.is_file():
        rest = folder / "scored.txt"
        own = [f"adapt.corrected={folder / str(count)}"] if count else []
        wsvs("adapt", run_id, words, [f"seed={seed}", *own])
        ids = [f"inputs.adapt={home / 'adapt' / run_id}", "predict.model=adapt", f"predict.ids={rest}"]
        wsvs("predict", run_id, words, [f"seed={seed}", "predict.overlay=false", *ids])
        scored = [f"predictions={home / 'predict' / run_id}", f"truth={masks}"]
        scored += [f"evaluate.split={rest}", "evaluate.split_name=rest"]
        wsvs("evaluate", run_id, words, scored)
    return float(read_json(result)["miou"])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.corrected", description=__doc__)
    parser.add_argument("--masks", type=Path, required=True, help="true masks <id>.png")
    parser.add_argument("--ids", type=Path, help="list of the images to choose from (default: all with a mask)")
    parser.add_argument("--out", type=Path, required=True, help="folder for the sets and the figures")
    parser.add_argument("--counts", type=int, nargs="+", default=[0, 10, 50, 100], help="default 0 10 50 100")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="default 0 1 2")
    parser.add_argument("overrides", nargs="+", metavar="OVERRIDE", help="of the finished pipeline, after --")
    arguments = parser.parse_args()
    said = dict(word.split("=", 1) for word in arguments.overrides)
    if "name" not in said:
        parser.error("name=... is not among the overrides")
    runs = Path(said.get("out", "outputs"))
    decoder = require_run(runs, said["name"], "decoder", said.get("inputs.decoder"))
    words = [*arguments.overrides, *(() if "inputs.decoder" in said else (f"inputs.decoder={decoder}",))]
    ids = read_ids(arguments.ids) if arguments.ids else list(mask_ids(arguments.masks))
    folder = arguments.out.absolute()
    corrected, rest = chosen(arguments.masks, ids, max(arguments.counts))
    write_text(folder / "scored.txt", "".join(f"{name}\n" for name in rest))
    figures: dict[str, list[float]] = {}
    table = Table("corrected masks", "mIoU, %", "sd", title=f"{len(rest)} images scored, seeds {arguments.seeds}")
    for count in arguments.counts:
        corrected_masks(folder / str(count), arguments.masks, corrected[:count])
        found = [score(runs, said["name"], count, seed, words, folder, arguments.masks) for seed in arguments.seeds]
        figures[str(count)] = found
        spread = f"{100 * statistics.stdev(found):.1f}" if len(found) > 1 else ""
        table.add_row(str(count), f"{100 * statistics.mean(found):.1f}", spread)
        write_json(folder / "corrected.json", figures)
    Console().print(table)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
