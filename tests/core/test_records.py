"""Where the files and the runs that a run has named are now: the same place, a moved folder, another run, nowhere."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from wsvs.core.errors import UserError
from wsvs.core.files import write_json, write_text
from wsvs.core.records import Read, Record


def finish(run: Path, started: Path, finished: float = 1.0, **inputs: Path) -> Path:
    """A finished run that was started in a folder."""
    write_json(
        run / "summary.json",
        {
            "stage": run.parent.name,
            "finished": finished,
            "inputs": {stage: str(path) for stage, path in inputs.items()},
        },
    )
    write_text(run / ".hydra/hydra.yaml", f"hydra:\n  runtime:\n    cwd: {started}\n    output_dir: {run}\n")
    return run


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """A folder with images, in which a run of segment and one of the decoder were started; we are elsewhere."""
    home = tmp_path / "home"
    (home / "images").mkdir(parents=True)
    segment = finish(home / "out/n/segment/s", home)
    finish(home / "out/n/decoder/d", home, segment=segment)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return home


def test_paths_begin_where_the_run_was_started(home):
    record = Record(home / "out/n/decoder/d")
    assert record.where("images") == home / "images"
    assert record.where(home / "images") == home / "images"
    assert record.where("gone/*.jpg") == home / "gone/*.jpg"  # what is missing is named as it was meant
    assert record.where("/gone") == Path("/gone")
    assert record.read("segment") == Read(home / "out/n/segment/s", home / "out/n/segment/s", True)
    assert record.require("segment") == home / "out/n/segment/s"


def test_without_a_record_paths_begin_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Record("r").where("images") == tmp_path / "images" and Record("r").config is None


@pytest.mark.parametrize(("old", "new"), [("home", "there"), ("home/out", "home/moved"), ("home/out/n", "home/out/m")])
def test_a_folder_that_was_moved(home, tmp_path, old, new):
    """The whole project, the folder of all runs, or that of one name."""
    recorded = home / "out/n/segment/s"
    os.rename(tmp_path / old, tmp_path / new)
    name = tmp_path / new / ("home/out/n"[len(old) + 1 :] if old != "home/out/n" else "")
    record = Record(os.path.relpath(name / "decoder/d"))
    assert record.read("segment") == Read(recorded, name / "segment/s", True)
    assert record.require("segment") == name / "segment/s"
    assert record.where("images").is_dir()


def test_a_run_copied_without_its_own_record(home):
    """The folder's layout is enough."""
    home.rename(home.parent / "there")
    decoder = home.parent / "there/out/n/decoder/d"
    (decoder / ".hydra/hydra.yaml").unlink()
    assert Record(decoder).require("segment") == decoder.parents[1] / "segment/s"


def test_a_run_that_is_gone(home):
    recorded = home / "out/n/segment/s"
    other = finish(home / "out/n/segment/other", home, 2.0)
    (recorded / "summary.json").unlink()
    record = Record(home / "out/n/decoder/d")
    assert record.read("segment") == Read(recorded, other, False)
    with pytest.raises(UserError, match="the run of stage segment that this run has read no longer exists"):
        record.require("segment")
    (other / "summary.json").unlink()
    assert record.read("segment") == Read(recorded, None, False)
    with pytest.raises(KeyError):
        record.read("encoder")
    with pytest.raises(UserError, match="this run did not read a run of stage encoder"):
        record.require("encoder")
