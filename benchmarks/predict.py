"""`model.predict` of a list of images against the bare forward passes of the same images, four at a time.

In CPU time, which other programs of the machine hardly change; on a GPU, if there is one, by the clock.
"""

from __future__ import annotations

import statistics
import time

import numpy as np
import torch
from rich.console import Console

from benchmarks.options import Options
from wsvs.api import Model
from wsvs.nets.model import NetConfig, SegmentationNet
from wsvs.nets.segmenter import Segmenter

IMAGES, HEIGHT, WIDTH = 16, 375, 500  # of PASCAL VOC's size
TOGETHER = 4


def bench(options: Options) -> dict[str, float]:
    """predict.list_ratio: seconds of predict(list) / of the forward passes alone."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = make_model().net.to(device)
    whole = Model(model)
    images = list(np.random.default_rng(0).integers(0, 256, (IMAGES, HEIGHT, WIDTH, 3), np.uint8))
    stacked = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous().to(device)
    batches = [stacked[at : at + TOGETHER] for at in range(0, IMAGES, TOGETHER)]
    whole.predict(images[:TOGETHER])  # what is set up by the first pass
    pairs = [(bare(model, batches), listed(whole, images)) for _ in range(options.repeats)]
    ratio = statistics.median(predict / forward for forward, predict in pairs)
    per_image = 1000 * statistics.median(forward for forward, _ in pairs) / IMAGES
    Console().print(
        f"predict(list): {ratio:.3f} x the forward passes, which take {per_image:.0f} ms an image ({device})"
    )
    return {"predict.list_ratio": ratio, "predict.forward_ms": per_image}


def make_model() -> Model:
    """The network of docs/own_data.md, without its training: the time is the same."""
    config = NetConfig(
        backbone="squeezenet1_1", classes=tuple("abc"), image_size=320, guidance="features", decoder_width=0.5
    )
    encoder = config.build_encoder()
    return Model(Segmenter(SegmentationNet(config, encoder, config.build_decoder(encoder))))


def bare(model: Segmenter, batches: list[torch.Tensor]) -> float:
    """Seconds of the network and of its labels on the way back."""
    start = now()
    with torch.inference_mode():
        for batch in batches:
            model(batch).labels.cpu()
    return now() - start


def listed(model: Model, images: list[np.ndarray]) -> float:
    start = now()
    model.predict(images)
    return now() - start


def now() -> float:
    return time.perf_counter() if torch.cuda.is_available() else time.process_time()
