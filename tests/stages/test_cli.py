"""The command line: what it says of mistakes, and with which exit status."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from PIL import Image

from wsvs.cli import usage
from wsvs.core.errors import BadItem, UserError
from wsvs.core.files import read_json
from wsvs.core.runs import write_summary
from wsvs.engine.command import options_first
from wsvs.engine.explain import build, explain_config_error, user_errors
from wsvs.engine.names import stage_names

SMALL = (
    "data.root=images",
    "trainer=cpu",
    "model=vgg_small",
    "model.image_size=32",
    "model.scales=[1.0]",
    "model.hidden=4",
    "encoder.workers=0",
    "encoder.batch_size=2",
    "encoder.epochs=1",
)


@pytest.fixture
def images(tmp_path):
    """Three cats and three dogs in folders; the run's working directory is their parent."""
    for kind, colour in (("cat", (200, 0, 0)), ("dog", (0, 0, 200))):
        for number in range(3):
            path = tmp_path / "images" / kind / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (40, 30), colour).save(path)
    return tmp_path / "images"


def one_message(err: str) -> str:
    """The only message on the standard error: a problem, where it is, and what to do."""
    assert err.startswith("error: ") and err.count("error: ") == 1, err
    assert "Traceback" not in err and "  next:  " in err, err
    return err


def test_without_a_stage_the_stages_are_listed(wsvs):
    for arguments in ((), ("encoder",), ("name=x",), ("--cfg", "job")):
        status, out, err = wsvs(*arguments)
        assert status == 2 and out == "" and err == usage() + "\n"
    lines = usage().splitlines()
    assert [line.split()[0] for line in lines if line.startswith("  ")] == list(stage_names())
    assert all(len(line.split()) > 3 for line in lines if line.startswith("  "))  # each says what it does


def test_version_and_help_need_no_stage(wsvs):
    assert wsvs("--version")[0] == 0
    assert wsvs("--help") == wsvs("-h") == (0, usage() + "\n", "")


