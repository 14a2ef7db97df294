"""logger=wandb, offline: what W&B wrote is read back. The whole pipeline is in tests/test_tracking.py."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from omegaconf import OmegaConf

from tests.wandb_file import Written, read
from wsvs.config.check import check
from wsvs.core.masks import write_mask
from wsvs.engine import wandb as engine_wandb
from wsvs.engine.artifacts import build, describe, masks_below
from wsvs.engine.registry import load_stage
from wsvs.engine.tracking import numbers, tracked
from wsvs.engine.wandb import Wandb

SWEEP = Path(__file__).parents[2] / "docs" / "wandb_sweep.yaml"
EVALUATE = (
    "stage=evaluate",
    "name=my n",
    "predictions=masks",
    "truth=truth",
    "evaluate.names=[background,cat,dog]",
    "logger=wandb",
    "logger.wandb.tags=[first,two words]",
)


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path):
    if "wandb" in sys.modules:
        sys.modules["wandb"].teardown()  # what the test before has left: the environment is read once for a process
    for key, value in {
        "WANDB_MODE": "offline",
        "WANDB_SILENT": "true",
        "WANDB_CACHE_DIR": str(tmp_path / "cache"),
        "WANDB_CONFIG_DIR": str(tmp_path / "config"),
    }.items():
        monkeypatch.setenv(key, value)
    for key in ("WANDB_DATA_DIR", "WANDB_RUN_ID", "WANDB_SWEEP_ID", "WANDB_API_KEY", "WANDB_SERVICE"):
        monkeypatch.setenv(key, "")
        monkeypatch.delenv(key)


@pytest.fixture
def masks(tmp_path):
    """Two images; a quarter of the first is wrong."""
    true = np.kron(np.array([[0, 1], [2, 2]], np.uint8), np.ones((4, 4), np.uint8))
    found = true.copy()
    found[:4, 4:] = 2
    for name in ("a", "b"):
        write_mask(tmp_path / "truth" / f"{name}.png", true)
        write_mask(tmp_path / "masks" / f"{name}.png", found if name == "a" else true)
    return tmp_path / "outputs" / "my n" / "evaluate"


def test_a_stage_without_a_trainer_is_a_run_too(wsvs, masks, composed):
    status, _, err = wsvs(*EVALUATE, run_id="one")
    assert status == 0, err
    folder = masks / "one"
    written = read(folder)
    run = written.run
    assert (run.project, run.run_group, run.job_type, run.display_name) == ("wsvs", "my n", "evaluate", "my n-evaluate")
    assert list(run.tags) == ["first", "two words"] and written.exit_code == 0
    assert json.loads((folder / "wandb.json").read_text())["id"] == run.run_id

    config = OmegaConf.to_container(composed(*EVALUATE), resolve=True)
    for name in ("csv", "checkpoint", "last"):  # hold the run's directory
        for section in ("logger", "callbacks"):
            config[section].pop(name, None), written.config[section].pop(name, None)
    assert written.config.pop("run_dir") == str(folder)
    assert written.config == config and "${" not in json.dumps(written.config)


def test_scores_of_an_evaluation(wsvs, masks):
    assert wsvs(*EVALUATE, run_id="one")[0] == 0
    written = read(masks / "one")
    iou = {"background": 1.0, "cat": 16 / 32, "dog": 64 / 80}
    summary = written.summary
    assert {name: summary[f"eval/iou/{name}"] for name in iou} == pytest.approx(iou)
    assert summary["eval/miou"] == pytest.approx(sum(iou.values()) / 3)
    assert summary["counts/images"] == 2 and summary["counts/split"] == "truth"
    assert not any(key.startswith("results/") for key in summary)

    [table] = written.logged("eval/per_class")
    stored = json.loads(written.file(table["path"]).read_text())
    with (masks / "one" / "per_class.csv").open() as stream:
        heading, *rows = csv.reader(stream)
    assert stored["columns"] == heading and [row[0] for row in stored["data"]] == [row[0] for row in rows]
    assert [row[heading.index("iou")] for row in stored["data"]] == pytest.approx(list(iou.values()))

    assert written.panels["eval/confusion"]["panel_config"]["panelDefId"] == "wandb/confusion_matrix/v1"
    [table] = written.logged("eval/confusion_table")
    counts = {tuple(row[:2]): row[2] for row in json.loads(written.file(table["path"]).read_text())["data"]}
    assert counts["cat", "cat"] == 16 and counts["cat", "dog"] == 16 and counts["dog", "cat"] == 0
    assert sum(counts.values()) == 2 * 64


@pytest.mark.slow
def test_each_job_has_one_wandb_run_even_when_resumed(wsvs, masks):
    for run_id in ("one", "one", "two"):
        assert wsvs(*EVALUATE, run_id=run_id)[0] == 0
    first, second = sorted((masks / "one" / "wandb").glob("offline-run-*/run-*.wandb"))
    ids = [Written(path).run.run_id for path in (first, second)]
    assert ids[0] == ids[1] != read(masks / "two").run.run_id
    assert Written(second).run.resume  # W&B may resume a run with this id


@pytest.mark.slow
def test_jobs_of_a_sweep_have_runs_of_their_own(wsvs, masks):
    status, _, err = wsvs("-m", *EVALUATE, "seed=0,1", run_id="s")
    assert status == 0, err
    jobs = [read(masks / "s" / number) for number in "01"]
    assert [job.config["seed"] for job in jobs] == [0, 1]
    assert len({job.run.run_id for job in jobs}) == 2


@pytest.mark.slow
def test_a_mistake_ends_the_run_as_failed(wsvs, masks):
    assert wsvs(*EVALUATE, "evaluate.classes=[zebra]", run_id="one")[0] == 2
    assert read(masks / "one").exit_code == 1
    assert wsvs(*EVALUATE, "evaluate.kind=image", run_id="two")[0] == 0  # and the next one is not touched by it
    assert read(masks / "two").exit_code == 0


def test_without_a_login_it_says_what_to_do_before_any_work(wsvs, masks, monkeypatch, tmp_path):
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")  # no server there
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    status, _, err = wsvs(*EVALUATE, run_id="one")
    assert status == 2 and "WANDB_MODE=offline" in err and "wandb login" in err
    assert not (masks / "one" / "metrics.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("place", "method"), [(engine_wandb.WandbTracker, "_tables"), ("wandb", "teardown")])
def test_what_cannot_be_logged_loses_nothing(wsvs, masks, monkeypatch, place, method):
    def broken(*_):
        raise RuntimeError("the server is on fire")

    import wandb

    with monkeypatch.context() as patched:
        patched.setattr(wandb if place == "wandb" else place, method, broken)
        status, *_ = wsvs(*EVALUATE, run_id="one")
    wandb.teardown()
    assert status == 0 and (masks / "one" / "summary.json").is_file()
    assert "not logged to W&B" in (masks / "one" / "wsvs.log").read_text()


@pytest.mark.parametrize(("variable", "value"), [("WANDB_MODE", "bogus"), ("WANDB_BASE_URL", "nowhere")])
def test_what_wandb_refuses_is_named_by_its_variable(wsvs, masks, monkeypatch, variable, value):
    monkeypatch.setenv(variable, value)
    status, _, err = wsvs(*EVALUATE, run_id="one")
    assert status == 2 and "Traceback" not in err and "pydantic" not in err
    assert f"got '{value}'" in err and f"where: {variable}\n" in err


@pytest.mark.parametrize(
    ("place", "alias"),
    [
        ("20260101-1", "run-20260101-1"),
        ("20260101-1/3", "run-20260101-1-3"),
        ("4711/0", "run-4711-0"),
        ("a b/0", "run-a-b-0"),
    ],
)
def test_the_alias_of_an_artifact_is_of_one_run_alone(make_run, place, alias):
    """In an array too, whose tasks are no jobs of a sweep of Hydra's."""
    run = make_run("stage=segment", "data.root=x", run_id=place)
    [made] = describe(run, ("masks",), models=True, masks="manifest")
    assert made["alias"] == alias


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("tags=word", "tags must be a list"),
        ("media=-1", "media must be"),
        ("masks=all", "masks must be none, manifest, references or files"),
    ],
)
def test_impossible_settings(wsvs, masks, override, said):
    status, _, err = wsvs(*EVALUATE, f"logger.wandb.{override}", run_id="one")
    assert status == 2 and said in err


