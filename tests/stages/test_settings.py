"""Settings are held against their types before anything runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from PIL import Image

from wsvs.config.base import REQUIRED
from wsvs.config.check import check, fields_below
from wsvs.config.describe import values_of
from wsvs.config.root import Settings
from wsvs.config.store import NODES
from wsvs.core.errors import UserError
from wsvs.engine.names import PIPELINE


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        ("predict.tags=tiger", "predict.tags=[tiger]"),
        ("export.names=cat", "export.names=[cat]"),
        ("evaluate.names=cat", "evaluate.names=[cat]"),
        ("evaluate.classes=cat", "evaluate.classes=[cat]"),
        ("reproduce.seeds=0", "reproduce.seeds=[0]"),
        ("data.classes=cat", "data.classes=[cat]"),
        ("evaluate.thresholds=0.5", "evaluate.thresholds=[0.5]"),
        ("plugins=mine", "plugins=[mine]"),
    ],
)
def test_a_list_must_be_one_in_every_stage(composed, word, shown):
    with pytest.raises(UserError, match="must be a list") as caught:
        check(composed("stage=pipeline", "data.root=x", word))
    assert caught.value.remedy == f"write {shown}"
    check(composed("stage=pipeline", "data.root=x", shown))


@pytest.mark.parametrize("stage", ["predict", "encoder", "pipeline"])
@pytest.mark.parametrize("precision", ["bf16-true", "16-true", "transformer-engine", "fp8", "16", "null"])
def test_a_precision_that_is_not_ours_is_refused(composed, stage, precision):
    with pytest.raises(UserError, match="32-true, 16-mixed, bf16-mixed or 64-true, got"):
        check(composed(f"stage={stage}", "data.root=x", f"trainer.precision={precision}"))


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed", "64-true"])
def test_the_precisions_of_each_stage(composed, precision):
    for stage in ("data", *PIPELINE, "submit"):
        cfg = composed(f"stage={stage}", "data.root=x", f"trainer.precision={precision}")
        if (stage, precision) == ("segment", "64-true"):
            with pytest.raises(UserError, match="segment does not support 64-true"):
                check(cfg)
        else:
            check(cfg)
    with pytest.raises(UserError, match="segment does not support 64-true"):
        check(composed("stage=pipeline", "data.root=x", "trainer.precision=64-true"))


GROUPS = ((), ("retrieve=youtube",), ("retrieve=urls",), ("data=voc12",), ("data=synthetic",), ("logger=wandb",))


def test_every_shipped_value_is_valid(composed):
    for words in GROUPS:
        check(composed("stage=predict", *words), words)


@pytest.mark.parametrize("section", [Settings, *NODES.values()], ids=lambda section: section.__name__)
def test_every_setting_says_what_it_is(section):
    """A default that its own type takes, one line of help, and values in words."""
    for key, owner, name in fields_below(section):
        field = owner.model_fields[name]
        assert field.description and "\n" not in field.description, key
        assert values_of(field) not in ("", "anything", "a section"), key
    if section is not Settings:
        given = {key: None if value == REQUIRED else value for key, value in section.defaults().items()}
        required = {key for key, value in given.items() if value is None}
        section.model_validate_json(json.dumps({key: given[key] for key in given if key not in required}))


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("segment.clip_a=0.7", "segment.clip_a must be a number in [0, 0.5), got 0.7"),
        ("decoder.steps=1e4", "decoder.steps must be a whole number >= 1, got 10000.0"),
        ("encoder.ema=1.0", "encoder.ema must be a number in [0, 1), or null, got 1.0"),
        ("adapt.background=otto", "adapt.background must be a number in [0, 1] or otsu, got 'otto'"),
        ("adapt.scale=[2,1]", "adapt.scale must be two numbers > 0, the lower one first, got [2, 1]"),
        ("seed=1.5", "seed must be a whole number, got 1.5"),
        ("retrieve.foreign=x", "retrieve.foreign must be skip or assign, got 'x'"),
        ("decoder.coverage=[0,1]", "decoder.coverage must be two numbers in (0, 1], the lower one first, got [0, 1]"),
        ("decoder.min_area=0.9", "decoder: min_area must be below max_area, got 0.9 and 0.9"),
        ("model.scales=[]", "model.scales must be a list of numbers > 0, got []"),
        ("segment.bg_threshold=0.6", "segment: thresholds must satisfy bg_threshold <= fg_threshold"),
        ("+segment.flou=dis_fast", "there is no setting segment.flou"),
    ],
)
def test_a_refusal_names_key_value_range_and_source(composed, word, said):
    with pytest.raises(UserError) as caught:
        check(composed("stage=pipeline", "data.root=x", word), [word])
    assert caught.value.problem.startswith(said)
    assert caught.value.where == f"the command line: {word}"


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("data.world.frames=[4,20]", "data.world.frames must be two whole numbers >= 16, the lower one first"),
        ("data.world.video_size=[127,96]", "data.world.video_size must be two whole numbers >= 32 (a multiple of 2)"),
        ("data.world.classes=[tiger,yeti]", "data.world.classes must be a list of tiger, panda, parrot or zebra"),
        ("data.world.two_objects=0.95", "data.world: two_objects + empty_images must be at most 1"),
        ("data.world.framse=[20,30]", "there is no setting data.world.framse"),
        ("+data.world.noise=-1", "data.world.noise must be a number >= 0, got -1"),
    ],
)
def test_settings_of_the_synthetic_world(composed, word, said):
    """Given or not in conf/data/synthetic.yaml; what is not given is in no fingerprint."""
    with pytest.raises(UserError) as caught:
        check(composed("stage=pipeline", "data=synthetic", word), ["data=synthetic", word])
    assert caught.value.problem.startswith(said)
    assert caught.value.where == f"the command line: {word}"
    assert "framse" not in word or "data.world.frames" in caught.value.remedy
    assert "noise" not in composed("stage=pipeline", "data=synthetic").data.world


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("pipeline.steps=[{label: x}]", "pipeline.steps.0.stage must be one text, got None"),
        ("pipeline.steps=[{stage: x, set: y}]", "pipeline.steps.0.set must be a list of texts, got 'y'"),
        ("pipeline.steps=[{stage: x, sets: []}]", "there is no setting pipeline.steps.0.sets"),
        ("pipeline.steps=encoder", "pipeline.steps must be a list of mappings, or null, got 'encoder'"),
        ("+pipeline.checks.miou={step: a, metric: b, low: c}", "pipeline.checks.miou.low must be a number, or null"),
    ],
)
def test_steps_and_checks_are_typed(composed, word, said):
    with pytest.raises(UserError) as caught:
        check(composed("stage=pipeline", "data.root=x", word), [word])
    assert caught.value.problem.startswith(said)
    assert caught.value.where == f"the command line: {word}"
    assert "sets" not in word or caught.value.remedy == "did you mean pipeline.steps.0.set?"


def test_a_refusal_names_the_file_of_a_value(composed, tmp_path):
    cfg = composed("stage=pipeline", "data=synthetic", "experiment=small")
    cfg.segment.clip_a, cfg.adapt.lr = 0.7, 1e-4
    with pytest.raises(UserError) as caught:
        check(cfg, ["data=synthetic", "experiment=small"])
    assert caught.value.where.endswith("conf/data/synthetic.yaml")


@pytest.mark.parametrize(
    "word",
    [
        "export.reverse=no",
        "predict.flip=maybe",
        "resume=no",
        "segment.overlay=no",
        "adapt.flip=1",
        "model.batch_norm=null",
    ],
)
def test_true_or_false_must_be_one(composed, word):
    key = word.partition("=")[0]
    with pytest.raises(UserError, match=f"{key} must be true or false, got") as caught:
        check(composed("stage=predict", "data.root=x", word))
    assert caught.value.remedy == f"write {key}=true or {key}=false"


def test_settings_that_take_more_than_true_or_false(composed):
    check(
        composed(
            "stage=predict",
            "data.root=x",
            "trainer.deterministic=warn",
            "trainer.enable_model_summary=null",
            "predict.flip=true",
            "resume=false",
        )
    )


def test_paths_and_names_of_digits_are_texts(composed):
    words = (
        "name=2024",
        "data.root=1",
        "data.classes=[1,2]",
        "labels=123",
        "export.out=1.5",
        "input=${data.root}",
        "predict.tags=[1,cat]",
    )
    cfg = composed("stage=predict", *words)
    check(cfg, words)
    assert (cfg.name, cfg.data.root, cfg.input, cfg.labels, cfg.export.out) == ("2024", "1", "1", "123", "1.5")
    assert (cfg.data.classes, cfg.predict.tags) == (["1", "2"], ["1", "cat"])
    for name in ("7", "cat"):  # one alone, as each job of a sweep over classes has it
        cfg = composed("stage=retrieve", "data.root=x", f"retrieve.classes={name}")
        check(cfg, [f"retrieve.classes={name}"])
        assert cfg.retrieve.classes == name


def test_ordinary_words_stay_as_they_are(composed):
    """And with them the fingerprint of a run; a missing root is not an error of a stage without images."""
    for words in (*GROUPS, ("experiment=table1_youtube",), ("input=${data.root}",)):
        cfg = composed("stage=retrieve", "name=a", "+new=1", *words)
        before = OmegaConf.to_container(cfg, resolve=False)
        check(cfg, words)
        assert OmegaConf.to_container(cfg, resolve=False) == before


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("input=[a,b]", r"input must be one text, or null, got \['a', 'b'\]"),
        ("out={a:1}", "out must be one text, got"),
        ("name=true", "name must be one text, got True"),
        ("input=2024_10", "would be read as the number 202410"),
        ("name=1.10", "name=1.10 would be read as the number 1.1"),
        ("data.classes=[1, 2_0]", "would be read as the number 20"),
        ("data.classes=[cat,true]", "each of data.classes must be one text, got"),
        ("predict.tags=[[a]]", "each of predict.tags must be one text"),
    ],
)
def test_what_is_no_path_and_no_name(composed, word, said):
    with pytest.raises(UserError, match=said) as caught:
        check(composed("stage=predict", "data.root=x", word), [word])
    recipe = str(caught.value.remedy).rpartition(": ")[2].strip("'")
    check(composed("stage=predict", "data.root=x", recipe), [recipe])


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("predict.zooms=[a]", "predict.zooms must be a list of numbers > 0, got"),
        ("model.scales=[null]", "model.scales must be a list of numbers > 0"),
        ("evaluate.thresholds=[x]", r"evaluate.thresholds must be a list of numbers in \[0, 1\]"),
        ("adapt.scale=[a,b]", "adapt.scale must be two numbers"),
    ],
)
def test_lists_of_numbers(composed, word, said):
    with pytest.raises(UserError, match=said):
        check(composed("stage=adapt", "data.root=x", word))


def test_folders_classes_and_names_of_digits(wsvs):
    for name in ("1/a", "1/b", "2/a", "2/b"):
        path = Path("2024", f"{name}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 30), "red").save(path)
    words = ("name=2024", "data.root=2024", "trainer=cpu", "model=vgg_small", "model.image_size=32")
    status, _, err = wsvs("stage=encoder", *words, "data.classes=[1,2]", "encoder.workers=0", "encoder.epochs=1")
    assert (status, err) == (0, "")
    predicting = ("predict.model=encoder", "predict.method=attention", "predict.tags=[1]", "predict.workers=0")
    status, _, err = wsvs("stage=predict", *words, "input=2024", *predicting)
    assert (status, err) == (0, "")
    assert len(list(Path("outputs/2024/predict").glob("*/[12]/*.png"))) == 4


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("name=[a]", "name must be one text, got ['a']\n"),
        ("input=[a,b]", "input must be one text, or null, got"),
        ("resume=no", "resume must be true or false, got 'no'\n"),
        ("name=1_0", "name=1_0 would be read as"),
    ],
)
def test_the_command_line_says_what_is_no_text_and_no_flag(wsvs, word, said):
    status, _, err = wsvs("stage=predict", "data.root=x", word)
    assert status == 2 and err.startswith(f"error: {said}") and "Traceback" not in err and "  next:  " in err
