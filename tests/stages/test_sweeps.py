"""The shipped sweeps: their keys and values are settings, and a sweep runs with each launcher that is installed."""

from __future__ import annotations

import csv
import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from wsvs.config.check import check
from wsvs.config.files import config_dir
from wsvs.core.files import read_json, write_json, write_text
from wsvs.core.masks import write_mask
from wsvs.core.sweeps import read_sweep
from wsvs.video.settings import SegmentSettings

SWEEPS = {  # sweep: (stage, number of jobs)
    "seeds": ("decoder", 5),
    "learning_rate": ("decoder", 6),
    "terms": ("segment", 4),
    "smoothness": ("segment", 27),
}


EVALUATE = ("stage=evaluate", "predictions=masks", "truth=truth", "evaluate.names=[background,cat]", "name=n")


def made_masks(folder: Path) -> None:
    for name in ("truth", "masks"):
        write_mask(folder / name / "a.png", np.eye(4, dtype=np.uint8))


def own_sweep(folder: Path, params: dict[str, str]) -> None:
    """conf/sweep/own.yaml, for --config-dir=conf."""
    path = folder / "conf" / "sweep" / "own.yaml"
    path.parent.mkdir(parents=True)
    path.write_text("# @package _global_\n" + OmegaConf.to_yaml({"hydra": {"sweeper": {"params": params}}}))


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
        settings = check(cfg)
        if stage == "segment":  # its constructor takes the values
            SegmentSettings.of(settings.segment, 0)
        made.add(json.dumps(OmegaConf.to_container(cfg), sort_keys=True))
    assert len(made) == number


def test_no_sweep_is_the_default(composed):
    plain = composed("stage=decoder", "data.root=x", hydra=True)
    assert plain.hydra.sweeper.params is None
    assert composed("stage=decoder", "sweep=seeds", "data.root=x", hydra=True).hydra.sweeper.params.seed == "0,1,2,3,4"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["sweep=seeds"], "sweep=seeds has no effect without -m"),
        (["-m", "sweep=seeds", "seed=7"], "sweep=seeds has nothing left to sweep: seed given twice"),
        (
            ["-m", "sweep=terms", "segment.lambda_a=0", "segment.lambda_c=0"],
            "segment.lambda_a and segment.lambda_c given",
        ),
    ],
)
def test_a_sweep_that_would_quietly_be_one_job_is_refused(wsvs, words, said):
    status, out, err = wsvs("stage=evaluate", "predictions=masks", "truth=truth", *words)
    assert status == 2 and out == "" and err.startswith("error: ") and said in err and "  next:  " in err
    assert not Path("outputs").exists()


@pytest.mark.parametrize(
    ("words", "jobs"),
    [
        (["sweep=seeds", "seed=5,6"], 2),
        (["--config-dir=conf", "sweep=own", "seed=0"], 2),
        (["sweep=none", "seed=7"], 1),
    ],
)
def test_values_of_ones_own_stand_in_for_those_of_the_sweep(wsvs, tmp_path, words, jobs):
    made_masks(tmp_path)
    own_sweep(tmp_path, {"seed": "0,1", "evaluate.split_name": "a,b"})
    assert wsvs("-m", *EVALUATE, *words, run_id="r")[0] == 0
    assert len(list((tmp_path / "outputs" / "n" / "evaluate" / "r").glob("*/summary.json"))) == jobs


def test_a_search_without_m_is_refused(wsvs):
    status, _, err = wsvs(*EVALUATE, "sweep=search")
    assert status == 2 and "sweep=search has no effect without -m" in err


