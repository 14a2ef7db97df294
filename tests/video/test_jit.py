"""Compiled loops: the same results where numba is missing or may not keep what it compiled."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

WORK = """
import hashlib, sys
import numpy as np
if "{without}":
    sys.modules["numba"] = None
from wsvs.video.segmentation import SegmentSettings, describe_frames, segment
y, x = np.mgrid[:30, :44]
clip = [np.dstack([(x * 3 + t) % 256, (y * 5) % 256, (x - 20 - t) ** 2 + (y - 15) ** 2 < 60]).astype(np.uint8)
        for t in range(4)]
for frame in clip:
    frame[..., 2] *= 200
settings = SegmentSettings(superpixels=40, superpixel_method="opencv", fg_components=2, bg_components=2)
graph = describe_frames(clip, settings)
found = segment(graph, np.stack([frame[..., 2] / 200 for frame in clip]).astype(np.float32), settings)
values = [graph.spatial, graph.temporal, graph.links, graph.sizes, graph.colours, graph.inside, found.labels]
content = b"".join(np.ascontiguousarray(value).tobytes() for value in values)
print(found.labels.sum(), hashlib.sha256(content).hexdigest())
"""


def outcome(without: str = "", **variables: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", WORK.format(without=without)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **variables},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_same_without_numba() -> None:
    usual = outcome()
    assert int(usual.split()[0]) > 0
    assert outcome(without="numba") == usual


@pytest.mark.slow
def test_a_cache_that_cannot_be_written() -> None:
    assert outcome(NUMBA_CACHE_DIR="/dev/null/nowhere") == outcome()
