"""Stage export of the model itself: one file that runs without wsvs, and says what it is."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from wsvs import load
from wsvs.core.files import read_json, write_json
from wsvs.nets.deployed import Deployed, DeployedOutput
from wsvs.nets.model import NetConfig, SegmentationNet, load_net

EXAMPLE = Path(__file__).parents[2] / "docs" / "onnx_example.py"
NEEDS_ONNX = pytest.mark.skipif(
    not all(find_spec(package) for package in ("onnx", "onnxscript", "onnxruntime")), reason="needs the extra onnx"
)
CHECKPOINT = Path("out/n/adapt/1/checkpoints/best.ckpt")
SIZES = [(count, rows * 16, columns * 16) for rows, columns in ((3, 4), (5, 3), (4, 6)) for count in (1, 3)]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A finished adapt run with a checkpoint, and a photograph."""
    torch.manual_seed(0)
    config = NetConfig(backbone="vgg_small", classes=("cat", "dog"), image_size=64, scales=(1.0, 1.5), hidden=8)
    encoder = config.build_encoder()
    net = SegmentationNet(config, encoder, config.build_decoder(encoder)).eval()
    path = tmp_path / CHECKPOINT
    path.parent.mkdir(parents=True)
    state = {f"net.{key}": value for key, value in net.state_dict().items()}
    torch.save({"state_dict": state, "hyper_parameters": {"net": config.asdict()}}, path)
    summary = {"stage": "adapt", "finished": 1.0, "seconds": 1.0, "overrides": [], "inputs": {}, "counts": {}}
    summary |= {"results": {}, "supervision": "image tags", "fingerprint": "", "debug": False}
    write_json(path.parents[1] / "summary.json", summary)
    pixels = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
    Image.fromarray(pixels).resize((320, 240), Image.Resampling.BICUBIC).save(tmp_path / "photo.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


WORDS = ("stage=export", "out=out", "name=n", "trainer=cpu", "predict.background=0.3")


def agrees(answer, classes=(0, 1), method="decoder"):
    """At three sizes, one and three images at once: neither of them the exporter's."""
    deployed = Deployed(load_net(CHECKPOINT), classes, method, [0.6] * len(classes), 0.3)
    for size in SIZES:
        x = torch.rand(*size[:1], 3, *size[1:], generator=torch.Generator().manual_seed(1))
        with torch.inference_mode():
            found, expected = (DeployedOutput(*one(x)) for one in (answer, deployed))
        assert (found.labels == expected.labels).float().mean() > 0.999
        torch.testing.assert_close(found.scores, expected.scores, atol=1e-5, rtol=0)
        assert (found.probabilities - expected.probabilities).abs().mean() < 1e-4


@NEEDS_ONNX
def test_an_onnx_file_and_its_example_need_no_wsvs(place, wsvs):
    import onnxruntime

    status, out, err = wsvs(*WORDS, "export.format=onnx", "export.out=here")
    assert status == 0, err
    assert "largest difference to PyTorch" in out and "equal labels" in out
    session = onnxruntime.InferenceSession("here/model.onnx")
    agrees(lambda x: [torch.from_numpy(one) for one in session.run(None, {"images": x.numpy()})])
    meta = session.get_modelmeta().custom_metadata_map
    assert json.loads(meta["labels"]) == ["background", "cat", "dog"] and meta["background"] == "0.3"
    assert json.loads(meta["class_thresholds"]) == [0.6, 0.6] and meta["method"] == "decoder"
    assert json.loads(meta["supervision"]) == [{"stage": "adapt", "supervision": "image tags"}]
    results = read_json(next(Path("out/n/export").glob("*/summary.json")))["results"]
    assert results["equal labels"] > 0.999 and results["largest difference to PyTorch, scores"] < 1e-4

    command = [sys.executable, "-I", EXAMPLE, "here/model.onnx", "photo.png", "mask.png"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = load(CHECKPOINT, background=0.3).predict("photo.png")
    with Image.open("mask.png") as mask:
        assert (np.asarray(mask) == found.mask).mean() > 0.99  # Pillow rounds the pixels of the smaller image
    assert [line.partition(":")[0] for line in done.stdout.splitlines()] == ["cat", "dog"]
    assert f"score {found.scores['dog']:.2f}" in done.stdout


def test_the_example_is_short_and_imports_little():
    tree = ast.parse(EXAMPLE.read_text())
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    assert imported == {"json", "sys", "numpy", "onnxruntime", "PIL"}
    assert len(EXAMPLE.read_text().splitlines()) <= 25


def test_a_program_of_torch_export_for_one_class(place, wsvs):
    words = ("export.format=torch_export", "export.out=here", "export.classes=[dog]", "predict.method=attention")
    status, _, err = wsvs(*WORDS, *words)
    assert status == 0, err
    more = {"metadata.json": ""}
    program = torch.export.load("here/model.pt2", extra_files=more)
    about = json.loads(more["metadata.json"])
    assert json.loads(about["labels"]) == ["background", "dog"] and about["method"] == "attention"
    agrees(program.module(), (1,), "attention")


def test_a_file_that_differs_is_refused_and_deleted(place, wsvs, monkeypatch):
    from wsvs.engine import deploy

    class Other:
        """A program that finds half of the objects' probability."""

        def module(self):
            deployed = Deployed(load_net(CHECKPOINT), (0, 1), "decoder", [0.6, 0.6], 0.3)

            def half(images):
                labels, probabilities, scores = deployed(images)
                return labels, probabilities / 2, scores

            return half

    monkeypatch.setattr(deploy, "export", lambda deployed: None)
    monkeypatch.setattr(torch.export, "save", lambda *_, **__: None)
    monkeypatch.setattr(torch.export, "load", lambda *_, **__: Other())
    status, _, err = wsvs(*WORDS, "export.format=torch_export", "export.out=here")
    assert status == 2 and "differs from PyTorch and was deleted" in err, err
    assert list(Path("here").iterdir()) == []


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["predict.background=otsu"], "background=otsu cannot be exported"),
        (["predict.refine=cut"], "refine=cut cannot be exported"),
        (["predict.flip=true"], "flip=true cannot be exported"),
        (["predict.zooms=[1.0,1.5]"], "several sizes of an image cannot be exported"),
        (["export.classes=[cats]"], "did you mean 'cat'"),
        (["export.reverse=true"], "holds a model, not masks"),
        (["name=nothing"], "no finished run of stage decoder"),
    ],
)
def test_what_cannot_be_exported_is_reported(place, wsvs, words, expected):
    status, _, err = wsvs(*WORDS, "export.format=torch_export", *words)
    assert status == 2 and expected in err, err


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_extra_is_reported_with_its_command(place, wsvs, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    status, _, err = wsvs(*WORDS, "export.format=onnx")
    assert status == 2 and f"{package} is not installed" in err and "pip install 'wsvs[onnx]'" in err
