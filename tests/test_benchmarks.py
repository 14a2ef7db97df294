"""The benchmark runs, and what it times does its work."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_short_benchmark(tmp_path):
    out = tmp_path / "bench.json"
    command = [sys.executable, "-m", "benchmarks", "--frames", "6", "--repeats", "1", "--out", str(out)]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    figures = json.loads(out.read_text())
    assert figures["segment.ms_per_frame_400"] > figures["flow.dis_medium_ms_per_frame_400"] > 0
    assert figures["segment.flow_ratio_400"] == pytest.approx(
        figures["segment.ms_per_frame_400"] / figures["flow.dis_medium_ms_per_frame_400"], rel=0.01
    )
    assert float(done.stdout.split("IoU with the truth")[1].split()[0]) > 0.9
