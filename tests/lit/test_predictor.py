"""Prediction of still images: one mask an image at its own size, and what is written."""

from __future__ import annotations

from contextlib import contextmanager
from types import SimpleNamespace

import av
import numpy as np
import pytest
import torch
from PIL import Image

from tests.films import make_film, make_sound
from wsvs.core.errors import UserError
from wsvs.core.masks import encode_mask, read_mask
from wsvs.data.work import ItemDataset, WorkModule
from wsvs.lit.overlay import open_writer
from wsvs.lit.predictor import (
    OVERLAY_SIDE,
    Loaded,
    PredictedImage,
    PredictionWriter,
    PredictorModule,
    confidences,
    load_image,
)
from wsvs.nets.model import Found, SegmentationNet
from wsvs.records.ledger import Ledger
from wsvs.records.predicted import Bad, Wanted


def image_item(height=20, width=30, classes=(1,)):
    pixels = np.random.default_rng(0).integers(0, 256, (3, height, width), dtype=np.uint8)
    return Loaded(Wanted("a", "a.png", None if classes is None else list(classes)), torch.from_numpy(pixels))


@pytest.mark.parametrize("method", ["decoder", "attention", "mean"])
def test_mask_has_the_size_and_the_classes_of_its_image(net, method):
    module = PredictorModule(net, method=method, background=0.0)
    with torch.inference_mode():
        for height, width in ((20, 30), (47, 33), (16, 100)):
            found = module.predict_step(image_item(height, width, (0, 1)), 0)
            assert found.mask.shape == (height, width) and found.mask.dtype == np.uint8
            assert set(np.unique(found.mask)) <= {0, 1, 2} and found.labels == [1, 2]
            assert found.probabilities.dtype == np.float16 and len(found.probabilities) == 2


@pytest.mark.parametrize("method", ["decoder", "attention", "mean"])
def test_image_without_classes_has_an_empty_mask(net, method):
    with torch.inference_mode():
        nothing = PredictorModule(net, method=method, background=0.0).predict_step(image_item(classes=()), 0)
    assert not nothing.mask.any() and nothing.mask.shape == (20, 30) and nothing.labels == []


def test_thresholds(net, monkeypatch):
    """Probabilities by hand: where the best one does not exceed the threshold there is background."""
    p = torch.tensor([[[0.2, 0.5, 0.9]], [[0.3, 0.6, 0.1]]])
    asked = {}

    def batch(self, images, classes, **more):
        asked.update(more, image=images[0], classes=classes[0])
        return [Found([0, 1], p, torch.zeros(2))]

    monkeypatch.setattr(SegmentationNet, "batch", batch)
    item = Loaded(Wanted("a", "a.png", [0, 1]), torch.full((3, 1, 3), 51, dtype=torch.uint8))

    def mask(**settings):
        return PredictorModule(net, **settings).predict_step(item, 0).mask.tolist()

    assert mask() == [[0, 2, 1]]
    assert mask(background=0.6) == [[0, 0, 1]]  # must be above it
    assert mask(background=0) == [[2, 2, 1]]
    assert mask(background="otsu") == [[0, 2, 1]]
    mask(method="mean", class_threshold=0.7, flip=True)
    assert torch.allclose(asked["image"], torch.tensor(0.2))
    assert (asked["method"], asked["class_threshold"], asked["flip"]) == ("mean", 0.7, True)


def test_the_cut_refines_the_mask_at_the_image_size(net, monkeypatch):
    p = torch.full((1, 10, 15), 0.1)
    p[:, 2:8, 3:8] = 0.9
    monkeypatch.setattr(SegmentationNet, "batch", lambda *_, **__: [Found([1], p, torch.zeros(2))])
    picture = np.full((3, 40, 60), 30, np.uint8)
    picture[0, 8:32, 12:40] = 220  # wider than the probabilities say
    item = Loaded(Wanted("a", "a.png", [1]), torch.from_numpy(picture))
    found = PredictorModule(net, refine="cut").predict_step(item, 0).mask
    plain = PredictorModule(net).predict_step(item, 0).mask
    assert found.shape == (40, 60) and set(np.unique(found)) == {0, 2}
    truth = picture[0] > 100
    assert ((found == 2) == truth).mean() > 0.97 > ((plain == 2) == truth).mean()


