"""Settings are held against their types before anything runs."""

from __future__ import annotations

import pytest
from omegaconf import OmegaConf

from wsvs.core.errors import UserError
from wsvs.stages import STEPS
from wsvs.stages._checks import LISTS, check_types


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


def test_every_list_is_a_setting(composed):
    cfgs = [composed("stage=predict", *words) for words in ((), ("retrieve=youtube",))]
    for name in LISTS:
        section, _, key = name.rpartition(".")
        assert any(key in (OmegaConf.select(cfg, section) if section else cfg) for cfg in cfgs), name
