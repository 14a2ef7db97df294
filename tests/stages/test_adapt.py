"""What adaptation keeps of its pseudo-labels; its training is tested in tests/lit and through the pipeline."""

from __future__ import annotations

import shutil
from types import SimpleNamespace

import numpy as np
from PIL import Image

from wsvs.config.stages import AdaptSettings
from wsvs.core.classes import IGNORE
from wsvs.core.files import read_json
from wsvs.core.masks import read_mask, write_mask
from wsvs.data.tagged import TaggedImages
from wsvs.stages.adapt import _corrected, _usable


def test_unusable_labels_are_reported_again_on_resume(tmp_path):
    for name, value in (("empty", 0), ("cat", 3)):
        write_mask(tmp_path / "masks" / f"{name}.png", np.full((4, 4), value, np.uint8))
    (tmp_path / "masks" / "torn.png").write_bytes(b"no picture")
    for _ in range(2):
        skipped: dict[str, str] = {}
        run = SimpleNamespace(dir=tmp_path, skip=skipped.__setitem__, wait_for=lambda path, seconds: read_json(path))
        assert _usable(run, ["cat", "empty", "torn"]) == {"cat"}
        assert list(skipped) == ["torn"]


def test_corrected_masks_are_taken_once_and_told_again(tmp_path):
    """Classes are those that a mask shows; one of background alone has the classes of the image's tags."""
    for name in "abcd":
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.new("RGB", (4, 4)).save(tmp_path / "images" / f"{name}.png")
    (tmp_path / "labels.tsv").write_text("id\ttags\na\tcat\nb\tdog\nc\t\nd\tcat\n")
    data = TaggedImages(str(tmp_path / "images"), labels=str(tmp_path / "labels.tsv"))
    made = {name: np.zeros((4, 4), np.uint8) for name in "abc"}
    made["a"][0] = 2  # a dog, whatever its tag says
    made["a"][1] = IGNORE
    for name, mask in made.items():
        write_mask(tmp_path / "made" / f"{name}.png", mask)
    settings = SimpleNamespace(adapt=AdaptSettings(corrected=str(tmp_path / "made")))
    for _ in range(2):
        skipped: dict[str, str] = {}
        run = SimpleNamespace(
            dir=tmp_path / "run",
            settings=settings,
            skip=skipped.__setitem__,
            wait_for=lambda path, seconds: read_json(path),
        )
        assert _corrected(run, data) == {"a": [1], "b": [1]}
        assert list(skipped) == ["c"] and "empty corrected mask" in skipped["c"]
        assert np.array_equal(read_mask(tmp_path / "run/corrected/a.png"), made["a"])
        shutil.rmtree(tmp_path / "made", ignore_errors=True)  # the run has its own
    run.settings = SimpleNamespace(adapt=AdaptSettings())
    assert _corrected(run, data) == {}
