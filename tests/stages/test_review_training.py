"""The smallest decoder and its adaptation, trained after a review: they read exactly the answers and corrections."""

from __future__ import annotations

import json
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from PIL import Image

from tests.data.test_frames import shot, write_frames
from wsvs.core.files import read_json
from wsvs.core.masks import write_mask
from wsvs.core.reviews import Answer, Journal, Subject, subject_of
from wsvs.core.runs import read_summary, write_summary
from wsvs.data.frames import FrameDataset, PseudoLabelDataset
from wsvs.data.visits import Visit
from wsvs.lit.encoder import EncoderModule
from wsvs.nets.model import NetConfig, read_checkpoint
from wsvs.records.row import write_rows

pytestmark = pytest.mark.slow
CONFIG = NetConfig(backbone="vgg_small", classes=("cat", "dog"), image_size=32, scales=(1.0,), hidden=8, dropout=0.0)
NET = ("trainer=cpu", "model=vgg_small", "model.hidden=8", "model.image_size=32", "model.scales=[1.0]")
SHORT = ("steps=2", "batch_size=2", "val_every=2", "val_items=2", "workers=0")


@pytest.fixture
def runs(tmp_path) -> Path:
    """Finished runs of encoder and segment: three shots of cats and three of dogs."""
    home = tmp_path / "outputs" / "n"
    for stage in ("encoder", "segment"):
        write_summary(home / stage / "r", stage=stage, started=0, overrides=[], inputs={}, counts={})
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, default_root_dir=tmp_path)
    torch.manual_seed(0)
    trainer.strategy.connect(EncoderModule(CONFIG.asdict()))
    trainer.save_checkpoint(home / "encoder" / "r" / "checkpoints" / "best.ckpt")
    names = [f"{kind}/{letter}_0" for kind in ("cat", "dog") for letter in "abc"]
    for name in names:
        write_frames(home / "segment" / "r", name, range(4))
    write_rows(home / "segment" / "r" / "shots.jsonl", [shot(name, name, [0.3] * 4, kind=name[:3]) for name in names])
    return home


@pytest.fixture
def images(tmp_path) -> Path:
    rng = np.random.default_rng(0)
    for number in range(8):
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (32, 40, 3), np.uint8)).save(tmp_path / "images" / f"i{number}.png")
    rows = "".join(f"i{number}\t{'cat' if number % 2 else 'dog'}\n" for number in range(8))
    (tmp_path / "labels.tsv").write_text("id\ttags\n" + rows)
    return tmp_path / "images"


@pytest.fixture
def seen(monkeypatch) -> dict[str, set[str]]:
    """{shot or image: {class and weight}} of all that the loaders hand out, validation without them."""
    found: dict[str, set[str]] = {}
    for kind in (FrameDataset, PseudoLabelDataset):

        def watched(self, visit, read=kind.__getitem__):
            item = read(self, visit)
            name = item["id"].rpartition("/")[0] or item["id"]
            told = [f"{int(item['class'])} {float(item.get('weight', 1)):g}"] if isinstance(visit, Visit) else []
            found.setdefault(name, set()).update(told)
            return item

        monkeypatch.setattr(kind, "__getitem__", watched)
    return found


def test_training_reads_answers_and_corrections(wsvs, runs, images, seen, tmp_path):
    with Journal(runs / "review.jsonl") as journal:
        for name, answer in {
            "cat/a_0": Answer("reject"),
            "cat/b_0": Answer("accept"),
            "dog/a_0": Answer("accept", ("cat",)),
        }.items():
            journal.answer(Subject("shot", name, name), answer)
        for name, answer in {"i0": Answer("reject"), "i1": Answer("accept"), "i2": Answer(None, ("cat",))}.items():
            journal.answer(subject_of("image", name, images / f"{name}.png"), answer)
    words = [f"decoder.{word}" for word in SHORT if not word.startswith(("steps", "batch"))]
    long = ("decoder.steps=10", "decoder.batch_size=4", "decoder.accepted_weight=3.0", "decoder.holdout=0.0")
    status, _, err = wsvs("stage=decoder", "name=n", *NET, *words, *long, run_id="d")
    assert status == 0, err
    assert seen == {
        "cat/b_0": {"0 3"},
        "cat/c_0": {"0 1"},
        "dog/a_0": {"0 3"},
        "dog/b_0": {"1 1"},
        "dog/c_0": {"1 1"},
    }
    summary = read_summary(runs / "decoder" / "d")
    assert summary.person == read_checkpoint(runs / "decoder/d/checkpoints/best.ckpt")["person"]
    assert summary.person == ["reviewed by a person: shots 3 (2 accepted, 1 rejected, 1 with other tags)"]

    seen.clear()
    made = np.zeros((32, 40), np.uint8)
    made[:8, :8], made[20:, 20:] = 1, 2
    write_mask(tmp_path / "corrected" / "i3.png", made)
    words = [f"adapt.{word}" for word in SHORT if not word.startswith(("steps", "batch"))]
    words += ["adapt.steps=16", "adapt.batch_size=4", "adapt.background=0", f"adapt.corrected={tmp_path / 'corrected'}"]
    words += ["data=tags", f"data.root={images}", f"data.labels={tmp_path / 'labels.tsv'}", "data.classes=[cat,dog]"]
    status, _, err = wsvs("stage=adapt", "name=n", *NET, *words, run_id="a")
    assert status == 0, err
    assert "i0" not in seen and seen["i2"] == {"0 1"}  # rejected; called a cat
    assert seen["i3"] == {"0 1", "1 1"}  # both that the corrected mask shows
    assert {f"i{number}" for number in (1, 2, 3)} <= set(seen)
    assert not (runs / "adapt/a/masks/i3.png").exists()  # no user has to guess it
    counts, person = read_summary(runs / "adapt/a").counts, read_summary(runs / "adapt/a").person
    assert counts["corrected masks"] == 1 and counts["pseudo-labels"] == 5  # three to train, two held out
    assert person[0] == summary.person[0] and any("corrected" in line for line in person)
    assert read_checkpoint(runs / "adapt/a/checkpoints/best.ckpt")["person"] == person
    assert json.loads((runs / "adapt/a/reviews.json").read_text())["corrected"]
    assert read_json(runs / "adapt/a/corrected.json")["corrected"] == {"i3": [0, 1]}