@pytest.mark.parametrize("words", [["--help"], ["stage=data", "--help"]])
def test_help_ends_quietly_at_a_closed_pipe(words):
    process = subprocess.Popen(
        [sys.executable, "-m", "wsvs", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()  # before it writes: it has not been imported yet
    with process.stderr:
        assert process.stderr.read() == ""
    assert process.wait() == 0


@pytest.mark.parametrize(
    "words",
    [
        ("stage=encoder", "data.root=x", "encoder.lr=0.5", "--cfg", "job"),
        ("--cfg", "job", "stage=encoder", "data.root=x", "encoder.lr=0.5"),
        ("stage=encoder", "--cfg", "job", "data.root=x", "encoder.lr=0.5"),
        ("stage=encoder", "-c", "job", "data.root=x", "encoder.lr=0.5"),
        ("stage=encoder", "data.root=x", "--cfg=job", "encoder.lr=0.5"),
    ],
)
def test_cfg_job_only_shows_the_settings_wherever_it_stands(wsvs, words):
    status, out, err = wsvs(*words)
    assert status == 0 and err == ""
    assert "stage: encoder\n" in out and "lr: 0.5\n" in out and "root: x\n" in out
    assert not Path("outputs").exists()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["a=1", "--cfg", "job", "b=2"], ["--cfg", "job", "a=1", "b=2"]),
        (["-m", "a=1,2"], ["-m", "a=1,2"]),
        (["~x", "--cfg=job", "+y=1", "++z=--q"], ["--cfg=job", "~x", "+y=1", "++z=--q"]),
        (["a='x y'", "word"], ["word", "a='x y'"]),
        ([], []),
    ],
)
def test_options_first(words, expected):
    assert options_first(words) == expected


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("stage=encode",), ["stage/encode", "encoder", "pipeline"]),
        (("stage=encoder", "model=vgg17"), ["model/vgg17", "vgg16"]),
        (("stage=encoder", "experiment=nope"), ["experiment/nope", "base"]),
        (("stage=encoder", "encoder.epoch=3"), ["no setting encoder.epoch\n", "did you mean encoder.epochs?"]),
        (("stage=encoder", "encodr.epochs=3"), ["no setting encodr.epochs\n", "did you mean encoder.epochs?"]),
        (("stage=encoder", "model.hiden=3"), ["did you mean model.hidden?"]),
        (("stage=encoder", "trainer.device=3"), ["did you mean trainer.devices?"]),
        (("stage=pipeline", "pipeline.checks={a: {step: evaluate}}"), ["add them: +pipeline.checks={...}"]),
        (("stage=encoder", "xyzzy=3"), ["no setting xyzzy\n", "--cfg job shows every key"]),
        (("stage=encoder", "seed"), ["'seed'"]),
        (("stage=encoder", "encoder.scale=[1,"), ["[1,"]),
    ],
)
def test_what_does_not_exist(wsvs, words, said):
    status, out, err = wsvs(*words, "data.root=x")
    assert status == 2 and out == ""
    assert all(word in one_message(err) for word in said)
    assert not Path("outputs").exists()


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("model.hidden=-1", "model.hidden must be a whole number >= 0, got -1"),
        ("model.backbone=vgg17", "there is no backbone 'vgg17'\n  where: model.backbone=vgg17"),
        ("model.image_size=8", "model.image_size must be a whole number >= 16, got 8"),
        ("model.scales=[]", "model.scales must be a list of numbers > 0, got []"),
        ("model.weights=nowhere.pth", "weights not found"),
        ("encoder.lr=-1", "encoder.lr must be a number >= 0, got -1"),
        ("encoder.lr_backbone=nan", "encoder.lr_backbone must be a number >= 0, got nan"),
        ("encoder.lr=inf", "encoder.lr must be a number >= 0, got inf"),
        ("encoder.lr=fast", "encoder.lr must be a number >= 0, got 'fast'"),
        ("encoder.epochs=1.5", "encoder.epochs must be a whole number >= 1, got 1.5"),
        ("encoder.batch_size=0", "encoder.batch_size must be a whole number >= 1, got 0"),
        ("encoder.scale=1", "encoder.scale must be two numbers > 0, the lower one first, got 1"),
        ("encoder.scale=[1]", "encoder.scale must be two numbers > 0, the lower one first, got [1]"),
        ("encoder.scale=[2,1]", "encoder.scale must be two numbers > 0, the lower one first, got [2, 1]"),
        ("encoder.schedule=linear", "schedule must be constant, cosine or poly, got 'linear'"),
        ("seed=often", "seed must be a whole number, got 'often'"),
        ("data.unknown_tags=keep", "data.unknown_tags must be error or drop, got 'keep'"),
        ("data.classes=[cat,dogs]", "did you mean 'dogs'?"),
        ("data.labels=nowhere.tsv", "table of tags not found"),
        ("encoder.warmup=abc", "encoder.warmup must be a whole number >= 0, got 'abc'"),
        ("encoder.warmup=null", "encoder.warmup must be a whole number >= 0, got None"),
        ("encoder.ema=abc", "encoder.ema must be a number in [0, 1), or null, got 'abc'"),
        ("trainer.accelerator=abacus", "abacus"),
        ("trainer.accumulate_grad_batches=0", "trainer.accumulate_grad_batches must be a whole number >= 1, got 0"),
        ("trainer.accumulate_grad_batches=x", "trainer.accumulate_grad_batches must be a whole number >= 1, got 'x'"),
        ("trainer.max_steps=1.5", "trainer.max_steps must be a whole number >= -1, or null, got 1.5"),
        ("trainer.limit_train_batches=x", "trainer.limit_train_batches must be a number >= 0, or null, got 'x'"),
        ("trainer.devices=0", "trainer.devices must be a whole number >= 1 or auto"),
        ("trainer.devices=[]", "a list of whole numbers >= 0, got []"),
        ("trainer.devices=two", "got 'two'"),
        ("callbacks.progress.every=0", "callbacks.progress.every must be positive, got 0"),
    ],
)
def test_bad_values_are_refused_with_one_message(wsvs, images, word, said):
    status, _, err = wsvs("stage=encoder", *SMALL, word)
    assert status == 2 and said in one_message(err) and "Error in call" not in err
    assert not list(Path("outputs").rglob("summary.json"))


