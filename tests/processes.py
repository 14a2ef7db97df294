"""Real runs for tests: processes as users start them, and one finished pipeline on awkwardly named data."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.imported import Forked, importer
from wsvs.core.extras import EXTRAS

Process = subprocess.Popen[str] | Forked
TINY = (
    "trainer=cpu",
    "model=vgg_small",
    "model.hidden=8",
    "model.image_size=48",
    "model.scales=[1.0]",
    "encoder.epochs=1",
    "encoder.batch_size=4",
    "encoder.workers=0",
    "relevance.threshold=0",
    "segment.superpixels=60",
    "segment.max_frames=6",
    "segment.workers=0",
    "decoder.steps=4",
    "decoder.batch_size=2",
    "decoder.val_every=2",
    "decoder.val_items=4",
    "decoder.workers=0",
    "adapt.steps=4",
    "adapt.batch_size=2",
    "adapt.val_every=2",
    "adapt.val_items=4",
    "adapt.workers=0",
    "adapt.background=0",
    "predict.background=0",
    "predict.workers=0",
)
TWO_RANKS = ("trainer=ddp", "trainer.devices=2", "trainer.accelerator=cpu")
CLASSES = ("polar bear", "it's a=zebra", "Pfau (grün)")  # in the order of the world's tiger, panda and parrot

# Put in front of a process's own modules: ends it, holds it, or fills its disk, at a known rename of a known file, or
# ends it in the middle of a known write.
SABOTAGE = """
import errno, os, signal, time
pattern, number, rank, what = os.environ["SABOTAGE"].rsplit("|", 3)
left, replace, write = int(number), os.replace, os.write
if "SLURM_RESTART_COUNT" in os.environ:  # a job's second life
    left = 10**9

def sabotaged(source, target, **more):
    global left
    if all(part in str(target) for part in pattern.split("*")) and os.environ.get("LOCAL_RANK", "0") == rank:
        left -= 1
        if left < 0 and what == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif left < 0 and what == "hang":
            time.sleep(3600)
        elif left < 0:
            raise OSError(errno.ENOSPC, "No space left on device", str(target))
    return replace(source, target, **more)

