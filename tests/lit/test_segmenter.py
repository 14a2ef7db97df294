"""The segmenter's module and the writer of masks."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

import wsvs.records.mask_writers
from wsvs.core.masks import read_mask
from wsvs.data.shots import Described, ShotDataset
from wsvs.data.work import WorkModule
from wsvs.lit.segmenter import MaskWriter, Segmented, SegmenterModule, mask_sources
from wsvs.nets.attention import attention, resize
from wsvs.records.ledger import Ledger
from wsvs.records.masks import MaskSet
from wsvs.records.predicted import Bad
from wsvs.records.shots import Piece
from wsvs.video.frame_graph import describe_frames
from wsvs.video.settings import SegmentSettings

SETTINGS = SegmentSettings(superpixels=30, flow="dis_ultrafast")
ITEM = Piece(
    id="cat/v_000004",
    name="cat/v_000004",
    classes=["dog"],
    label=2,
    start=4,
    stop=7,
    height=48,
    width=64,
    file="v.mp4",
    total=None,
    fps=25.0,
    overlay="overlay/cat/v_000004.mp4",
)


def frames(count=3):
    """A red square that moves over a green ground, at half the size of the video."""
    made = np.zeros((count, 24, 32, 3), np.uint8)
    made[..., 1] = np.random.default_rng(0).integers(60, 110, (24, 32))
    for t in range(count):
        made[t, 6:18, 4 + 3 * t : 16 + 3 * t] = (220, 30, 30)
    return made


def test_attention_does_not_depend_on_the_batch(net):
    """Against frame by frame; sizes differ from the network's."""
    many = np.random.default_rng(1).integers(0, 256, (5, 20, 30, 3), dtype=np.uint8)
    with torch.inference_mode():
        found = SegmenterModule(net, SETTINGS, batch_size=2).attention(many, ["dog"])
        assert found.shape == (5, 20, 30) and found.dtype == np.float32 and 0 <= found.min() <= found.max() <= 1
        for t, frame in enumerate(many):
            x = resize(torch.from_numpy(frame).permute(2, 0, 1)[None] / 255, net.network_size(20, 30))
            expected = attention(net.encoder, x, torch.tensor([1]), (1.0,), (20, 30))[0, 0]
            assert np.allclose(found[t], expected, atol=1e-4)
        other = SegmenterModule(net, SETTINGS, batch_size=5).attention(many, ["cat"])
        both = SegmenterModule(net, SETTINGS, batch_size=3).attention(many, ["cat", "dog"])
    assert not np.allclose(found, other, atol=1e-2)
    assert np.allclose(both, np.maximum(found, other), atol=1e-4)  # of several classes the strongest


def test_a_shot_without_a_class_is_segmented_without_attention(net):
    graph = describe_frames(frames(), SETTINGS)
    batch = Described(replace(ITEM, classes=[]), graph, 0.0, None)
    found = SegmenterModule(net, SETTINGS).predict_step(batch, 0).segmentation
    alone = SegmenterModule(None, SETTINGS).predict_step(batch, 0).segmentation
    assert found.energies["attention"] == 0 and (found.labels == alone.labels).all()


def test_nothing_to_go_by_is_a_bad_shot_not_a_crash(net):
    """Attention alone, and a shot of no class that the encoder knows."""
    settings = SegmentSettings(superpixels=30, flow="dis_ultrafast", lambda_m=0.0, lambda_c=0.0)
    clip = frames()
    batch = Described(replace(ITEM, classes=[]), describe_frames(clip, settings), 0.0, clip)
    assert "attention" in SegmenterModule(net, settings).predict_step(batch, 0).reason


def test_bad_shot_goes_through(net):
    bad = Bad(ITEM.id, "torn")
    assert SegmenterModule(net, SETTINGS).predict_step(bad, 0) is bad


def test_settings_refused(net):
    with pytest.raises(ValueError, match="batch_size must be a whole number >= 1, got 0"):
        SegmenterModule(net, SETTINGS, batch_size=0)
    with pytest.raises(ValueError, match=r"min_confidence must be a number in \[0, 1\], got 2"):
        MaskWriter(MaskSet("x", False), frames=False, overlay=False, min_confidence=2)


def run(net, make_trainer, tmp_path, read, **more):
    work = WorkModule(
        [ITEM, replace(ITEM, id="dog/w", name="dog/w")],
        finished=lambda item: False,
        workers=0,
        dataset=lambda mine: ShotDataset(mine, describe=lambda f: describe_frames(f, SETTINGS), read=read),
    )
    writer = MaskWriter(MaskSet(tmp_path, False), frames=True, overlay=False)
    trainer = make_trainer(callbacks=[writer], use_distributed_sampler=False)
    trainer.predict(SegmenterModule(net, SETTINGS, **more), work, return_predictions=False)


