"""Stage segment on folders of videos, in this process: what is found, cut, segmented, skipped and scored."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import av
import cv2
import numpy as np
from PIL import Image

from tests.films import make_film, make_sound, pictures, write_film
from tests.processes import SEGMENT
from wsvs.config.check import check
from wsvs.core.masks import read_mask, write_mask
from wsvs.engine.registry import load_stage

QUICK = (
    *SEGMENT,
    "segment.workers=0",
)


def only_run(stage: str) -> Path:
    [run] = Path("out", "n", stage).iterdir()
    return run


def masks(run: Path) -> dict[str, list[str]]:
    """{video: names of its masks}"""
    found: dict[str, list[str]] = {}
    for path in sorted((run / "masks").rglob("*.png")):
        found.setdefault(path.parent.relative_to(run / "masks").as_posix(), []).append(path.name)
    return found


def rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def numbered(count: int) -> list[str]:
    return [f"{number:05d}.png" for number in range(count)]


def test_every_frame_of_every_video(wsvs, tmp_path):
    """Cut into pieces or not; below other folders; of one name in two containers."""
    make_film(tmp_path / "v/long.mp4", 20)
    make_film(tmp_path / "v/deep/er/short.mkv", 5, seed=1)
    make_film(tmp_path / "v/twice.mp4", 2)
    make_film(tmp_path / "v/twice.avi", 3, codec="mpeg4")
    (tmp_path / "v/notes.txt").write_text("no video")
    status, _, _ = wsvs(*QUICK, "videos=v", "segment.max_frames=8", "segment.overlay=true")
    assert status == 0
    run = only_run("segment")
    frames = {"long": 20, "deep/er/short": 5, "twice.mp4": 2, "twice.avi": 3}
    assert masks(run) == {video: numbered(count) for video, count in frames.items()}
    assert {row["video"]: row["frames"] for row in rows(run / "videos.jsonl")} == frames
    assert {path.stem for path in (run / "done").glob("long*")} == {"long_000000", "long_000006", "long_000013"}
    said = json.loads((run / "summary.json").read_text())
    assert said["counts"] == {"videos": 4, "segmented": 4, "shots": 4, "frames": 30, "skipped items": 0}
    assert said["inputs"] == {} and not (run / "frames").exists()
    assert {"decode", "flow", "cut", "write"} <= set(said["results"]["ms per frame"])
    assert said["results"]["energy per frame"]["total"] > 0 and said["results"]["seconds of the loop"] > 0
    assert 0 < said["results"]["data_wait"] < 1
    films = [path for path in (run / "overlay").rglob("*") if path.is_file()]
    assert {path.relative_to(run / "overlay").as_posix(): count_frames(path) for path in films} == {
        f"{video}.mp4": count for video, count in frames.items()
    }


def count_frames(path: Path) -> int:
    """Of an overlay, each of which has the working size and a stamp of its own."""
    with av.open(str(path)) as video:
        found = list(video.decode(video=0))
    assert all((frame.width, frame.height) == (96, 64) for frame in found)
    assert len({frame.pts for frame in found}) == len(found)
    return len(found)


def test_the_moving_square_is_found_and_scored(wsvs, tmp_path):
    """Against its true masks: by this run's name, by its folder, and by the masks' folder alone."""
    make_film(tmp_path / "v/a.mp4", 12)
    make_film(tmp_path / "v/b.mp4", 6)
    for t in range(12):
        truth = np.zeros((64, 96), np.uint8)
        truth[21:42, 2 * t : 2 * t + 21] = 1
        write_mask(tmp_path / f"truth/a/{t:05d}.png", truth)
    status, _, err = wsvs(*QUICK, "videos=v", "segment.flow=dis_medium", "segment.gain=adaptive")
    assert status == 0, err
    run = only_run("segment")
    found = []
    for number, words in enumerate(([], [f"predictions={run}"], [f"predictions={run}/masks"])):
        status, _, err = wsvs(
            "stage=evaluate",
            "evaluate.kind=video",
            "name=n",
            "out=out",
            "truth=truth",
            *words,
            run_id=f"scored{number}",
        )
        assert status == 0, err
        scored = Path("out", "n", "evaluate", f"scored{number}")
        metrics = json.loads((scored / "metrics.json").read_text())
        found.append((metrics["frame_average"], metrics["frames"], metrics["videos"]))
        if number < 2:
            assert json.loads((scored / "summary.json").read_text())["counts"]["videos without true masks"] == 1
    assert found[0] == found[1] == found[2] and found[0][1:] == (12, 1) and found[0][0] > 0.6
    status, _, err = wsvs("stage=evaluate", "evaluate.kind=video", "name=n", "out=out", "truth=v")
    assert status == 2 and "none of the 2 videos has true masks" in err


def test_what_is_proposed_after_videos_without_classes_runs(wsvs, tmp_path, caplog):
    caplog.set_level("INFO", "wsvs")
    make_film(tmp_path / "v/a.mp4", 2)
    assert wsvs(*QUICK, "videos=v", run_id="films")[0] == 0
    first, *words = shlex.split(caplog.messages[-1].removeprefix("next: "))
    assert first == "wsvs" and "stage=export" in words
    status, _, err = wsvs(*words, run_id="davis")
    assert status == 0, err
    exported = Path("out/n/export/davis")
    assert (exported / "labels.txt").read_text() == "background\nobject\n"
    assert {path.name for path in (exported / "Annotations/Full-Resolution/a").iterdir()} == {"00000.png", "00001.png"}


def test_masks_have_the_class_of_the_table_for_the_score(wsvs, tmp_path):
    make_film(tmp_path / "v/a.mp4", 2)
    make_film(tmp_path / "v/b.mp4", 2)
    (tmp_path / "v/table.tsv").write_text("sequence\tframes\tlabels\na\t2\tcat,dog\nb\t2\t\nelsewhere\t9\tcat\n")
    assert wsvs(*QUICK, "videos=v", "labels=v/table.tsv")[0] == 0
    run = only_run("segment")
    assert [(row["video"], row["class"], row["label"]) for row in rows(run / "videos.jsonl")] == [
        ("a", "cat", 1),
        ("b", "", 1),
    ]
    for video in "ab":
        for t in range(2):
            write_mask(tmp_path / f"truth/{video}/{t:05d}.png", read_mask(run / f"masks/{video}/{t:05d}.png"))
    assert wsvs("stage=evaluate", "evaluate.kind=video", "name=n", "out=out", "truth=truth")[0] == 0
    metrics = json.loads((only_run("evaluate") / "metrics.json").read_text())
    assert metrics["by_class"] == {"cat": 1.0} and metrics["videos"] == 2


def test_videos_of_every_kind(wsvs, tmp_path):
    """Each is segmented, at the size at which it is shown, or named with its reason; the others do not suffer."""
    v = tmp_path / "v"
    good = {
        "one": (make_film(v / "one.mp4", 1), 1, (96, 64)),
        "grey": (make_film(v / "grey.mkv", 4, pixels="gray", codec="ffv1"), 4, (96, 64)),
        "turned": (make_film(v / "turned.mp4", 4, turn=90), 4, (64, 96)),
        "odd": (make_film(v / "odd.mkv", 4, size=(91, 67), pixels="yuv444p"), 4, (91, 67)),
        "uneven": (make_film(v / "uneven.mp4", 10, times=[0, 9, 90, 95, 300, 800, 810, 815, 1900, 2000]), 10, (96, 64)),
        "deep": (make_film(v / "deep.mp4", 4, pixels="yuv420p10le"), 4, (96, 64)),
        "tiny": (make_film(v / "tiny.mkv", 4, size=(9, 5), pixels="bgr0", codec="ffv1"), 4, (9, 5)),
    }
    (v / "empty.mp4").write_bytes(b"")
    (v / "text.avi").write_text("no video\n" * 99)
    make_sound(v / "sound.mp4")
    for name, frames in (("short", 8), ("long", 40)):  # read to their end; cut into pieces
        film = make_film(tmp_path / f"{name}.mov", frames, faststart=True, codec="mjpeg", pixels="yuvj420p")
        content = film.read_bytes()
        (v / f"{name}.mov").write_bytes(content[: len(content) * 9 // 10])
    content = make_film(tmp_path / "lost.mp4", 6).read_bytes()
    (v / "lost.mp4").write_bytes(content[: len(content) * 9 // 10])  # with its index
    status, _, err = wsvs(*QUICK, "videos=v", "segment.max_frames=8", "segment.overlay=true", "segment.lambda_c=2")
    assert status == 3, err
    run = only_run("segment")
    reasons = {row["item"]: row["reason"] for row in json.loads((run / "skipped.json").read_text())}
    expected = {
        "empty": "the video file is empty",
        "text": "not a video",
        "sound": "no video",
        "lost": "before its index",
        "short": "only the first frames",
        "long": "only the first frames",
    }
    assert set(reasons) == set(expected) and all(text in reasons[name] for name, text in expected.items())
    said = json.loads((run / "summary.json").read_text())
    assert said["results"]["failed"] == reasons and said["counts"]["segmented"] == len(good) + 2
    found = masks(run)
    for name, (_, frames, size) in good.items():
        assert found.pop(name) == numbered(frames)
        assert Image.open(run / "masks" / name / "00000.png").size == size
    assert found["short"] == numbered(len(found["short"])) and 2 <= len(found.pop("short")) < 8
    assert found["long"] == numbered(len(found["long"])) and 20 < len(found.pop("long")) < 40
    assert found == {}
    assert {path.stem for path in (run / "overlay").glob("*.mp4")} == {*good, "short", "long"}


def test_nothing_that_moves_gets_no_mask_and_is_reported(wsvs, tmp_path, caplog):
    """A photograph with noise beside a video of a moving square; with the limit at 0 every mask is kept."""
    make_film(tmp_path / "v/moving.mp4", 10)
    rng = np.random.default_rng(0)
    still = np.clip(pictures(1, 96, 64) + rng.normal(0, 6, (10, 64, 96, 3)), 0, 255).astype(np.uint8)
    write_film(
        tmp_path / "v/still.mp4",
        still,
        size=(96, 64),
        codec="libx264",
        pixels="yuv420p",
        turn=None,
        times=None,
        container={},
        options={},
    )
    status, _, err = wsvs(*QUICK, "videos=v", "segment.flow=dis_medium", "segment.min_confidence=0.5", run_id="a")
    assert status == 0, err
    run = Path("out/n/segment/a")
    found = {row["video"]: row for row in rows(run / "videos.jsonl")}
    assert found["still"]["confidence"] < 0.5 < found["moving"]["confidence"]
    assert (found["still"]["uncertain_frames"], found["moving"]["uncertain_frames"]) == (10, 0)
    counts = json.loads((run / "summary.json").read_text())["counts"]
    assert (counts["shots without own motion"], counts["frames without own motion"]) == (1, 10)
    assert any("frames without a mask: 10 of 20 (shots: 1): no object motion" in line for line in caplog.messages)
    assert not any(read_mask(path).any() for path in (run / "masks/still").glob("*.png"))
    assert any(read_mask(path).any() for path in (run / "masks/moving").glob("*.png"))
    done = json.loads((run / "done/still_000000.json").read_text())
    assert done["uncertain"] and len(done["confidences"]) == 10 and set(done["areas"]) == {0.0}
    assert wsvs(*QUICK, "videos=v", run_id="b")[0] == 0
    assert {row["uncertain_frames"] for row in rows(Path("out/n/segment/b/videos.jsonl"))} == {0}
    assert "frames without own motion" not in json.loads(Path("out/n/segment/b/summary.json").read_text())["counts"]


def test_mistakes_are_reported(wsvs, tmp_path):
    for words, problem in (
        (["videos=v"], "folder of videos not found"),
        (["videos=."], "no video in this folder"),
    ):
        status, _, err = wsvs(*QUICK, *words)
        assert status == 2 and f"error: {problem}" in err
    make_film(tmp_path / "v/a.mp4", 2)
    (tmp_path / "t.tsv").write_text("id\tclass\nz\tcat\n")
    status, _, err = wsvs(*QUICK, "videos=v", "labels=t.tsv")
    assert status == 2 and "error: the table lists no video of this folder" in err
    status, _, err = wsvs(*QUICK, "videos=v", "experiment=full", "segment.checkpoint=none.ckpt")
    assert status == 2 and "error: checkpoint not found" in err
    status, _, err = wsvs(*QUICK, "videos=v", "experiment=full")
    assert status == 2 and "error: no finished run of stage encoder" in err


def test_runs_that_are_read(composed):
    def read(*words):
        return load_stage("segment").needed(check(composed("stage=segment", *words)))

    assert read() == ("encoder", "relevance") and read("segment.lambda_a=0") == ("encoder", "relevance")
    assert read("videos=v") == ("encoder",) and read("videos=v", "experiment=full") == ("encoder",)
    assert read("videos=v", "experiment=motion") == () and read("videos=v", "segment.checkpoint=c") == ()
    assert read("segment.checkpoint=c") == ("relevance",)


def test_shots_are_segmented_as_if_alone(wsvs, tmp_path):
    """Three shots in one file give the masks that each gives in a file of its own; a black frame is bridged."""
    rng = np.random.default_rng(0)
    shots = []
    for _ in range(3):
        grain = cv2.GaussianBlur(rng.normal(size=(64, 96, 3)), (0, 0), 3)
        shot = 120 + 40 * grain / grain.std() + np.zeros((12, 64, 96, 3))
        for t in range(12):
            shot[t, 20:40, 10 + 4 * t : 30 + 4 * t] = rng.uniform(0, 255, 3) if t == 0 else shot[0, 20, 10]
        shots.append(shot.clip(0, 255).astype(np.uint8))
    shots[1][5] = 0
    more = {"size": (96, 64), "codec": "ffv1", "pixels": "bgr0", "turn": None, "times": None, "container": {}}
    for name, film in (("a/all", np.concatenate(shots)), *((f"b/{k}", shot) for k, shot in enumerate(shots))):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_film(tmp_path / f"{name}.mkv", film, options={}, **more)
    quick = [*QUICK, "segment.overlay=true", "segment.min_confidence=0"]
    assert wsvs(*quick, "videos=a")[0] == 0
    together = only_run("segment")
    [row] = rows(together / "videos.jsonl")
    assert (row["cuts"], row["cut_seconds"], row["odd"], row["blank"]) == ([12, 24], [0.48, 0.96], [], [17])
    assert json.loads((together / "summary.json").read_text())["counts"]["shots"] == 3
    assert len(list(av.open(str(together / "overlay" / "all.mp4")).decode(video=0))) == 36
    assert wsvs(*quick, "videos=b", "name=m")[0] == 0
    [alone] = Path("out", "m", "segment").iterdir()
    for k in range(3):
        for t in range(12):
            ours, theirs = (together / f"masks/all/{12 * k + t:05d}.png"), (alone / f"masks/{k}/{t:05d}.png")
            assert ours.read_bytes() == theirs.read_bytes()
    assert not read_mask(together / "masks/all/00017.png").any()
    assert any(read_mask(path).any() for path in (together / "masks/all").iterdir())


def test_without_cuts_a_video_is_one_shot(wsvs, tmp_path):
    film = np.concatenate([np.full((6, 64, 96, 3), level, np.uint8) for level in (40, 200)])
    film[:, 10:30, 10:30] = np.random.default_rng(0).integers(0, 255, (12, 20, 20, 3))
    (tmp_path / "v").mkdir()
    write_film(
        tmp_path / "v/a.mkv",
        film,
        size=(96, 64),
        codec="ffv1",
        pixels="bgr0",
        turn=None,
        times=None,
        container={},
        options={},
    )
    assert wsvs(*QUICK, "videos=v", "segment.cuts=false")[0] == 0
    [row] = rows(only_run("segment") / "videos.jsonl")
    assert "cuts" not in row and row["frames"] == 12