def torn(file, data):
    global left
    if what == "tear" and pattern in os.readlink(f"/proc/self/fd/{file}") and os.environ.get("LOCAL_RANK", "0") == rank:
        left -= 1
        if left < 0:
            write(file, data[: len(data) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
    return write(file, data)

os.replace, os.write = sabotaged, torn
"""


# `wsvs` of an installation without extras, to be followed by "wsvs" and its words.
WITHOUT_EXTRAS = (
    sys.executable,
    "-c",
    f"import sys; sys.modules |= dict.fromkeys({sorted(EXTRAS)}); del sys.argv[1]; import wsvs.__main__ as command; "
    "command.main()",
)


class Cli:
    """Runs `wsvs` as users do: a process of its own, in a session of its own that is ended with the test.

    It is forked from one that has imported what takes seconds, unless a launcher or a search path is given.
    """

    root = Path(__file__).parents[1]

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started: list[Process] = []
        (folder / "sabotage").mkdir()
        (folder / "sabotage" / "sitecustomize.py").write_text(SABOTAGE)

    def start(
        self,
        *words: object,
        launcher: Sequence[object] = (),
        cwd: Path | None = None,
        sabotage: str | None = None,
        **environment: str,
    ) -> Process:
        """`sabotage` is '<part of a path>|<how often it goes well>|<rank>|kill' (or hang, or full; or tear: killed in
        the middle of a write to a file that stays open).

        Several parts of the path are joined by *.
        """
        private = ("WSVS_", "RANK", "LOCAL_", "WORLD_SIZE", "MASTER_", "SLURM_", "TORCHELASTIC_", "WANDB_", "HYDRA_")
        own = {key: value for key, value in os.environ.items() if not key.startswith(private)}
        paths = [str(self.root)]
        if sabotage:
            own["SABOTAGE"] = sabotage
            paths.insert(0, str(self.folder / "sabotage"))
        own |= {
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join(paths),
            "COLUMNS": "200",
            "WANDB_MODE": "offline",
            "PYTHONFAULTHANDLER": "1",
            **environment,
        }
        said, cwd = list(map(str, words)), cwd or self.folder
        process: Process
        if launcher or "PYTHONPATH" in environment:
            process = subprocess.Popen(
                [*map(str, launcher or (sys.executable, "-m")), "wsvs", *said],
                cwd=cwd,
                env=own,
                text=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        else:
            process = importer.start(said, own, cwd, before=SABOTAGE if sabotage else "")
        self.started.append(process)
        return process

    def finish(self, process: Process, status: int = 0, seconds: float = 600) -> str:
        """What it said. It must end with this exit status, and soon."""
        try:
            said, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.show_stacks(process)
            self.end(process)
            said, _ = process.communicate()
            said = re.sub("Extension modules: .*", "", said)
            pytest.fail(f"still running after {seconds} s:\n{said[-12000:]}")
        assert process.returncode == status, said[-6000:]
        return said

    def run(self, *words: object, status: int = 0, **how: Any) -> str:
        return self.finish(self.start(*words, **how), status)

    def wait_for(self, process: Process, folder: Path, pattern: str, seconds: float = 600) -> None:
        """Wait until a process has written a file."""
        deadline = time.monotonic() + seconds
        while all(path.name.startswith(".") for path in folder.glob(pattern)):  # hidden: not yet under its name
            if process.poll() is not None or time.monotonic() > deadline:
                self.end(process)
                pytest.fail(f"{pattern} did not come:\n{process.communicate()[0][-4000:]}")
            time.sleep(0.01)

    @staticmethod
    def show_stacks(process: Process) -> None:
        """Each process of the session ends, and says first where it was: one after the other, all into one pipe."""
        listed = subprocess.run(["pgrep", "--session", str(process.pid)], capture_output=True, text=True, check=False)
        for number in map(int, listed.stdout.split()):
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGABRT)
            time.sleep(0.3)

    @staticmethod
    def end(process: Process) -> None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


@dataclass(frozen=True)
class Toy:
    """One finished pipeline with the default steps on own data, in a folder with an awkward name.

    Tests read its runs and never write there.
    """

    folder: Path

    @property
    def data(self) -> Path:
        return self.folder / "Bilder & 'Tiere' = [1], \"2\" $x"

    @property
    def out(self) -> Path:
        return self.folder / "out put=ü"

    def command(self) -> list[str]:
        """Overrides of the pipeline."""
        return [*self.words(), "name=toy", f"out={quoted(self.out)}"]

    def words(self) -> list[str]:
        """Overrides for any stage on the same data, without name and out."""
        return [
            *TINY,
            "data=tags",
            f"data.root={quoted(self.data / 'images')}",
            f"data.labels={quoted(self.data / 'labels.tsv')}",
            f"data.masks={quoted(self.data / 'masks')}",
            f"data.classes=[{','.join(map(quoted, CLASSES))}]",
            f"retrieve.root={quoted(self.data / 'videos')}",
            f"retrieve.labels={quoted(self.data / 'videos.tsv')}",
        ]

    def run(self, stage: str) -> Path:
        """The first finished run of a stage."""
        return sorted(path.parent for path in (self.out / "toy" / stage).glob("*/summary.json"))[0]

    def inputs(self, *stages: str) -> list[str]:
        return [f"inputs.{stage}={quoted(self.run(stage))}" for stage in stages]


def free_port(first: int, stop: int) -> int:
    """A port of this range, below those that the system assigns, so that no other process gets it meanwhile."""
    while True:
        with socket.socket() as listener, suppress(OSError):
            listener.bind(("127.0.0.1", random.SystemRandom().randrange(first, stop)))
            return listener.getsockname()[1]


def quoted(value: object) -> str:
    """A value for a command line, whatever characters it holds."""
    return "'" + str(value).replace("\\", "\\\\").replace("'", "\\'") + "'"


def make_own_data(folder: Path) -> None:
    """Images, tags, masks and videos of a synthetic world under names that people give."""
    from wsvs.data.synthetic import make_world

    world = make_world(
        folder.parent / "world",
        images=24,
        clips_per_class=2,
        frames=(16, 18),
        video_size=(96, 64),
        image_sides=(48, 64),
        irrelevant_videos=0.0,
    )
    names = dict(zip(("tiger", "panda", "parrot"), CLASSES, strict=True))
    for kind, suffix in (("images", "jpg"), ("videos", "mp4")):
        (folder / kind).mkdir(parents=True)
        lines = ["id\ttags"]
        for line in (world / ("labels.tsv" if kind == "images" else "videos.tsv")).read_text().splitlines()[1:]:
            old, tags = line.split("\t")
            new = f"{old} - ä=1 (it's)" if old.endswith("00") else old
            shutil.copy(world / kind / f"{old}.{suffix}", folder / kind / f"{new}.{suffix}")
            if kind == "images":
                (folder / "masks").mkdir(exist_ok=True)
                shutil.copy(world / "masks" / f"{old}.png", folder / "masks" / f"{new}.png")
            lines.append(f"{new}\t{','.join(names[tag] for tag in tags.split(',') if tag)}")
        (folder / ("labels.tsv" if kind == "images" else "videos.tsv")).write_text("\n".join(lines) + "\n")


SEGMENT = (  # the words of a segmentation that takes a second
    "stage=segment",
    "experiment=motion",
    "name=n",
    "out=out",
    "trainer=cpu",
    "logger=none",
    "segment.superpixels=60",
    "segment.flow=dis_ultrafast",
    "segment.lambda_c=0",
    "segment.min_confidence=0",
)


def summary(run: Path) -> dict[str, Any]:
    return json.loads((run / "summary.json").read_text())


def skipped(run: Path) -> dict[str, str]:
    """{item: reason} of the items that a run skipped."""
    return {item["item"]: item["reason"] for item in json.loads((run / "skipped.json").read_text())}


def rows(path: Path) -> list[dict[str, Any]]:
    """Objects of a JSON lines file."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def files(folder: Path, pattern: str = "*.png") -> dict[str, bytes]:
    """{relative path: content}, hidden files left out."""
    paths = [path for path in sorted(folder.rglob(pattern)) if not path.name.startswith(".")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def times(folder: Path, pattern: str) -> dict[Path, int]:
    """{path: time of its last change}, hidden files left out."""
    paths = [path for path in folder.rglob(pattern) if not path.name.startswith(".")]
    return {path: path.stat().st_mtime_ns for path in paths}


def only_run(out: Path, stage: str) -> Path:
    """The one directory of a stage under the name n."""
    [run] = (out / "n" / stage).iterdir()
    return run
