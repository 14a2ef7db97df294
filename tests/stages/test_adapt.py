"""What adaptation keeps of its pseudo-labels; its training is tested in tests/lit and through the pipeline."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from wsvs.core.files import read_json
from wsvs.core.masks import write_mask
from wsvs.stages.adapt import _usable


def test_unusable_labels_are_told_again_when_the_run_is_taken_up(tmp_path):
    for name, value in (("empty", 0), ("cat", 3)):
        write_mask(tmp_path / "masks" / f"{name}.png", np.full((4, 4), value, np.uint8))
    (tmp_path / "masks" / "torn.png").write_bytes(b"no picture")
    for _ in range(2):
        skipped: dict[str, str] = {}
        run = SimpleNamespace(dir=tmp_path, skip=skipped.__setitem__, wait_for=lambda path, seconds: read_json(path))
        assert _usable(run, ["cat", "empty", "torn"]) == {"cat"}
        assert list(skipped) == ["torn"]
