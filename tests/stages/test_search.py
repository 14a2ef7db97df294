"""A search by Optuna: it optimises the stage's figure, reports failed jobs, and resumes."""

from __future__ import annotations

import gc
import os
import signal
import sqlite3
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from tests.processes import TWO_RANKS, only_run, summary
from wsvs.config.check import check
from wsvs.config.files import config_dir
from wsvs.core.errors import UserError
from wsvs.core.files import read_json, write_json
from wsvs.core.masks import write_mask
from wsvs.engine.figures import objective, read_figure
from wsvs.engine.names import stage_names
from wsvs.engine.registry import load_stage
from wsvs.engine.run import LOCK
from wsvs.engine.sweep import FIRST

pytest.importorskip("optuna", minversion="4")


@pytest.fixture
def search(tmp_path) -> list[str]:
    """Overrides of a search for the best of four folders of masks, of which the first is perfect."""
    truth = np.eye(8, dtype=np.uint8)
    write_mask(tmp_path / "truth" / "a.png", truth)
    for worse in range(4):
        mask = truth.copy()
        mask[: 2 * worse] = 0
        write_mask(tmp_path / "masks" / str(worse) / "a.png", mask)
    shipped = OmegaConf.load(config_dir() / "sweep" / "search.yaml")
    shipped.hydra.sweeper.params = {"predictions": "choice(masks/0,masks/1,masks/2,masks/3)"}
    own = tmp_path / "conf" / "sweep" / "own.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("# @package _global_\n" + OmegaConf.to_yaml(shipped))
    return [
        "-m",
        "stage=evaluate",
        "--config-dir=conf",
        "sweep=own",
        "truth=truth",
        "evaluate.names=[background,cat]",
        "name=n",
        "hydra.sweeper.n_trials=5",
    ]


def study(folder: Path) -> list[tuple[int, str, int, float | None]]:
    """(number, state, index of the chosen folder, result) of every trial, read by hand."""
    with sqlite3.connect(folder / "study.db") as base:
        return base.execute(
            "SELECT number, state, CAST(param_value AS INT), value FROM trials JOIN trial_params USING (trial_id) "
            "LEFT JOIN trial_values USING (trial_id) ORDER BY number"
        ).fetchall()


@pytest.mark.slow
def test_a_killed_search_resumes_with_the_trial_that_was_killed(cli, search, tmp_path):
    folder = tmp_path / "outputs" / "n" / "evaluate" / "search"
    cli.run(*search, cwd=tmp_path, sabotage="search/2/metrics.json|0|0|kill", status=-signal.SIGKILL)
    before = study(folder)
    assert [trial[1] for trial in before] == ["COMPLETE", "COMPLETE", "RUNNING"]
    said = cli.run(*search, cwd=tmp_path)
    after = study(folder)
    assert after[:2] == before[:2] and after[2][2] == before[2][2]
    assert [trial[:2] for trial in after] == [(number, "COMPLETE") for number in range(5)]  # five in all
    for number, _, chosen, value in after:  # every trial in the directory of its number
        assert f"predictions=masks/{chosen}" in summary(folder / str(number))["overrides"]
        assert value == read_json(folder / str(number) / "metrics.json")["miou"]
    best = max(after, key=lambda trial: trial[3])
    assert f"Best parameters: {{'predictions': 'masks/{best[2]}'}}" in said
    assert OmegaConf.load(folder / "optimization_results.yaml").best_value == best[3]
    said = cli.run(*search, cwd=tmp_path, status=2)
    assert "error: all trials of this study are finished: 5" in said and "Traceback" not in said


def test_a_job_that_fails_stops_the_search_and_says_why(wsvs, search, no_collection):
    status, _, told = wsvs(*search, "truth=nowhere")
    assert held_locks() == []
    assert status == 2 and "Traceback" not in told
    assert told.endswith("error: true masks not found\n  where: truth=nowhere\n  next:  check truth\n")


def test_jobs_that_may_fail_are_skipped(wsvs, search, tmp_path, caplog):
    (tmp_path / "masks" / "1" / "a.png").unlink()
    words = [*search, "predictions=masks/0,masks/1", "hydra.sweeper.max_failure_rate=1"]
    status, _, _ = wsvs(*words, "hydra.sweeper.sampler.seed=1")
    states = {(state, chosen) for _, state, chosen, _ in study(tmp_path / "outputs" / "n" / "evaluate" / "search")}
    assert states == {("COMPLETE", 0), ("FAIL", 1)}
    assert status == 3 and "Failed experiment: nothing could be scored" in caplog.text


@pytest.fixture
def no_collection():
    """What is left behind stays until the test is over."""
    gc.disable()
    yield
    gc.enable()


def held_locks() -> list[str]:
    """Lock files below the current folder that this process has open."""
    targets = []
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # that of the listing itself
            targets.append(os.readlink(entry))
    return [target for target in targets if target.startswith(os.getcwd()) and Path(target).name == LOCK]