@pytest.mark.parametrize("words", [("logger=wandb",), ()])
def test_other_ranks_and_other_loggers_never_import_wandb(make_run, monkeypatch, words):
    run = make_run("stage=evaluate", "data.root=x", *words)
    monkeypatch.setitem(sys.modules, "wandb", None)  # an import would raise
    if words:
        monkeypatch.setenv("RANK", "1")
    with tracked(run, load_stage("evaluate")):
        assert run.tracker is None


def test_numbers_of_nested_results():
    values = {"a": 1, "b": {"c": 0.5, "d": {"e": True}, "why": "words"}, "split": "val", "list": [1], "none": None}
    assert numbers(values, "x") == {"x/a": 1, "x/b/c": 0.5, "x/b/d/e": True, "x/split": "val"}
    assert Wandb("p", "g", "j", "n").masks == "manifest"


@pytest.mark.parametrize("kind", ["manifest", "references", "files"])
def test_what_a_set_of_masks_holds(tmp_path, kind):
    run = tmp_path / "a run, ä"
    for place in ("masks/s 1/000001.png", "masks/s 1/000002.png", "wandb/x.png", "overlay/a.png"):
        write_mask(run / place, np.eye(3, dtype=np.uint8))
    (run / "summary.json").write_text("{}")
    (run / "shots.jsonl").write_text("")
    artifact = {"name": "n-segment-masks", "type": "masks", "alias": "run-1", "masks": kind}
    entries = build(run, artifact).manifest.entries
    lists, pngs = {"summary.json", "shots.jsonl"}, {"masks/s 1/000001.png", "masks/s 1/000002.png"}
    assert set(entries) == (lists if kind == "manifest" else lists | pngs)
    assert {path.relative_to(run).as_posix() for path in masks_below(run)} == pngs
    for name, entry in entries.items():
        if kind == "references" and name in pngs:
            assert entry.ref == (run / name).as_uri() and entry.local_path is None
        else:
            assert entry.local_path == str(run / name)  # not a copy
    assert build(run, artifact).digest == build(run, artifact).digest  # W&B knows it again
    before = build(run, artifact).digest
    write_mask(run / "masks/s 1/000001.png", np.ones((3, 3), np.uint8))
    assert (build(run, artifact).digest == before) is (kind == "manifest")  # which only looks at the lists


