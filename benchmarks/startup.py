"""CPU time until a command has told what is to be told, beside that of importing Hydra, in one run."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
from tempfile import TemporaryDirectory

from rich.table import Table

from benchmarks.options import Options
from wsvs.core.console import show

HYDRA = ("-c", "import hydra, omegaconf")
COMMANDS = {  # name in bench.json: what the shell is given
    "wrong_path": ("-m", "wsvs", "stage=encoder", "data.root=nowhere"),
    "cfg_job": ("-m", "wsvs", "stage=encoder", "data.root=nowhere", "--cfg", "job"),
    "bare": ("-m", "wsvs"),
}


def cpu_seconds(words: tuple[str, ...], folder: str) -> float:
    """User and system time of a Python process and its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    subprocess.run([sys.executable, *words], cwd=folder, env=environment, capture_output=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def bench(options: Options) -> dict[str, float]:
    """startup.<name>: CPU time as a multiple of importing Hydra; startup.hydra_s: that itself, in seconds."""
    times: dict[str, list[float]] = {name: [] for name in ("hydra", *COMMANDS)}
    with TemporaryDirectory() as folder:
        for _ in range(options.repeats + 1):  # in turn, so that other work on the machine meets all; the first compiles
            for name, words in {"hydra": HYDRA, **COMMANDS}.items():
                times[name].append(cpu_seconds(words, folder))
    seconds = {name: statistics.median(found[1:]) for name, found in times.items()}
    table = Table("command", "CPU s", "times the import of Hydra", title="start-up")
    for name, value in seconds.items():
        table.add_row(name, f"{value:.2f}", f"{value / seconds['hydra']:.2f}")
    show(table)
    ratios = {f"startup.{name}": seconds[name] / seconds["hydra"] for name in COMMANDS}
    return {"startup.hydra_s": seconds["hydra"], **ratios}
