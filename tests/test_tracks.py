"""The table of tracks against the stage that scores masks, and against counting at every threshold."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.tracks import BINS, Scan, look, main
from wsvs.core.files import read_json
from wsvs.core.masks import write_mask
from wsvs.metrics.segmentation import ConfusionMatrix
from wsvs.nets.model import NetConfig, SegmentationNet

NAMES = ("background", "cat", "dog")


def test_every_threshold_is_counted_as_if_it_were_the_only_one():
    rng = np.random.default_rng(0)
    scan = Scan(NAMES)
    expected = [ConfusionMatrix(NAMES) for _ in range(BINS)]
    own = ConfusionMatrix(NAMES)
    for _ in range(5):
        labels = rng.integers(1, 3, (6, 7)).astype(np.uint8)
        best = rng.random((6, 7)).astype(np.float32)
        best[0] = 0.0
        truth = rng.choice(np.array([0, 1, 2, 255], np.uint8), (6, 7))
        scan.add(labels, best, 0.37, truth)
        own.add(np.where(best > 0.37, labels, np.uint8(0)), truth)
        for k in range(1, BINS):
            expected[k].add(np.where(best > k / BINS, labels, np.uint8(0)), truth)
    for k in range(1, BINS):
        assert np.array_equal(scan.at(k).counts, expected[k].counts)
    found = scan.results(NAMES)
    assert found["fixed"] == expected[10].miou() and found["own"] == own.miou()
    assert found["best"] == max(matrix.miou() for matrix in expected[1:])


@pytest.fixture
def net() -> SegmentationNet:
    torch.manual_seed(0)
    config = NetConfig(
        backbone="vgg_small",
        classes=NAMES[1:],
        image_size=64,
        scales=(0.5, 1.0),
        hidden=8,
        class_thresholds=(0.1, 0.99),
    )
    encoder = config.build_encoder()
    return SegmentationNet(config, encoder, config.build_decoder(encoder)).eval()


def test_rows_are_what_the_net_says_by_itself(net):
    encoder = encoder_of(net)
    image = torch.randint(0, 256, (3, 50, 70), dtype=torch.uint8)
    x = image.float() / 255
    with torch.inference_mode():
        rows = look({"encoder": encoder, "ours": net}, image, [1], [(1.0, False), (1.0, True)])
        assert {key.split(" | ")[0] for key in rows} == {"given", "predicted", "auto"}
        assert rows["auto | ours"][0] == [0]  # 0.5 or so: above the first threshold only
        for row, method in (("attention", "attention"), ("ours", "decoder"), ("ours + attention", "mean")):
            numbers, maps = rows[f"given | {row}"]
            assert numbers == [1]
            torch.testing.assert_close(maps, net.probabilities(x, [1], method=method, flip=True)[1])


def test_an_image_without_a_tag_is_background(net, tmp_path, monkeypatch):
    """By hand: nothing of it is right where its truth is a cat, all of it where it is background."""
    for name, label in (("a", 0), ("b", 1)):
        image = np.random.default_rng(label).integers(0, 256, (40, 50, 3), dtype=np.uint8)
        Image.fromarray(image).save(tmp_path / f"{name}.jpg")
        write_mask(tmp_path / "masks" / f"{name}.png", np.full((40, 50), label, np.uint8))
    (tmp_path / "tags.tsv").write_text("id\ttags\na\t\nb\t\n")
    (tmp_path / "ids.txt").write_text("a\nb\n")
    monkeypatch.setattr("benchmarks.tracks.load_net", {"e": encoder_of(net), "d": net}.__getitem__)
    places = {"images": ".", "tags": "tags.tsv", "masks": "masks", "ids": "ids.txt", "out": "out.json"}
    words = [f"--{key}={tmp_path / value}" for key, value in places.items()]
    monkeypatch.setattr(
        sys, "argv", ["tracks", "score", *words, "--classes=background,cat", "--cut", "ours", "--", "e=e", "ours=d"]
    )
    main()
    rows = read_json(tmp_path / "out.json")["rows"]
    for row in ("attention", "ours", "ours + attention"):
        found = rows[f"given | {row}"]
        assert found["own"] == found["fixed"] == found["best"] == 0.25  # background 1/2, cat 0
    assert rows["given | ours"]["cut"] == 0.25


def encoder_of(net: SegmentationNet) -> SegmentationNet:
    return SegmentationNet(net.config, net.encoder, None).eval()


def test_table_over_seeds(tmp_path, monkeypatch, capsys):
    for seed, miou in enumerate((0.4, 0.5, 0.6)):
        row = {"fixed": miou, "own": 0.5, "best": miou + 0.1, "threshold": 0.3}
        (tmp_path / f"{seed}.json").write_text(json.dumps({"rows": {"given | attention": row}}))
    monkeypatch.setattr(sys, "argv", ["tracks", "table", *(str(tmp_path / f"{seed}.json") for seed in range(3))])
    main()
    said = capsys.readouterr().out
    assert "50.0 ± 10.0" in said and "60.0 ± 10.0" in said and "50.0 ± 0.0" in said and "3 seeds" in said
