"""Settings are held against their types before anything runs."""

from __future__ import annotations

import pytest
from omegaconf import OmegaConf

from wsvs.core.errors import UserError
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


def test_every_list_is_a_setting(composed):
    cfgs = [composed("stage=predict", *words) for words in ((), ("retrieve=youtube",))]
    for name in LISTS:
        section, _, key = name.rpartition(".")
        assert any(key in (OmegaConf.select(cfg, section) if section else cfg) for cfg in cfgs), name
