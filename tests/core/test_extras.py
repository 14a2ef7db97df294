"""A package that is missing is named with the command that installs it."""

from __future__ import annotations

import sys

import pytest
from hydra.errors import MissingConfigException

from wsvs.core.errors import UserError
from wsvs.core.extras import missing
from wsvs.engine.explain import explain_config_error
from wsvs.nets.weights import load_tensors


def test_missing_and_broken_are_different_errors():
    gone = ModuleNotFoundError("No module named 'timm'", name="timm")
    assert missing("timm", "timm", "model.backbone", gone).problem == "timm is not installed"
    broken = ModuleNotFoundError("No module named 'torchvision'", name="torchvision")
    told = missing("timm", "timm", "model.backbone", broken)
    assert told.problem == "timm cannot be imported: No module named 'torchvision'"
    assert told.remedy == "pip install 'wsvs[timm]'"


def test_safetensors_is_asked_for_where_it_is_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    (tmp_path / "w.safetensors").touch()
    with pytest.raises(UserError, match=r"pip install 'wsvs\[timm\]'"):
        load_tensors(tmp_path / "w.safetensors")


@pytest.mark.parametrize("file", ["hydra/launcher/joblib", "hydra/launcher/submitit_slurm"])
def test_plugins_of_hydra_are_asked_for(file):
    told = explain_config_error(MissingConfigException(f"Could not find '{file}'", file))
    assert told.problem == f"Hydra's plugin for {file} is not installed" and told.where == file
    assert told.remedy == "pip install 'wsvs[sweeps]'"
    search = explain_config_error(MissingConfigException("Could not find 'hydra/sweeper/x'", "hydra/sweeper/x"))
    assert "override /hydra/sweeper: search" in (search.remedy or "")
    other = explain_config_error(MissingConfigException("Could not find 'model/vgg17'", "model/vgg17"))
    assert "pip" not in (other.remedy or "")
