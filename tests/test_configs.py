"""Every shipped configuration composes, fits the code that reads it, and holds no option that does nothing."""

from __future__ import annotations

import inspect
import os
import re
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf

from wsvs.config.check import check
from wsvs.config.files import config_dir
from wsvs.config.root import Settings
from wsvs.config.stages import Energy
from wsvs.core.errors import UserError
from wsvs.engine.command import register_resolvers
from wsvs.engine.names import PIPELINE, stage_names
from wsvs.engine.registry import load_stage
from wsvs.nets.model import NetConfig
from wsvs.video.settings import SegmentSettings

CONF = Path(__file__).parents[1] / "conf"
GROUPS = sorted(path.name for path in CONF.iterdir() if path.is_dir() and path.name != "hydra")
OPTIONS = sorted((path.parent.name, path.stem) for path in CONF.glob("*/*.yaml"))
MAIN = OmegaConf.load(CONF / "config.yaml")
DEFAULTS = OmegaConf.create(Settings.defaults())
SECTIONS = (
    "encoder",
    "relevance",
    "decoder",
    "adapt",
    "predict",
    "evaluate",
    "pipeline",
    "submit",
    "merge",
    "reproduce",
    "report",
    "review",
    "export",
)
UNPLACED = ("experiment", "debug", "stage", "sweep")  # groups of settings for the whole, not of a section
BESIDE_THE_NET = {"weights", "sha256", "lr"}  # keys of a model file that are not NetConfig's


@pytest.fixture(autouse=True, scope="module")
def hydra():
    register_resolvers()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        yield


def composed(*overrides: str) -> DictConfig:
    before = dict(os.environ)
    try:
        return compose("config", list(overrides))
    finally:
        os.environ.clear()
        os.environ.update(before)


def given(group: str, option: str) -> list[str]:
    """Values for what a file, or one that it begins with, leaves to the user."""
    path = CONF / group / f"{option}.yaml"
    if not path.is_file():  # a node of defaults
        return []
    content = OmegaConf.load(path)
    place = "" if group in UNPLACED else f"{group}."
    own = [f"{place}{key}=x" for key in content if OmegaConf.is_missing(content, key)]
    bases = [base for base in content.get("defaults", []) if isinstance(base, str) and base != "_self_"]
    return own + [word for base in bases for word in given(group, base)]


def test_the_checkout_is_what_is_tested():
    assert config_dir() == CONF
    assert set(GROUPS) <= {*(next(iter(item)) for item in MAIN.defaults if not isinstance(item, str))}


@pytest.mark.parametrize("stage", stage_names())
def test_every_stage_composes_and_resolves(stage):
    cfg = composed(f"stage={stage}", "data.root=x")
    assert cfg.stage == stage and (load_stage(stage).keys or not load_stage(stage).writes)
    OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    for section in load_stage(stage).keys:
        assert OmegaConf.select(cfg, section, default="?") != "?"
    for group in GROUPS:
        if group not in UNPLACED:
            assert group in cfg


@pytest.mark.parametrize(("group", "option"), OPTIONS, ids=lambda value: value)
def test_every_option_composes_with_keys_its_target_takes(group, option):
    overrides = given(group, option)
    videos = (group, option) in (("data", "davis"), ("data", "youtube_objects"))  # they have no root of images
    if not any(word.startswith("data.root=") for word in overrides) and group != "experiment" and not videos:
        overrides.append("data.root=x")
    if group != "stage":
        overrides.append("stage=encoder")
    cfg = composed(f"{group}={option}", *overrides)
    whole = OmegaConf.to_container(cfg, resolve=True)
    found = list(targets(whole))
    assert {where for where, *_ in found} >= {"data", "trainer"}
    for where, target, keys in found:
        signature = inspect.signature(target)
        signature.bind_partial(**keys)
        if any(p.kind == p.VAR_KEYWORD for p in signature.parameters.values()):
            known = set(signature.parameters) | further_keys(target)
            assert set(keys) <= known, f"{where}: {set(keys) - known}"