def test_missing_root(wsvs):
    status, _, err = wsvs("stage=encoder")
    assert status == 2 and "data.root" in one_message(err)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("stage=relevance",), ["no finished run of stage encoder", "wsvs stage=encoder name=default"]),
        (("stage=segment", "inputs.encoder=nowhere"), ["there is no such run of stage encoder", "inputs.encoder="]),
        (("stage=segment", "inputs.encoder=images"), ["not a finished run of stage encoder", "no summary.json"]),
        (
            ("stage=evaluate", "predictions=images", "truth=images", "evaluate.split=images/cat/0.png"),
            ["not UTF-8 text", "where: images/cat/0.png"],
        ),
        (("stage=predict", "input=images"), ["no finished run of stage decoder"]),
        (("stage=predict", "predict.model=segment"), ["predict.model must be auto, encoder, decoder or adapt, got"]),
        (("stage=predict", "predict.checkpoint=nowhere.ckpt"), ["checkpoint not found", "nowhere.ckpt"]),
        (("stage=predict", "input=s3://b/images"), ["input=s3://b/images", "of this machine", "give input=DIR"]),
        (("stage=segment", "videos=gs://b/a.mp4"), ["videos=gs://b/a.mp4", "of this machine", "give videos=DIR"]),
        (("stage=predict", "predict.checkpoint=s3://b/x.ckpt"), ["checkpoint not found", "predict.checkpoint=FILE"]),
        (("stage=retrieve",), ["no folder of videos", "retrieve.root"]),
        (("stage=evaluate",), ["nothing to score", "predictions=DIR"]),
        (("stage=evaluate", "predictions=images"), ["no true masks", "truth=DIR"]),
        (("stage=evaluate", "predictions=images", "truth=images", "evaluate.kind=sound"), ["evaluate.kind", "'sound'"]),
    ],
)
def test_missing_inputs(wsvs, images, words, said):
    status, _, err = wsvs(*words, "data.root=images")
    assert status == 2 and all(word in one_message(err) for word in said)


@pytest.mark.parametrize("word", ["plugins=[nope]", "plugins=nope", "+plugins=['nope']", "plugins=[nope"])
@pytest.mark.parametrize("more", [(), ("--help",)], ids=["run", "help"])
def test_a_plugin_that_is_not_there_is_reported(wsvs, word, more):
    status, _, err = wsvs("stage=encoder", "data.root=x", word, *more)
    assert status == 2 and ("there is no module 'nope'" in one_message(err) or "cannot read 'plugins=[nope'" in err)


def test_a_stage_runs_through(wsvs, images):
    status, out, err = wsvs("stage=encoder", *SMALL, run_id="good")
    assert status == 0 and "error" not in err
    summary = read_json("outputs/default/encoder/good/summary.json")
    assert summary["counts"] == {"classes": 2, "train images": 5, "val images": 1, "skipped items": 0}
    assert summary["overrides"] == ["stage=encoder", *SMALL] and 0 <= summary["results"]["val/map"] <= 1
    assert Path("outputs/default/encoder/good/checkpoints/best.ckpt").is_file() and "val/map" in out


