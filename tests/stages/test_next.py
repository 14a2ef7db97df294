"""The command that a stage proposes last: the right stage, the overrides that still apply, and none that it refuses."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest

from wsvs.config.check import check
from wsvs.core.files import read_json, write_json
from wsvs.core.masks import write_mask
from wsvs.engine import status
from wsvs.engine.next import next_command, next_line

OWN = ["data.root=my images", "data.labels=labels.tsv", "retrieve.root=my_videos", "model.weights=null"]


@pytest.fixture
def proposed(composed, tmp_path):
    """Overrides -> the next command's words without `wsvs`; they must compose."""
    write_json(tmp_path / "outputs/n/encoder/r/summary.json", {"finished": 1.0})

    def ask(*overrides: str, options=()) -> list[str]:
        cfg = composed(*overrides)
        run = tmp_path / "outputs/n" / cfg.stage / "r"
        command = next_command(cfg.stage, check(cfg), overrides, run, options)
        first, *words = shlex.split(command)
        assert first == "wsvs"
        composed(*[word for word in words if word not in options])
        return words

    return ask


@pytest.fixture
def judging(tmp_path) -> list[str]:
    """A command that scores one mask."""
    for folder in ("p", "t"):
        write_mask(tmp_path / folder / "one.png", np.eye(4, dtype=np.uint8))
    return ["stage=evaluate", f"predictions={tmp_path}/p", f"truth={tmp_path}/t", "evaluate.names=[background,cat]"]


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (
            ["stage=encoder", "name=n", "data=synthetic", "encoder.lr=1e-2", "seed=3"],
            ["stage=retrieve", "name=n", "data=synthetic", "seed=3"],
        ),
        (
            ["stage=retrieve", "name=n", "retrieve=urls", "retrieve.file=list.tsv", "data.root=x"],
            ["stage=relevance", "name=n", "data.root=x"],
        ),
        (
            [
                "stage=relevance",
                "name=n",
                "relevance.threshold=0.5",
                "inputs.encoder=outputs/n/encoder/r",
                "inputs.retrieve=outputs/n/retrieve/r",
                "segment.flow=dis_fast",
                "trainer=ddp",
                "trainer.devices=2",
            ],
            [
                "stage=segment",
                "name=n",
                "inputs.encoder=outputs/n/encoder/r",
                "segment.flow=dis_fast",
                "trainer=ddp",
                "trainer.devices=2",
            ],
        ),
        (
            ["stage=segment", "name=n", "model=squeezenet1_1", "~callbacks.progress"],
            ["stage=decoder", "name=n", "model=squeezenet1_1", "~callbacks.progress"],
        ),
        (
            ["stage=segment", "name=n", "videos=films", "experiment=motion"],
            ["stage=export", "name=n", "experiment=motion", "export.format=davis"],
        ),
        (["stage=segment", "name=n", "data=davis", "segment.lambda_a=0"], ["stage=evaluate", "name=n", "data=davis"]),
        (
            ["stage=segment", "name=n", "videos=films", "truth=masks"],
            ["stage=evaluate", "name=n", "truth=masks", "evaluate.kind=video"],
        ),
        (["stage=decoder", "name=n", "data=synthetic", "decoder.steps=9"], ["stage=adapt", "name=n", "data=synthetic"]),
        (["stage=adapt", "name=n", "data=synthetic"], ["stage=predict", "name=n", "data=synthetic"]),
        (
            ["stage=adapt", "name=n", "data.root=my images"],
            ["stage=predict", "name=n", "data.root=my images", "input='my images'", "labels='folders'"],
        ),
        (
            ["stage=predict", "name=n", "data=synthetic", "predict.model=adapt"],
            ["stage=evaluate", "name=n", "data=synthetic", "predictions=outputs/n/predict/r"],
        ),
        (
            ["stage=predict", "name=n", "data=synthetic", "input=photos"],
            ["stage=export", "name=n", "data=synthetic", "input=photos"],
        ),  # where COCO's file names are looked up
        (
            ["stage=predict", "name=n", "data.root=x", "data.masks=m", "input=x"],  # as stage adapt proposes it
            ["stage=evaluate", "name=n", "data.root=x", "data.masks=m", "predictions=outputs/n/predict/r", "truth='m'"],
        ),
        (["stage=predict", "name=n", "data.root=x"], ["stage=export", "name=n", "data.root=x"]),
        (["stage=evaluate", "name=n", "predictions=a", "truth=b", "evaluate.kind=video"], ["stage=report", "name=n"]),
        (
            ["stage=evaluate", "name=n", "experiment=animals", "real=../real"],
            ["stage=report", "name=n", "experiment=animals", "real=../real"],
        ),
        (
            ["stage=pipeline", "name=n", *OWN],
            ["stage=report", "name=n", "data.root=my images", "data.labels=labels.tsv", "model.weights=null"],
        ),
        (["stage=data", "name=n", *OWN], ["stage=pipeline", "name=n", *OWN]),
        (["stage=data", "name=n", "data.root=x"], ["stage=pipeline", "name=n", "data.root=x", "retrieve.root=DIR"]),
        (["stage=data", "name=n", "data=synthetic"], ["stage=pipeline", "name=n", "data=synthetic"]),
        (["stage=data", "name=n", "data=davis"], ["stage=segment", "name=n", "data=davis", "experiment=motion"]),
        (["stage=submit", "name=n", "submit.ids=test.txt", "predictions=p"], ["stage=report", "name=n"]),
        (["stage=export", "name=n", "export.format=yolo"], ["stage=report", "name=n"]),
        (["stage=reproduce", "name=n", "experiment=table2"], ["stage=report", "name=n", "experiment=table2"]),
    ],
)
def test_what_comes_next(proposed, given, wanted):
    assert proposed(*given) == wanted