def test_classes_are_predicted_where_no_tags_are_given(net):
    item = image_item(classes=None)
    with torch.inference_mode():
        *_, scores = net.probabilities(item.image.float() / 255, [0])
        low = PredictorModule(net, class_threshold=0.0).predict_step(item, 0)
        high = PredictorModule(net, class_threshold=1.0).predict_step(item, 0)
    assert low.labels == [1, 2] and high.labels == [int(scores.argmax()) + 1]


def test_bad_item_goes_through(net):
    bad = Bad("a", "torn")
    assert PredictorModule(net).predict_step(bad, 0) is bad


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "crf"}, "method must be decoder, attention or mean, got 'crf'"),
        ({"class_threshold": 1.2}, "class_threshold must be a number in"),
        ({"class_threshold": "otsu"}, "class_threshold must be a number in"),
        ({"class_threshold": None}, "class_threshold must be a number in .* or auto, got None"),
        ({"background": None}, "background must be a number in .* or otsu, got None"),
        ({"zooms": []}, "zooms must be a list of numbers > 0, got \\[\\]"),
        ({"refine": "crf"}, "refine must be none or cut, got 'crf'"),
        ({"background": -0.1}, "background must be a number in"),
        ({"background": "auto"}, "background must be a number in .* or otsu, got 'auto'"),
    ],
)
def test_settings_refused(net, settings, message):
    with pytest.raises(ValueError, match=message):
        PredictorModule(net, **settings)


def write(writer, prediction):
    writer.write_on_batch_end(SimpleNamespace(callbacks=[]), None, prediction, None, None, 0, 0)


def test_writer(tmp_path):
    mask = np.array([[0, 2, 255]], np.uint8)
    probabilities = np.array([[[0.25, 0.5, 1]]], np.float16)
    prediction = PredictedImage("deep/a.b", mask, [2], probabilities, None)
    ledger = Ledger(tmp_path)
    write(PredictionWriter(tmp_path, ledger), prediction)
    assert np.array_equal(read_mask(tmp_path / "deep/a.b.png"), mask)
    with Image.open(tmp_path / "deep/a.b.png") as image:
        assert image.mode == "P" and image.getpalette()[6:9] == [0, 128, 0]  # label 2 of the VOC palette
    assert not (tmp_path / "scores").exists() and ledger.read("deep/a.b") == {"confidence": {"2": 0.5}}
    write(PredictionWriter(tmp_path, ledger, scores=True), prediction)
    with np.load(tmp_path / "scores/deep/a.b.npz", allow_pickle=False) as kept:
        assert kept["labels"].tolist() == [2] and np.array_equal(kept["probabilities"], probabilities)


def test_writer_records_failures(tmp_path):
    ledger = Ledger(tmp_path)
    write(PredictionWriter(tmp_path, ledger), Bad("deep/a", "torn"))
    assert ledger.read("deep/a") == {"failed": "torn"} and not (tmp_path / "deep").exists()


def test_confidence_is_the_mean_probability_where_a_class_is():
    """A mask of 4 x 4 over maps of 2 x 2: a value of a map counts for the four pixels that lie over it."""
    mask = np.array([[1, 1, 0, 0], [1, 1, 0, 2], [0, 0, 2, 2], [0, 0, 2, 255]], np.uint8)
    maps = np.array([[[0.9, 0.2], [0.3, 0.4]], [[0.1, 0.8], [0.3, 0.6]], [[0, 0], [0, 0]]], np.float16)
    assert confidences(mask, [1, 2], maps[:2]) == pytest.approx({1: 0.9, 2: (0.8 + 3 * 0.6) / 4}, abs=1e-3)
    assert confidences(mask, [7], maps[2:]) == {7: None} and confidences(mask, [], np.zeros((0, 1, 1))) == {}


