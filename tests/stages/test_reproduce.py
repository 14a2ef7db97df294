"""Stage reproduce: seeds, means and verdicts, with pipelines that are played by a file each."""

from __future__ import annotations

import json
import math
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from wsvs.config.check import check as check_settings
from wsvs.config.stages import Check
from wsvs.core import runs
from wsvs.core.errors import UserError
from wsvs.core.masks import write_mask
from wsvs.engine.registry import load_stage
from wsvs.stages import reproduce
from wsvs.stages.pipeline import plan
from wsvs.stages.reproduce import Result

TABLES = (Path(__file__).parents[2] / "docs" / "tables.md").read_text()
ROWS = {  # row: stages, and figure: (the paper's number in percent, metric)
    "table1_youtube_objects": ("retrieve relevance segment decoder predict evaluate", {"mIoU": (49.2, "miou")}),
    "table1_youtube_objects_adapted": (
        "retrieve relevance segment decoder adapt predict evaluate",
        {"mIoU": (None, "miou")},
    ),
    "table1_youtube": ("retrieve relevance segment decoder predict evaluate", {"mIoU": (55.2, "miou")}),
    "table1_youtube_adapted": (
        "retrieve relevance segment decoder adapt predict evaluate",
        {"mIoU": (58.1, "miou")},
    ),
    "table2": ("retrieve relevance segment decoder adapt predict evaluate", {"mIoU": (58.1, "miou")}),
    "table3": ("retrieve relevance segment decoder adapt predict submit", {}),
    "table4": (
        "segment evaluate",
        {"class average": (58.6, "class_average"), "video average": (57.1, "video_average")},
    ),
}
WORDS = ("stage=reproduce", "experiment=table4", "trainer=cpu")


@pytest.mark.parametrize("row", ROWS)
def test_rows_hold_the_papers_numbers_two_points_below(composed, row):
    stages, figures = ROWS[row]
    cfg = composed("stage=pipeline", f"experiment={row}")
    steps = {step.stage: step.set for step in plan(pipeline_settings(cfg))}
    assert list(steps) == ["encoder", *stages.split()]
    assert steps.get("predict", ("predict.model=adapt",)) == (
        "predict.model=adapt" if "adapt" in steps or row == "table4" else "predict.model=decoder",
    )
    assert cfg.name == "paper" and cfg.model.backbone == "vgg16" and len(cfg.data.classes) == 20
    assert str(cfg.predict.ids).endswith("prepared/test.txt" if row == "table3" else "prepared/val.txt")
    for name, (paper, metric) in figures.items():
        check = cfg.pipeline.checks[name]
        assert (check.step, check.metric) == ("evaluate", metric)
        if paper is not None:
            assert check.expected == pytest.approx(paper / 100) and check.low == pytest.approx(paper / 100 - 0.02)
            assert f"| {paper} |" in TABLES
    assert f"experiment={row}" in TABLES


def test_table_2_has_every_class(composed):
    checks = composed("stage=pipeline", "experiment=table2").pipeline.checks
    classes = {name: check for name, check in checks.items() if name != "mIoU"}
    assert len(classes) == 21 and all(check.metric == f"iou.{name}" for name, check in classes.items())
    numbers = [100 * check.expected for check in classes.values()]
    assert sum(numbers) / 21 == pytest.approx(58.1, abs=0.05)  # the row averages to its own mean
    assert " | ".join(f"{number:.1f}" for number in numbers) in TABLES


check = partial(Check, step="evaluate", metric="miou")


def pipeline_settings(cfg):
    return load_stage("pipeline").settings_of(check_settings(cfg))


def test_mean_spread_and_bounds():
    result = Result.of({0: 0.5, 1: 0.6, 2: 0.7}, check(low=0.6, expected=0.58))
    assert result.mean == pytest.approx(0.6) and result.spread == pytest.approx(0.1)
    assert result.verdict == "PASS" and result.seeds == {"0": 0.5, "1": 0.6, "2": 0.7}
    assert Result.of({0: 0.5}, check(low=0.5, high=0.5)).verdict == "PASS"
    assert Result.of({0: 0.5}, check(low=0.51)).verdict == "FAIL"
    assert Result.of({0: 0.5}, check(high=0.49)).verdict == "FAIL"
    assert Result.of({0: 0.5}, check()).spread is None
    assert Result.of({0: math.nan}, check(low=0.1)).verdict == "FAIL"


@pytest.fixture
def played(monkeypatch, make_run):
    """Seeds' figures, or an exit status -> (what the stage did, the pipelines that it called)."""

    def play(answers, *words, run_id="r"):
        calls = []
        run = make_run(*WORDS, *words, run_id=run_id)
        home = Path(run.cfg.out, run.cfg.name, "pipeline").absolute()

        def call(overrides, run_id):
            calls.append((overrides, run_id))
            answer = answers[int(run_id.rpartition("-seed")[2])]
            if isinstance(answer, int):
                return answer
            verdicts = {
                name: f"{'PASS' if value >= 0.5 else 'FAIL'} {value:.4f}"
                for name, value in zip(("class average", "video average"), answer, strict=True)
            }
            runs.write_summary(
                home / run_id,
                stage="pipeline",
                started=0,
                overrides=[],
                inputs={},
                counts={},
                results={**verdicts, "fingerprint": "x"},
            )
            return 2 if "FAIL" in "".join(verdicts.values()) else 0

        monkeypatch.setattr(reproduce, "call", call)
        with run.opened():
            try:
                reproduce.run(run)
            except UserError as error:
                return run, calls, error
        return run, calls, None

    return play


