"""A model as a folder of the Hugging Face Hub: whole, readable by others, and telling what it was trained with."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

import wsvs
from tests.hub import running_hub
from wsvs.core.errors import UserError
from wsvs.core.files import write_json
from wsvs.nets.model import NetConfig, SegmentationNet

pytestmark = pytest.mark.skipif(find_spec("safetensors") is None, reason="needs the extra hub")

CONFIG = NetConfig(
    backbone="vgg_small",
    classes=("cat", "dog"),
    image_size=32,
    scales=(1.0,),
    hidden=8,
    dropout=0.0,
    class_thresholds=(0.5, 0.3),
)
SETTINGS = {"method": "mean", "class_threshold": "auto", "background": 0.3, "flip": True, "zooms": [1.0, 1.5]}


def run(place: Path, stage: str, **more: object) -> Path:
    folder = place / "outputs" / "toy" / stage / "1"
    summary = {"stage": stage, "finished": 1.0, "seconds": 2.0, "overrides": ["name=toy", "seed=3"], "inputs": {}}
    summary |= {"counts": {"images": 12}, "results": {}, "supervision": None, "versions": {"torch": "2.13.0"}}
    write_json(folder / "summary.json", {**summary, "git_commit": "abc", **more})
    return folder


@pytest.fixture
def checkpoint(tmp_path, monkeypatch):
    """best.ckpt of an adapt run whose masks were evaluated."""
    torch.manual_seed(0)
    encoder = CONFIG.build_encoder()
    net = SegmentationNet(CONFIG, encoder, CONFIG.build_decoder(encoder)).eval()
    first = run(tmp_path, "encoder", supervision="image tags, ImageNet labels (pre-trained backbone)")
    second = run(tmp_path, "decoder", supervision="image tags | videos", inputs={"encoder": str(first)})
    results = {"val/miou": 0.61239, "fingerprint": "f" * 64}
    third = run(tmp_path, "adapt", supervision="pseudo-labels", inputs={"decoder": str(second)}, results=results)
    masks = run(tmp_path, "predict", inputs={"adapt": str(third)})
    run(tmp_path, "evaluate", inputs={"predict": str(masks)}, results={"mIoU (val, 12 images)": 0.5})
    path = third / "checkpoints" / "best.ckpt"
    path.parent.mkdir()
    state = {f"net.{key}": value for key, value in net.state_dict().items()}
    torch.save({"state_dict": state, "hyper_parameters": {"net": CONFIG.asdict()}}, path)
    monkeypatch.chdir(tmp_path)
    return path


def image():
    return np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)


def alike(one, other):
    a, b = one.predict(image()), other.predict(image())
    assert np.array_equal(a.mask, b.mask) and (a.scores, a.tags) == (b.scores, b.tags)


def test_a_saved_folder_is_the_model_again(checkpoint, tmp_path):
    model = wsvs.load(checkpoint, **SETTINGS)
    alike(model, wsvs.load(checkpoint.parents[1], **SETTINGS))  # its run
    model.save_pretrained("saved", license="apache-2.0", data="12 images")
    assert sorted(path.name for path in Path("saved").iterdir()) == ["README.md", "config.json", "model.safetensors"]
    again = wsvs.load("saved")
    alike(model, again)
    assert again._settings() == {**SETTINGS, "refine": "none"} and again.origin == model.origin
    alike(wsvs.load(checkpoint), wsvs.load("saved", **wsvs.load(checkpoint)._settings()))
    assert wsvs.load("saved", background="otsu").net.background == "otsu"
    again.save_pretrained("saved")  # over itself
    alike(model, wsvs.load("saved"))


def test_weights_and_description_are_readable_by_others(checkpoint):
    from safetensors.numpy import load_file

    model = wsvs.load(checkpoint)
    model.save_pretrained("saved")
    weights = load_file("saved/model.safetensors")
    state = model.net.net.state_dict()
    assert set(weights) == set(state)
    assert all(np.array_equal(weights[key], value.numpy()) for key, value in state.items())
    config = json.loads(Path("saved/config.json").read_text())
    assert config["id2label"] == {"0": "background", "1": "cat", "2": "dog"} and config["label2id"]["dog"] == 2


def test_the_card_tells_supervision_data_licence_and_figures(checkpoint, tmp_path):
    wsvs.load(checkpoint).save_pretrained("saved", name="Pets", license="cc-by-4.0", data="12 images of a zoo")
    card = Path("saved/README.md").read_text()
    _, head, text = card.split("---\n", 2)
    assert yaml.safe_load(head) == {
        "license": "cc-by-4.0",
        "library_name": "wsvs",
        "pipeline_tag": "image-segmentation",
        "tags": ["semantic-segmentation", "weakly-supervised", "wsvs"],
    }
    rows = [line for line in text.splitlines() if line.startswith("|")]
    told = [row for row in rows if "image tags" in row or "pseudo" in row]
    assert told == [
        "| encoder | image tags, ImageNet labels (pre-trained backbone) |",
        "| decoder | image tags \\| videos |",
        "| adapt | pseudo-labels |",
    ]
    assert "| adapt | val/miou | 0.6124 |" in rows and "| evaluate | mIoU (val, 12 images) | 0.5 |" in rows
    assert "12 images of a zoo" in text and "seed: 3, commit: abc, torch: 2.13.0" in text and "# Pets" in text
    assert str(tmp_path) not in card + Path("saved/config.json").read_text()


def test_a_checkpoint_without_its_run_says_so(checkpoint, tmp_path):
    alone = checkpoint.rename(tmp_path / "alone.ckpt")
    wsvs.load(alone).save_pretrained("saved")
    card = Path("saved/README.md").read_text()
    assert card.count("not recorded: the checkpoint was saved outside its run") == 3 and "license:" not in card


def test_an_encoder_alone_is_saved_with_its_method(checkpoint):
    whole = torch.load(checkpoint, weights_only=True)
    whole["state_dict"] = {key: value for key, value in whole["state_dict"].items() if ".encoder." in key}
    torch.save(whole, "encoder.ckpt")
    model = wsvs.load("encoder.ckpt", method="attention")
    model.save_pretrained("saved")
    alike(model, wsvs.load("saved"))
    with pytest.raises(UserError, match="has an encoder only"):
        wsvs.load("saved", method="decoder")


def test_a_folder_that_is_none_or_damaged_is_reported(checkpoint, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="this folder holds no model"):
        wsvs.load("empty")
    wsvs.load(checkpoint).save_pretrained("saved")
    config = Path("saved/config.json")
    text = config.read_text()
    config.write_text(text.replace('"hidden": 8', '"hidden": 9'))
    with pytest.raises(UserError, match=r"the weights do not fit the description: size mismatch for encoder\.conv6"):
        wsvs.load("saved")
    config.write_text('{"model_type": "bert"}')
    with pytest.raises(UserError, match="this is not a model of wsvs"):
        wsvs.load("saved")
    config.write_text(text)
    weights = Path("saved/model.safetensors")
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(UserError, match="weights cannot be read"):
        wsvs.load("saved")


@pytest.mark.parametrize(("package", "call"), [("safetensors", "save_pretrained"), ("huggingface_hub", "push_to_hub")])
def test_a_missing_extra_is_reported_with_its_command(checkpoint, monkeypatch, package, call):
    model = wsvs.load(checkpoint)
    for name in [name for name in sys.modules if name.startswith(f"{package}.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=rf"{package} is not installed(.|\n)*pip install 'wsvs\[hub\]'"):
        getattr(model, call)("me/pets")


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub of our own; nothing goes to the real one."""
    pytest.importorskip("huggingface_hub")
    with running_hub() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
        yield server