@pytest.mark.parametrize("broken", ["write_mask", "Ledger.write"])
def test_a_mask_is_not_there_without_its_confidence(tmp_path, monkeypatch, broken):
    """A start that is killed between the two leaves an image that is predicted again."""
    monkeypatch.setattr(f"wsvs.lit.predictor.{broken}", lambda *_: (_ for _ in ()).throw(OSError("killed")))
    prediction = PredictedImage("a", np.ones((1, 1), np.uint8), [1], np.ones((1, 1, 1)), None)
    with pytest.raises(OSError, match="killed"):
        write(PredictionWriter(tmp_path, Ledger(tmp_path)), prediction)
    assert not (tmp_path / "a.png").exists()


def test_mask_comes_after_its_scores(tmp_path, monkeypatch):
    """The mask says that an image is finished: it must not be there alone."""
    monkeypatch.setattr("wsvs.lit.predictor.write_bytes", lambda *_: (_ for _ in ()).throw(OSError("full")))
    prediction = PredictedImage("a", np.zeros((1, 1), np.uint8), [], np.zeros((0, 1, 1)), None)
    with pytest.raises(OSError, match="full"):
        write(PredictionWriter(tmp_path, Ledger(tmp_path), scores=True), prediction)
    assert not (tmp_path / "a.png").exists()


def test_load_image(tmp_path):
    Image.new("RGB", (3, 2), (1, 2, 3)).save(tmp_path / "a.png")
    item = load_image(wanted := Wanted("a", str(tmp_path / "a.png")))
    assert item.image.shape == (3, 2, 3) and item.image[:, 0, 0].tolist() == [1, 2, 3] and item.item is wanted
    missing = load_image(Wanted("b", str(tmp_path / "b.png"), [1]))
    assert isinstance(missing, Bad) and missing.id == "b" and str(tmp_path / "b.png") in missing.reason
    assert load_image(bad := Bad("c", "no file")) is bad


def test_through_a_trainer(net, make_trainer, tmp_path):
    """As stage predict does it: a good image, a torn one, one without a file."""
    Image.new("RGB", (30, 20), (200, 0, 0)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"")
    items = [
        Wanted("a", str(tmp_path / "a.png"), [1]),
        Wanted("b", str(tmp_path / "b.png")),
        Bad("c", "no file"),
    ]
    out = tmp_path / "out"
    ledger = Ledger(out)
    work = WorkModule(items, finished=lambda item: False, dataset=lambda mine: ItemDataset(mine, load_image), workers=0)
    trainer = make_trainer(callbacks=[PredictionWriter(out, ledger)], use_distributed_sampler=False)
    trainer.predict(PredictorModule(net), work, return_predictions=False)
    assert read_mask(out / "a.png").shape == (20, 30)
    assert "b.png" in ledger.read("b")["failed"] and ledger.read("c") == {"failed": "no file"}


def test_overlay_shows_the_mask_and_names_what_is_in_it(tmp_path):
    mask = np.zeros((40, 80), np.uint8)
    mask[:20] = 2
    image = torch.full((3, 40, 80), 128, dtype=torch.uint8)
    prediction = PredictedImage("deep/a", mask, [1, 2], np.zeros((2, 1, 1)), image)
    write(PredictionWriter(tmp_path, Ledger(tmp_path), names=("background", "cat", "dog")), prediction)
    with Image.open(tmp_path / "overlay/deep/a.jpg") as opened:
        shown = np.asarray(opened).astype(int)
    assert shown.shape[1] == 80 and shown.shape[0] > 50
    assert shown[10, 40, 1] > shown[10, 40, 0] + 30  # green, the colour of label 2
    assert np.abs(shown[30, 40] - shown[30, 40].mean()).max() < 8  # grey below
    strip = shown[40:]
    assert (strip[..., 1] > strip[..., 0] + 60).any() and not (strip[..., 0] > strip[..., 1] + 60).any()


def shown(height, width):
    image = torch.full((3, height, width), 128, dtype=torch.uint8)
    mask = np.ones((height, width), np.uint8)
    return PredictedImage("a", mask, [1], np.zeros((1, 1, 1)), image)