def test_through_a_trainer(net, make_trainer, tmp_path):
    """As stage segment does it: files of every frame, then the ledger; twice the same, also in other batches."""
    for place, batch_size in (("a", 8), ("b", 2)):
        run(net, make_trainer, tmp_path / place, lambda *_, **__: iter(frames()), batch_size=batch_size)
    record = Ledger(tmp_path / "a").read("cat/v_000004")
    assert record["frames"] == 3 and len(record["areas"]) == 3
    parts = {key: value for key, value in record["energy"].items() if key != "total"}
    assert set(parts) == {"attention", "motion", "appearance", "spatial", "temporal"}
    assert record["energy"]["total"] == pytest.approx(sum(parts.values()))
    assert {"decode", "attention", "cut", "write"} <= set(record["seconds"])
    for t, number in enumerate((4, 5, 6)):
        mask = read_mask(tmp_path / f"a/masks/cat/v_000004/{number:06d}.png")
        assert mask.shape == (48, 64) and set(np.unique(mask)) <= {0, 2}  # the frame's own size, the class's label
        assert record["areas"][t] == pytest.approx((mask > 0).mean(), abs=1e-5)
        with Image.open(tmp_path / f"a/frames/cat/v_000004/{number:06d}.jpg") as image:
            assert image.size == (32, 24)  # at working size
            assert np.abs(np.asarray(image).astype(int) - frames()[t]).mean() < 12
        other = (tmp_path / f"b/masks/cat/v_000004/{number:06d}.png").read_bytes()
        assert (tmp_path / f"a/masks/cat/v_000004/{number:06d}.png").read_bytes() == other
    assert Ledger(tmp_path / "a").has("dog/w") and len(list((tmp_path / "a").rglob("*.png"))) == 6


def test_an_unreadable_shot_does_not_stop_the_others(net, make_trainer, tmp_path):
    turn = iter([iter(()), iter(frames())])
    run(net, make_trainer, tmp_path, lambda *_, **__: next(turn))
    assert "failed" in Ledger(tmp_path).read("cat/v_000004")
    assert Ledger(tmp_path).read("dog/w")["frames"] == 3


def result(shot="cat/v_000004", **more):
    """Masks by hand: frame t has t + 1 of eight pixels."""
    masks = np.arange(8).reshape(1, 2, 4) <= np.arange(3)[:, None, None]
    graph = SimpleNamespace(frames=3, paint=lambda values: values[np.arange(24).reshape(3, 2, 4)])
    terms = {"attention": np.zeros(24), "motion": np.arange(24) / 23}
    terms |= {"confidence": 0.6, "confidences": np.array([0.4, 0.6, 0.8])}
    segmentation = SimpleNamespace(masks=lambda: masks, energies={"total": np.float64(1.5)}, graph=graph, **terms)
    item = replace(ITEM, **{"id": shot, "name": shot, "height": 2, "width": 4, **more})
    return Segmented(item, segmentation, np.zeros((3, 2, 4, 3), np.uint8), {"cut": 0.12345})


def test_writer_without_frames(tmp_path):
    writer = MaskWriter(MaskSet(tmp_path, False), frames=False, overlay=False)
    writer.write(result())
    assert Ledger(tmp_path).read("cat/v_000004")["areas"] == [0.125, 0.25, 0.375]
    assert read_mask(tmp_path / "masks/cat/v_000004/000005.png").tolist() == [[2, 2, 0, 0], [0] * 4]
    assert not (tmp_path / "frames").exists()


@pytest.mark.parametrize(("least", "kept"), [(0, True), (0.6, True), (0.61, False)])
def test_an_uncertain_shot_gets_empty_masks(tmp_path, least, kept):
    MaskWriter(MaskSet(tmp_path, False), frames=False, overlay=False, min_confidence=least).write(result())
    record = Ledger(tmp_path).read("cat/v_000004")
    assert record["areas"] == ([0.125, 0.25, 0.375] if kept else [0, 0, 0])
    assert read_mask(tmp_path / "masks/cat/v_000004/000006.png").any() == kept
    assert (record["confidence"], record["confidences"]) == (0.6, [0.4, 0.6, 0.8])
    assert record.get("uncertain") == (None if kept else True)


