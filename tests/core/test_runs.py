"""Run directories: whose id, which run is the latest, which runs are never taken."""

from __future__ import annotations

import os
import re
import time
from dataclasses import asdict
from pathlib import Path

import pytest

import wsvs
from wsvs.core.errors import UserError
from wsvs.core.files import read_json, write_json, write_jsonl
from wsvs.core.runs import (
    check_folder_name,
    check_out,
    find_run,
    read_summary,
    require_run,
    run_id,
    write_summary,
)
from wsvs.records.predicted import masks_of

VARIABLES = ("WSVS_RUN_ID", "TORCHELASTIC_RUN_ID", "SLURM_JOB_ID")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    for variable in VARIABLES:
        monkeypatch.setenv(variable, "")  # set first, so that what run_id exports is undone afterwards
        monkeypatch.delenv(variable)


def finish(run: Path, finished: float, **more) -> Path:
    write_json(run / "summary.json", {"finished": finished, **more})
    return run


def test_first_variable_of_the_three_wins(monkeypatch):
    for variable, value in reversed(list(zip(VARIABLES, ("own", "elastic", "slurm"), strict=True))):
        monkeypatch.setenv(variable, value)
        assert run_id() == value
        assert os.environ["WSVS_RUN_ID"] == value  # children inherit it
        monkeypatch.delenv("WSVS_RUN_ID")


def test_time_stamp_without_a_given_id():
    first = run_id()
    assert re.fullmatch(r"\d{8}-\d{6}-\d{4}", first)
    assert os.environ["WSVS_RUN_ID"] == first
    time.sleep(1.1)
    assert run_id() == first  # a rank that starts a second later shares the directory


