"""Shards of a run: each item in one of them, merged into the result of one run, and the messages about them."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import re
import shutil
from contextlib import nullcontext
from pathlib import Path

import pytest

from tests.films import make_film
from tests.processes import SEGMENT, files, quoted, rows, summary
from wsvs.core.alive import ALIVE, SILENCE
from wsvs.core.errors import UserError
from wsvs.core.runs import find_run
from wsvs.core.shards import Shard, digest
from wsvs.engine import command
from wsvs.records.journal import JournalLedger
from wsvs.stages import merge

QUICK = (
    *SEGMENT,
    "segment.workers=0",
    "segment.max_frames=4",
    "videos=v",
)
HERE = Path("out/n/segment")
MERGE = ("stage=merge", "name=n", "out=out", "logger=none")


@pytest.fixture
def videos(tmp_path) -> Path:
    for number, frames in enumerate((9, 5, 3)):
        make_film(tmp_path / f"v/{'abc'[number]}.mp4", frames, seed=number)
    return tmp_path / "v"


@pytest.fixture
def wsvs(wsvs):
    """Each shard is a job that knows nothing of the others, so that it has no id; the others have one."""

    def call(*words: str, run_id: str | None = None):
        return wsvs(*words, run_id="auto" if any(".shard=" in word for word in words) else run_id)

    return call


@pytest.mark.parametrize("count", [1, 2, 5, 40])
def test_every_item_is_in_one_shard_and_they_are_balanced(count):
    sizes = {f"v{k}": (k * 37) % 11 + 1 for k in range(23)}
    shares = [Shard(number, count).mine(sizes) for number in range(count)]
    assert sorted(name for share in shares for name in share) == sorted(sizes)
    loads = [sum(sizes[name] for name in share) for share in shares]
    assert max(loads) - min(loads) <= max(sizes.values())  # by the greedy rule, whatever the sizes
    backwards = dict(reversed(sizes.items()))
    assert [Shard(number, count).mine(backwards) for number in range(count)] == shares
    assert digest(backwards) == digest(sizes) != digest(sizes | {"v0": 99})


@pytest.mark.parametrize("text", ["8/8", "1", "-1/3", "0/0", "a/b", "1/2/3"])
def test_wrong_shards_are_refused_with_right_ones(wsvs, videos, text):
    status, _, err = wsvs(*QUICK, f"segment.shard={text}")
    assert status == 2 and "error: segment.shard must be i/n" in err, err
    assert "segment.shard=0/8 to segment.shard=7/8 for 8 jobs" in err
    assert not Path("out").exists()


def test_a_pipeline_and_a_debug_run_of_a_shard_are_refused(wsvs, videos):
    status, _, err = wsvs("stage=pipeline", "data.root=v", "name=n", "out=out", "segment.shard=0/2")
    assert status == 2 and "stage pipeline runs every stage whole" in err
    status, _, err = wsvs(*QUICK, "segment.shard=0/2", "debug=fast")  # it would count as finished
    assert status == 2 and "leave out segment.shard, or the debug settings" in err
    assert not (HERE / "shards/0-of-2/summary.json").exists()


def test_shards_merge_into_what_one_run_gives(wsvs, videos, caplog):
    """Bit for bit; a shard looks at its own videos alone, is no input, and is not touched by the merge.

    The precision is that of a group, and the shards are merged at another place.
    """
    caplog.set_level(logging.INFO, "wsvs")
    more = ("segment.overlay=true", "segment.instances=true", "trainer.accelerator=cpu")
    more = (*("trainer=gpu" if word == "trainer=cpu" else word for word in QUICK), *more)
    assert wsvs(*more, run_id="whole")[0] == 0
    whole = HERE / "whole"
    assert wsvs(*more, "segment.shard=1/2")[0] == 0
    assert "stage=merge" in caplog.messages[-1] and find_run("out", "n", "segment") == whole
    status, _, err = wsvs(*MERGE)
    assert status == 2 and "not finished: 1 of 2" in err and "0/2 not started" in err
    assert "segment.shard=0/2" in err and "WSVS_RUN_ID" not in err
    assert wsvs(*more, "segment.shard=0/2")[0] == 0
    shards = [HERE / "shards" / f"{number}-of-2" for number in range(2)]
    seen = [{*JournalLedger(shard / "seen").items()} for shard in shards]
    assert seen == [{"a"}, {"b", "c"}] and find_run("out", "n", "segment") == whole
    caplog.clear()
    assert wsvs(*more, "segment.shard=0/2")[0] == 0 and "this shard is finished" in caplog.messages
    os.rename(HERE / "shards", "moved")
    shards = [Path("moved", shard.name) for shard in shards]
    before = [{path: path.stat().st_mtime_ns for path in shard.rglob("*")} for shard in shards]
    status, _, err = wsvs(*MERGE, "merge.shards=moved", run_id="m")
    assert status == 0, err
    assert caplog.messages[-1].startswith("next: wsvs stage=export")
    made = HERE / "merged-m"
    check_same(made, whole)
    assert files(made / "instances") == files(whole / "instances") and len(files(whole / "instances")) == 17
    assert (made / "tracks.jsonl").read_text() == (whole / "tracks.jsonl").read_text()
    assert sorted(path.name for path in (made / "overlay").iterdir()) == ["a.mp4", "b.mp4", "c.mp4"]
    assert find_run("out", "n", "segment") == made
    assert summary(made)["results"]["fingerprint"] == summary(whole)["results"]["fingerprint"]
    assert before == [{path: path.stat().st_mtime_ns for path in shard.rglob("*")} for shard in shards]
    shutil.rmtree("moved")
    check_same(made, whole)


def check_same(made: Path, whole: Path) -> None:
    assert files(made / "masks") == files(whole / "masks") and files(made / "masks")
    names = [path.relative_to(whole) for path in (whole / "done").rglob("*.json")]
    assert sorted(names) == sorted(path.relative_to(made) for path in (made / "done").rglob("*.json"))
    for name in ("videos.jsonl", "shots.jsonl", "labels.txt"):
        assert (made / name).is_file() == (whole / name).is_file()
        assert not (made / name).is_file() or (made / name).read_text() == (whole / name).read_text()
    assert summary(made)["counts"] == summary(whole)["counts"]


def test_a_killed_merge_resumes(wsvs, videos, monkeypatch):
    """Killed at the fifth link, and then where every link is made, before the run that lists them has begun."""
    for shard in ("0/2", "1/2"):
        assert wsvs(*QUICK, f"segment.shard={shard}")[0] == 0
    place, left = merge.link_file, iter(range(5))

    def killed(path: Path, target: Path) -> None:
        if next(left, None) is None:
            (target.parent / ".tmp-1-x.png").write_bytes(b"half")
            os._exit(9)
        place(path, target)

    for name, stop in (("link_file", killed), ("call", lambda *_: os._exit(9))):
        with monkeypatch.context() as patch:
            patch.setattr(merge, name, stop)
            process = multiprocessing.get_context("fork").Process(target=wsvs, args=MERGE, kwargs={"run_id": "m"})
            process.start()
            process.join(120)
        assert process.exitcode == 9 and not (HERE / "merged-m/summary.json").exists()
        assert find_run("out", "n", "segment") is None
    assert wsvs(*MERGE, run_id="m")[0] == 0
    assert wsvs(*QUICK, run_id="whole")[0] == 0
    check_same(HERE / "merged-m", HERE / "whole")
    assert not list((HERE / "merged-m").rglob(".tmp-*"))
    for number in range(2):  # shards of settings that this command does not have
        (HERE / f"shards/{number}-of-2/.fingerprint").write_text("other")
    status, _, err = wsvs(*MERGE, run_id="m")
    assert status == 2 and "this merge was started with other shards" in err
    status, _, err = wsvs(*MERGE, run_id="m2")
    assert status == 2 and "run them again as a new set" in err and not (HERE / "merged-m2/summary.json").exists()


def begun(number: int, *, items="i", mark="f", finished=True, started=1.0, parent="shards") -> Path:
    """A shard of three as a job leaves it, without results."""
    folder = HERE / parent / f"{number}-of-3"
    (folder / ".hydra").mkdir(parents=True)
    words = [*QUICK, f"segment.shard={number}/3"]
    (folder / ".hydra/overrides.yaml").write_text("".join(f"- {word}\n" for word in words))
    record = {"shard": f"{number}/3", "stage": "segment", "items": items, "started": started}
    record |= {"cwd": "/home", "options": ["--config-dir", "my conf"]}
    (folder / "shard.json").write_text(json.dumps(record))
    (folder / ".fingerprint").write_text(mark)
    (folder / "wsvs.log").write_text("")
    work = {"items": 4, "left": 4, "unit": "frames", "amount": 40, "started": started}
    (folder / "work.json").write_text(json.dumps(work))
    if finished:
        (folder / "summary.json").write_text(json.dumps({"seconds": 61, "counts": {"skipped items": 1}, "finished": 1}))
    return folder


@pytest.mark.parametrize("other", [{"mark": "g"}, {"items": "j"}])
def test_shards_that_do_not_agree_are_not_merged(wsvs, videos, other, monkeypatch):
    begun(0, started=2.0)
    begun(1)
    begun(2, **other)
    status, _, err = wsvs(*MERGE)
    what = "settings or inputs" if "mark" in other else "items"
    assert status == 2 and f"shards 0/3 and 2/3 do not agree: they are of other {what}" in err, err
    shutil.rmtree(HERE / "shards/1-of-3")
    made = []
    monkeypatch.setattr(command, "tracked", lambda run, stage: nullcontext(made.append(stage.makes)))
    status, _, err = wsvs(*QUICK, "segment.shard=1/3")  # at once, not when all is computed
    assert status == 2 and "so that the two cannot be merged" in err, err
    assert made == [()]  # a part is no artifact


def test_an_older_complete_set_is_merged_by_its_folder(wsvs, videos):
    for number in range(3):
        begun(number, parent="old")
    begun(0, items="j", started=2.0)
    settings = merge.Settings(merge.MergeSettings())
    found = merge.shards_below(HERE / "old", HERE / "shards")
    stub = type("Stub", (), {"settings": settings})
    with pytest.raises(UserError, match="not finished: 2 of 3") as caught:
        merge.complete(found, stub)
    assert "run in /home: wsvs --config-dir 'my conf' experiment=motion" in caught.value.remedy
    old = merge.complete(merge.shards_below(HERE / "old"), stub)
    assert [str(one.shard) for one in old] == ["0/3", "1/3", "2/3"]
    with pytest.raises(UserError, match="no shards to merge"):
        merge.complete([], type("Stub", (), {"settings": settings, "home": type("Home", (), {"folder": HERE})}))


def test_status_tells_the_four_states_apart_and_writes_nothing(wsvs, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")  # one line a run
    begun(0)
    killed = begun(1, finished=False)
    running = begun(1, finished=False, parent="more")
    now = (running / "work.json").stat().st_mtime
    for folder, ago in ((killed, SILENCE + 200), (running, 5)):
        (folder / ALIVE).write_text(json.dumps({"host": "node7", "process": 1}))
        os.utime(folder / ALIVE, (now - ago, now - ago))
    record = json.loads((running / "work.json").read_text())
    (running / "work.json").write_text(json.dumps(record | {"started": now - 100}))
    for name in ("x.json", "deep/y.json", "deep/y.failed"):
        (running / "done" / name).parent.mkdir(parents=True, exist_ok=True)
        (running / "done" / name).write_text("{}")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    status, out, err = wsvs("stage=status", "name=n", "out=out")
    assert status == 0, err
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    shown = {}
    for line in out.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("│┃|").replace("┃", "│").split("│")]
        if len(cells) == 7 and cells[1][:1].isalpha():
            shown[cells[1]] = cells[2:]
    assert shown["shards/0-of-3"] == ["finished", "4 of 4", "1", "", "took 1 min"], out
    assert shown["shards/1-of-3"][0].startswith("killed, last sign 5 min ago"), out
    assert shown["shards/2-of-3"][0] == "not started" == shown["more/0-of-3"][0]
    state, done, failed, rate, left = shown["more/1-of-3"]
    assert (state, done, failed) == ("running on node7", "2 of 4", "1")
    assert rate.endswith("frames/min") and left.endswith("min")  # 2 items of 10 frames in about 100 s
    looked = JournalLedger(running / "seen")  # of videos that are looked at on the way
    (running / "work.json").write_text(json.dumps(record | {"started": now - 100, "videos": 8, "pieces": 1}))
    looked.add({"a": {"pieces": 2, "frames": 30}, "b": {"pieces": 4, "frames": 30}})
    looked.fail("torn", "no video")
    looked.fail("lost", "no video")
    status, out, err = wsvs("stage=status", "name=n", "out=out")
    assert status == 0 and "2 of about 12" in out, out  # 6 pieces of 4 videos
    rate, left = re.search(r"([\d.]+) frames/min *│ (\d+) min", out).groups()
    assert 3 < float(rate) <= 6 and 16 < int(left) < 40, out  # pieces of 10 frames, one in 100 s or somewhat more
    status, _, err = wsvs("-m", "stage=status", "name=n", "out=out")  # the sweep would have a folder
    assert status == 2 and "leave out -m" in err and not Path("out/n/status").exists()
    status, _, err = wsvs("stage=status", "name=other", "out=out")
    assert status == 2 and "there are no runs of this name" in err and not Path("out/other").exists()


def test_a_run_gives_signs_of_life_until_it_ends(make_run):
    run = make_run("stage=report")
    with run.opened():
        assert json.loads((run.dir / ALIVE).read_text())["process"] == os.getpid()
    assert not (run.dir / ALIVE).exists()


@pytest.mark.slow
def test_shards_of_relevant_shots_and_of_predictions(toy, wsvs):
    """Relevance, then segment of its merged run, then predict: equal to the toy's undivided runs."""
    shared = [*toy.words(), "name=n", "out=out"]
    named = {
        "relevance": toy.inputs("encoder", "retrieve"),
        "segment": toy.inputs("encoder"),
        "predict": [*toy.inputs("adapt"), f"input={quoted(toy.data / 'images')}"],
    }
    named["predict"].append(f"labels={quoted(toy.data / 'labels.tsv')}")
    for stage, more in named.items():
        for number in range(2):
            status, _, err = wsvs(f"stage={stage}", *shared, *more, f"{stage}.shard={number}/2")
            assert status == 0, err
        status, _, err = wsvs(*MERGE, run_id=stage)
        assert status == 0, err
        made, whole = Path("out/n", stage, f"merged-{stage}"), toy.run(stage)
        assert files(made) == files(whole) and files(made / "scores", "*.csv") == files(whole / "scores", "*.csv")
        counts, expected = summary(made)["counts"], summary(whole)["counts"]
        assert counts == expected
        for name in ("shots.jsonl", "clips.jsonl", "items.jsonl"):
            if (whole / name).is_file():
                assert rows(made / name) == rows(whole / name)
        kept = [len(list((Path("out/n", stage, "shards") / f"{k}-of-2").rglob("done/**/*.json"))) for k in range(2)]
        assert min(kept) > 0