@pytest.mark.parametrize(("height", "width"), [(4, 66000), (66000, 4)])  # a JPEG's sides end at 65,500
def test_an_image_of_any_length_has_its_mask_and_a_small_overlay(tmp_path, height, width):
    ledger = Ledger(tmp_path)
    write(PredictionWriter(tmp_path, ledger, names=("background", "cat")), shown(height, width))
    assert read_mask(tmp_path / "a.png").shape == (height, width) and "unshown" not in ledger.read("a")
    with Image.open(tmp_path / "overlay/a.jpg") as opened:
        assert opened.width == min(width, OVERLAY_SIDE) if width > height else opened.height >= OVERLAY_SIDE


def test_an_overlay_that_fails_does_not_cost_the_mask(tmp_path, monkeypatch):
    def fails(*_):
        raise ValueError("no font")

    monkeypatch.setattr("wsvs.lit.predictor.with_legend", fails)
    ledger = Ledger(tmp_path)
    write(PredictionWriter(tmp_path, ledger, names=("background", "cat")), shown(2, 3))
    assert read_mask(tmp_path / "a.png").shape == (2, 3)
    assert "no font" in ledger.read("a")["unshown"]


def test_a_full_disk_stops_at_the_overlay_too(tmp_path, monkeypatch):
    def full(path, data):
        raise UserError("no space left on the disk", where=path)

    monkeypatch.setattr("wsvs.lit.predictor.write_bytes", full)
    with pytest.raises(UserError, match="no space left"):
        write(PredictionWriter(tmp_path, Ledger(tmp_path), names=("background", "cat")), shown(2, 3))
    assert not (tmp_path / "a.png").exists() and not Ledger(tmp_path).has("a")


def test_a_video_gives_a_mask_a_frame_and_an_overlay(net, tmp_path):
    film = make_film(tmp_path / "f.mp4", 20, size=(64, 48))
    ledger = Ledger(tmp_path / "out")
    module = PredictorModule(net, background=0.0)
    writer = PredictionWriter(tmp_path / "out", ledger, names=("background", "cat", "dog"))
    with torch.inference_mode():
        write(writer, module.predict_step(Wanted("a/f", str(film), [1], video=True), 0))
        write(writer, module.predict_step(Wanted("g", str(film), video=True), 0))
    for name in ("a/f", "g"):
        masks = [read_mask(path) for path in sorted((tmp_path / "out" / name).glob("*.png"))]
        assert len(masks) == 20 and {mask.shape for mask in masks} == {(48, 64)}
        assert ledger.read(name) == {"frames": 20}
        with av.open(str(tmp_path / "out" / "overlay" / f"{name}.mp4")) as shown:
            pictures = [frame.to_ndarray(format="rgb24") for frame in shown.decode(video=0)]
        assert len(pictures) == 20 and pictures[0].shape[1] == 64 and pictures[0].shape[0] > 60
    assert (tmp_path / "out/a/f/00019.png").is_file()
    assert set(np.unique(read_mask(tmp_path / "out/a/f/00003.png"))) <= {0, 2}


