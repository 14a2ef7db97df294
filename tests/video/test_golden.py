"""The released program of Papazoglou & Ferrari and ours on the same frames, flow and superpixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from wsvs.video.segmentation import SegmentSettings, describe_frames, segment


@pytest.mark.parametrize(
    ("change", "least"),
    [({"grad": "cross", "angle": "sum", "cleanup": "sweep", "floor_m": 0.0}, 0.99), ({}, 0.98)],
    ids=["released", "recommended"],
)
def test_masks_of_the_release(real_data: Path, change: dict, least: float) -> None:
    place = real_data / "golden" / "fos_shot1.npz"
    if not place.is_file():
        pytest.skip(f"{place} is missing")
    with np.load(place) as stored:
        frames, flow, superpixels, truth = (stored[k] for k in ("frames", "flow", "superpixels", "seg"))
    flows, labels = iter(flow[..., ::-1].astype(np.float32)), iter(superpixels.astype(np.int32))
    settings = SegmentSettings(lambda_c=1.0, **change)
    graph = describe_frames(
        frames, settings, flow=lambda previous, following: next(flows), superpixels=lambda frame: next(labels)
    )
    masks = segment(graph, None, settings).masks()
    ious = (masks & truth).sum(axis=(1, 2)) / (masks | truth).sum(axis=(1, 2))
    assert ious.mean() >= least