def test_torchrun_without_an_id_is_refused(monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    with pytest.raises(UserError, match="torchrun --standalone"):
        run_id()
    assert "WSVS_RUN_ID" not in os.environ
    monkeypatch.setenv("WSVS_RUN_ID", "mine")
    assert run_id() == "mine"


def test_latest_is_by_the_time_in_the_summary(tmp_path):
    stage = tmp_path / "voc" / "encoder"
    newest = finish(stage / "a", 300.0)
    finish(stage / "c", 100.0)  # neither the name nor the file's date counts
    old = finish(stage / "b", 200.0)
    os.utime(old / "summary.json", (10**10, 10**10))
    assert find_run(tmp_path, "voc", "encoder") == newest
    assert require_run(tmp_path, "voc", "encoder", None) == newest.resolve()


def test_unfinished_runs_and_sweep_jobs_are_not_taken(tmp_path):
    stage = tmp_path / "voc" / "encoder"
    (stage / "unfinished").mkdir(parents=True)
    finish(stage / "sweep" / "0", 900.0)
    assert find_run(tmp_path, "voc", "encoder") is None


def test_runs_of_other_stages_and_names_are_not_taken(tmp_path):
    only = finish(tmp_path / "voc" / "encoder" / "plain", 1.0)
    finish(tmp_path / "voc" / "decoder" / "x", 999.0)
    finish(tmp_path / "other" / "encoder" / "x", 999.0)
    assert find_run(tmp_path, "voc", "encoder") == only


def test_debug_runs_are_taken_only_when_debugging(tmp_path):
    stage = tmp_path / "voc" / "encoder"
    only, quick = finish(stage / "plain", 1.0), finish(stage / "quick", 950.0, debug=True)
    assert find_run(tmp_path, "voc", "encoder") == only
    assert find_run(tmp_path, "voc", "encoder", debug=True) == quick


def test_no_run_says_how_to_make_one(tmp_path):
    with pytest.raises(UserError, match="no finished run of stage encoder") as caught:
        require_run(tmp_path, "voc", "encoder", None)
    assert caught.value.remedy is not None and "wsvs stage=encoder name=voc" in caught.value.remedy


def test_named_run(tmp_path):
    run = finish(tmp_path / "sweep" / "3", 1.0)  # by name, a sweep's job too
    assert require_run(tmp_path, "voc", "encoder", str(run)) == run.resolve()
    (tmp_path / "half").mkdir()
    for given, said in ((tmp_path / "half", "not a finished run"), (tmp_path / "missing", "there is no such run")):
        with pytest.raises(UserError, match=f"{said} of stage encoder") as caught:
            require_run(tmp_path, "voc", "encoder", str(given))
        assert caught.value.where == f"inputs.encoder={given}"


def test_summary_records_what_made_the_run(tmp_path):
    write_summary(
        tmp_path,
        stage="segment",
        started=time.time() - 5,
        overrides=["name=voc"],
        inputs={"encoder": "x"},
        counts={"shots": 3},
        supervision="image tags",
    )
    summary = read_summary(tmp_path)
    assert summary.stage == "segment" and summary.overrides == ["name=voc"] and summary.results == {}
    assert summary.inputs == {"encoder": "x"} and summary.counts == {"shots": 3}
    assert 5 <= summary.seconds < 60 and abs(summary.finished - time.time()) < 60
    assert summary.versions["wsvs"] == wsvs.__version__ and "numpy" in summary.versions
    assert summary.git_commit is None or re.fullmatch(r"[0-9a-f]{40}\+?", summary.git_commit)
    assert read_json(tmp_path / "summary.json") == asdict(summary)


def test_summaries_of_earlier_versions_are_read(tmp_path):
    write_json(tmp_path / "summary.json", {"counts": {"masks": 3, "passed over": 1}})
    assert read_summary(tmp_path).counts == {"masks": 3, "skipped items": 1}


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_masks_of_a_run_that_lists_them(tmp_path):
    touch(tmp_path, "masks/a.png", "wandb/b.png", "overlay/c/00000.png", "wandb/run/media.png")
    rows = [{"id": "wandb/b", "file": "wandb/b.JPG"}, {"id": "overlay/c", "file": "overlay/c.mp4", "frames": 2}]
    write_jsonl(tmp_path / "items.jsonl", [*rows, {"id": "masks/a", "file": "masks/a.gif"}])
    frames = {"overlay/c/00000": None, "overlay/c/00001": None}
    found = masks_of(tmp_path)
    assert (found.root, found.files) == (tmp_path, {"masks/a": "masks/a.gif", **frames, "wandb/b": "wandb/b.JPG"})


def test_masks_of_other_folders(tmp_path):
    touch(tmp_path, "done/a.png", "wandb/b.png", "c.d.png", ".tmp-1.png", ".hidden/e.png", "f.jpg")
    found = masks_of(tmp_path)
    assert (found.root, found.files) == (tmp_path, dict.fromkeys(["c.d", "done/a", "wandb/b"]))
    touch(tmp_path, "wsvs.log")  # a run that did not finish
    assert list(masks_of(tmp_path).files) == ["c.d", "done/a"]
    touch(tmp_path, "masks/wandb/000001.png")
    found = masks_of(tmp_path)
    assert (found.root, found.files) == (tmp_path / "masks", {"wandb/000001": None})


@pytest.mark.parametrize(
    "name", ["", " ", "../x", "a/b", "/x", "a\\b", ".", "..", ".x", "~", "~x", "a ", " a", "a\nb", "x" * 300]
)
def test_a_name_that_writes_elsewhere_is_refused(name, monkeypatch):
    with pytest.raises(UserError, match="name "):
        check_folder_name("name", name)
    if name:  # an empty variable counts as none
        monkeypatch.setenv("WSVS_RUN_ID", name)
        with pytest.raises(UserError, match="WSVS_RUN_ID "):
            run_id()


@pytest.mark.parametrize("name", ["a", "my run", "Pfau (grün)", "it's=[1], $x", "2024_10", "猫", "a.b", "-x"])
def test_other_names_of_one_folder_are_taken(name):
    assert check_folder_name("name", name) == name


@pytest.mark.parametrize("id", ["4711/12", "my run/0"])
def test_a_run_id_may_be_that_of_a_job_of_a_sweep(id, monkeypatch):
    monkeypatch.setenv("WSVS_RUN_ID", id)
    assert run_id() == id


@pytest.mark.parametrize("id", ["../1", "/1", "a/../1", "a/b/1", "a/1/", "a/x", "a/-1", ".a/1"])
def test_other_run_ids_of_several_folders_are_refused(id, monkeypatch):
    monkeypatch.setenv("WSVS_RUN_ID", id)
    with pytest.raises(UserError, match="WSVS_RUN_ID "):
        run_id()


@pytest.mark.parametrize("out", ["", " ", "~/runs", "~"])
def test_a_folder_that_would_not_be_the_one_meant_is_refused(out):
    with pytest.raises(UserError, match="out is not a folder"):
        check_out(out)
    assert check_out("../a b") == "../a b"


@pytest.mark.parametrize("out", ["s3://bucket/runs", "file:///tmp/runs", "https://site/runs"])
def test_an_address_is_no_folder_for_runs(out):
    with pytest.raises(UserError, match="not an address"):
        check_out(out)
