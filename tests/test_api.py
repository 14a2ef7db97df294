"""The Python interface gives what the network gives, whatever an image comes as."""

from __future__ import annotations

import doctest
import inspect
import subprocess
import sys

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from PIL import Image

import wsvs
from tests.films import make_film
from wsvs.core.errors import UserError
from wsvs.core.export_polygons import fill
from wsvs.core.masks import read_mask
from wsvs.lit.image_segmenter import ImageSegmenter
from wsvs.nets.model import NetConfig, SegmentationNet, label_map
from wsvs.nets.segmenter import Segmenter
from wsvs.video.reader import read_frames

CONFIG = NetConfig(backbone="vgg_small", classes=("cat", "dog"), image_size=32, scales=(1.0,), hidden=8, dropout=0.0)


@pytest.fixture
def net() -> SegmentationNet:
    torch.manual_seed(0)
    encoder = CONFIG.build_encoder()
    return SegmentationNet(CONFIG, encoder, CONFIG.build_decoder(encoder)).eval()


@pytest.fixture
def place(net, tmp_path, monkeypatch):
    """A folder with a checkpoint, an encoder's checkpoint and a photograph."""
    state = {f"net.{key}": value for key, value in net.state_dict().items()}
    hyper = {"net": CONFIG.asdict()}
    torch.save({"state_dict": state, "hyper_parameters": hyper}, tmp_path / "best.ckpt")
    encoder = {key: value for key, value in state.items() if key.startswith("net.encoder.")}
    torch.save({"state_dict": encoder, "hyper_parameters": hyper}, tmp_path / "encoder.ckpt")
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    Image.fromarray(pixels).save(tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_documentation_holds(place):
    finder = doctest.DocTestFinder(recurse=False)
    [example] = finder.find(wsvs.load, "load", globs={})
    assert len(example.examples) == 8
    assert doctest.DocTestRunner().run(example).failed == 0
    assert read_mask(place / "photo.png").shape == (20, 30)
    with Image.open(place / "photo.overlay.jpg") as picture:
        assert picture.width == 30 and picture.height > 20  # the legend is below


def test_a_model_is_loaded_without_lightning_and_hydra(place):
    code = (
        "import sys, wsvs; model = wsvs.load('best.ckpt'); print(model.predict('photo.png').mask.shape, "
        "*[name for name in ('lightning', 'pytorch_lightning', 'hydra') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "(20, 30)\n", done.stdout + done.stderr


def test_every_kind_of_image_gives_the_networks_own_answer(place, net):
    model = wsvs.load(place / "best.ckpt", background=0.3)
    with Image.open("photo.png") as opened:
        image = opened.copy()
    x = torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255
    classes, probabilities, scores = net.probabilities(x)
    expected = label_map(probabilities, classes, (20, 30), 0.3).numpy()
    for given in ("photo.png", place / "photo.png", image, np.array(image), image.convert("RGBA")):
        found = model.predict(given)
        assert np.array_equal(found.mask, expected) and found.image.shape == (20, 30, 3)
        assert found.tags == tuple(CONFIG.classes[k] for k in classes)
        assert found.scores == pytest.approx(dict(zip(CONFIG.classes, scores.tolist(), strict=True)))


def shots(count, sizes=((20, 30), (30, 20), (24, 30))):
    rng = np.random.default_rng(5)
    return [rng.integers(0, 256, (*sizes[k % len(sizes)], 3), np.uint8) for k in range(count)]


def same(found, expected):
    """One image's result in a batch and alone: equal but for the last bits of the scores."""
    assert np.array_equal(found.image, expected.image) and np.array_equal(found.mask, expected.mask)
    assert found.tags == expected.tags and found.scores == pytest.approx(expected.scores, abs=1e-6)


@pytest.mark.parametrize("method", ["decoder", "attention", "mean"])
def test_a_list_gives_what_each_image_gives_alone(place, method):
    """Images of three shapes, some of them files, with one class, two or none."""
    model = wsvs.load("best.ckpt", background=0.3, class_threshold=0.5, method=method, flip=True, zooms=(1.0, 1.5))
    images = [*shots(7), "photo.png", Image.fromarray(shots(1)[0])]
    given = [["dog"], None, [], ["dog", "cat"], None, ["cat"], ["cat", "dog"], None, ("dog",)]
    for tags, each in ((None, [None] * 9), (["cat"], [["cat"]] * 9), (given, given)):
        found = model.predict(images, tags)
        assert isinstance(found, list) and len(found) == 9
        for one, image, alone in zip(found, images, each, strict=True):
            same(one, model.predict(image, alone))
    assert model.predict([]) == []
    with pytest.raises(ValueError, match="2 lists for 9 images"):
        model.predict(images, [["dog"], None])


def test_images_of_one_network_size_go_through_it_together(place, monkeypatch):
    asked = []
    batch = SegmentationNet.batch
    monkeypatch.setattr(
        SegmentationNet, "batch", lambda net, images, *a, **k: asked.append(len(images)) or batch(net, images, *a, **k)
    )
    wsvs.load("best.ckpt").predict(shots(8, [(20, 30)]))
    assert asked == [4, 4]


def test_an_iterator_is_read_as_far_as_it_is_asked(place):
    model, read = wsvs.load("best.ckpt", background=0.3), []
    frames = shots(40, [(20, 30)])
    found = model.predict(read.append(k) or frame for k, frame in enumerate(frames))
    assert read == []
    same(next(found), model.predict(frames[0]))
    assert 1 <= len(read) <= 8
    for one, frame in zip(found, frames[1:], strict=True):
        same(one, model.predict(frame))


def test_a_video_is_an_iterator_of_its_frames(place):
    """Its classes are those of all frames: those of `stage=predict`."""
    film = make_film(place / "clip.mp4", 20, size=(48, 32))
    model = wsvs.load("best.ckpt", background=0.3)
    module = ImageSegmenter(model.net.net, background=0.3)
    found = list(model.predict("clip.mp4"))
    with torch.inference_mode():
        expected = [(frame, segment()) for frame, segment, _ in module.video(film)]
    assert len(found) == 20
    for one, (frame, mask) in zip(found, expected, strict=True):
        assert np.array_equal(one.image, frame) and np.array_equal(one.mask, mask)
    assert {one.tags for one in found} == {tuple(CONFIG.classes[k] for k in module.classes_of_video(film))}
    assert all(one.tags == ("dog",) for one in model.predict(film, ["dog"]))
    assert len(list(model.predict(read_frames(film)))) == 20


def test_the_net_is_a_plain_module(place):
    model = wsvs.load("best.ckpt", background="otsu", class_threshold=0.5)
    images = np.stack(shots(3, [(20, 30)]))
    x = torch.from_numpy(images).permute(0, 3, 1, 2)
    assert isinstance(model.net, torch.nn.Module) and not isinstance(model.net, pl.LightningModule)
    with torch.inference_mode():
        labels, scores = model.net(x)
        again, _ = model.net(x / 255)
        tagged, _ = model.net(x, torch.tensor([[False, True], [False, False], [True, True]]))
    assert torch.equal(labels, again) and labels.dtype == torch.uint8
    for k, image in enumerate(images):
        alone = model.predict(image)
        assert np.array_equal(labels[k].numpy(), alone.mask)
        assert scores[k].tolist() == pytest.approx(list(alone.scores.values()), abs=1e-6)
        tags = (["dog"], [], ["cat", "dog"])[k]
        assert np.array_equal(tagged[k].numpy(), model.predict(image, tags).mask)


def test_polygons_give_the_mask_back(place):
    found = wsvs.load("best.ckpt", background=0.3, class_threshold=0).predict("photo.png")
    polygons = found.polygons()
    assert set(polygons) == {CONFIG.classes[label - 1] for label in np.unique(found.mask) if label}
    again = np.zeros_like(found.mask)
    for name, parts in polygons.items():
        for points in parts:
            fill(again, points, CONFIG.classes.index(name) + 1)
    assert np.array_equal(again, found.mask) and found.mask.any()


def kinds(folder):
    """Photographs that are not RGB as they lie there: turned, transparent, indexed, deep, for print."""
    rng = np.random.default_rng(1)
    colour, deep = rng.integers(0, 256, (20, 30, 4), np.uint8), rng.integers(0, 65536, (20, 30), np.uint16)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    indexed = Image.fromarray(colour[..., :3]).quantize(16)
    Image.fromarray(colour[..., :3]).save(folder / "turned.jpg", exif=exif)
    Image.fromarray(colour).save(folder / "alpha.png")
    indexed.save(folder / "indexed.png", transparency=3)
    Image.fromarray(deep).save(folder / "deep.png")
    Image.fromarray(rng.random((20, 30), np.float32)).save(folder / "float.tif")
    Image.fromarray(colour, "CMYK").save(folder / "print.jpg")


@pytest.mark.parametrize("name", ["turned.jpg", "alpha.png", "indexed.png", "deep.png", "float.tif", "print.jpg"])
def test_a_pillow_image_is_its_file(place, name):
    kinds(place)
    model = wsvs.load("best.ckpt", background=0.3)
    path = model.predict(name)
    with Image.open(name) as opened:
        image = model.predict(opened)
        plain = np.array(opened.convert("RGB"))
    assert np.array_equal(image.image, path.image) and np.array_equal(image.mask, path.mask)
    assert image.scores == path.scores
    if name != "print.jpg":  # which Pillow itself converts
        assert path.image.shape != plain.shape or (path.image != plain).any()


def test_a_torn_pillow_image_is_reported(place):
    (place / "torn.jpg").write_bytes((place / "photo.jpg").read_bytes()[:700])
    with Image.open("torn.jpg") as opened, pytest.raises(UserError, match="image cannot be read"):
        wsvs.load("best.ckpt").predict(opened)


def test_given_tags(place):
    model = wsvs.load("best.ckpt", background=0)
    assert set(np.unique(model.predict("photo.png", tags=["dog"]).mask)) <= {0, 2}
    assert model.predict("photo.png", tags=["dog", "cat", "dog"]).tags == ("dog", "cat")
    nothing = model.predict("photo.png", tags=[])
    assert nothing.tags == () and not nothing.mask.any()


def test_mistakes_are_reported(place):
    model = wsvs.load("encoder.ckpt", method="attention")
    with pytest.raises(UserError, match="did you mean 'dog'"):
        model.predict("photo.png", tags=["dogs"])
    with pytest.raises(UserError, match="image not found"):
        model.predict("nowhere.png")
    with pytest.raises(ValueError, match=r"\(H, W, 3\) uint8, got \(20, 30\) float64"):
        model.predict(np.zeros((20, 30)))
    with pytest.raises(UserError, match="this is a folder"):
        model.predict("photo.png").save(place)
    with pytest.raises(UserError, match="has an encoder only"):
        wsvs.load("encoder.ckpt")
    with pytest.raises(ValueError, match="class_threshold must be"):
        wsvs.load("best.ckpt", class_threshold=2)


@pytest.mark.parametrize("name", ["m.jpg", "m.JPEG", "m.webp", "m.npy", "a.b/m.bmp"])
def test_a_mask_is_not_saved_as_what_loses_labels(place, name):
    found = wsvs.load("best.ckpt", background=0.3).predict("photo.png")
    with pytest.raises(UserError, match=r"a mask must be a PNG file(.|\n)*save it as m\.png"):
        found.save(name)
    assert not (place / name).exists()
    for good in ("m.png", "M.PNG", "plain"):
        found.save(place / good)
        assert (place / good).read_bytes().startswith(b"\x89PNG")
        assert np.array_equal(read_mask(place / good), found.mask)


@pytest.mark.parametrize("there", [False, True])
def test_the_device_is_chosen_by_what_is_there(place, monkeypatch, there):
    asked = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    monkeypatch.setattr(Segmenter, "to", lambda module, device: asked.append(str(device)) or module)
    wsvs.load("best.ckpt", device="auto")
    assert asked == ["cuda" if there else "cpu"]


@pytest.mark.parametrize(
    "image",
    [
        None,
        b"photo.png",
        [[0]],
        torch.zeros(3, 2, 2),
        np.zeros((0, 5, 3), np.uint8),
        Image.new("RGB", (0, 5)),
        np.zeros((5, 0, 3), np.uint8),
    ],
)
def test_what_is_no_image_is_reported(place, image):
    with pytest.raises(ValueError, match="an image "):
        wsvs.load("best.ckpt").predict(image)


@pytest.mark.parametrize("tags", ["dog", [1], 1, ["dog", None], iter(["dog"])])
def test_what_is_no_list_of_tags_is_reported(place, tags):
    with pytest.raises(ValueError, match=r"tags are a list of names, such as \['cat'\]"):
        wsvs.load("best.ckpt").predict("photo.png", tags)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("class_threshold", [0.5]),
        ("zooms", 1.5),
        ("zooms", "1"),
        ("zooms", [0]),
        ("zooms", []),
        ("zooms", [None]),
        ("flip", "no"),
    ],
)
def test_settings_of_another_type_are_reported(place, key, value):
    with pytest.raises(ValueError, match=f"{key} must be"):
        wsvs.load("best.ckpt", **{key: value})


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "", 1.5, None, ["cpu"]])
def test_a_device_that_cannot_be_used_is_reported(place, device):
    with pytest.raises(UserError, match="the device cannot be used: ") as caught:
        wsvs.load("best.ckpt", device=device)
    assert caught.value.where == f"device={device!r}" and len(caught.value.problem.splitlines()) == 1


def test_import_is_light():
    code = "import sys, wsvs; print('torch' in sys.modules, 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_a_loaded_model_needs_no_lightning_and_no_hydra(place):
    code = "import sys, wsvs; wsvs.load('best.ckpt'); print({'lightning', 'hydra'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_both_signatures_of_load_agree():
    from wsvs import api

    def names(function):
        return {key: value.default for key, value in inspect.signature(function).parameters.items()}

    assert names(wsvs.load) == names(api.load)