def test_the_confidence_of_a_classifier_is_a_reason(net):
    """The score of the best of a shot's classes, frame by frame."""
    many = np.random.default_rng(1).integers(0, 256, (5, 20, 30, 3), dtype=np.uint8)
    module = SegmenterModule(net, SETTINGS, batch_size=2)
    with torch.inference_mode():
        x = resize(torch.from_numpy(many).permute(0, 3, 1, 2) / 255, net.network_size(20, 30))
        scores = net.encoder(x).sigmoid().numpy()
        assert np.allclose(module.attend(many, ["dog"])[1], scores[:, 1], atol=1e-4)
        assert np.allclose(module.attend(many, ["cat", "dog"])[1], scores[:, :2].max(1), atol=1e-4)
        batch = Described(ITEM, describe_frames(many, SETTINGS), 0.0, many)
        found = module.predict_step(batch, 0).segmentation
    assert found.confidence >= scores[:, 1].mean() - 1e-4 and (found.confidences >= scores[:, 1] - 1e-4).all()


def test_images_of_the_terms_are_of_the_middle_frame(tmp_path):
    writer = MaskWriter(MaskSet(tmp_path, False), frames=False, overlay=False)
    writer.write(result())
    [path] = (tmp_path / "terms/cat/v_000004").iterdir()  # attention is 0 everywhere: there was none
    with Image.open(path) as picture:
        values = np.asarray(picture).ravel() / 255
    assert path.name == "motion.jpg" and values == pytest.approx(np.arange(8, 16) / 23, abs=0.02)


def test_masks_of_a_video_piece_keep_its_numbers_and_size(tmp_path):
    """The second piece of a video: nearest neighbour, five digits."""
    masks = result(start=100, name="a/b", height=4, width=8)
    MaskWriter(MaskSet(tmp_path, True), frames=False, overlay=False).write(masks)
    assert sorted(path.name for path in (tmp_path / "masks/a/b").iterdir()) == ["00100.png", "00101.png", "00102.png"]
    assert read_mask(tmp_path / "masks/a/b/00101.png").tolist() == [[2] * 4 + [0] * 4] * 2 + [[0] * 8] * 2


def test_writer_records_failures(tmp_path):
    writer = MaskWriter(MaskSet(tmp_path, False), frames=True, overlay=False)
    writer.write(Bad(ITEM.id, "torn"))
    assert Ledger(tmp_path).read("cat/v_000004") == {"failed": "torn"} and not (tmp_path / "masks").exists()


def test_ledger_comes_after_the_last_file(tmp_path, monkeypatch):
    writer = MaskWriter(MaskSet(tmp_path, False), frames=True, overlay=False)
    there = []
    monkeypatch.setattr(
        Ledger, "write", lambda self, *_: there.extend(path.suffix for path in tmp_path.rglob("*.*") if path.is_file())
    )
    writer.write(result())
    assert sorted(there) == [".jpg"] * 4 + [".png"] * 3  # three frames, one term


@pytest.mark.parametrize("shots", [1, 2, 6])
def test_failing_write_propagates(tmp_path, monkeypatch, shots):
    """At the next shots or at the end, whichever is first; the shot that failed is not called finished."""

    def full(path, data):
        raise OSError("no space left")

    monkeypatch.setattr(wsvs.records.mask_writers, "write_bytes", full)
    writer = MaskWriter(MaskSet(tmp_path, False), frames=True, overlay=False)
    with pytest.raises(OSError, match="no space left"):
        for k in range(shots):
            writer.write_on_batch_end(None, None, result(f"cat/{k}"), None, None, k, 0)
        writer.on_predict_end(None, None)
    assert not (tmp_path / "done").exists()


def test_all_shots_are_written_when_the_loop_ends(tmp_path):
    writer = MaskWriter(MaskSet(tmp_path, False), frames=False, overlay=False)
    for k in range(7):
        writer.write_on_batch_end(None, None, result(f"cat/{k}"), None, None, k, 0)
    writer.on_predict_end(None, None)
    assert all(Ledger(tmp_path).has(f"cat/{k}") for k in range(7))


def test_odd_frames_take_the_nearest_mask_and_blank_ones_none():
    """Frames 4 to 9: 5 is odd, 7 and 8 are blank; masks are of 4, 6 and 9."""
    item = replace(ITEM, start=4, stop=10, odd=[5], blank=[7, 8])
    assert mask_sources(item, 3) == [(0, 0), (0, 0), (1, 2), None, None, (2, 5)]
    assert mask_sources(ITEM, 3) == [(0, 0), (1, 1), (2, 2)]


def test_every_odd_and_blank_frame_has_a_mask_file(tmp_path):
    shot = result(start=4, stop=10, odd=[5], blank=[7, 8])
    MaskWriter(MaskSet(tmp_path, False), frames=False, overlay=False).write(shot)
    record = Ledger(tmp_path).read("cat/v_000004")
    assert record["frames"] == 6 and record["areas"] == [0.125, 0.125, 0.25, 0, 0, 0.375]
    assert len(list((tmp_path / "masks/cat/v_000004").iterdir())) == 6
    assert read_mask(tmp_path / "masks/cat/v_000004/000009.png").tolist() == [[2, 2, 2, 0], [0] * 4]
