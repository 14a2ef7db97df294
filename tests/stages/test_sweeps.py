"""The shipped sweeps: their keys and values are settings, and a sweep runs with each launcher that is installed."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from wsvs.__main__ import config_dir
from wsvs.config.check import check
from wsvs.core.files import read_json
from wsvs.core.masks import write_mask
from wsvs.stages.segment import segment_settings

SWEEPS = {  # sweep: (stage, number of jobs)
    "seeds": ("decoder", 5), "learning_rate": ("decoder", 6), "terms": ("segment", 4), "smoothness": ("segment", 27),
}


EVALUATE = ("stage=evaluate", "predictions=masks", "truth=truth", "evaluate.names=[background,cat]", "name=n")


def made_masks(folder: Path) -> None:
    for name in ("truth", "masks"):
        write_mask(folder / name / "a.png", np.eye(4, dtype=np.uint8))


def jobs(name: str) -> list[list[str]]:
    """Overrides of each job, as Hydra's own sweeper would make them."""
    params = OmegaConf.load(config_dir() / "sweep" / f"{name}.yaml").hydra.sweeper.params
    words = [f"{key}={value}" for key, value in params.items()]
    parsed = OverridesParser.create().parse_overrides(words)
    return [list(job) for job in product(*(_values(override) for override in parsed))]


def _values(override) -> list[str]:
    if not override.is_sweep_override():
        return [f"{override.key_or_group}={override.get_value_element_as_str()}"]
    return [f"{override.key_or_group}={value}" for value in override.sweep_string_iterator()]


def test_every_shipped_sweep_is_looked_at():
    assert sorted(path.stem for path in (config_dir() / "sweep").glob("*.yaml")) == sorted([*SWEEPS, "none", "search"])


@pytest.mark.parametrize("name", SWEEPS)
def test_each_job_is_another_configuration_that_the_stage_takes(composed, name):
    stage, number = SWEEPS[name]
    made = set()
    for words in jobs(name):
        cfg = composed(f"stage={stage}", f"sweep={name}", "data.root=x", *words)
        check(cfg)
        if stage == "segment":
            segment_settings(cfg)  # its constructor takes the values
        made.add(json.dumps(OmegaConf.to_container(cfg), sort_keys=True))
    assert len(made) == number


def test_no_sweep_is_the_default(composed):
    plain = composed("stage=decoder", "data.root=x", hydra=True)
    assert plain.hydra.sweeper.params is None
    assert composed("stage=decoder", "sweep=seeds", "data.root=x", hydra=True).hydra.sweeper.params.seed == "0,1,2,3,4"


@pytest.mark.parametrize(("words", "said"), [
    (["sweep=seeds"], "sweep=seeds sweeps nothing without -m"),
    (["-m", "sweep=seeds", "seed=7"], "sweep=seeds has nothing left to sweep: seed given twice"),
    (["-m", "sweep=terms", "segment.lambda_a=0", "segment.lambda_c=0"], "segment.lambda_a and segment.lambda_c given"),
])
def test_a_sweep_that_would_quietly_be_one_job_is_refused(wsvs, words, said):
    status, out, err = wsvs("stage=evaluate", "predictions=masks", "truth=truth", *words)
    assert status == 2 and out == "" and err.startswith("error: ") and said in err and "  next:  " in err
    assert not Path("outputs").exists()


@pytest.mark.parametrize(("words", "jobs"), [
    (["sweep=seeds", "seed=5,6"], 2), (["sweep=terms", "segment.lambda_a=0"], 2), (["sweep=none", "seed=7"], 1),
])
def test_values_of_ones_own_stand_in_for_those_of_the_sweep(wsvs, tmp_path, words, jobs):
    made_masks(tmp_path)
    assert wsvs("-m", *EVALUATE, *words, run_id="r")[0] == 0
    assert len(list((tmp_path / "outputs" / "n" / "evaluate" / "r").glob("*/summary.json"))) == jobs


def test_a_search_without_m_is_refused(wsvs):
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    status, _, err = wsvs(*EVALUATE, "sweep=search")
    assert status == 2 and "sweep=search sweeps nothing without -m" in err


def test_the_steps_of_a_pipeline_that_is_swept_are_not_refused(cli, tmp_path):
    made_masks(tmp_path)
    cli.run(
        "-m", "stage=pipeline", "pipeline.steps=[{stage: evaluate}]", *EVALUATE[1:], "sweep=seeds", "seed=0,1",
        cwd=tmp_path,
    )
    assert len(list((tmp_path / "outputs" / "n" / "evaluate").glob("*-[01]/summary.json"))) == 2


@pytest.mark.parametrize("launcher", ["basic", "joblib", pytest.param("submitit_local", marks=pytest.mark.slow)])
def test_a_sweep_runs(cli, tmp_path, launcher):
    if launcher != "basic":
        pytest.importorskip(f"hydra_plugins.hydra_{launcher.partition('_')[0]}_launcher")
    made_masks(tmp_path)
    cli.run(
        "-m", *EVALUATE, "sweep=seeds", f"hydra/launcher={launcher}", "hydra.sweeper.max_batch_size=2", cwd=tmp_path
    )
    [run] = (tmp_path / "outputs" / "n" / "evaluate").iterdir()
    summaries = {Path(path).parent.name: json.loads(path.read_text()) for path in run.glob("*/summary.json")}
    assert sorted(summaries) == ["0", "1", "2", "3", "4"]
    for number, summary in summaries.items():
        assert f"seed={number}" in summary["overrides"]


def test_a_parallel_job_that_fails_leaves_the_others_alone(cli, tmp_path):
    """What is wrong with it is said once, and kept; one that is killed is told too, by whoever started it."""
    made_masks(tmp_path)
    words = [word for word in EVALUATE if not word.startswith("predictions")]
    said = cli.run(
        "-m", *words, "predictions=masks,nowhere", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", cwd=tmp_path,
        status=2,
    )
    [run] = (tmp_path / "outputs" / "n" / "evaluate").iterdir()
    assert said.count("error: folder of predicted masks not found") == 1 and "Traceback" not in said
    assert "folder of predicted masks not found" in read_json(run / "1" / "job.json")["failed"]
    assert read_json(run / "0" / "job.json") == {"objective": "miou", "value": 1.0}
    words = ("-m", *EVALUATE, "seed=0", "hydra/launcher=joblib")
    cli.run(*words, cwd=tmp_path, status=1, sabotage="metrics.json|0|0|kill", WSVS_RUN_ID="killed")
    job = tmp_path / "outputs" / "n" / "evaluate" / "killed" / "0"
    assert read_json(job / "job.json")["failed"] == "killed by SIGKILL (for lack of memory, perhaps)"
    cli.run(*words, cwd=tmp_path, WSVS_RUN_ID="killed")  # and the next start does it
    assert read_json(job / "job.json")["value"] == 1.0
