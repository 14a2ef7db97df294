"""The pipeline's parts: its plan, how steps find one another, and how figures are judged."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra import compose
from hydra.core.override_parser.overrides_parser import OverridesParser

from wsvs.config.check import check
from wsvs.config.groups import FolderRetrieve, ModelSettings, TaggedData, YouTubeRetrieve
from wsvs.config.stages import Check, PipelineSettings, PipelineStep
from wsvs.core import runs
from wsvs.core.errors import UserError
from wsvs.core.files import write_json
from wsvs.engine.figures import judge
from wsvs.engine.names import PIPELINE
from wsvs.engine.registry import load_stage
from wsvs.engine.resume import fingerprint
from wsvs.engine.stage import home_of
from wsvs.stages import pipeline
from wsvs.stages.pipeline import Step, _links, plan, quote

HARD = [
    "plain",
    "two words",
    "it's",
    "a\\b",
    "\\'",
    "a\\\\'b\\",
    "ends\\",
    "ends\\\\",
    "(a),[b]={c}:d",
    "null",
    "1.0",
    "true",
    "~/x#y;z",
    "a,b",
    " padded ",
    "täg",
    '"',
    "",
]


def parse(word: str):
    override = OverridesParser.create().parse_override(word)
    return override.key_or_group, override.value()


@pytest.mark.parametrize("value", HARD)
def test_quoted_values_are_read_back_unchanged(value):
    assert parse(f"key={quote(value)}") == ("key", value)
    assert parse(f"key={quote(Path('/a b', value or '.'))}")[1] == str(Path("/a b", value or "."))


def config(steps=None, data=None, retrieve=None, **more):
    return pipeline.Settings(
        pipeline=PipelineSettings(steps=steps and [PipelineStep(**step) for step in steps]),
        data=TaggedData(**(data or {"root": "im ages"})),
        retrieve=retrieve or FolderRetrieve(root="videos"),
        model=ModelSettings(),
        **{**dict.fromkeys(("input", "labels", "predictions", "truth")), **more},
    )


def test_every_stage_once_in_order(tmp_path):
    steps = list(plan(config()))
    assert [step.stage for step in steps] == ["data", *PIPELINE[:-1]]  # no true masks, so nothing to evaluate
    assert {step.label == step.stage for step in steps} == {True}
    assert steps[-1].set == ("input='im ages'", "labels='folders'") and all(not step.set for step in steps[:-1])
    table = tmp_path / "labels.tsv"
    table.touch()
    scored = list(plan(config(data={"root": "x", "labels": str(table), "masks": "truth dir"})))
    assert [step.stage for step in scored] == ["data", *PIPELINE]
    assert scored[-2].set == ("input='x'", f"labels='{table}'")
    assert scored[-1].set == ("predictions={predict}", "truth='truth dir'")


def test_videos_are_asked_for_before_anything_runs():
    with pytest.raises(UserError, match=r"no folder of videos(.|\n)*retrieve=youtube"):
        list(plan(config(retrieve=FolderRetrieve())))
    assert list(plan(config(retrieve=YouTubeRetrieve(source="youtube"))))
    assert list(plan(config([{"stage": "encoder"}], retrieve=FolderRetrieve())))


def test_what_the_command_names_is_left_alone(tmp_path):
    steps = {step.stage: step.set for step in plan(config(input="mine", labels="l", predictions="p", truth="t"))}
    assert steps["predict"] == () and steps["evaluate"] == ()


def test_listed_steps():
    steps = list(
        plan(
            config(
                [
                    {"stage": "encoder"},
                    {"stage": "predict", "label": "first", "set": ["predict.model=encoder"]},
                    {"stage": "predict", "label": None},
                ]
            )
        )
    )
    assert steps == [
        Step("encoder", "encoder"),
        Step("predict", "first", ("predict.model=encoder",)),
        Step("predict", "predict"),
    ]


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([{"stage": "encode"}], "'encode' is not a stage"),
        ([{"stage": "pipeline"}], "'pipeline' is not a stage"),
        ([{"stage": "encoder"}, {"stage": "encoder"}], "two steps have the label 'encoder'"),
        ([{"stage": "encoder"}, {"stage": "decoder", "label": "encoder"}], "two steps have the label 'encoder'"),
    ],
)
def test_bad_steps(steps, message):
    with pytest.raises(UserError, match=message) as caught:
        list(plan(config(steps)))
    assert "pipeline.steps" in str(caught.value)


STEPS = "pipeline.steps=[{stage: data}, {stage: encoder}, {stage: encoder, label: second, set: ['seed=1']}]"


@pytest.fixture
def piped(wsvs, monkeypatch):
    """More words -> exit status, the steps that a pipeline has run, as <stage>/<run id>, and what it said.

    The steps write a summary and nothing else; a stage that is `broken` ends with status 2.
    """

    def call(*words, run_id=None, broken=None):
        called = []

        def played(overrides, name):
            cfg = compose("config", overrides)
            if cfg.stage == broken:
                return 2
            called.append(f"{cfg.stage}/{name}")
            stage, settings = load_stage(cfg.stage), check(cfg)
            inputs = {one: home_of(settings).require(one) for one in stage.needed(settings)}
            runs.write_summary(
                Path(cfg.out, cfg.name, cfg.stage, name),
                stage=cfg.stage,
                started=0,
                overrides=overrides,
                inputs={},
                counts={"skipped items": 0},
                results={"fingerprint": fingerprint(cfg, stage.decisive, inputs)},
            )
            return 0

        monkeypatch.setattr(pipeline, "call", played)
        Path("x").mkdir(exist_ok=True)
        status, _, err = wsvs("stage=pipeline", "data.root=x", STEPS, *words, run_id=run_id)
        return status, called, err

    return call


def test_finished_steps_are_skipped_unless_resume_is_false(piped):
    def every(run_id):
        return [f"data/{run_id}", f"encoder/{run_id}", f"encoder/{run_id}-second"]

    assert piped(run_id="a")[:2] == (0, every("a"))
    assert piped(run_id="b")[:2] == (0, [])
    assert piped("resume=false", run_id="c")[:2] == (0, every("c"))
    assert piped("resume=false", run_id="d")[:2] == (0, every("d"))
    assert piped(run_id="e")[:2] == (0, [])


def test_a_step_that_looks_for_new_files_is_not_skipped(piped):
    """But within one pipeline it is, so that a killed one resumes."""
    steps = "pipeline.steps=[{stage: segment, set: ['videos=x', 'segment.lambda_a=0.0']}]"
    assert piped(steps, run_id="a")[:2] == (0, ["segment/a"])
    assert piped(steps, run_id="b")[:2] == (0, [])
    assert piped(steps, "segment.reuse=last", run_id="c")[:2] == (0, ["segment/c"])
    assert piped(steps, "segment.reuse=last", run_id="c")[:2] == (0, [])


def test_a_requeued_job_resumes_even_with_resume_false(piped):
    """It has its number again, and so its own steps; those of other runs do not count."""
    assert piped(run_id="a")[0] == 0
    status, called, err = piped("resume=false", run_id="7", broken="encoder")
    assert (status, called) == (2, ["data/7"]) and "run the same command without resume=false to resume" in err
    assert piped("resume=false", run_id="7")[:2] == (0, ["encoder/7", "encoder/7-second"])


DONE = {
    "encoder": Path("/out/encoder/1"),
    "by motion": Path("/out it's (1)/segment/1-by motion"),
    "segment": Path("/out/segment/1"),
    "predict": Path("/out/predict/1"),
}


def test_links_name_the_inputs_outright():
    links = _links(Step("decoder", "decoder"), DONE, ["name=x"])
    assert dict(map(parse, links)) == {"inputs.encoder": "/out/encoder/1", "inputs.segment": "/out/segment/1"}
    # predict's runs are not inputs, and a step with a label of its own is not the stage's run
    assert _links(Step("encoder", "encoder"), {}, []) == []


def test_what_is_reported_is_not_repeated():
    step = Step("decoder", "decoder", ("inputs.segment={by motion}",))
    assert dict(map(parse, _links(step, DONE, ["inputs.encoder=mine"]))) == {"inputs.segment": str(DONE["by motion"])}


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("predictions={by motion}", str(DONE["by motion"])),
        ("predictions={segment}/masks", "/out/segment/1/masks"),
        ("predictions='{segment}/masks'", "/out/segment/1/masks"),
        ("evaluate.names=[{segment},b]", ["/out/segment/1", "b"]),
        ("evaluate.kind=video", "video"),
        ("x={a:1}", {"a": 1}),
    ],
)
def test_labels_become_runs(word, expected):
    *_, last = _links(Step("evaluate", "evaluate", (word,)), DONE, [])
    assert parse(last) == (word.partition("=")[0], expected)


def test_unknown_label():
    with pytest.raises(UserError, match="there is no earlier step 'by colour'") as caught:
        _links(Step("evaluate", "J", ("predictions={by colour}",)), DONE, [])
    assert "step J" in caught.value.where and "by motion" in caught.value.remedy


@pytest.fixture
def done(tmp_path):
    write_json(tmp_path / "a" / "metrics.json", {"miou": 0.6, "iou": {"cat": 0.25, "dog": None}, "ok": True})
    write_json(tmp_path / "b" / "summary.json", {"results": {"val/miou": 0.5}})
    return {"A": tmp_path / "a", "b": tmp_path / "b"}


def checks(**more):
    return {"figure": Check(**{"step": "A", "metric": "miou", **more})}, "figure"


@pytest.mark.parametrize(
    ("check", "verdict"),
    [
        ({}, "PASS 0.6000"),
        ({"low": 0.6}, "PASS 0.6000"),
        ({"low": 0.61}, "FAIL 0.6000"),
        ({"high": 0.6, "expected": 0.58}, "PASS 0.6000"),
        ({"high": 0.59}, "FAIL 0.6000"),
        ({"low": None, "high": None}, "PASS 0.6000"),
        ({"metric": "iou.cat", "low": 0.2, "high": 0.3}, "PASS 0.2500"),
        ({"step": "b", "metric": "val/miou"}, "PASS 0.5000"),
        ({"minus": "A"}, "PASS 0.0000"),
    ],
)
def test_judge(done, check, verdict, capsys):
    table, name = checks(**check)
    assert judge(table, done) == {name: verdict}
    assert verdict.split()[0] in capsys.readouterr().out


def test_difference_of_two_runs(done, tmp_path):
    write_json(tmp_path / "c" / "metrics.json", {"miou": 0.45})
    table, _ = checks(minus="C", low=0.1, high=0.2)
    assert judge(table, {**done, "C": tmp_path / "c"}) == {"figure": "PASS 0.1500"}


def test_checks_can_be_taken_out(done):
    assert judge({"figure": None}, done) == {} and judge(None, done) == {} and judge({}, done) == {}


@pytest.mark.parametrize(
    ("check", "message"),
    [
        ({"step": "z"}, "there is no step 'z'"),
        ({"minus": "z"}, "there is no step 'z'"),
        ({"metric": "mIoU"}, "no figure 'mIoU'"),
        ({"metric": "miou.cat"}, "no figure 'miou.cat'"),
        ({"metric": "iou"}, "no figure 'iou'"),
        ({"metric": "iou.dog"}, "no figure 'iou.dog'"),  # a class that does not occur has no figure
        ({"metric": "ok"}, "no figure 'ok'"),
    ],
)
def test_figures_that_are_not_there(done, check, message):
    with pytest.raises(UserError, match=message):
        judge(checks(**check)[0], done)
