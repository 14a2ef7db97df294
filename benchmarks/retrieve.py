"""Retrieval: key frames against full decoding, cutting by copying against re-encoding, scores, our own overhead."""

from __future__ import annotations

import itertools
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import torch
from rich.table import Table

from benchmarks.options import Options
from wsvs.core.classes import Classes
from wsvs.core.console import show
from wsvs.lit.image_scorer import ImageScorer
from wsvs.nets.model import NetConfig, SegmentationNet
from wsvs.records.retrieved import Candidate, FoundVideo
from wsvs.retrieve.clips import Cut, cut
from wsvs.retrieve.crawl import Budget, Crawl
from wsvs.retrieve.examine import Choice, Tools
from wsvs.retrieve.keyframes import key_frames, read_index, windows
from wsvs.retrieve.source import Fetched
from wsvs.video.convert import Converter
from wsvs.video.decode import OpenVideo
from wsvs.video.reader import probe, read_frames

SIZE, RATE, SECONDS, GOP = (1280, 720), 25, 60, 125
THUMBNAIL = (202, 360)  # height and width of what YouTube's search gives
CANDIDATES = 200


def cpu(work: Callable[[], object], repeats: int) -> float:
    """Median CPU seconds: what other programs use does not count."""
    times = []
    for _ in range(repeats):
        started = time.process_time()
        work()
        times.append(time.process_time() - started)
    return statistics.median(times)


def synthetic_images() -> Iterator[np.ndarray]:
    """A camera that sways over a texture, with a sensor's noise, without end.

    Without the noise nearly every block would be a copy of the last frame's, which costs a decoder next to nothing.
    """
    rng = np.random.default_rng(0)
    width, height = SIZE
    ground = cv2.resize(rng.integers(0, 256, (90, 160, 3), np.uint8), (width + 400, height + 400))
    noise = rng.normal(0, 4, (9, height, width, 3)).astype(np.int16)
    for number in itertools.count():
        x, y = round(200 + 199 * np.sin(number / 60)), round(200 + 199 * np.cos(number / 80))
        yield np.clip(ground[y : y + height, x : x + width] + noise[number % 9], 0, 255).astype(np.uint8)


def real_images(folder: Path) -> Iterator[np.ndarray]:
    """The videos of a folder one after the other, again and again, enlarged to 720p."""
    for path in itertools.cycle(sorted(folder.glob("*.mp4"))):
        for frame in read_frames(path):
            yield cv2.resize(frame, SIZE, interpolation=cv2.INTER_CUBIC)


def make_video(path: Path, real: Path | None, seconds: int = SECONDS) -> Path:
    """H.264 with a key frame every five seconds and at every cut."""
    images = real_images(real) if real is not None else synthetic_images()
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=RATE)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = *SIZE, "yuv420p", GOP
        stream.options = {"preset": "veryfast", "crf": "26", "threads": "1"}
        for number, image in enumerate(itertools.islice(images, RATE * seconds)):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def encode_all(path: Path, target: Path, pieces: list[Cut]) -> None:
    """The cost of the alternative to copying: decode and re-encode each window, with a fast preset."""
    for piece in pieces:
        encode(path, target, piece.offset + piece.start, piece.offset + piece.stop)


def encode(path: Path, target: Path, start: int, stop: int) -> None:
    with av.open(str(target), "w") as out:
        stream = out.add_stream("libx264", rate=RATE)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        stream.options = {"preset": "veryfast", "crf": "23", "threads": "1"}
        for image in read_frames(path, start, stop, total=RATE * SECONDS):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        out.mux(stream.encode(None))


class Still:
    """A source whose videos lie there and whose answers cost nothing: what is left is our own work."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def search(self, class_name: str) -> list[Candidate]:
        return [Candidate(f"v{number:04d}", "https://localhost/", rank=number + 1) for number in range(CANDIDATES)]

    def thumbnail(self, candidate: Candidate) -> None:
        return None

    def fetch(self, candidate: Candidate, folder: Path) -> Fetched:
        return Fetched(self.path, own=False)

    def others(self) -> list[FoundVideo]:
        return []


def bench(options: Options) -> dict[str, float]:
    """Figures by name. They are measured on a video of 60 s at 720p, made of real videos if given."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        figures = _video(make_video(folder / "video.mp4", options.real), folder, options.repeats)
        figures |= _scores(options.repeats)
        figures |= _overhead(make_video(folder / "short.mp4", options.real, 1), folder)
    kind = "synthetic" if options.real is None else "real"
    table = Table("figure", "", title=f"retrieval, one thread, CPU time, {kind} video")
    for name, value in figures.items():
        table.add_row(name.removeprefix("retrieve."), f"{value:.4g}")
    show(table)
    return figures


def _video(path: Path, folder: Path, repeats: int) -> dict[str, float]:
    convert = Converter(320)
    index = read_index(OpenVideo, path)
    times = index.key_times

    def keys() -> int:
        read_index(OpenVideo, path)
        return sum(1 for _, frame in key_frames(OpenVideo, path, set(times)) if convert(frame) is not None)

    def whole() -> int:
        return sum(1 for _ in read_frames(path, longest_edge=320))

    spans = windows(index, times[2:11:4], 2.0)
    pieces = cut(OpenVideo, path, index, spans, folder / "cut")
    seconds = {
        "keys": cpu(keys, repeats),
        "whole": cpu(whole, repeats),
        "cut": cpu(lambda: cut(OpenVideo, path, index, spans, folder / "cut"), repeats),
        "checked": cpu(lambda: [probe(piece.path) for piece in pieces], repeats),
        "encode": cpu(lambda: encode_all(path, folder / "new.mp4", pieces), repeats),
    }
    return {
        "retrieve.keyframe_speedup": seconds["whole"] / seconds["keys"],
        "retrieve.cut_speedup": seconds["encode"] / seconds["cut"],
        "retrieve.checked_cut_speedup": seconds["encode"] / (seconds["cut"] + seconds["checked"]),
        "retrieve.ms_per_key_frame": 1e3 * seconds["keys"] / len(times),
        "retrieve.ms_per_clip": 1e3 * (seconds["cut"] + seconds["checked"]) / len(pieces),
    }


def _scores(repeats: int) -> dict[str, float]:
    config = NetConfig(backbone="squeezenet1_1", classes=("a", "b"), image_size=320)
    torch.manual_seed(0)
    score = ImageScorer(SegmentationNet(config, config.build_encoder(), None), "cpu")
    images = list(np.random.default_rng(0).integers(0, 256, (32, *THUMBNAIL, 3), np.uint8))
    score(images, "a")
    return {"retrieve.thumbnails_per_s": len(images) / cpu(lambda: score(images, "a"), repeats)}


def _overhead(path: Path, folder: Path) -> dict[str, float]:
    """CPU time a candidate of everything but the network, the encoder, and the decoding of its one key frame."""
    tools = Tools(OpenVideo, Converter(320), probe, lambda _: (), lambda images, _: np.zeros(len(images), np.float32))
    with Crawl(Still(path), Classes(["a"]).names, folder / "run", tools, Choice(), Budget()) as crawl:
        started = time.process_time()
        crawl.fetch()
        spent = time.process_time() - started
    index = read_index(OpenVideo, path)
    key = cpu(lambda: [tools.convert(frame) for _, frame in key_frames(OpenVideo, path, set(index.key_times))], 5)
    return {"retrieve.overhead_ms_per_candidate": 1e3 * (spent / CANDIDATES - key)}
