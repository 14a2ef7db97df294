"""The distributed predict loop of stage segment, on processes as users start them: memory, and two ranks against one.

Memory is the largest sum over all processes of a run of their proportional set sizes (resident memory, pages that
several processes share counted once). Speed is frames per second of the loop itself: from the moment when the work
has been dealt to all ranks until the last of them is through. The start of the processes and the look at the videos
come before it; loading of the compiled parts and of the first frames is inside.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import cv2
import numpy as np
from rich.table import Table

from benchmarks.options import Options
from wsvs.core.console import show

HEIGHT, WIDTH = 224, 400
SHORT, LONG = 200, 3000  # frames of the clips whose memory is compared
PIECE = 25  # frames of an item where ranks are compared: thirty-two of them in four short clips
ONE_RANK = ("trainer=cpu",)
TWO_RANKS = ("trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2")


@dataclass(frozen=True)
class Measured:
    """One run: frames, seconds of its loop, seconds in all, and the peak of its memory in MiB."""

    frames: int
    loop: float
    wall: float
    peak: float


def bench(options: Options) -> dict[str, float]:
    """segment.memory_ratio: peak on a clip of 3,000 frames / on one of 200. segment.two_rank_speedup: in frames/s.

    `options.repeats` is for the ranks; the memory is measured once, with one loader process. Ranks have none: each is
    to be busy on one core.
    """
    with TemporaryDirectory() as place:
        folder = Path(place)
        for name, frames in (("short", SHORT), ("long", LONG)):
            (folder / name).mkdir()
            make_video(folder / name / "video.mp4", frames)
        (folder / "four").mkdir()
        for number in range(4):
            shutil.copy(folder / "short" / "video.mp4", folder / "four" / f"{number}.mp4")
        clips = {name: run(folder, name, *ONE_RANK, "segment.workers=1") for name in ("short", "long")}
        speed = ("segment.workers=0", f"segment.max_frames={PIECE}")
        pairs = [
            (run(folder, "four", *ONE_RANK, *speed), run(folder, "four", *TWO_RANKS, *speed))
            for _ in range(options.repeats)
        ]
    speedups = [one.loop / two.loop for one, two in pairs]
    one, two = pairs[speedups.index(statistics.median_low(speedups))]
    table = Table("", "frames", "frames/s", "s in all", "peak, MiB", title=f"The predict loop, {WIDTH}x{HEIGHT}")
    named = {
        "short clip, 1 worker": clips["short"],
        "long clip, 1 worker": clips["long"],
        "one rank, no worker": one,
        "two ranks, no worker": two,
    }
    for name, measured in named.items():
        speed_text = f"{measured.frames / measured.loop:.1f}"
        table.add_row(name, str(measured.frames), speed_text, f"{measured.wall:.1f}", f"{measured.peak:.0f}")
    figures = {
        "segment.memory_ratio": clips["long"].peak / clips["short"].peak,
        "segment.two_rank_speedup": statistics.median(speedups),
    }
    table.add_section()
    table.add_row("memory, long / short", "", "", "", f"{figures['segment.memory_ratio']:.2f}")
    table.add_row("speed, two ranks / one", "", f"{figures['segment.two_rank_speedup']:.2f}", "", "")
    show(table)
    return figures


def run(folder: Path, videos: str, *words: str) -> Measured:
    """`wsvs stage=segment` in a process of its own, with the paper's settings, attention left out."""
    out = folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    command = [
        sys.executable,
        "-m",
        "wsvs",
        "stage=segment",
        "segment.lambda_a=0",
        "segment.frames=false",
        f"videos={folder / videos}",
        f"out={out}",
        "name=n",
        "logger=none",
        *words,
    ]
    begun, peak = time.perf_counter(), 0.0
    with (folder / "said.txt").open("w", encoding="utf-8") as said:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
        try:
            while process.poll() is None:
                peak = max(peak, memory(process.pid))
                time.sleep(0.1)
        finally:
            process.kill()
    if process.returncode:
        text = (folder / "said.txt").read_text(encoding="utf-8", errors="replace")
        raise SystemExit(f"{' '.join(command)}:\n{text[-3000:]}")
    [summary] = (out / "n" / "segment").glob("*/summary.json")
    found = json.loads(summary.read_text(encoding="utf-8"))
    return Measured(
        found["counts"]["frames"], found["results"]["seconds of the loop"], time.perf_counter() - begun, peak
    )


def memory(session: int) -> float:
    """MiB of all processes of a session."""
    kib = 0
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with suppress(OSError):  # it has ended meanwhile
            if int((entry / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[3]) == session:
                lines = (entry / "smaps_rollup").read_text(encoding="utf-8").splitlines()
                kib += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return kib / 1024


def make_video(path: Path, frames: int, seed: int = 0) -> None:
    """H.264 video of a textured ellipse that moves in a circle on a textured background, which pans back and forth."""
    rng = np.random.default_rng(seed)
    ground = texture(rng, HEIGHT + 200, WIDTH + 200, (90, 120, 70))
    height, width = HEIGHT // 2, WIDTH // 3
    skin = texture(rng, height, width, (170, 90, 60))
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    inside = (y * y + x * x <= 1)[..., None]
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"preset": "veryfast", "threads": "1"})
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuv420p"
        for t in range(frames):
            pan = abs(t % 400 - 200)
            frame = ground[pan : pan + HEIGHT, pan : pan + WIDTH].copy()
            top = round((HEIGHT - height) / 2 * (1 + 0.9 * np.sin(t / 15)))
            left = round((WIDTH - width) / 2 * (1 + 0.9 * np.cos(t / 25)))
            window = frame[top : top + height, left : left + width]
            window[:] = np.where(inside, skin, window)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        out.mux(stream.encode(None))


def texture(rng: np.random.Generator, height: int, width: int, colour: tuple[int, int, int]) -> np.ndarray:
    """(H, W, 3) uint8: noise of three grain sizes around a colour."""
    texture = np.full((height, width, 3), colour, np.float64)
    for sigma, contrast in ((2, 15), (8, 20), (30, 20)):
        grain = cv2.GaussianBlur(rng.normal(size=(height, width, 3)), (0, 0), sigma)
        texture += contrast * grain / grain.std()
    return texture.clip(0, 255).astype(np.uint8)


def environment() -> dict[str, str]:
    """Of a command that knows of no run, job or rank around it, and imports this checkout."""
    private = ("WSVS_", "SLURM_", "TORCHELASTIC_")
    found = {key: value for key, value in os.environ.items() if not key.startswith(private)}
    return found | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), found.get("PYTHONPATH", "")])}
