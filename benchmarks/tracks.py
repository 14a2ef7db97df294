"""What each step of the method gives on tagged images with true masks, of several models and seeds, in one table.

python -m benchmarks.tracks score --images DIR --tags TABLE --masks DIR --ids FILE --classes background,cat,... \\
    --out seed0.json NAME=CHECKPOINT ...
python -m benchmarks.tracks table seed0.json seed1.json seed2.json

`score` looks at every image once: the checkpoints of one call share their encoder. Rows are the attention of the first
checkpoint, and each decoder alone and averaged with the attention, with tags given, predicted (score above 0.6), and
predicted with the encoder's own thresholds. Columns: mIoU at the fixed threshold 0.5, at each image's own by Otsu
(label-free), with a graph cut behind it, and at the best of 19, which is chosen with the true masks: an upper bound,
not a result.
`table` gives mean and standard deviation over seeds.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from rich.progress import track
from rich.table import Table

from wsvs.config.stages import Method
from wsvs.core.classes import IGNORE
from wsvs.core.console import show
from wsvs.core.files import read_json, write_json
from wsvs.core.masks import read_mask
from wsvs.core.otsu import otsu
from wsvs.core.tables import read_ids, read_tags
from wsvs.data.images import find_image, read_image
from wsvs.data.loading import scaled
from wsvs.data.tagged import to_tensor
from wsvs.metrics.segmentation import ConfusionMatrix
from wsvs.nets.attention import resize
from wsvs.nets.model import SegmentationNet, load_net
from wsvs.video.still import cut_image

BINS = 20
FIXED = 0.5


class Scan:
    """Confusion matrices of one row: at 19 thresholds, and at each image's own."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self.counts = np.zeros((len(names), len(names), BINS), np.int64)
        self.own = ConfusionMatrix(names)
        self.cut = ConfusionMatrix(names)

    def add(self, labels: np.ndarray, best: np.ndarray, own: float, truth: np.ndarray) -> None:
        """(H, W) likeliest label and its probability, the image's own threshold, true labels."""
        self.own.add(np.where(best > own, labels, np.uint8(0)), truth)
        known = truth != IGNORE
        level = np.clip(np.ceil(best[known] * BINS).astype(np.int64) - 1, 0, BINS - 1)  # best > k / BINS <=> level >= k
        index = (truth[known].astype(np.int64) * len(self.names) + labels[known]) * BINS + level
        self.counts += np.bincount(index, minlength=self.counts.size).reshape(self.counts.shape)

    def at(self, k: int) -> ConfusionMatrix:
        """The matrix at the threshold k / BINS."""
        matrix = ConfusionMatrix(self.names)
        matrix.counts = self.counts[:, :, k:].sum(2)
        matrix.counts[:, 0] += self.counts[:, :, :k].sum((1, 2))
        return matrix

    def results(self, named: Sequence[str]) -> dict[str, float]:
        scores = {k / BINS: self.at(k).miou(named) for k in range(1, BINS)}
        best = max(scores, key=lambda threshold: scores[threshold])
        found = {"fixed": scores[FIXED], "own": self.own.miou(named), "best": scores[best], "threshold": best}
        return found | ({"cut": self.cut.miou(named)} if self.cut.counts.any() else {})


def score(arguments: argparse.Namespace) -> None:
    nets = {name: load_net(path) for name, path in (pair.split("=", 1) for pair in arguments.checkpoints)}
    first = next(iter(nets.values()))
    names = ("background", *first.classes)
    tags = read_tags(arguments.tags)
    ids = read_ids(arguments.ids)[: arguments.limit]
    sides = (False, True) if arguments.flip else (False,)
    views = [(float(zoom), mirrored) for zoom in arguments.zooms.split(",") for mirrored in sides]
    scans: dict[str, Scan] = {}
    for image_id in track(ids, "images"):
        path = find_image(arguments.images, image_id)
        assert path is not None, f"no image {image_id}"
        image = read_image(path)
        truth = read_mask(arguments.masks / f"{image_id}.png")
        with torch.inference_mode():
            given = [first.classes.index(tag) for tag in tags[image_id]]
            rows = look(nets, to_tensor(image), given, views)
        for key, (numbers, maps) in rows.items():
            scan = scans.setdefault(key, Scan(names))
            if not numbers:  # no class is there: background everywhere
                numbers, maps = [0], torch.zeros(1, 1, 1)
            labels = np.array([number + 1 for number in numbers], np.uint8)
            own = otsu(maps.amax(0).numpy(), limits=(0, 1), flat=0.5)
            full = np.stack([cv2.resize(one, truth.shape[::-1]) for one in maps.numpy()])
            scan.add(labels[full.argmax(0)], full.max(0), own, truth)
            if key.split(" | ")[1] in arguments.cut:
                scan.cut.add(cut_image(image, maps.numpy(), labels.tolist(), background=own), truth)
    named = arguments.classes.split(",")
    results = {key: scan.results(named) for key, scan in scans.items()}
    write_json(arguments.out, {"images": len(ids), "averaged over": named, "rows": results})
    for key, found in results.items():
        print(f"{key:40}", "  ".join(f"{name} {100 * value:.1f}" for name, value in found.items()))


