"""Run directories: which run is resumed, locks, inputs, fingerprints, ranks."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from wsvs.config.check import check
from wsvs.core.errors import UserError
from wsvs.core.files import read_json, write_json
from wsvs.core.runs import read_summary
from wsvs.engine.names import PIPELINE
from wsvs.engine.registry import load_stage
from wsvs.engine.resume import fingerprint, resolve_run_id
from wsvs.engine.stage import home_of

COMMAND = ["stage=encoder", "name=n", "data.root=x", "~callbacks.progress"]


def begun(folder: str, overrides=tuple(COMMAND), finished=None, debug=False) -> Path:
    """A run directory as an earlier command left it."""
    directory = Path("outputs", "n", "encoder", folder)
    (directory / ".hydra").mkdir(parents=True)
    OmegaConf.save(OmegaConf.create(list(overrides)), directory / ".hydra" / "overrides.yaml")
    if finished is not None:
        write_json(directory / "summary.json", {"finished": finished, "debug": debug, "results": {}, "counts": {}})
    return directory


def resolved(*more: str, resume=True, command=None) -> str:
    sys.argv[1:] = [*(command or COMMAND), *more]
    return resolve_run_id("outputs", "n", "encoder", resume)


@pytest.fixture
def locked():
    """Hold the lock of a run directory in another process."""
    started = []

    def lock(directory: Path) -> None:
        code = """
            import fcntl, sys
            stream = open(sys.argv[1], "w")
            fcntl.lockf(stream, fcntl.LOCK_EX)
            print("held", flush=True)
            sys.stdin.read()
        """
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code), str(directory / ".lock")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout.readline() == "held\n"
        started.append(process)

    yield lock
    for process in started:
        process.communicate("")


def test_unfinished_run_of_the_same_command_is_resumed():
    begun("20240101-000000-0001")
    assert resolved() == "20240101-000000-0001"
    assert os.environ["WSVS_RUN_ID"] == "20240101-000000-0001"  # for the other ranks


def test_order_and_hydras_own_words_do_not_make_another_command():
    begun("a")
    assert resolved("hydra.verbose=true", "--config-dir=x", command=COMMAND[::-1]) == "a"


def test_a_sweep_does_not_resume_a_single_run():
    begun("a")
    assert resolved("-m") != "a"


def test_the_latest_of_several_is_resumed():
    begun("20240101-000000-0001")
    begun("20240102-000000-0001")
    begun("20240103-000000-0001", finished=3.0)
    assert resolved() == "20240102-000000-0001"


@pytest.mark.parametrize("command", [[*COMMAND, "encoder.lr=1"], COMMAND[:-1], [*COMMAND[:2], "data.root=y"]])
def test_other_commands_are_not_taken_up(command):
    begun("a", command)
    assert resolved() != "a"


def test_finished_runs_are_not_taken_up():
    begun("a", finished=1.0)
    assert resolved() != "a"


def test_runs_in_work_are_not_taken_up(locked):
    locked(begun("b"))
    begun("a")
    assert resolved() == "a"


def test_jobs_of_sweeps_are_not_taken_up():
    begun("sweep/0")
    assert resolved() not in ("sweep", "0", "sweep/0")


def test_new_run_on_request():
    begun("a")
    assert resolved(resume=False) != "a"


def test_damaged_record_is_not_taken_up():
    directory = begun("a")
    for text in ("", "{", "- a\n- [", "a: b"):
        (directory / ".hydra" / "overrides.yaml").write_text(text)
        os.environ.pop("WSVS_RUN_ID", None)
        assert resolved() != "a"


@pytest.mark.parametrize("variable", ["WSVS_RUN_ID", "TORCHELASTIC_RUN_ID", "SLURM_JOB_ID"])
def test_id_of_the_environment_comes_first(monkeypatch, variable):
    """A requeued job of SLURM has its number again: it resumes in its directory."""
    begun("a")
    monkeypatch.setenv(variable, "given")
    assert resolved() == "given"


def test_torchrun_without_an_id(monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    with pytest.raises(UserError, match="torchrun gave this run no id"):
        resolved()


def resolve_inputs(cfg, stage: str) -> dict[str, Path]:
    settings = check(cfg)
    return {name: home_of(settings).require(name) for name in load_stage(stage).needed(settings)}


def test_lock_refuses_a_second_process(make_run, locked):
    run = make_run("stage=evaluate", "data.root=x")
    run.dir.mkdir(parents=True)
    locked(run.dir)
    with pytest.raises(UserError, match="another process is using this run directory") as caught, run.opened():
        pass
    assert caught.value.where == str(run.dir)


def test_lock_ends_with_the_run(make_run):
    for _ in range(2):
        with make_run("stage=evaluate", "data.root=x").opened():
            pass


def finish(stage: str, run_id: str, finished: float, debug=False) -> Path:
    directory = Path("outputs", "default", stage, run_id).absolute()
    write_json(directory / "summary.json", {"finished": finished, "debug": debug, "results": {}, "counts": {}})
    return directory


def test_inputs_are_recorded_and_kept(make_run):
    first, shots = finish("encoder", "a", 1.0), finish("relevance", "a", 1.0)
    with make_run("stage=segment", "data.root=x").opened() as run:
        assert run.inputs == {"encoder": first, "relevance": shots}
    record = read_json(run.dir / "inputs.json")
    assert record == {"encoder": str(first), "relevance": str(shots)}
    later = finish("encoder", "b", 2.0)
    with make_run("stage=segment", "data.root=x").opened() as again:  # a resumed run keeps its answers
        assert again.inputs["encoder"] == first
    with make_run("stage=segment", "data.root=x", run_id="new").opened() as new:
        assert new.inputs["encoder"] == later
    named = ("stage=segment", "data.root=x", f"inputs.encoder={first}")
    with make_run(*named, run_id="named").opened() as run:
        assert run.inputs["encoder"] == first


def test_missing_input_leaves_no_record(make_run):
    run = make_run("stage=segment", "data.root=x")
    with pytest.raises(UserError, match="no finished run of stage encoder"), run.opened():
        pass
    assert not (run.dir / "inputs.json").exists()
    finish("encoder", "a", 1.0)
    finish("relevance", "a", 1.0)
    with make_run("stage=segment", "data.root=x").opened() as run:
        assert set(run.inputs) == {"encoder", "relevance"}


def test_other_ranks_read_the_record(make_run, monkeypatch):
    run = make_run("stage=segment", "data.root=x")
    run.dir.mkdir(parents=True)
    write_json(run.dir / "inputs.json", {"encoder": "/e", "relevance": "/r"})
    monkeypatch.setenv("RANK", "1")
    with run.opened():
        assert run.inputs == {"encoder": Path("/e"), "relevance": Path("/r")}
    assert not (run.dir / "wsvs.log").exists()
    (run.dir / "inputs.json").unlink()
    with pytest.raises(UserError, match="rank 0 did not write this file"):
        run.wait_for(run.dir / "inputs.json", seconds=0.1)


def test_debug_runs_are_input_of_debug_runs_only(composed):
    real = finish("encoder", "real", 1.0)
    quick = finish("encoder", "quick", 2.0, debug=True)
    finish("encoder", "sweep/0", 3.0)
    decoder = finish("segment", "s", 1.0)
    words = ("stage=decoder", "data.root=x")
    assert resolve_inputs(composed(*words), "decoder") == {"encoder": real, "segment": decoder}
    assert resolve_inputs(composed(*words, "debug=fast"), "decoder")["encoder"] == quick


def test_what_a_run_exports_does_not_reach_the_next(make_run, tmp_path):
    before, argv = dict(os.environ), ["wsvs", "stage=evaluate", "data.root=x"]
    handlers = list(logging.getLogger().handlers)
    with make_run("stage=evaluate", "data.root=x").opened() as run:
        assert os.environ["WSVS_RUN_DIR"] == str(run.dir)
        os.environ["MASTER_PORT"] = "1"  # as Lightning sets
        logging.getLogger("wsvs").warning("a word for the log")
    assert dict(os.environ) == before and sys.argv == argv and logging.getLogger().handlers == handlers
    assert "a word for the log" in (run.dir / "wsvs.log").read_text()


def test_other_settings_in_one_directory_are_refused(make_run):
    """WSVS_RUN_ID or a SLURM number may repeat: half of one result and half of another make neither."""
    with make_run("stage=evaluate", "data.root=x").opened():
        pass
    with make_run("stage=evaluate", "data.root=x").opened():  # the same command resumes
        pass
    run = make_run("stage=evaluate", "data.root=x", "evaluate.kind=video")
    with pytest.raises(UserError, match="started with other settings") as caught, run.opened():
        pass
    assert "WSVS_RUN_ID" in caught.value.remedy


def prints(cfg, stage="segment", inputs=None):
    return fingerprint(cfg, load_stage(stage).decisive, inputs or {"encoder": Path("/a")})


@pytest.mark.parametrize(
    ("override", "same"),
    [
        ("segment.lambda_a=3", False),
        ("seed=1", False),
        ("segment.max_frames=50", False),
        ("trainer.precision=bf16-mixed", False),
        ("trainer.max_steps=9", True),
        ("decoder.lr=1", True),
        ("name=other", True),
        ("trainer.devices=2", True),
        ("encoder.epochs=1", True),
        ("logger=wandb", True),
        ("resume=false", True),
        ("out=elsewhere", True),
        ("segment.workers=0", True),
    ],
)
def test_fingerprint_of_a_predict_loop(composed, override, same):
    words = ("stage=segment", "data.root=x")
    assert (prints(composed(*words)) == prints(composed(*words, override))) is same


def test_workers_change_no_scores(composed):
    now = prints(composed("stage=relevance", "data.root=x"), "relevance")
    assert prints(composed("stage=relevance", "data.root=x", "relevance.workers=9"), "relevance") == now
    assert prints(composed("stage=relevance", "data.root=x", "relevance.cuts=false"), "relevance") != now


@pytest.mark.parametrize("stage", ["encoder", "decoder", "adapt"])
def test_workers_change_no_training(composed, stage):
    words = (f"stage={stage}", "data.root=x")
    now = prints(composed(*words), stage)
    assert prints(composed(*words, f"{stage}.workers=9"), stage) == now
    assert prints(composed(*words, f"{stage}.ema=0.9"), stage) != now


@pytest.mark.parametrize("stage", ["encoder", "decoder", "adapt"])
def test_how_often_is_logged_changes_no_training(composed, monkeypatch, stage):
    """Nor where it is: the checkpoints' folder is that of the run."""
    words = (f"stage={stage}", "data.root=x")
    now = prints(composed(*words), stage)
    told = ("trainer.log_every_n_steps=1", "trainer.enable_model_summary=true", "callbacks.progress.every=1")
    monkeypatch.setenv("WSVS_RUN_DIR", "elsewhere")
    assert prints(composed(*words, *told), stage) == now
    assert prints(composed(*words, "callbacks=newest"), stage) != now