def test_a_study_keeps_its_choices(wsvs, search, no_collection):
    assert wsvs(*search, "hydra.sweeper.n_trials=1")[0] == 0
    status, _, told = wsvs(*search, "predictions=masks/2,masks/3")
    assert held_locks() == [] and FIRST not in os.environ
    assert status == 2 and "Traceback" not in told
    assert "error: CategoricalDistribution does not support dynamic value space" in told
    assert "hydra.sweeper.study_name=... starts another" in told


@pytest.mark.parametrize("world", [{"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "2"}, {"SLURM_STEP_NUM_TASKS": "2"}])
def test_ranks_do_not_search_each_by_itself(wsvs, search, monkeypatch, tmp_path, world):
    for variable, value in world.items():
        monkeypatch.setenv(variable, value)
    status, _, told = wsvs(*search)
    assert status == 2 and "error: every rank would run its own search" in told
    assert not (tmp_path / "outputs").exists()


def test_a_stage_without_a_figure_is_not_searched(wsvs, search):
    status, _, told = wsvs(*search, "stage=report")
    assert status == 2 and "error: stage report has no default objective for a search" in told


def test_another_sampler_and_a_study_that_is_not_kept(wsvs, search, tmp_path):
    own = tmp_path / "conf" / "sweep" / "own.yaml"
    shipped = OmegaConf.load(own)
    shipped.hydra.sweeper.sampler = {"_target_": "optuna.samplers.RandomSampler", "seed": 3}
    shipped.hydra.sweeper.storage = None
    own.write_text("# @package _global_\n" + OmegaConf.to_yaml(shipped))
    assert wsvs(*search, "hydra.sweeper.n_trials=2")[0] == 0
    assert len(list((tmp_path / "outputs").rglob("metrics.json"))) == 2
    assert not list((tmp_path / "outputs").rglob("study.db"))


def test_a_figure_that_is_not_there(wsvs, search):
    status, _, told = wsvs(*search, "objective=mou", "hydra.sweeper.n_trials=1")
    assert status == 2 and "error: no figure 'mou'" in told
    assert wsvs(*search, "objective=iou.cat", "hydra.sweeper.study_name=cat")[0] == 0


def test_the_shipped_search_is_over_settings_of_the_decoder(composed):
    sweeper = composed("stage=decoder", "sweep=search", "data.root=x", hydra=True).hydra.sweeper
    parsed = OverridesParser.create().parse_overrides([f"{key}={value}" for key, value in sweeper.params.items()])
    ends = {
        "decoder.lr": lambda value: (value.start, value.end),
        "decoder.crop": lambda value: tuple(map(str, value.list)),
    }
    assert [override.key_or_group for override in parsed] == list(ends)
    for override in parsed:
        for end in ends[override.key_or_group](override.value()):
            check(composed("stage=decoder", "data.root=x", f"{override.key_or_group}={end}"))
    assert sweeper.direction == "maximize" and load_stage("decoder").objective == "val/miou"


@pytest.mark.slow
def test_every_figure_that_a_stage_names_is_one_that_it_writes(toy):
    named = {stage: figure for stage in stage_names() if (figure := load_stage(stage).objective)}
    assert set(named) == {"encoder", "decoder", "adapt", "evaluate", "pipeline"}
    step, _, named["evaluate"] = named.pop("pipeline").partition(".")
    assert step == "evaluate"
    assert all(read_figure(toy.run(stage), figure) is not None for stage, figure in named.items())


def test_the_figure_of_a_step_of_a_pipeline(make_run, tmp_path):
    run = make_run("stage=pipeline", "data.root=x")
    write_json(tmp_path / "steps" / "b" / "metrics.json", {"iou": {"cat": 0.25}, "miou": None})
    write_json(run.dir / "summary.json", {"results": {"val/map": 0.5}})
    run.steps = {"b": tmp_path / "steps" / "b"}
    assert objective(run, "b.iou.cat") == 0.25
    assert objective(run, "val/map") == 0.5
    assert objective(run, "b.iou.dog") is None and objective(run, None) is None
    for name in ("b.iou.dog", "b.miou"):
        run.cfg.objective = name
        with pytest.raises(UserError, match=f"no figure '{name}'"):
            objective(run, name)


@pytest.mark.slow
def test_a_search_over_jobs_of_two_ranks(toy, cli, tmp_path):
    """Lightning starts the second rank of each trial with that trial's settings, not with a search of its own."""
    said = cli.run(
        "-m",
        "stage=encoder",
        *toy.words(),
        *TWO_RANKS,
        "name=n",
        f"out={tmp_path}",
        "sweep=search",
        "encoder.lr=interval(1e-4,1e-3)",
        "hydra.sweeper.n_trials=2",
    )
    assert said.count("Launching") == 2
    run = only_run(tmp_path, "encoder")
    jobs = [summary(run / number) for number in ("0", "1")]
    rates = [word for job in jobs for word in job["overrides"] if word.startswith("encoder.lr=")]
    assert len(set(rates)) == 2
    best = max(job["results"]["val/map"] for job in jobs)
    assert OmegaConf.load(run / "optimization_results.yaml").best_value == best