def test_skipped_items_give_exit_status_3_and_are_listed(wsvs, images):
    for torn in images.glob("cat/*.png"):
        torn.write_bytes(b"")
    status, _, _ = wsvs("stage=encoder", *SMALL, "encoder.epochs=4", run_id="torn")
    assert status == 3
    summary = read_json("outputs/default/encoder/torn/summary.json")
    assert 1 <= summary["counts"]["skipped items"] <= 3
    skipped = read_json("outputs/default/encoder/torn/skipped.json")
    assert all(item["item"].startswith("cat/") and item["item"] in item["reason"] for item in skipped)


def test_same_command_and_seed_give_the_same_weights(wsvs, images):
    import torch

    found = []
    for run_id in ("a", "b"):
        assert wsvs("stage=encoder", *SMALL, run_id=run_id)[0] == 0
        found.append(torch.load(f"outputs/default/encoder/{run_id}/checkpoints/last.ckpt", weights_only=True))
    assert all(torch.equal(found[0]["state_dict"][key], value) for key, value in found[1]["state_dict"].items())


def test_callback_newest_keeps_the_last_of_equal_checkpoints(wsvs, images):
    """The best of two that are equally good is the first."""
    import torch

    def kept(run_id: str) -> int:
        return torch.load(f"outputs/default/encoder/{run_id}/checkpoints/best.ckpt", weights_only=True)["epoch"]

    words = ["stage=encoder", *SMALL[:-1], "encoder.epochs=3", "encoder.lr=0", "encoder.lr_backbone=0"]
    assert wsvs(*words, run_id="best")[0] == 0 and wsvs(*words, "callbacks=newest", run_id="newest")[0] == 0
    assert (kept("best"), kept("newest")) == (0, 2)
    figures = [
        read_json(f"outputs/default/encoder/{name}/summary.json")["results"]["val/map"] for name in ("best", "newest")
    ]
    assert figures[0] == figures[1]


def test_masks_of_a_class_that_the_encoder_does_not_know(wsvs, images):
    """A run of another encoder under the same name."""
    assert wsvs("stage=encoder", *SMALL)[0] == 0
    segmented = Path("outputs/default/segment/s")
    (segmented / "frames").mkdir(parents=True)
    shot = {"shot": "fox/a", "video": "a", "class": "fox", "start": 0, "stop": 2, "areas": [0.2, 0.2]}
    (segmented / "shots.jsonl").write_text(json.dumps(shot) + "\n")
    write_summary(segmented, stage="segment", started=0.0, overrides=[], inputs={}, counts={}, results={})
    status, _, err = wsvs("stage=decoder", "trainer=cpu", "model=vgg_small", "model.image_size=32")
    assert (
        status == 2
        and "classes that the encoder does not know: fox" in one_message(err)
        and "inputs.segment=DIR" in err
    )


KIN = [json.JSONDecodeError("x", "y", 0), UnicodeDecodeError("utf-8", b"x", 0, 1, "y"), np.linalg.LinAlgError("x")]


def raised(error: Exception, cause: Exception | None = None) -> Exception:
    try:
        raise error from cause
    except Exception as caught:
        return caught


def test_explain_config_error():
    bad = BadItem("torn", where="file", remedy="replace it")
    assert explain_config_error(raised(HydraException("Error in call"), bad)) is bad
    told = explain_config_error(raised(HydraException(" could not override \n")))
    assert told.problem == "could not override" and told.where and "--cfg job" in str(told.remedy)


def refuses(error: Exception) -> None:
    """The constructor of `test_values_that_a_constructor_refuses`."""
    raise error


def test_values_that_a_constructor_refuses():
    """By the type of the error, whatever the line that raised it."""
    target = {"_target_": f"{refuses.__module__}.refuses"}
    for error in (ValueError("a must be b, got c"), TypeError("a must be b, got c")):
        with pytest.raises(UserError) as caught:
            build(target, error=error)
        told = caught.value
        assert told.problem == "a must be b, got c" and told.where and "--cfg job" in str(told.remedy)
    bad = BadItem("torn", where="file", remedy="replace it")
    with pytest.raises(BadItem) as kept:
        build(target, error=bad)
    assert kept.value is bad
    with pytest.raises(UserError, match=r"where: model\.backbone=x"):
        build(target, error=UserError("odd", where="x", kind="backbone"))
    with pytest.raises(UserError, match="no_such_module"):
        build({"_target_": "no_such_module.Thing"})
    for error in KIN:
        with pytest.raises(type(error)):  # a bug, with its own traceback
            build(target, error=error)