# sweeps of W&B


def agent_words(**values) -> list[str]:
    """The command line that `wandb agent` would build for these values."""
    from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

    made = create_sweep_command_args({"args": {key: {"value": value} for key, value in values.items()}})
    made["env"] = ["/usr/bin/env"]
    words: list[str] = []
    for word in create_sweep_command(yaml.safe_load(SWEEP.read_text())["command"]):
        words += made[word[2:-1]] if word.startswith("${") else [word]
    return words


def test_the_shipped_sweep_is_a_command_of_ours(composed):
    sweep = yaml.safe_load(SWEEP.read_text())
    assert set(sweep["parameters"]) == {"decoder.lr", "decoder.crop"}
    for crop in sweep["parameters"]["decoder.crop"]["values"]:
        words = agent_words(**{"decoder.lr": 1.2345e-05, "decoder.crop": crop, "decoder.size": "null"})
        assert words[:2] == ["/usr/bin/env", "wsvs"]
        cfg = composed(*words[2:], "data.root=x")
        check(cfg)
        assert (cfg.stage, cfg.decoder.lr, cfg.decoder.crop, cfg.decoder.size) == ("decoder", 1.2345e-05, crop, None)
        assert cfg.logger.wandb.project == sweep["project"]


@pytest.mark.slow
def test_a_job_of_an_agent_takes_the_agents_run(wsvs, masks, monkeypatch, tmp_path):
    """As the agent starts it: the sweep and the run by their ids, the parameters in a file."""
    (tmp_path / "parameters.yaml").write_text("seed:\n  value: 1\nwandb_version: 1\n")
    wsvs(*EVALUATE, "seed=1", run_id="one")  # a run directory that has another W&B run already
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep7")
    monkeypatch.setenv("WANDB_RUN_ID", "agent0run")
    monkeypatch.setenv("WANDB_SWEEP_PARAM_PATH", str(tmp_path / "parameters.yaml"))
    status, _, err = wsvs(*EVALUATE, "seed=1", run_id="one")
    assert status == 0, err
    [path] = (masks / "one" / "wandb").glob("offline-run-*-agent0run/run-*.wandb")
    written = Written(path)
    assert (written.run.run_id, written.run.sweep_id) == ("agent0run", "sweep7")
    assert written.config["seed"] == 1 and written.config["name"] == "my n"