def look(
    nets: dict[str, SegmentationNet], image: torch.Tensor, given: list[int], views: Sequence[tuple[float, bool]]
) -> dict[str, tuple[list[int], torch.Tensor]]:
    """{"tags | row": (class numbers, probabilities)} of one image, averaged over (size, mirrored)."""
    first = next(iter(nets.values()))
    with_pools = max(nets.values(), key=lambda net: net.decoder is not None)
    seen = [with_pools.look([scaled(image)], zoom, mirrored) for zoom, mirrored in views]
    scores = torch.stack([view.logits for view in seen]).mean(0).sigmoid()[0]
    chosen = {"given": given, "predicted": first.classes_shown(scores, 0.6)}
    if first.config.class_thresholds:
        chosen["auto"] = first.classes_shown(scores, "auto")
    union = sorted({number for numbers in chosen.values() for number in numbers})
    size = first.network_size(*image.shape[-2:])

    def mean(net: SegmentationNet, method: Method) -> torch.Tensor:
        return torch.stack([resize(net.foreground_in(view, [union], method), size)[0] for view in seen]).mean(0)

    alpha = mean(first, "attention")
    maps = {"attention": alpha}
    for name, net in nets.items():
        if net.decoder is not None:
            maps[name] = mean(net, "decoder")
            maps[f"{name} + attention"] = (maps[name] + alpha) / 2
    return {
        f"{source} | {row}": (numbers, found[[union.index(number) for number in numbers]])
        for source, numbers in chosen.items()
        for row, found in maps.items()
    }


def table(arguments: argparse.Namespace) -> None:
    runs = [read_json(path)["rows"] for path in arguments.results]
    columns = ("tags", "what", "fixed 0.5", "label-free", "and cut", "best", "threshold")
    shown = Table(*columns, title=f"mIoU, {len(runs)} seeds")
    for key in runs[0]:
        tags, row = key.split(" | ")
        cells = []
        for column in ("fixed", "own", "cut", "best"):
            if column not in runs[0][key]:
                cells.append("")
                continue
            values = 100 * np.array([run[key][column] for run in runs])
            spread = f" ± {values.std(ddof=1):.1f}" if len(runs) > 1 else ""
            cells.append(f"{values.mean():.1f}{spread}")
        thresholds = ", ".join(f"{run[key]['threshold']:g}" for run in runs)
        shown.add_row(tags, row, *cells, thresholds)
    show(shown)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tracks", description=__doc__)
    parts = parser.add_subparsers(required=True)
    scoring = parts.add_parser("score")
    for name in ("images", "tags", "masks", "ids", "out"):
        scoring.add_argument(f"--{name}", type=Path, required=True)
    scoring.add_argument("--classes", required=True, help="names to average over, background among them")
    scoring.add_argument("--zooms", default="1", help="average over these multiples of the network's size")
    scoring.add_argument("--flip", action="store_true", help="average with the mirrored image")
    scoring.add_argument("--limit", type=int, help="largest number of images to score")
    scoring.add_argument("--cut", nargs="*", default=[], help="rows whose graph cut is scored too")
    scoring.add_argument("checkpoints", nargs="+", metavar="NAME=CHECKPOINT")
    scoring.set_defaults(run=score)
    tabling = parts.add_parser("table")
    tabling.add_argument("results", nargs="+", type=Path)
    tabling.set_defaults(run=table)
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