def test_fingerprint_changes_with_the_inputs(composed):
    cfg = composed("stage=segment", "data.root=x")
    assert prints(cfg) == prints(composed("data.root=x", "stage=segment"))
    others = [prints(cfg, inputs=inputs) for inputs in ({"encoder": Path("/b")}, {"relevance": Path("/a")})]
    assert len({prints(cfg), *others}) == 3


def test_fingerprint_follows_the_sections_of_each_stage(composed):
    """Every section of a stage counts, and no other."""
    changes = {
        "data": "data.root=y",
        "model": "model.hidden=7",
        "trainer": "trainer.max_steps=7",
        "input": "input=a",
        "labels": "labels=a",
        "predictions": "predictions=a",
        "truth": "truth=a",
        "retrieve": "retrieve.root=a",
        "encoder": "encoder.epochs=7",
        "relevance": "relevance.threshold=0.7",
        "segment": "segment.lambda_a=7",
        "decoder": "decoder.steps=7",
        "adapt": "adapt.steps=7",
        "predict": "predict.flip=true",
        "evaluate": "evaluate.kind=video",
        "videos": "videos=a",
        "callbacks": "callbacks=newest",
        "trainer.precision": "trainer.precision=16-mixed",
        "frame_rate": "frame_rate=7",
    }
    before = composed("stage=encoder", "data.root=x")
    after = {key: composed("stage=encoder", "data.root=x", word) for key, word in changes.items()}
    for stage in PIPELINE:
        sections = load_stage(stage).decisive
        now = fingerprint(before, sections, {})
        changed = {key for key, cfg in after.items() if fingerprint(cfg, sections, {}) != now}
        assert changed == {key for key in changes if {key, key.partition(".")[0]} & set(sections)}, stage
        assert set(sections) <= set(changes)


