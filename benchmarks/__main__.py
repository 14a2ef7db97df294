"""Time the project's heavy parts: one table per part, and all figures under fixed names in bench.json."""

from __future__ import annotations

import argparse
import importlib
import os
from importlib.util import find_spec
from pathlib import Path

import cv2
from rich.console import Console

from benchmarks.options import Options
from wsvs.core.files import write_json

NAMES = "startup segment cuts superpixels loop retrieve train predict speedup store gpu"
PARTS = tuple(part for part in NAMES.split() if find_spec(f"benchmarks.{part}"))


def parts(text: str) -> tuple[str, ...]:
    """Names separated by commas."""
    names = tuple(text.split(","))
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        raise argparse.ArgumentTypeError(f"no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    return names


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--only", type=parts, default=PARTS, metavar="PART,...", help=f"of {', '.join(PARTS)} (default all)"
    )
    parser.add_argument("--frames", type=int, default=40, help="length of the clips (default %(default)s)")
    parser.add_argument(
        "--repeats", type=int, default=3, help="number of runs whose median is reported (default %(default)s)"
    )
    parser.add_argument(
        "--real",
        type=Path,
        default=os.environ.get("WSVS_REAL_DATA"),
        help="folder of real videos, <name>.mp4 with masks/<name>/*.png (default: what WSVS_REAL_DATA says)",
    )
    parser.add_argument(
        "--tiny", action="store_true", help="part gpu in tiny sizes, on a CPU too: its figures mean nothing"
    )
    parser.add_argument("--out", type=Path, default=Path("bench.json"), help="default %(default)s")
    arguments = parser.parse_args()
    if arguments.frames < 2 or arguments.repeats < 1:
        parser.error("--frames must be at least 2 and --repeats at least 1")
    real = arguments.real
    if real is not None:
        real = next(
            (
                place
                for place in (real, real / "davis_train", real / "data" / "davis_train")
                if any(place.glob("*.mp4"))
            ),
            None,
        )
        if real is None:
            parser.error(f"no *.mp4 in {arguments.real}")
    if arguments.only == ("gpu",) and not arguments.tiny and not importlib.import_module("torch").cuda.is_available():
        parser.error("torch finds no CUDA GPU here (see nvidia-smi); --tiny tries the code of this part on the CPU")
    options = Options(arguments.frames, arguments.repeats, real, arguments.tiny)
    cv2.setNumThreads(1)
    figures: dict[str, float] = {}
    for part in arguments.only:
        figures |= importlib.import_module(f"benchmarks.{part}").bench(options)
    write_json(arguments.out, {name: round(value, 3) for name, value in figures.items()})
    Console().print(f"wrote {arguments.out}")


if __name__ == "__main__":
    main()
