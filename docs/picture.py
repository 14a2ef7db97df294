"""Draw the figure in the README from a finished pipeline: python docs/picture.py outputs/toy docs/toy.png

The video, the frame and the image shown are those of median score, not selected by hand: the video by its J among
the evaluated ones, the frame by its J among the video's, the image by its mean IoU over the classes that are in its
truth or in its mask.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf
from PIL import Image

from wsvs.core.classes import Classes
from wsvs.core.errors import UserError
from wsvs.core.files import atomic_path, read_jsonl
from wsvs.core.masks import read_mask
from wsvs.core.runs import SUMMARY, read_summary, require_run
from wsvs.core.visualize import heat, over, row, stack
from wsvs.data.images import read_image
from wsvs.data.loading import scaled
from wsvs.data.tagged import to_tensor
from wsvs.lit.segmenter import SegmenterModule
from wsvs.metrics import ConfusionMatrix
from wsvs.nets.model import SegmentationNet, load_net
from wsvs.records.predicted import Wanted
from wsvs.stages.predict import list_images
from wsvs.video.reader import read_frames
from wsvs.video.segmentation import Segmentation, describe_frames, segment
from wsvs.video.settings import SegmentSettings


def main(runs: Path, out: Path) -> None:
    adapt = require_run(runs.parent, runs.name, "adapt", None)
    decoder = Path(read_summary(adapt).inputs["decoder"])
    read = read_summary(decoder).inputs  # what taught the decoder, whatever was run since
    net = load_net(Path(read["encoder"], "checkpoints", "best.ckpt"))
    figure = stack([video_row(runs, Path(read["segment"]), net), image_row(runs, adapt, decoder, net)])
    with atomic_path(out) as temporary:
        figure.quantize(256).save(temporary, optimize=True)  # a third of the bytes
    print(f"{out}: {figure.width} x {figure.height} px, {out.stat().st_size / 1000:.0f} kB")


def video_row(runs: Path, run: Path, net: SegmentationNet) -> Image.Image:
    """One frame of a segment run: what the three terms of Eq. (4) say of it, and the mask they led to."""
    scores = latest(runs, "evaluate", lambda cfg, _: cfg.evaluate.kind == "video" and same(cfg.predictions, run))
    videos = [(float(line["j"]), line["video"]) for line in table(scores / "per_video.csv")]
    j, video = median(videos)
    frames = [(float(line["j"]), line["frame"]) for line in table(scores / "per_frame.csv") if line["video"] == video]
    shot, number = shot_of(run, video, int(median(frames)[1]))
    found, shown = terms(run, shot, net)
    t = number - shot["start"]
    mask = read_mask(run / "masks" / shot["shot"] / f"{number:06d}.png")
    agree = np.mean((mask > 0) == found.masks(mask.shape)[t])
    print(f"{shot['shot']}, frame {number}: computed again, {agree:.1%} of the pixels are as the run labelled them")
    attention, motion, colour = (
        heat(found.graph.paint(term)[t]) for term in (found.attention, found.motion, found.appearance)
    )
    return row(
        [
            (f"frame of a video tagged '{shot['class']}'", shown[t]),
            ("attention A", attention),
            ("motion M", motion),
            ("colour C", colour),
            ("mask from all terms", over(shown[t], mask)),
        ],
        title=f"Videos teach shape: the video of median score, J {j:.2f}, among {len(videos)}",
    )


def terms(run: Path, shot: dict[str, Any], net: SegmentationNet) -> tuple[Segmentation, np.ndarray]:
    """A shot segmented again as the run did it, and its frames (T, h, w, 3)."""
    cfg = config(run)
    settings = SegmentSettings.of(cfg.segment, cfg.seed)
    frames = np.stack(list(read_frames(shot["file"], shot["start"], shot["stop"], longest_edge=settings.longest_edge)))
    with torch.inference_mode():
        module = SegmenterModule(net, settings, batch_size=cfg.segment.attention_batch)
        alpha = module.attention(frames, [shot["class"]])
    return segment(describe_frames(frames, settings), alpha, settings), frames


def image_row(runs: Path, adapt: Path, decoder: Path, net: SegmentationNet) -> Image.Image:
    """One image: its attention, the masks of the two models, and the truth."""
    adapted = latest(runs, "predict", lambda _, inputs: same(inputs.get("adapt"), adapt))
    decoded = latest(runs, "predict", lambda _, inputs: same(inputs.get("decoder"), decoder))
    scores = latest(runs, "evaluate", lambda cfg, _: cfg.evaluate.kind == "image" and same(cfg.predictions, adapted))
    truth = Path(config(scores).truth)
    names = Classes(net.classes).with_background
    listed = list_images(config(adapted), Classes(net.classes))
    items = {item.id: item for item in listed if isinstance(item, Wanted) and item.classes}
    ious = [(iou(read_mask(adapted / f"{name}.png"), read_mask(truth / f"{name}.png"), names), name) for name in items]
    score, name = median(ious)
    image, numbers = read_image(items[name].file), items[name].classes
    _, alpha, _ = net.probabilities(scaled(to_tensor(image)), numbers, method="attention")
    tags = ", ".join(net.classes[number] for number in numbers)
    return row(
        [
            (f"image tagged '{tags}'", image),
            ("attention", heat(alpha.amax(0).numpy())),
            ("mask of the decoder", over(image, read_mask(decoded / f"{name}.png"))),
            ("mask of the adapted model", over(image, read_mask(adapted / f"{name}.png"))),
            ("truth, seen by no model", over(image, read_mask(truth / f"{name}.png"))),
        ],
        title=f"Images are labelled: the tagged val image of median score, mean IoU {score:.2f}, among {len(ious)}",
    )


def iou(mask: np.ndarray, truth: np.ndarray, names: Sequence[str]) -> float:
    """Mean IoU of one image over the classes that stand in its truth or in its mask, background included."""
    matrix = ConfusionMatrix(names)
    matrix.add(mask, truth)
    return float(matrix.iou()[~matrix.absent].mean())


def median(scored: Sequence[tuple[float, str]]) -> tuple[float, str]:
    """The (score, name) in the middle, the lower one of two; names decide between equal scores."""
    return sorted(scored)[(len(scored) - 1) // 2]


def latest(runs: Path, stage: str, wanted: Callable[[DictConfig, Mapping[str, str]], bool]) -> Path:
    """The run of a stage that finished last among those for which `wanted(configuration, inputs)` holds."""
    found = []
    for path in runs.glob(f"{stage}/*/{SUMMARY}"):
        summary = read_summary(path.parent)
        if wanted(config(path.parent), summary.inputs):
            found.append((summary.finished, str(path.parent)))
    if not found:
        raise UserError(f"no run of stage {stage} belongs to these models", where=runs, remedy="run the pipeline first")
    return Path(max(found)[1])


def shot_of(run: Path, video: str, number: int) -> tuple[dict[str, Any], int]:
    """The shot of a segment run that holds frame `number` of <class>/<video>, and the frame's number in its clip."""
    for shot in read_jsonl(run / "shots.jsonl"):
        inside = number - shot["clip_start"]
        if f"{shot['class']}/{shot['video']}" == video and shot["start"] <= inside < shot["stop"]:
            return shot, inside
    raise UserError(f"no shot holds frame {number} of {video}", where=run / "shots.jsonl")


def config(run: Path) -> DictConfig:
    loaded = OmegaConf.load(run / ".hydra" / "config.yaml")
    assert isinstance(loaded, DictConfig)
    return loaded


def same(one: str | Path | None, other: str | Path) -> bool:
    return one is not None and Path(one).resolve() == Path(other).resolve()


def table(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        yield from csv.DictReader(stream)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    try:
        main(Path(sys.argv[1]), Path(sys.argv[2]))
    except UserError as error:
        sys.exit(f"error: {error.message}")
