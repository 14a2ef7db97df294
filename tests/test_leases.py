"""Parallel jobs of a sweep, of one device and of two, on a stand-in for a machine with two GPUs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.processes import summary

pytestmark = pytest.mark.slow
STAND_IN = """
import os, time
from pathlib import Path
from wsvs.core import leases
from wsvs.core.processes import rank
from wsvs.engine import devices, trainer

place, real = Path(os.environ["STAND_IN"]), devices.lease
devices.visible, leases.FOLDER, leases.EVERY = lambda cfg: ["a", "b"], place / "locks", 0.1

def lease(cfg, held, asked=None):
    mine, begin = real(cfg, held, asked), time.monotonic()
    if rank() == 0:
        words = ",".join(map(str, mine))
        held.callback(lambda: (place / f"{os.getpid()}.txt").write_text(f"{begin} {time.monotonic()} {words}"))
    return None  # the training is on the CPU

trainer.lease = lease
"""


@pytest.mark.parametrize("launcher", ["joblib", "submitit_local"])
def test_every_job_has_devices_of_its_own(toy, cli, tmp_path, launcher):
    (tmp_path / "stand_in.py").write_text(STAND_IN)
    more = ("hydra.launcher.n_jobs=4",) if launcher == "joblib" else ()
    cli.run(
        "-m",
        "stage=encoder",
        *toy.words(),
        "name=n",
        f"out={tmp_path / 'out'}",
        "plugins=[stand_in]",
        "seed=0,1",
        "trainer.devices=1,2",
        f"hydra/launcher={launcher}",
        *more,
        PYTHONPATH=os.pathsep.join((str(cli.root), str(tmp_path))),
        STAND_IN=str(tmp_path),
    )
    [run] = (tmp_path / "out" / "n" / "encoder").iterdir()
    assert len([summary(path.parent) for path in run.glob("*/summary.json")]) == 4
    spans = [Path(path).read_text().split() for path in tmp_path.glob("*.txt")]
    assert sorted(mine.count(",") + 1 for _, _, mine in spans) == [1, 1, 2, 2]
    for number, (begin, end, mine) in enumerate(spans):
        for begin_2, end_2, theirs in spans[number + 1 :]:
            shared = set(mine.split(",")) & set(theirs.split(","))
            assert not shared or float(end) <= float(begin_2) or float(end_2) <= float(begin)