def test_a_folder_of_videos_is_asked_for(proposed):
    assert proposed("stage=encoder", "name=n", "data.root=x")[-1] == "retrieve.root=DIR"
    assert "retrieve.root=DIR" not in proposed("stage=encoder", "name=n", "data.root=x", "retrieve=youtube")


def test_a_command_with_a_word_to_fill_in_says_so(composed, tmp_path):
    write_json(tmp_path / "outputs/n/encoder/r/summary.json", {"finished": 1.0})
    told = {}
    for words in (["data.root=x"], ["data.root=x", "retrieve=youtube"]):
        overrides = ["stage=encoder", "name=n", *words]
        settings, run = check(composed(*overrides)), tmp_path / "outputs/n/encoder/r"
        told[len(words)] = next_line("encoder", settings, overrides, run)
    filling = "next, with your folder of videos in place of DIR: "
    assert told[1] == filling + "wsvs stage=retrieve name=n data.root=x retrieve.root=DIR"
    assert told[2] == "next: wsvs stage=retrieve name=n data.root=x retrieve=youtube"


def test_options_of_the_command_are_kept(proposed):
    assert proposed("stage=encoder", "name=n", *OWN, options=("--config-dir", "my conf"))[:3] == [
        "--config-dir",
        "my conf",
        "stage=retrieve",
    ]


def test_odd_names_come_through_the_shell_and_hydra(proposed, composed):
    root = "it's/[odd], (ü) $HOME"
    words = proposed("stage=adapt", "name=n", f'data.root="{root}"')
    assert composed(*words).input == root


def test_a_report_is_opened_and_nothing_is_proposed_of_nothing(composed, tmp_path):
    settings = check(composed("stage=report", "name=n"))
    command = next_command("report", settings, ["stage=report"], Path("/a b/r"))
    assert shlex.split(command) == ["python3", "-m", "webbrowser", "file:///a%20b/r/report.html"]
    nothing = check(composed("stage=export", "name=none"))
    assert next_command("export", nothing, ["stage=export", "name=none"], tmp_path) is None


def test_the_command_line_says_it_last_and_it_can_be_pasted(wsvs, judging, tmp_path, caplog):
    """Evaluate, then what it proposes, then what that says in its turn."""
    caplog.set_level("INFO", "wsvs")
    assert wsvs(*judging, run_id="r")[0] == 0
    said = caplog.messages[-1]
    assert said == "next: wsvs stage=report"
    assert wsvs(*shlex.split(said)[2:], run_id="s")[0] == 0
    report = tmp_path / "outputs/default/report/s"
    assert read_json(report / "summary.json")["counts"]["runs"] == 1
    assert caplog.messages[-1] == f"next: python3 -m webbrowser {(report / 'report.html').as_uri()}"


def test_steps_of_a_pipeline_and_jobs_of_a_sweep_propose_nothing(wsvs, judging, monkeypatch, caplog):
    caplog.set_level("INFO", "wsvs")
    assert wsvs("-m", *judging, "seed=0,1", run_id="m")[0] == 0
    monkeypatch.setattr(status, "_part", [])
    status.begin_part()
    assert wsvs(*judging, run_id="p")[0] == 0
    wrote = [message for message in caplog.messages if message.startswith("wrote ")]
    assert len(wrote) == 4 and sum(message.endswith("sweep.csv") for message in wrote) == 1
    assert not any(message.startswith("next: ") for message in caplog.messages)