def test_only_user_errors_are_translated():
    """A ValueError that nothing translated where it was raised is a bug, also if our code raised it."""
    for error in (*KIN, ValueError("a must be b"), TypeError("x")):
        with pytest.raises(type(error)) as caught, user_errors():
            raise error
        assert caught.value is error
    with pytest.raises(UserError, match=r"where: model\.guidance=switches"), user_errors():
        raise UserError("no switches", where="switches", kind="guidance")
    with pytest.raises(UserError, match="could not override"), user_errors():
        raise HydraException("could not override")


@pytest.mark.parametrize(
    "value", ["my cat (1), b=2.jpg", "photo (1).jpg", "a=b.png", "ü é.jpg", "it's [odd", "{x", "$HOME (1)"]
)
def test_file_name_outside_the_grammar_gets_a_recipe(value):
    parser = OverridesParser.create()
    with pytest.raises(HydraException) as caught:
        parser.parse_overrides([f"input={value}"])
    told = explain_config_error(caught.value)
    assert told.where == "the command line" and "hydra.cc" not in told.message
    recipe = str(told.remedy).removeprefix("if the value is one text, write ").rpartition(" ; a list is input=")[0]
    [word] = shlex.split(recipe)
    assert parser.parse_override(word).value() == value  # to be pasted as it stands


def test_the_second_word_of_a_name_with_a_space_is_reported(wsvs):
    status, _, err = wsvs("stage=predict", "input=photo", "one.jpg")
    assert status == 2 and "cannot read 'one.jpg'" in one_message(err)
    assert "'input=\"my cat (1).jpg\"'" in err


@pytest.mark.parametrize("error", [IndexError, np.linalg.LinAlgError])
def test_unexpected_errors_keep_their_trace(wsvs, images, monkeypatch, error):
    """A mistake of ours must not look like one of the user's."""
    import wsvs.__main__
    import wsvs.engine.data

    def broken(*_):
        raise error("broken")

    monkeypatch.setattr(wsvs.engine.data, "build_data", broken)
    monkeypatch.setattr(sys, "argv", ["wsvs", "stage=encoder", *SMALL])
    with pytest.raises(error):
        wsvs.__main__.main()


def test_a_damaged_checkpoint_says_what_to_remove(wsvs, images):
    assert wsvs("stage=encoder", *SMALL, run_id="a")[0] == 0
    last = Path("outputs/default/encoder/a/checkpoints/last.ckpt")
    last.write_bytes(last.read_bytes()[:5000])
    status, _, err = wsvs("stage=encoder", *SMALL, run_id="a")
    assert status == 2 and "checkpoint cannot be read" in one_message(err) and f"where: {last.absolute()}" in err
    assert "remove the file: the same command then trains from scratch" in err
    last.unlink()
    assert wsvs("stage=encoder", *SMALL, run_id="a")[0] == 0


def test_no_process_of_a_test_sends_to_wandb(cli):
    show = "import os; print(os.environ['WANDB_MODE'])"
    assert os.environ["WANDB_MODE"] == cli.run(launcher=(sys.executable, "-c", show)).strip() == "offline"


def test_as_a_command(tmp_path):
    """One real process: the message on the standard error, exit status 2, no stack trace."""
    done = subprocess.run(
        [sys.executable, "-m", "wsvs", "stage=encoder", "data.root=nowhere", "model.hidden=8"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2 and one_message(done.stderr).startswith("error: folder of images not found")
    assert done.stdout == ""
