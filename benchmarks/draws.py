"""What `experiment=small` ships on tens of photographs, before and after adaptation, over several draws of them.

python -m benchmarks.draws --images DIR --tags TABLE --masks DIR --names background,... --classes cat,dog,horse \\
    --videos DIR --weights FILE --out DIR

A draw takes `--photos` photographs of each class without true masks to train on, and as many others with true masks to
judge by, each with one of the classes among its tags. `--videos` has a folder per class. The others are predicted with
their tags given, by the model before adaptation and by the adapted one, with the settings that the experiment ships.
"""

from __future__ import annotations

import argparse
import random
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.table import Table

from wsvs.core.console import show
from wsvs.core.files import read_json, write_json, write_text
from wsvs.core.tables import read_tags
from wsvs.data.images import find_image

MODELS = {"before adaptation": "decoder", "adapted": "adapt"}


class Draw(NamedTuple):
    """Ids of the photographs of each class: to train on, and to judge by."""

    train: dict[str, list[str]]
    judge: dict[str, list[str]]


def draw(tags: Mapping[str, Sequence[str]], judged: set[str], classes: Sequence[str], count: int, seed: int) -> Draw:
    """Different photographs for each seed; those that can be judged are never trained on."""
    rng = random.Random(seed)
    alone = {name: [here for here in tags[name] if here in classes] for name in sorted(tags)}
    chosen = Draw({}, {})
    for one in classes:
        names = [name for name, found in alone.items() if found == [one]]
        chosen.train[one] = rng.sample([name for name in names if name not in judged], count)
        chosen.judge[one] = rng.sample([name for name in names if name in judged], count)
    return chosen


def lay_out(part: Mapping[str, Sequence[str]], images: Path, folder: Path) -> None:
    """Copy the photographs of one part into a folder, with their table."""
    folder.mkdir(parents=True)
    lines = ["id\ttags"]
    for name, one in ((name, one) for one, names in part.items() for name in names):
        path = find_image(images, name)
        assert path is not None, f"no image {name}"
        shutil.copy(path, folder)
        lines.append(f"{name}\t{one}")
    write_text(folder.with_suffix(".tsv"), "\n".join(lines) + "\n")


def wsvs(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "wsvs", *words], check=True)


def measure(arguments: argparse.Namespace, seed: int) -> dict[str, float]:
    """{model: mIoU over background and the classes} of one draw; a draw that is there already is resumed."""
    home = arguments.out / f"draw{seed}"
    if not (home / "others.tsv").is_file():
        shutil.rmtree(home, ignore_errors=True)
        judged = {path.stem for path in arguments.masks.glob("*.png")}
        tags = read_tags(arguments.tags)
        chosen = draw(tags, judged, arguments.classes.split(","), arguments.photos, arguments.first + seed)
        lay_out(chosen.train, arguments.images, home / "photos")
        lay_out(chosen.judge, arguments.images, home / "others")
    common = ["experiment=small", f"name=draw{seed}", f"out={arguments.out / 'runs'}", f"seed={seed}"]
    wsvs(
        "stage=pipeline",
        *common,
        f"data.root={home / 'photos'}",
        f"data.labels={home / 'photos.tsv'}",
        f"retrieve.root={arguments.videos}",
        f"model.weights={arguments.weights}",
        *arguments.overrides,
    )
    ids = home / "others.txt"
    write_text(ids, "\n".join(read_tags(home / "others.tsv")) + "\n")
    found = {}
    for label, model in MODELS.items():
        masks = arguments.out / "runs" / f"draw{seed}" / "predict" / model
        own = [word for word in arguments.overrides if word.startswith("predict.")]
        wsvs(
            "stage=predict",
            *common,
            f"input={home / 'others'}",
            f"labels={home / 'others.tsv'}",
            f"predict.model={model}",
            f"hydra.run.dir={masks}",
            *own,
        )
        score = arguments.out / "runs" / f"draw{seed}" / "evaluate" / model
        wsvs(
            "stage=evaluate",
            *common,
            f"predictions={masks}",
            f"truth={arguments.masks}",
            f"evaluate.split={ids}",
            f"evaluate.names=[{arguments.names}]",
            f"evaluate.prediction_names=[background,{arguments.classes}]",
            f"evaluate.classes=[background,{arguments.classes}]",
            f"hydra.run.dir={score}",
        )
        found[label] = float(read_json(score / "metrics.json")["miou"])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.draws", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("images", "tags", "masks", "videos", "weights", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--classes", required=True, help="names of the classes, sorted, split by commas")
    parser.add_argument("--names", required=True, help="all names in the order of the true masks' labels")
    parser.add_argument("--photos", type=int, default=10, help="photographs per class (default %(default)s)")
    parser.add_argument("--draws", type=int, default=5, help="default %(default)s")
    parser.add_argument("--first", type=int, default=100, help="seed of the first draw (default %(default)s)")
    parser.add_argument("overrides", nargs="*", help="settings for the pipeline")
    arguments = parser.parse_args()
    results = [measure(arguments, seed) for seed in range(arguments.draws)]
    write_json(arguments.out / "draws.json", results)
    table = Table("mIoU", *(f"draw {seed}" for seed in range(arguments.draws)), "mean ± standard deviation")
    for label in MODELS:
        values = 100 * np.array([result[label] for result in results])
        spread = values.std(ddof=1) if len(values) > 1 else 0.0
        table.add_row(label, *(f"{value:.1f}" for value in values), f"{values.mean():.1f} ± {spread:.1f}")
    show(table)


if __name__ == "__main__":
    main()