def test_a_row_within_its_range(played, capsys):
    run, calls, error = played({0: (0.60, 0.56), 4: (0.54, 0.57)}, "reproduce.seeds=[0,4]")
    assert error is None
    assert calls == [
        (["stage=pipeline", "experiment=table4", "trainer=cpu", f"seed={seed}"], f"r-seed{seed}") for seed in (0, 4)
    ]
    metrics = json.loads((run.dir / "metrics.json").read_text())
    assert metrics["class average"]["mean"] == pytest.approx(0.57)  # the range is from 0.566 on
    assert metrics["class average"]["seeds"] == {"0": 0.6, "4": 0.54}
    assert runs.read_summary(run.dir).results["video average"] == "PASS 0.5650"
    assert "0.586" in capsys.readouterr().out  # the paper's number


def test_a_seed_out_of_range_counts_and_the_mean_decides(played):
    run, calls, error = played({0: (0.40, 0.6), 1: (0.6, 0.6), 2: (0.6, 0.6)})
    assert len(calls) == 3
    assert error is not None and "figures outside their range: 1 of 2 (class average)" in error.problem
    summary = runs.read_summary(run.dir).results
    assert summary["class average"] == "FAIL 0.5333" and summary["video average"] == "PASS 0.6000"


def test_a_pipeline_that_breaks_stops_it(played):
    run, calls, error = played({0: (0.6, 0.6), 1: 2, 2: (0.6, 0.6)})
    assert len(calls) == 2
    assert error is not None and error.where == "seed 1" and "exit status 2" in error.problem
    assert not (run.dir / runs.SUMMARY).exists()


def test_seeds_are_different(played):
    _, calls, error = played({}, "reproduce.seeds=[1,1]")
    assert calls == [] and error is not None and error.where == "reproduce.seeds"


@pytest.mark.parametrize("seeds", ["[]", "[a]", "[1.5]", "[true]", "3", "abc", "null"])
def test_seeds_are_whole_numbers(make_run, seeds):
    with pytest.raises(UserError, match="must be a list of whole numbers, got"):
        make_run(*WORDS, f"reproduce.seeds={seeds}")


def test_a_seed_beside_the_seeds_is_refused(played):
    _, calls, error = played({}, "reproduce.seeds=[0,4]", "seed=9")
    assert calls == [] and error is not None and error.where == "seed=9" and "given twice" in error.problem


@pytest.mark.parametrize("place", [("sweep1", "0"), ("4711", "3")])
def test_jobs_of_sweeps_and_arrays_have_their_own_pipelines(played, place):
    """Else those of a second sweep would meet those of the first, started with other settings."""
    run, calls, error = played({0: (0.6, 0.6)}, "reproduce.seeds=[0]", run_id="/".join(place))
    assert error is None and run.id == "-".join(place)
    assert [run_id for _, run_id in calls] == [f"{place[0]}-{place[1]}-seed0"]


def test_a_row_without_figures_is_refused(played):
    _, calls, error = played({}, "pipeline.checks=null")
    assert calls == [] and error is not None and error.where == "pipeline.checks"


def test_real_pipelines_of_one_step(cli, tmp_path):
    """Masks that are half right, scored under two seeds by pipelines of their own."""
    truth = np.zeros((4, 4), np.uint8)
    truth[:2] = 1
    write_mask(tmp_path / "truth" / "a.png", truth)
    write_mask(tmp_path / "masks" / "a.png", np.ones((4, 4), np.uint8))  # IoU 0 and 0.5
    words = (
        "stage=reproduce",
        "trainer=cpu",
        "reproduce.seeds=[0,1]",
        "pipeline.steps=[{stage: evaluate}]",
        "predictions=masks",
        "truth=truth",
        "evaluate.names=[background,cat]",
    )
    check = "+pipeline.checks.mIoU={{step: evaluate, metric: miou, low: {low}, expected: 0.3}}"
    said = cli.run(*words, check.format(low=0.2), "name=good", cwd=tmp_path)
    assert "=== seed 1" in said and "PASS" in said
    [found] = tmp_path.glob("outputs/good/reproduce/*/metrics.json")
    result = json.loads(found.read_text())["mIoU"]
    assert result["seeds"] == {"0": 0.25, "1": 0.25} and result["spread"] == 0
    assert len(list(tmp_path.glob("outputs/good/pipeline/*-seed*/summary.json"))) == 2
    said = cli.run(*words, check.format(low=0.3), "name=bad", cwd=tmp_path, status=2)
    assert "FAIL" in said and "figures outside their range: 1 of 1 (mIoU)" in said