@pytest.mark.parametrize(("made", "kept"), [((), False), (("masks/a.png",), True), ((".hydra/config.yaml",), False)])
def test_refused_run_without_results_forgets_its_inputs(make_run, made, kept):
    """Else the same command would be refused forever: it resumes the run, with the inputs fixed since."""
    run = make_run("stage=evaluate", "data.root=x")
    for refused in (UserError("no shot is relevant", where="x", remedy="y"), ValueError("broken")):
        with pytest.raises(type(refused)), run.opened():
            for name in made:
                (run.dir / name).parent.mkdir(exist_ok=True)
                (run.dir / name).touch()
            assert (run.dir / "inputs.json").is_file()
            raise refused
        left = {name for name in ("inputs.json", ".fingerprint") if (run.dir / name).is_file()}
        assert left == ({"inputs.json", ".fingerprint"} if kept or isinstance(refused, ValueError) else set())


def test_finish_writes_the_summary_last_and_prints_the_table(make_run, capsys, caplog):
    caplog.set_level(logging.INFO)
    with make_run("stage=evaluate", "data.root=x", "debug=fast").opened() as run:
        run.skip("cat/1", "torn\n  where: f")
        assert not (run.dir / "summary.json").exists()
        run.finish(counts={"images": 3}, results={"mIoU": 0.51234}, supervision="image tags")
    summary = read_summary(run.dir)
    assert summary.counts == {"images": 3, "skipped items": 1} and summary.debug is True
    assert summary.results["mIoU"] == 0.51234 and summary.supervision == "image tags"
    assert summary.results["fingerprint"] == fingerprint(run.cfg, load_stage("evaluate").decisive, {})
    assert json.loads((run.dir / "skipped.json").read_text()) == [{"item": "cat/1", "reason": "torn\n  where: f"}]
    out = capsys.readouterr().out
    assert "0.5123" in out and "skipped" in out and "images" in out
    assert "skipped cat/1: torn   where: f" in caplog.text and str(run.dir) in caplog.text


def test_other_ranks_finish_silently(make_run, monkeypatch, capsys):
    run = make_run("stage=evaluate", "data.root=x")
    monkeypatch.setenv("LOCAL_RANK", "2")
    run.finish(counts={})
    assert not run.dir.exists() and capsys.readouterr().out == ""


def test_checkpoint_of_an_input(make_run):
    with make_run("stage=evaluate", "data.root=x").opened() as run:
        run.inputs = {"encoder": Path("e")}
        with pytest.raises(UserError, match="this run has no checkpoint"):
            run.checkpoint("encoder")
        Path("e/checkpoints").mkdir(parents=True)
        Path("e/checkpoints/best.ckpt").touch()
        assert run.checkpoint("encoder") == Path("e/checkpoints/best.ckpt")
