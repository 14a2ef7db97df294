"""Scores of a clip's frames, and what is written of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import wsvs.lit.scorer
from wsvs.core.errors import BadItem
from wsvs.lit.scorer import ScorerModule, Scores, ScoreWriter
from wsvs.records.ledger import Ledger
from wsvs.records.predicted import Bad
from wsvs.records.shots import Clip

FRAMES = np.random.default_rng(0).integers(0, 256, (11, 32, 32, 3), dtype=np.uint8)
CLIP = Clip("cat/v_0", "v", "dog", 0, 11, file="v.mp4")


@pytest.fixture
def frames(monkeypatch):
    """Let the scorer read these frames, up to a break if there is one."""

    def use(count=11, break_after=None):
        def read(path, start, stop, longest_edge):
            assert path == "v.mp4" and longest_edge == 32
            for t in range(start, min(stop, count)):
                if t == break_after:
                    raise BadItem("video breaks off", where=path)
                yield FRAMES[t]

        monkeypatch.setattr(wsvs.lit.scorer, "read_frames", read)

    use()
    return use


def score(net, **settings):
    with torch.inference_mode():
        return ScorerModule(net, **settings).predict_step(CLIP, 0)


def test_score_is_the_probability_of_the_clips_class(net, frames):
    found = score(net, batch_size=4)
    assert found.clip is CLIP and found.cuts is None and not found.broken
    with torch.inference_mode():
        expected = [
            net.encoder(torch.from_numpy(frame).permute(2, 0, 1)[None].float() / 255).sigmoid()[0, 1].item()
            for frame in FRAMES
        ]
    assert found.scores.shape == (11,) and np.ptp(expected) > 1e-3
    assert np.allclose(found.scores, expected, atol=1e-6)
    assert np.allclose(score(net, batch_size=100).scores, expected, atol=1e-6)


def test_part_before_a_break_counts(net, frames):
    whole = score(net, batch_size=3).scores
    frames(break_after=7)
    found = score(net, batch_size=3)
    assert "video breaks off" in found.broken and len(found.scores) == 7
    assert np.allclose(found.scores, whole[:7], atol=1e-6)


def test_only_the_frames_of_the_window_count(net, frames, tmp_path):
    whole = score(net).scores
    item = replace(CLIP, start=4, stop=7)
    with torch.inference_mode():
        found = ScorerModule(net).predict_step(item, 0)
    assert np.allclose(found.scores, whole[4:7], atol=1e-6)
    write(ScoreWriter(tmp_path), found)
    lines = (tmp_path / "scores" / "cat" / "v_0.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["frame", "4", "5", "6"]


def test_clip_without_a_frame_is_bad(net, frames):
    frames(break_after=0)
    found = score(net)
    assert found.id == "cat/v_0" and "video breaks off" in found.reason
    frames(count=0)
    assert score(net) == Bad("cat/v_0", "the clip has no frames")


def test_settings_refused(net):
    with pytest.raises(ValueError, match="batch_size must be a whole number >= 1, got 0"):
        ScorerModule(net, batch_size=0)


def write(writer, prediction):
    writer.write_on_batch_end(None, None, prediction, None, None, 0, 0)


def test_writer(tmp_path):
    writer, ledger = ScoreWriter(tmp_path), Ledger(tmp_path)
    write(writer, Scores(CLIP, np.array([0.5, 1, 1 / 3], np.float32)))
    text = (tmp_path / "scores/cat/v_0.csv").read_text()
    assert text == "frame,score\n0,0.500000\n1,1.000000\n2,0.333333\n"
    assert ledger.read("cat/v_0") == {"frames": 3, "broken": None}
    write(writer, Scores(replace(CLIP, clip="cat/w"), np.zeros(1), "torn"))
    assert ledger.read("cat/w") == {"frames": 1, "broken": "torn"}
    write(writer, Bad("cat/x", "empty"))
    assert ledger.read("cat/x") == {"failed": "empty"} and not (tmp_path / "scores/cat/x.csv").exists()


def test_ledger_comes_last(tmp_path, monkeypatch):
    monkeypatch.setattr(wsvs.lit.scorer, "write_text", lambda *_: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        write(ScoreWriter(tmp_path), Scores(CLIP, np.zeros(1)))
    assert not Ledger(tmp_path).has("cat/v_0")