def test_a_model_goes_to_the_hub_and_comes_back(checkpoint, hub):
    model = wsvs.load(checkpoint, **SETTINGS)
    address = model.push_to_hub("me/pets", license="mit", token="hf_x")
    assert address == f"{hub.address}/me/pets/commit/{hub.commit('me/pets')}"
    assert set(hub.models["me/pets"]) == {"README.md", "config.json", "model.safetensors"} and hub.private["me/pets"]
    assert b"license: " in hub.models["me/pets"]["README.md"] and b"# pets" in hub.models["me/pets"]["README.md"]
    assert {token for method, _, token in hub.asked if method == "POST"} == {"Bearer hf_x"}
    alike(model, wsvs.load("me/pets"))
    model.push_to_hub("me/pets", token="hf_x")  # again: the repository is there
    hub.shutdown()
    hub.server_close()
    alike(model, wsvs.load("me/pets", revision=address.rpartition("/")[2]))  # from the cache


def test_what_the_hub_refuses_is_reported(checkpoint, hub, monkeypatch):
    with pytest.raises(UserError, match="no such model on the Hugging Face Hub"):
        wsvs.load("me/nothing")
    with pytest.raises(UserError, match=r"cannot be uploaded: (.|\n)*hf auth login"):
        wsvs.load(checkpoint).push_to_hub("me/pets", token=False)
    asked = len(hub.asked)
    with pytest.raises(UserError, match="checkpoint not found"):
        wsvs.load("outputs/best.ckpt")  # a path: the hub is not asked
    assert len(hub.asked) == asked
