"""A trained model as one file that runs without wsvs: ONNX, or a program of torch.export."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from wsvs import __version__
from wsvs.config.results import ExportSettings
from wsvs.config.stages import PredictSettings
from wsvs.core.classes import BACKGROUND, Classes
from wsvs.core.errors import UserError
from wsvs.core.files import atomic_path
from wsvs.core.origin import origin_of
from wsvs.engine.run import Run
from wsvs.nets.deployed import FEWEST, INPUT, Deployed, DeployedOutput, export
from wsvs.nets.model import load_net

METADATA = "metadata.json"  # inside a .pt2
EQUAL = 0.999  # share of the labels: where two cells of a max-pool differ by a rounding error, runtimes may choose
CLOSE = 1e-3  # scores, and the mean over the probabilities
_PLAIN = {"background": "otsu", "flip": True, "refine": "cut"}  # what a program has not, beside zooms

Answer = Callable[[Tensor], Sequence[Tensor]]


def export_model(run: Run[Any], settings: ExportSettings, predict: PredictSettings, out: Path) -> None:
    """Write model.onnx or model.pt2, compared with PyTorch.

    Raises:
        UserError: A setting cannot be exported, or the file differs from PyTorch.
    """
    require_plain(predict)
    checkpoint = Path(predict.checkpoint or run.checkpoint(next(iter(run.inputs))))
    net = load_net(checkpoint, need_decoder=predict.method != "attention")
    names = Classes(settings.classes or net.classes).names
    numbers = [Classes(net.classes).index(name, where="export.classes") for name in names]
    thresholds = [round(net.thresholds(predict.class_threshold)[number].item(), 6) for number in numbers]
    deployed = Deployed(net, numbers, predict.method, thresholds, float(predict.background))
    origin = origin_of(checkpoint)
    metadata = {
        "labels": json.dumps([BACKGROUND, *names]),
        "class_thresholds": json.dumps(thresholds),
        "background": str(deployed.background),
        "method": predict.method,
        "image_size": str(net.config.image_size),
        "multiple": str(deployed.multiple),
        "input": "RGB in [0, 1], (batch, 3, height, width), height and width multiples of `multiple`",
        "supervision": json.dumps(origin.get("supervision", [])),
        "figures": json.dumps(origin.get("figures", {})),
        "wsvs_version": __version__,
    }
    path = out / ("model.onnx" if settings.format == "onnx" else "model.pt2")
    with atomic_path(path) as temporary:
        program = export(deployed)
        if settings.format == "onnx":
            write_onnx(program, temporary, metadata)
            answer = read_onnx(temporary)
        else:
            torch.export.save(program, temporary, extra_files={METADATA: json.dumps(metadata)})
            answer = torch.export.load(temporary).module()
        results = compared(deployed, answer, path)
    run.finish(
        counts={"classes": len(names), "format": settings.format, "MB": round(path.stat().st_size / 1e6, 1)},
        results=results,
        wrote=path,
        supervision="; ".join(row["supervision"] for row in origin.get("supervision", ())) or None,
    )


def require_plain(predict: PredictSettings) -> None:
    """Raises `UserError` for settings of the masks that a program of one pass over the image does not have."""
    for key, wrong in _PLAIN.items():
        if getattr(predict, key) == wrong:
            default = PredictSettings.model_fields[key].default
            raise UserError(
                f"predict.{key}={str(wrong).lower()} cannot be exported",
                where=f"predict.{key}",
                remedy=f"give predict.{key}={str(default).lower()}",
            )
    if tuple(predict.zooms) != (1.0,):
        raise UserError(
            "several sizes of an image cannot be exported", where="predict.zooms", remedy="give predict.zooms=[1.0]"
        )


def write_onnx(program: torch.export.ExportedProgram, path: Path, metadata: dict[str, str]) -> None:
    """The same program for ONNX runtimes."""
    noisy = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in noisy]
    for logger in noisy:  # they warn that torchvision, which is not needed, is not there, and tell each rewritten node
        logger.setLevel(logging.ERROR)
    try:
        made = torch.onnx.export(
            program, dynamo=True, verbose=False, input_names=[INPUT], output_names=list(DeployedOutput._fields)
        )
    finally:
        for logger, level in zip(noisy, levels, strict=True):
            logger.setLevel(level)
    assert made is not None
    made.model.metadata_props.update(metadata)
    made.save(path)


def read_onnx(path: Path) -> Answer:
    """A function that runs an ONNX file on the CPU."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda images: [torch.from_numpy(found) for found in session.run(None, {INPUT: images.numpy()})]


def compared(deployed: Deployed, answer: Answer, path: Path) -> dict[str, float]:
    """How far an exported program is from PyTorch, over images of three sizes, one and two at once.

    Raises:
        UserError: Farther than rounding explains.
    """
    cells = max(FEWEST + 2, deployed.net.config.image_size // deployed.multiple)
    sizes = ((FEWEST, FEWEST + 1), (FEWEST + 2, FEWEST), (cells, max(FEWEST, cells * 3 // 4)))
    draw = torch.Generator().manual_seed(0)
    scores = probabilities = mean = 0.0
    equal = total = 0
    for (rows, columns), count in product(sizes, (1, 2)):
        height, width = rows * deployed.multiple, columns * deployed.multiple
        coarse, fine = (torch.rand(count, 3, *size, generator=draw) for size in ((5, 5), (height, width)))
        images = 0.7 * F.interpolate(coarse, size=(height, width), mode="bilinear") + 0.3 * fine
        with torch.inference_mode():
            ours, found = (DeployedOutput(*one(images)) for one in (deployed, answer))
        apart = (ours.probabilities - found.probabilities).abs()
        probabilities, mean = max(probabilities, apart.max().item()), max(mean, apart.mean().item())
        scores = max(scores, (ours.scores - found.scores).abs().max().item())
        equal += int((ours.labels == found.labels).sum())
        total += ours.labels.numel()
    results = {
        "largest difference to PyTorch, scores": scores,
        "largest difference to PyTorch, probabilities": probabilities,
        "equal labels": equal / total,
    }
    if not (scores <= CLOSE and mean <= CLOSE and equal / total >= EQUAL):  # so that NaN is refused, too
        told = ", ".join(f"{key} {value:.4g}" for key, value in results.items())
        raise UserError(
            f"the exported model differs from PyTorch and was deleted: {told}",
            where=path,
            remedy="try the other export.format, or other versions of PyTorch and onnxruntime",
        )
    return results
