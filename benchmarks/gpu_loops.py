"""Relevance, segment and predict as commands in processes of their own, on some of the cores, as users start them.

The run's process and its loader workers are pinned to these cores. Its speed is that of its loop, from the
distribution of the items until the last is written, without the start of processes and networks.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.gpu_rows import CLASSES, Device, Row, Sizes, rate
from benchmarks.loop import HEIGHT, WIDTH, environment, make_video
from wsvs.config.stages import PredictSettings, RelevanceSettings, SegmentLoop
from wsvs.core.files import read_json
from wsvs.core.runs import SUMMARY, write_summary
from wsvs.data.loading import scaled
from wsvs.nets.attention import activations, merge_scales, resize
from wsvs.nets.model import NetConfig, SegmentationNet
from wsvs.records.retrieved import FoundClip, FoundVideo
from wsvs.records.row import write_rows
from wsvs.retrieve.manifest import MANIFEST, RETRIEVED


def commands(
    config: NetConfig, folder: Path, images: Path, cores: int, device: Device, sizes: Sizes, end: float
) -> Iterator[Row]:
    """The rows of all loops. No command runs after `end` (`time.perf_counter`)."""
    torch.manual_seed(0)
    encoder = config.build_encoder()
    net = SegmentationNet(config, encoder, config.build_decoder(encoder)).eval()
    checkpoint = write_encoder(net, folder)
    make_video(folder / "video.mp4", sizes.frames)
    for number in range(sizes.copies):
        place = folder / "input" / str(number)
        place.mkdir(parents=True)
        for path in (images / "jpeg").rglob("*.jpg"):
            shutil.copy(path, place)
    speeds = bare_networks(net.to(device.kind), config, device, sizes)
    for number, label in {cores: "all_cores", 1: "1_core"}.items():
        retrieved = write_retrieved(folder / label, sizes.videos * number, sizes.frames)
        workers = max(1, number - 1)
        relevance = ["stage=relevance", f"inputs.retrieve={retrieved}", "relevance.threshold=0"]
        relevance.append(f"relevance.workers={workers}")
        segment = ["stage=segment", f"segment.workers={workers}"]
        predict = ["stage=predict", f"predict.checkpoint={checkpoint}", f"input={folder / 'input'}"]
        predict.append(f"predict.workers={workers}")
        for stage, unit, words in (
            ("relevance", "frames", relevance),
            ("segment", "frames", [*segment, f"inputs.relevance={folder / 'out/gpu/relevance' / label}"]),
            ("predict", "images", predict),
        ):
            seconds = min(sizes.command_seconds, end - time.perf_counter())
            found = run(words, number, label, folder, device, seconds)
            name = f"{stage}_{label}"
            if isinstance(found, str):
                yield Row(name, unit, bare=speeds[stage], missing=found)
                continue
            done = found["counts"]["masks" if stage == "predict" else "frames"]
            loop = found["results"]
            speed = done / max(loop["seconds of the loop"], 1e-3)
            yield Row(name, unit, speed, speeds[stage], loop["data_wait"])


def run(words: list[str], cores: int, label: str, folder: Path, device: Device, seconds: float) -> dict[str, Any] | str:
    """The summary of a command on some of the cores; or why there is none."""
    if seconds < 1:
        return "no time was left"
    own = environment() | {"WSVS_RUN_ID": label, "OMP_NUM_THREADS": "1"}
    trainer = "gpu" if device.kind == "cuda" else "cpu"
    place = ["name=gpu", f"out={folder / 'out'}", "logger=none", f"trainer={trainer}"]
    before = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    with (folder / "said.txt").open("w", encoding="utf-8") as said:
        if before:
            os.sched_setaffinity(0, sorted(before)[:cores])  # which a new process inherits
        try:
            process = subprocess.Popen(
                [sys.executable, "-m", "wsvs", *words, *place],
                cwd=folder,
                env=own,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
        finally:
            if before:
                os.sched_setaffinity(0, before)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            return f"not finished within {seconds:.0f} s"
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    text = (folder / "said.txt").read_text(encoding="utf-8", errors="replace")
    if process.returncode:
        return f"exit status {process.returncode}: {text[-1000:]}"
    return read_json(folder / "out/gpu" / words[0].removeprefix("stage=") / label / SUMMARY)


def bare_networks(net: SegmentationNet, config: NetConfig, device: Device, sizes: Sizes) -> dict[str, float]:
    """{stage: frames or images a second} of what the stage asks of the networks, in its batches, on the device."""
    long = config.image_size

    def batch(count: int, height: int, width: int) -> Tensor:
        return torch.randint(256, (count, 3, height, width), dtype=torch.uint8, device=device.kind)

    def sized(frames: Tensor) -> Tensor:
        size = (frames.shape[-2], frames.shape[-1])
        return resize(scaled(frames), net.network_size(*size))

    scored = batch(RelevanceSettings().batch_size, round(long * HEIGHT / WIDTH), long)
    attended = batch(SegmentLoop().attention_batch, HEIGHT, WIDTH)
    [image] = batch(1, 375, 500)

    def relevance() -> None:
        net.encoder(sized(scored))

    def segment() -> None:
        maps, _ = activations(net.encoder, sized(attended), config.scales)
        merge_scales([one[:, :1] for one in maps], (HEIGHT, WIDTH))

    def predict() -> None:
        net.probabilities(scaled(image), class_threshold=PredictSettings().class_threshold)

    works: dict[str, tuple[Callable[[], None], int]] = {
        "relevance": (relevance, len(scored)),
        "segment": (segment, len(attended)),
        "predict": (predict, 1),
    }
    with torch.inference_mode(), device.autocast():
        return {stage: rate(step, count, sizes.bare_seconds, device) for stage, (step, count) in works.items()}


def write_encoder(net: SegmentationNet, folder: Path) -> Path:
    """The checkpoint of a finished encoder run."""
    place = folder / "out/gpu/encoder/r"
    path = place / "checkpoints" / "best.ckpt"
    path.parent.mkdir(parents=True)
    state = {f"net.{key}": value for key, value in net.state_dict().items()}
    torch.save({"state_dict": state, "hyper_parameters": {"net": net.config.asdict()}}, path)
    write_summary(place, stage="encoder", started=time.time(), overrides=[], inputs={}, counts={})
    return path


def write_retrieved(place: Path, count: int, frames: int) -> Path:
    """A finished retrieve run with copies of the video."""
    rows = []
    for number in range(count):
        video, name = f"v{number}", CLASSES[number % len(CLASSES)]
        path = f"clips/{name}/{video}_0.mp4"
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(place.parent / "video.mp4", place / path)
        clip = FoundClip(
            clip=f"{name}/{video}_0", path=path, class_name=name, start=0, stop=frames, url="", distractor=False
        )
        rows.append(
            FoundVideo(
                video=video,
                class_name=name,
                url="",
                status=RETRIEVED,
                sha256=f"{number:064x}",
                width=WIDTH,
                height=HEIGHT,
                fps=25.0,
                frames=frames,
                clips=[clip],
            )
        )
    write_rows(place / MANIFEST, rows)
    write_summary(place, stage="retrieve", started=time.time(), overrides=[], inputs={}, counts={})
    return place