@pytest.mark.parametrize(
    ("group", "option"),
    [one for one in OPTIONS if one[0] in ("experiment", "sweep", "data", "debug")],
    ids=lambda value: value,
)
def test_files_of_settings_make_what_they_name(group, option):
    """Data, trainer, callbacks, loggers, the energy's settings and the network's description; nothing is read yet."""
    cfg = composed(f"{group}={option}", *given(group, option), "stage=encoder", "trainer.accelerator=cpu")
    if OmegaConf.is_missing(cfg.data, "root"):
        cfg.data.root = "x"
    data = instantiate(cfg.data, _convert_="all")
    assert callable(data.prepare)
    trainer = {key: value for key, value in cfg.trainer.items() if value is not None}
    parts = [instantiate(one, _convert_="all") for one in cfg.callbacks.values() if one is not None]
    parts += [instantiate(one, _convert_="all") for one in cfg.logger.values()]
    assert len(parts) >= 3 and instantiate(trainer, logger=False, _convert_="all").accelerator is not None
    SegmentSettings(**{key: value for key, value in cfg.segment.items() if key in Energy.model_fields})
    model = OmegaConf.to_container(cfg.model)
    NetConfig(classes=("a",), **{key: value for key, value in model.items() if key not in BESIDE_THE_NET})


def targets(node, where=""):
    if isinstance(node, dict):
        if "_target_" in node:
            yield where, get_object(node["_target_"]), {k: v for k, v in node.items() if not k.startswith("_")}
        for key, value in node.items():
            yield from targets(value, f"{where}.{key}".strip("."))


def further_keys(target) -> set[str]:
    """Names that a target hands on: **kwargs would swallow any misspelt key."""
    if target.__name__ == "WandbLogger":
        wandb = pytest.importorskip("wandb")
        return set(inspect.signature(wandb.init).parameters)
    raise AssertionError(f"{target} takes any key: say here which it knows")


@pytest.mark.parametrize("option", [option for group, option in OPTIONS if group == "model"])
def test_model_keys_are_those_of_the_net(option):
    # those that come from the data, from the training, and from checkpoints of another time
    values = OmegaConf.to_container(composed("stage=encoder", f"model={option}").model)
    assert set(values) == set(NetConfig.model_fields) - {"classes", "class_thresholds", "deepest"} | BESIDE_THE_NET
    assert values["backbone"].partition("/")[0] == option  # an error message says model=<backbone>
    config = NetConfig(classes=("a",), **{key: value for key, value in values.items() if key not in BESIDE_THE_NET})
    try:
        encoder = config.build_encoder()  # every value is one that the constructors take
    except UserError as error:
        assert option == "timm"
        pytest.skip(f"an extra that is not there: {error}")
    config.build_decoder(encoder)


def test_every_section_belongs_to_a_stage():
    known = {
        "defaults",
        "name",
        "out",
        "seed",
        "resume",
        "objective",
        "plugins",
        "max_megapixels",
        "inputs",
        "dry_run",
        "input",
        "videos",
        "frame_rate",
        "labels",
        "predictions",
        "truth",
        "hydra",
    }
    assert set(MAIN) == {"defaults", "hydra"}
    groups = {"model", "data", "retrieve", "trainer", "logger"}
    assert set(DEFAULTS) == known - {"defaults", "hydra"} | set(SECTIONS) | {"segment", "debug"} | groups
    used = {section.partition(".")[0] for stage in stage_names() for section in load_stage(stage).keys}
    assert used <= set(DEFAULTS) | set(GROUPS)
    assert set(SECTIONS) | {"segment"} <= used  # else a change of them would not make a stage run again


def test_inputs_can_be_named_for_every_stage_that_is_read():
    """Stages whose runs others read, and no others."""
    read = {"adapt"}  # predict reads the last of encoder, decoder and adapt
    for stage in stage_names():
        words = ("evaluate.kind=video",) if stage == "evaluate" else ()
        read |= {*load_stage(stage).needed(check(composed(f"stage={stage}", "data.root=x", *words)))}
    assert set(DEFAULTS.inputs) == read
    assert list(DEFAULTS.inputs) == [stage for stage in PIPELINE if stage in read]


def test_numbers_are_numbers():
    """YAML reads 1e-3 as a string: it wants 1.0e-3."""
    texts = []
    for path in CONF.rglob("*.yaml"):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if re.search(r"[:\[,]\s*\d+e-?\d+\b", line.split("#")[0]):
                texts.append(f"{path.relative_to(CONF)}:{number}")
    assert texts == []


def test_no_file_says_whether_a_command_is_a_sweep():
    """The flag -m does; a command spares Hydra the search for hydra.mode (wsvs/engine/command.py)."""
    files = list(Path(config_dir()).rglob("*.yaml"))
    assert len(files) > 20 and not [path for path in files if re.search(r"mode: *(RUN|MULTIRUN)", path.read_text())]
