"""A training that diverges, by the command line: what it says, what it leaves, and that its advice works."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.processes import TWO_RANKS, only_run
from wsvs.core.files import read_json
from wsvs.lit.encoder import EncoderModule
from wsvs.nets.model import NetConfig, SegmentationNet, not_finite

TINY = (
    "trainer=cpu",
    "model=vgg_small",
    "model.image_size=32",
    "model.scales=[1.0]",
    "model.hidden=4",
    "encoder.workers=0",
    "encoder.batch_size=2",
    "data.root=images",
    "name=n",
)
WORDS = ("stage=encoder", "encoder.epochs=3", *TINY)
LR_AT = "\n".join(
    (  # a plugin: the rate is far too high from this step on, as a schedule of one's own might make it
        "from wsvs.lit.encoder import EncoderModule",
        "def start(self, batch, number):",
        "    if self.trainer.global_step >= 4:",
        "        for group in self.trainer.optimizers[0].param_groups:",
        "            group['lr'] = 1e30",
        "EncoderModule.on_train_batch_start = start",
    )
)
ONE_RANK = "\n".join(
    (  # a plugin: an infinite loss of finite gradients on the second rank alone, at the third step
        "from wsvs.core.processes import rank",
        "from wsvs.lit.encoder import EncoderModule",
        "plain = EncoderModule.watched",
        "def watched(self, loss):",
        "    bad = rank() == 1 and self.trainer.global_step == 2",
        "    return plain(self, loss + float('inf') if bad else loss)",
        "EncoderModule.watched = watched",
    )
)


@pytest.fixture
def images(tmp_path):
    for kind, colour in (("cat", (200, 0, 0)), ("dog", (0, 0, 200))):
        for number in range(4):
            path = tmp_path / "images" / kind / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (40, 30), colour).save(path)
    return tmp_path


def checkpoints(run: Path) -> dict[str, dict]:
    return {path.stem: torch.load(path, weights_only=True) for path in (run / "checkpoints").glob("*.ckpt")}


def test_its_advice_works_when_typed(wsvs, images):
    """In a run directory of the same id too, as within one SLURM job: nothing was made there."""
    run = Path("outputs/n/encoder/r")
    status, _, told = wsvs(*WORDS, "encoder.lr=1e30", run_id="r")
    assert status == 2 and told == (
        "error: the training diverged: the loss of step 2 is nan\n"
        "  where: encoder.lr=1e+30, encoder.lr_backbone=0.0001\n"
        "  next:  lower the learning rate, for example encoder.lr=0.001\n"
    )
    assert not (run / "summary.json").exists() and checkpoints(run) == {}
    assert "diverged" in (run / "wsvs.log").read_text()
    advised = re.search(r"for example (\S+)", told)[1]
    assert wsvs(*WORDS, advised, run_id="r")[0] == 0
    assert (run / "summary.json").is_file() and not_finite(checkpoints(run)["best"]) is None


@pytest.mark.parametrize("more", [(), ("encoder.ema=0.9",)])
def test_the_checkpoints_before_it_stay(wsvs, images, monkeypatch, more):
    """Three steps make an epoch. The same command stops at the same step again, from the last checkpoint."""
    (images / "rate_of_mine.py").write_text(LR_AT)
    monkeypatch.syspath_prepend(images)
    run = Path("outputs/n/encoder/r")
    monkeypatch.setattr(EncoderModule, "on_train_batch_start", EncoderModule.on_train_batch_start)  # undone afterwards
    monkeypatch.delitem(sys.modules, "rate_of_mine", raising=False)
    for _ in range(2):
        status, _, told = wsvs(*WORDS, "plugins=[rate_of_mine]", *more, run_id="r")
        assert status == 2 and "diverged: the loss of step 6 is nan" in told
        kept = checkpoints(run)
        assert set(kept) == {"best", "last"} and {one["global_step"] for one in kept.values()} == {3}
        assert all(not_finite(one) is None for one in kept.values())


@pytest.fixture
def spoiled(tmp_path):
    """Checkpoints: both networks, sound; with a NaN in the encoder; and with weights so large that all is NaN."""
    config = NetConfig(backbone="vgg_small", classes=("cat", "dog"), image_size=32, scales=(1.0,), hidden=4, dropout=0)
    torch.manual_seed(0)
    encoder = config.build_encoder()
    net = SegmentationNet(config, encoder, config.build_decoder(encoder))

    def write(name):
        state = {f"net.{key}": value.clone() for key, value in net.state_dict().items()}
        torch.save({"state_dict": state, "hyper_parameters": {"net": config.asdict()}}, tmp_path / name)

    write("good.ckpt")
    with torch.no_grad():
        for weight in encoder.parameters():
            weight *= 1e20
        write("huge.ckpt")
        encoder.fc.weight[0, 0] = float("nan")
    write("nan.ckpt")
    return tmp_path


def test_stages_refuse_what_is_not_finite(wsvs, images, spoiled):
    image = ("input=images/cat/0.png", "trainer=cpu", "predict.workers=0")
    refused = "error: weights of this checkpoint are not finite (nan or inf): net.encoder.fc.weight\n  where: "
    status, _, told = wsvs("stage=predict", "predict.checkpoint=nan.ckpt", *image)
    assert status == 2 and told.startswith(f"{refused}nan.ckpt\n  next:  train again with a lower learning rate")
    status, _, told = wsvs("stage=segment", "segment.checkpoint=nan.ckpt", "videos=images", "trainer=cpu")
    assert status == 2 and told.startswith(f"{refused}nan.ckpt\n")
    for stage, source in (("relevance", "encoder"), ("adapt", "decoder"), ("decoder", "encoder")):
        for folder in ("encoder", "decoder", "retrieve", "segment"):
            path = Path(f"runs/{folder}")
            (path / "checkpoints").mkdir(parents=True, exist_ok=True)
            (path / "checkpoints/best.ckpt").write_bytes(Path("nan.ckpt").read_bytes())
            (path / "summary.json").write_text('{"results": {}}')
        row = '{"shot": "a", "video": "a", "class": "cat", "start": 0, "stop": 2, "areas": [0.2, 0.2]}\n'
        Path("runs/segment/shots.jsonl").write_text(row)
        Path("runs/segment/frames").mkdir(exist_ok=True)
        inputs = [f"inputs.{name}=runs/{name}" for name in ("encoder", "decoder", "retrieve", "segment")]
        status, _, told = wsvs(f"stage={stage}", *TINY, *inputs)
        assert status == 2 and told.startswith(refused) and f"runs/{source}/checkpoints/best.ckpt" in told, told


def test_a_run_is_not_resumed_from_what_is_not_finite(wsvs, images, spoiled):
    folder = Path("outputs/n/encoder/r/checkpoints")
    folder.mkdir(parents=True)
    (folder / "last.ckpt").write_bytes(Path("nan.ckpt").read_bytes())
    status, _, told = wsvs(*WORDS, run_id="r")
    assert status == 2 and "not finite" in told and "remove the file" in told
    (folder / "last.ckpt").unlink()
    assert wsvs(*WORDS, run_id="r")[0] == 0


def test_images_without_a_finite_output_are_skipped(wsvs, images, spoiled):
    words = ("stage=predict", "input=images", "trainer=cpu", "predict.workers=0")
    status, _, _ = wsvs(*words, "predict.checkpoint=huge.ckpt", run_id="r")
    run = Path("outputs/default/predict/r")
    skipped = read_json(run / "skipped.json")
    assert status == 3 and len(skipped) == 8 and list(run.rglob("*.png")) == []
    assert all("the network's output is not finite" in one["reason"] for one in skipped)
    assert wsvs(*words, "predict.checkpoint=good.ckpt", run_id="s")[0] == 0


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_of_a_backbone_that_are_not_finite(wsvs, images, value):
    state = NetConfig(backbone="vgg_small", classes=("cat",)).build_encoder().backbone.state_dict()
    key = next(key for key, tensor in reversed(state.items()) if tensor.is_floating_point())
    state[key].view(-1)[0] = value
    torch.save(state, "weights.pth")
    status, _, told = wsvs(*WORDS, "model.weights=weights.pth")
    assert status == 2 and f"tensors that are not finite (nan or inf): 1 of {len(state)}, first {key!r}" in told
    assert "  where: model.weights=weights.pth\n" in told


def test_held_out_images_that_choose_nothing(wsvs, images):
    """The newest checkpoint may be kept all the same, and its figure is none."""
    Image.new("RGB", (40, 30)).save("images/blank.png")
    rows = [f"{kind}/{number},{kind}" for kind in ("cat", "dog") for number in range(4)]
    Path("tags.csv").write_text("\n".join(["id,tags", *rows, "blank,"]) + "\n")
    Path("val.txt").write_text("blank\n")
    words = [*WORDS, "data.labels=tags.csv", "data.val=val.txt"]
    status, _, told = wsvs(*words)
    assert status == 2 and "error: val/map is nan" in told and "callbacks=newest" in told
    assert wsvs(*words, "callbacks=newest", run_id="newest")[0] == 0
    assert read_json("outputs/n/encoder/newest/summary.json")["results"]["val/map"] is None


@pytest.mark.slow
@pytest.mark.parametrize("plugin", ["", ONE_RANK])
def test_all_ranks_stop_together(cli, images, plugin):
    """Both say it, at the same step; the diverged loss may be on one of them only."""
    (images / "one_rank.py").write_text(plugin)
    rate = ["encoder.lr=1e30"] if not plugin else []
    said = cli.run(
        *WORDS,
        *TWO_RANKS,
        "encoder.batch_size=1",
        "plugins=[one_rank]",
        *rate,
        f"out={images}/out",
        cwd=images,
        status=2,
        PYTHONPATH=f"{cli.root}:{images}",
    )
    assert "Traceback" not in said, said
    if plugin:
        assert "error: the training diverged: the loss of step 3 is nan or inf on another rank" in said
        assert "error (rank 1): the training diverged: the loss of step 3 is inf" in said
    else:
        assert "error: the training diverged: the loss of step 2 is nan" in said
        assert "error (rank 1): the training diverged: the loss of step 2 is nan" in said
    assert checkpoints(only_run(images / "out", "encoder")) == {}
