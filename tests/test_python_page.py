"""docs/python.md: all of its blocks run, one after the other, as a reader would type them."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
import torch
from PIL import Image

from tests.films import make_film
from tests.pages import ROOT, blocks
from wsvs.core.masks import read_mask
from wsvs.nets.model import NetConfig, SegmentationNet


@pytest.mark.skipif(find_spec("safetensors") is None, reason="needs the extra hub")
def test_every_block_runs(tmp_path, monkeypatch):
    torch.manual_seed(0)
    config = NetConfig(backbone="vgg_small", classes=("cat", "dog"), image_size=32, scales=(1.0,), hidden=8)
    encoder = config.build_encoder()
    net = SegmentationNet(config, encoder, config.build_decoder(encoder))
    state = {f"net.{key}": value for key, value in net.state_dict().items()}
    torch.save({"state_dict": state, "hyper_parameters": {"net": config.asdict()}}, tmp_path / "best.ckpt")
    for number, name in enumerate(("photo.jpg", "other.jpg")):
        pixels = np.random.default_rng(number).integers(0, 256, (20 + 8 * number, 30, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / name)
    make_film(tmp_path / "clip.mp4", 7, size=(48, 32))
    monkeypatch.chdir(tmp_path)
    known: dict[str, object] = {}
    shown = blocks(ROOT / "docs" / "python.md", "python")
    assert len(shown) == 7
    for number, block in enumerate(shown):
        exec(compile(block, f"docs/python.md, block {number}", "exec"), known)
    assert len(list((tmp_path / "clip").glob("*.png"))) == 7
    assert read_mask("photo.png").shape == (20, 30)
    assert {path.name for path in (tmp_path / "pets").iterdir()} == {"README.md", "config.json", "model.safetensors"}