def test_the_steps_of_a_pipeline_that_is_swept_are_not_refused(cli, tmp_path):
    made_masks(tmp_path)
    cli.run(
        "-m",
        "stage=pipeline",
        "pipeline.steps=[{stage: evaluate}]",
        *EVALUATE[1:],
        "sweep=seeds",
        "seed=0,1",
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


@pytest.mark.slow
def test_a_parallel_job_that_fails_leaves_the_others_alone(cli, tmp_path):
    """The error of a job is reported once, and stored; a killed job is reported by its parent process."""
    made_masks(tmp_path)
    words = [word for word in EVALUATE if not word.startswith("predictions")]
    said = cli.run(
        "-m",
        *words,
        "predictions=masks,nowhere",
        "hydra/launcher=joblib",
        "hydra.launcher.n_jobs=2",
        cwd=tmp_path,
        status=2,
    )
    [run] = (tmp_path / "outputs" / "n" / "evaluate").iterdir()
    assert said.count("error: predicted masks not found") == 1 and "Traceback" not in said
    assert "predicted masks not found" in read_json(run / "1" / "job.json")["failed"]
    assert read_json(run / "0" / "job.json") == {"objective": "miou", "value": 1.0, "direction": None}
    words = ("-m", *EVALUATE, "seed=0", "hydra/launcher=joblib")
    cli.run(*words, cwd=tmp_path, status=1, sabotage="metrics.json|0|0|kill", WSVS_RUN_ID="killed")
    job = tmp_path / "outputs" / "n" / "evaluate" / "killed" / "0"
    assert read_json(job / "job.json")["failed"] == "killed by SIGKILL (possibly out of memory)"
    cli.run(*words, cwd=tmp_path, WSVS_RUN_ID="killed")  # and the next start does it
    assert read_json(job / "job.json")["value"] == 1.0


def worse_masks(folder: Path) -> None:
    """Masks of which the first is perfect and each further one worse."""
    truth = np.eye(8, dtype=np.uint8)
    write_mask(folder / "truth" / "a.png", truth)
    for worse in range(3):
        mask = truth.copy()
        mask[: 2 * worse] = 0
        write_mask(folder / "masks" / str(worse) / "a.png", mask)


WORDS = [word for word in EVALUATE if not word.startswith("predictions")]
ORDERED = "predictions=masks/2,masks/0,nowhere,masks/1"


def csv_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_sweep_ends_with_its_jobs_in_a_table_the_best_first(wsvs, tmp_path, caplog):
    worse_masks(tmp_path)
    caplog.set_level("INFO")
    status, out, _ = wsvs("-m", *WORDS, ORDERED, run_id="r")
    folder = tmp_path / "outputs" / "n" / "evaluate" / "r"
    rows = csv_rows(folder / "sweep.csv")
    assert status == 2 and [row["predictions"] for row in rows] == ["masks/0", "masks/1", "masks/2", "nowhere"]
    assert [row["job"] for row in rows] == ["1", "3", "0", "2"]
    for row in rows[:3]:
        assert float(row["miou"]) == read_json(folder / row["job"] / "metrics.json")["miou"]
    assert rows[3]["state"] == "failed" and rows[3]["miou"] == ""
    assert rows[3]["reason"] == "predicted masks not found; where: predictions=nowhere; next:  check predictions"
    table = out[out.index("4 jobs, by miou, highest first") :]
    assert table.index("masks/0") < table.index("masks/1") < table.index("masks/2") < table.index("nowhere")
    assert "job 2 failed: predicted masks not found" in caplog.text
    wsvs("stage=report", "name=n")
    [page] = (tmp_path / "outputs" / "n" / "report").glob("*/report.html")
    text = page.read_text()
    section = text[text.index("evaluate, r: miou, the highest first") :]
    assert section.index("masks/0") < section.index("masks/1") < section.index("masks/2") < section.index("nowhere")
    assert "failed: predicted masks not found" in section


@pytest.mark.slow
def test_a_stopped_sweep_resumes_with_all_jobs_in_its_table(cli, tmp_path):
    worse_masks(tmp_path)
    words = ["-m", *WORDS, "predictions=masks/2,masks/0,masks/1"]
    cli.run(*words, cwd=tmp_path, sabotage="/1/*metrics.json|0|0|kill", status=-9)
    [run] = (tmp_path / "outputs" / "n" / "evaluate").iterdir()
    assert not (run / "sweep.csv").exists()
    cli.run(*words, cwd=tmp_path)
    assert list((tmp_path / "outputs" / "n" / "evaluate").iterdir()) == [run]
    assert [row["predictions"] for row in csv_rows(run / "sweep.csv")] == ["masks/0", "masks/1", "masks/2"]
    cli.run(*words, cwd=tmp_path)  # a finished one begins another
    assert len(list((tmp_path / "outputs" / "n" / "evaluate").iterdir())) == 2


@pytest.mark.parametrize(
    ("objective", "direction", "expected"),
    [
        ("val/miou", None, ["1", "0", "2", "3"]),
        ("val/loss", None, ["0", "1", "2", "3"]),
        ("val/miou", "minimize", ["0", "1", "2", "3"]),
        ("val/loss", "maximize", ["1", "0", "2", "3"]),
        (None, None, ["0", "1", "2", "3"]),
    ],
)
def test_the_direction_of_the_order(tmp_path, objective, direction, expected):
    """That of a search, else by the figure's name. What is not a number comes last, then what did not finish."""
    for number, value in enumerate((0.25, 0.5, float("nan"), None)):
        job = tmp_path / str(number)
        write_text(job / ".hydra" / "overrides.yaml", f"- seed={number}\n- stage=decoder\n")
        if value is not None:
            write_json(job / "summary.json", {"results": {"val": {"x": number}, "word": "no"}, "seconds": 1})
            record = {"objective": objective, "value": value if objective else None, "direction": direction}
            write_text(job / "job.json", json.dumps(record))
    sweep = read_sweep(tmp_path)
    assert [job.number for job in sweep.jobs] == expected
    assert list(sweep.settings) == ["seed"] and sweep.figures() == ["val.x"]
    assert [job.state for job in sweep.jobs] == ["done"] * 3 + ["not finished"]


def test_settings_of_other_stages_are_left_out_of_a_file(wsvs, tmp_path, caplog):
    made_masks(tmp_path)
    caplog.set_level("INFO")
    own_sweep(tmp_path, {"decoder.lr": "1,2,3", "seed": "0,1"})
    assert wsvs("-m", *EVALUATE, "--config-dir=conf", "sweep=own", run_id="r")[0] == 0
    assert "ignored in sweep=own: decoder.lr, which stage evaluate does not read" in caplog.text
    rows = csv_rows(tmp_path / "outputs" / "n" / "evaluate" / "r" / "sweep.csv")
    assert [row["seed"] for row in rows] == ["0", "1"] and "decoder.lr" not in rows[0]


@pytest.mark.parametrize("words", [["sweep=learning_rate"], ["seed=0,1", "decoder.lr=1,2"]])
def test_a_sweep_of_settings_of_another_stage_is_refused(wsvs, tmp_path, words):
    status, _, err = wsvs("-m", *EVALUATE, *words)
    assert status == 2 and "stage evaluate does not read decoder.lr" in err and "or run stage=decoder" in err
    assert not (tmp_path / "outputs").exists()