def test_an_interrupted_video_resumes_where_it_stopped(net, tmp_path, monkeypatch):
    """And ends like an uninterrupted one; files left by a power cut or of another video are made again."""
    film, asked, shown = make_film(tmp_path / "f.mp4", 12, size=(64, 48)), [], []
    module = PredictorModule(net, background=0.3)
    segment = module.segment

    def counted(image, classes):
        if len(asked) == 7:
            raise KeyboardInterrupt
        asked.append(image)
        return segment(image, classes)

    @contextmanager
    def recorded(path, fps):
        shown.append([])
        with open_writer(path, fps) as add:
            yield lambda picture: (shown[-1].append(picture), add(picture))

    def run(folder):
        with torch.inference_mode():
            prediction = module.predict_step(Wanted("f", str(film), video=True), 0)
            write(PredictionWriter(folder, Ledger(folder), names=("background", "cat", "dog")), prediction)

    monkeypatch.setattr("wsvs.lit.predictor.open_writer", recorded)
    whole, out = tmp_path / "whole", tmp_path / "out"
    run(whole)
    monkeypatch.setattr(module, "segment", counted)
    with pytest.raises(KeyboardInterrupt):
        run(out)
    assert not Ledger(out).has("f") and not list((out / "overlay").iterdir())
    kept = {path: path.stat().st_mtime_ns for path in (out / "f").iterdir()}
    assert sorted(path.name for path in kept) == [f"{number:05d}.png" for number in range(7)]
    for name, left in (("00002.png", b""), ("00005.png", encode_mask(np.zeros((1, 1), np.uint8)))):
        (out / "f" / name).write_bytes(left)
        del kept[out / "f" / name]
    asked.clear()
    run(out)
    assert len(asked) == 12 - 7 + 2
    assert all(path.stat().st_mtime_ns == time for path, time in kept.items())
    found, expected = (
        {path.relative_to(at): path.read_bytes() for end in ("png", "json") for path in at.rglob(f"*.{end}")}
        for at in (out, whole)
    )
    assert len(expected) == 12 + 1 and found == expected  # with the line in the ledger
    assert len(shown[0]) == 12 and np.array_equal(shown[0], shown[-1]) and (out / "overlay/f.mp4").is_file()


def test_classes_of_a_video_are_those_of_its_mean_scores(net, tmp_path, monkeypatch):
    """33 frames are looked at in steps of 3: frames 0, 3, ..., 30; class 0 is sure in the first third only."""
    film, asked = make_film(tmp_path / "f.mp4", 33, size=(32, 32)), []

    def probabilities(self, image, classes, **more):
        asked.append(len(asked))
        return [], torch.zeros(0, 1, 1), torch.tensor([1.0 if len(asked) <= 4 else 0.0, 0.5])

    monkeypatch.setattr(SegmentationNet, "probabilities", probabilities)
    assert PredictorModule(net, class_threshold=0.4).classes_of_video(film) == [1] and len(asked) == 11
    asked.clear()
    assert PredictorModule(net, class_threshold=0.36).classes_of_video(film) == [0, 1]  # 4 of 11 are 0.3636
    asked.clear()
    assert PredictorModule(net, class_threshold=0.9).classes_of_video(film) == [1]  # the best one


def test_a_video_that_breaks_off_or_is_none(net, tmp_path):
    whole = make_film(tmp_path / "f.mkv", 60, size=(64, 48)).read_bytes()
    (tmp_path / "torn.mkv").write_bytes(whole[: len(whole) // 2])
    make_sound(tmp_path / "sound.mp4")
    (tmp_path / "text.mp4").write_text("404")
    ledger = Ledger(tmp_path / "out")
    writer = PredictionWriter(tmp_path / "out", ledger, names=("background", "cat", "dog"))
    with torch.inference_mode():
        for name in ("torn.mkv", "sound.mp4", "text.mp4"):
            item = Wanted(name[:-4], str(tmp_path / name), [0], video=True)
            write(writer, PredictorModule(net).predict_step(item, 0))
    torn = ledger.read("torn")
    assert 0 < torn["frames"] < 60 and len(list((tmp_path / "out/torn").iterdir())) == torn["frames"]
    assert "torn.mkv" in torn["broken"]
    for name in ("sound", "text"):
        assert f"{name}.mp4" in ledger.read(name)["failed"] and not (tmp_path / "out/overlay" / f"{name}.mp4").exists()


def test_an_animation_is_reported(tmp_path, caplog):
    first, second = (Image.new("RGB", (4, 3), colour) for colour in ("red", "blue"))
    first.save(tmp_path / "a.gif", save_all=True, append_images=[second])
    item = load_image(Wanted("a", str(tmp_path / "a.gif")))
    assert item.image[:, 0, 0].tolist() == [255, 0, 0]
    assert f"{tmp_path / 'a.gif'} has 2 images: only the first is used" in caplog.text
