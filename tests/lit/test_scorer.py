"""Scores of a clip's frames, and what is written of them."""

from __future__ import annotations

from dataclasses import replace

import av
import numpy as np
import pytest
import torch

import wsvs.lit.clip_frames
import wsvs.lit.scorer
from wsvs.core.errors import BadItem
from wsvs.data.work import WorkModule
from wsvs.lit.clip_frames import ClipFrames, ClipLoader, End, Frames
from wsvs.lit.scorer import ScorerModule, Scores, ScoreWriter
from wsvs.records.ledger import Ledger
from wsvs.records.predicted import Bad
from wsvs.records.shots import Clip
from wsvs.video.cuts import Cuts

FRAMES = np.random.default_rng(0).integers(0, 256, (11, 32, 32, 3), dtype=np.uint8)
CLIP = Clip("cat/v_0", "v", "dog", 0, 11, file="v.mp4")


@pytest.fixture
def frames(monkeypatch):
    """Let the loader read these frames, up to a break if there is one."""

    def use(count=11, break_after=None):
        def read(path, start, stop, longest_edge):
            assert path == "v.mp4" and longest_edge == 32
            for t in range(start, min(stop, count)):
                if t == break_after:
                    raise BadItem("video breaks off", where=path)
                yield FRAMES[t]

        monkeypatch.setattr(wsvs.lit.clip_frames, "read_frames", read)

    use()
    return use


def score(net, clip=CLIP, batch_size=16, **settings):
    with torch.inference_mode():
        return ScorerModule(net).predict_step(iter(ClipFrames([clip], size=32, batch_size=batch_size, **settings)), 0)


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
    found = score(net, item)
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
        ClipFrames([], size=32, batch_size=0)


def moving(path, count, seed):
    """A video of noise that moves, with a cut to other noise in its middle."""
    rng = np.random.default_rng(seed)
    grounds = rng.integers(0, 256, (2, 32, 64 + count, 3), dtype=np.uint8)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 32, "yuv420p"
        for t in range(count):
            frame = np.ascontiguousarray(grounds[2 * t // count][:, t : t + 64])
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        out.mux(stream.encode(None))


@pytest.fixture
def clips(tmp_path):
    """Of several lengths, one without a file."""
    made = [Clip(f"cat/v{k}_0", f"v{k}", "dog", k, 9 + 8 * k, file=str(tmp_path / f"{k}.avi")) for k in range(4)]
    for k, clip in enumerate(made[:3]):
        moving(clip.file, clip.stop + 2, k)
    return made


def test_any_number_of_workers_writes_the_same(net, clips, make_trainer, tmp_path):
    """Through a trainer, as stage relevance does it: every byte of scores and ledger."""
    written = []
    for workers in (0, 1, 3):
        out = tmp_path / str(workers)
        work = WorkModule(
            clips,
            finished=lambda clip: False,
            dataset=lambda mine: ClipFrames(mine, size=32, batch_size=4, cuts=True),
            loader=ClipLoader,
            workers=workers,
        )
        module = ScorerModule(net)
        make_trainer(callbacks=[ScoreWriter(out)]).predict(module, work, return_predictions=False)
        files = sorted(path for path in out.rglob("*") if path.is_file())
        written.append({path.relative_to(out).as_posix(): path.read_bytes() for path in files})
        assert module.watch.seconds > 0
    assert len([name for name in written[0] if name.startswith("scores/")]) == 3
    assert "failed" in Ledger(tmp_path / "0").read(clips[3].id) and Ledger(tmp_path / "0").read(clips[2].id)["cuts"]
    assert written[1] == written[0] and written[2] == written[0]


def test_clips_whose_frames_come_in_turns(net):
    """One video ends while two others continue, one of which breaks off."""
    one, two, three = (replace(CLIP, clip=name) for name in "abc")
    images = [torch.from_numpy(FRAMES[k : k + 3]) for k in range(0, 9, 3)]
    parts = [
        Frames(one, images[0]),
        Frames(two, images[1]),
        Frames(three, images[0]),
        End(two, None, None),
        Frames(one, images[2]),
        End(three, "torn", None),
        End(one, None, None),
    ]
    module, stream = ScorerModule(net), iter(parts)
    with torch.inference_mode():
        found = {scores.clip.id: scores for scores in (module.predict_step(stream, k) for k in range(3))}
        expected = torch.cat([net.encoder(one.permute(0, 3, 1, 2).float() / 255) for one in images]).sigmoid()[:, 1]
    assert list(found) == ["b", "c", "a"] and found["c"].broken == "torn"
    for name, rows in (("a", [0, 1, 2, 6, 7, 8]), ("b", [3, 4, 5]), ("c", [0, 1, 2])):
        assert np.allclose(found[name].scores, expected[rows], atol=1e-6)


def test_output_that_is_not_finite_ends_a_clip_there(net, monkeypatch):
    """What the cuts say of later frames is left out, and the clip's other frames are not scored."""
    module, scored = ScorerModule(net), []

    def score_of(images):
        scored.append(len(images))
        if len(scored) == 2:
            raise BadItem("not finite")
        return np.full((len(images), 2), 0.5, np.float32)

    monkeypatch.setattr(module, "_score", score_of)
    frames = [Frames(CLIP, torch.from_numpy(FRAMES[k : k + 4])) for k in (0, 4, 8)]
    end = End(CLIP, None, Cuts(11, (2, 6), (3, 9), (10,)))
    found = module.predict_step(iter([*frames, end]), 0)
    assert scored == [4, 4] and found.broken == "not finite" and len(found.scores) == 4
    assert found.cuts == Cuts(4, (2,), (3,), ())


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
