"""Settings are held against their types before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf
from PIL import Image

from wsvs.core.errors import UserError
from wsvs.stages import STEPS
from wsvs.stages._checks import FLAGS, LISTS, NAMES, NUMBER_LISTS, TEXTS, check_types


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        ("predict.tags=tiger", "predict.tags=[tiger]"), ("export.names=cat", "export.names=[cat]"),
        ("evaluate.names=cat", "evaluate.names=[cat]"), ("evaluate.classes=cat", "evaluate.classes=[cat]"),
        ("reproduce.seeds=0", "reproduce.seeds=[0]"), ("data.classes=cat", "data.classes=[cat]"),
        ("evaluate.thresholds=0.5", "evaluate.thresholds=[0.5]"), ("plugins=mine", "plugins=[mine]"),
    ],
)
def test_a_list_must_be_one_in_every_stage(composed, word, shown):
    with pytest.raises(UserError, match="must be a list") as caught:
        check_types(composed("stage=pipeline", "data.root=x", word))
    assert caught.value.remedy == f"write {shown}"
    check_types(composed("stage=pipeline", "data.root=x", shown))


@pytest.mark.parametrize("stage", ["predict", "encoder", "pipeline"])
@pytest.mark.parametrize("precision", ["bf16-true", "16-true", "transformer-engine", "fp8", "16", "null"])
def test_a_precision_that_is_not_ours_is_refused(composed, stage, precision):
    with pytest.raises(UserError, match="32-true, bf16-mixed, 16-mixed or 64-true, got") as caught:
        check_types(composed(f"stage={stage}", "data.root=x", f"trainer.precision={precision}"))
    assert "bf16-mixed" in caught.value.remedy


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed", "64-true"])
def test_the_precisions_of_each_stage(composed, precision):
    for stage in STEPS:
        cfg = composed(f"stage={stage}", "data.root=x", f"trainer.precision={precision}")
        if (stage, precision) == ("segment", "64-true"):
            with pytest.raises(UserError, match="segment has no precision 64-true"):
                check_types(cfg)
        else:
            check_types(cfg)
    with pytest.raises(UserError, match="segment has no precision 64-true"):
        check_types(composed("stage=pipeline", "data.root=x", "trainer.precision=64-true"))


GROUPS = ((), ("retrieve=youtube",), ("retrieve=urls",), ("data=voc12",), ("data=synthetic",), ("logger=wandb",))


def test_all_that_is_checked_is_a_setting(composed):
    cfgs = [composed("stage=predict", *words) for words in GROUPS]
    for name in (*LISTS, *NUMBER_LISTS, *TEXTS, *NAMES, *FLAGS):
        section, _, key = name.rpartition(".")
        sections = [OmegaConf.select(cfg, section) if section else cfg for cfg in cfgs]
        assert any(found is not None and key in found for found in sections), name


def test_every_true_or_false_is_checked(composed):
    """But for what takes other words too, what a group alone sets, and Hydra's own."""
    def flags(node: object, prefix: str) -> set[str]:
        if isinstance(node, dict):
            return set().union(*(flags(value, f"{prefix}.{key}") for key, value in node.items()))
        return {prefix[1:]} if isinstance(node, bool) else set()

    others = {"debug", "trainer.deterministic"}
    for words in GROUPS:
        found = flags(OmegaConf.to_container(composed("stage=predict", *words), resolve=False), "")
        assert {name for name in found - others if not name.endswith("enable_version_counter")} <= set(FLAGS)


@pytest.mark.parametrize(
    "word", ["export.reverse=no", "predict.flip=maybe", "resume=no", "segment.overlay=no", "adapt.flip=1",
             "model.batch_norm=null"],
)
def test_true_or_false_must_be_one(composed, word):
    key = word.partition("=")[0]
    with pytest.raises(UserError, match=f"{key} must be true or false, got") as caught:
        check_types(composed("stage=predict", "data.root=x", word))
    assert caught.value.remedy == f"write {key}=true or {key}=false"


def test_settings_that_take_more_than_true_or_false(composed):
    check_types(composed("stage=predict", "data.root=x", "trainer.deterministic=warn",
                         "trainer.enable_model_summary=null", "predict.flip=true", "resume=false"))


def test_paths_and_names_of_digits_are_texts(composed):
    words = ("name=2024", "data.root=1", "data.classes=[1,2]", "labels=123", "export.out=1.5", "input=${data.root}",
             "predict.tags=[1,cat]")
    cfg = composed("stage=predict", *words)
    check_types(cfg, words)
    assert (cfg.name, cfg.data.root, cfg.input, cfg.labels, cfg.export.out) == ("2024", "1", "1", "123", "1.5")
    assert (cfg.data.classes, cfg.predict.tags) == (["1", "2"], ["1", "cat"])
    for name in ("7", "cat"):  # one alone, as each job of a sweep over classes has it
        cfg = composed("stage=retrieve", "data.root=x", f"retrieve.classes={name}")
        check_types(cfg, [f"retrieve.classes={name}"])
        assert cfg.retrieve.classes == name


def test_ordinary_words_stay_as_they_are(composed):
    """And with them the fingerprint of a run; a root that nobody has given is no fault of a stage without images."""
    for words in (*GROUPS, ("experiment=table1_youtube",), ("input=${data.root}",)):
        cfg = composed("stage=retrieve", "name=a", "+new=1", *words)
        before = OmegaConf.to_container(cfg, resolve=False)
        check_types(cfg, words)
        assert OmegaConf.to_container(cfg, resolve=False) == before


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("input=[a,b]", r"input must be one text, got \['a', 'b'\]"), ("out={a:1}", "out must be one text, got"),
        ("name=true", "name must be one text, got True"), ("input=2024_10", "would be read as the number 202410"),
        ("name=1.10", "name=1.10 would be read as the number 1.1"),
        ("data.classes=[1, 2_0]", "would be read as the number 20"),
        ("data.classes=[cat,true]", "each of data.classes must be one text, got True"),
        ("predict.tags=[[a]]", "each of predict.tags must be one text"),
    ],
)
def test_what_is_no_path_and_no_name(composed, word, said):
    with pytest.raises(UserError, match=said) as caught:
        check_types(composed("stage=predict", "data.root=x", word), [word])
    recipe = str(caught.value.remedy).rpartition(": ")[2].strip("'")
    check_types(composed("stage=predict", "data.root=x", recipe), [recipe])


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("predict.zooms=[a]", "predict.zooms must be numbers"), ("model.scales=[null]", "model.scales must be numbers"),
        ("evaluate.thresholds=[x]", "evaluate.thresholds must be numbers"),
        ("adapt.scale=[a,b]", "adapt.scale must be two numbers"),
    ],
)
def test_lists_of_numbers(composed, word, said):
    with pytest.raises(UserError, match=said):
        check_types(composed("stage=adapt", "data.root=x", word))


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
        ("name=[a]", "name must be one text, got ['a']\n"), ("input=[a,b]", "input must be one text, got"),
        ("resume=no", "resume must be true or false, got 'no'\n"), ("name=1_0", "name=1_0 would be read as"),
    ],
)
def test_the_command_line_says_what_is_no_text_and_no_flag(wsvs, word, said):
    status, _, err = wsvs("stage=predict", "data.root=x", word)
    assert status == 2 and err.startswith(f"error: {said}") and "Traceback" not in err and "  next:  " in err
