"""Compose configurations and open runs as the command line does, in this process."""

from __future__ import annotations

import logging
import os
import signal
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, open_dict

from wsvs.cli import main
from wsvs.config.check import check
from wsvs.config.files import config_dir
from wsvs.engine.command import register_resolvers
from wsvs.engine.registry import load_stage
from wsvs.engine.run import Run

RUN_VARIABLES = ("WSVS_RUN_ID", "WSVS_RUN_DIR", "TORCHELASTIC_RUN_ID", "SLURM_JOB_ID")
RANK_VARIABLES = ("RANK", "SLURM_PROCID", "LOCAL_RANK")


@pytest.fixture(autouse=True)
def clean(monkeypatch, tmp_path):
    """An environment without a run, in an empty folder; whatever a run leaves behind is undone."""
    for variable in (*RUN_VARIABLES, *RANK_VARIABLES, "HYDRA_FULL_ERROR", "PL_GLOBAL_SEED"):
        monkeypatch.setenv(variable, "")  # set first, so that what a run exports is undone afterwards
        monkeypatch.delenv(variable)
    monkeypatch.setattr(sys, "argv", ["wsvs"])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    monkeypatch.setattr(logging, "raiseExceptions", logging.raiseExceptions)
    handlers = {stop: signal.getsignal(stop) for stop in (signal.SIGINT, signal.SIGTERM)}
    yield
    for stop, handler in handlers.items():
        signal.signal(stop, handler)
    GlobalHydra.instance().clear()


@pytest.fixture
def composed():
    """Overrides -> the composed configuration, as a stage gets it."""
    register_resolvers()

    def make(*overrides: str, hydra: bool = False) -> DictConfig:
        GlobalHydra.instance().clear()
        with initialize_config_dir(str(config_dir()), version_base="1.3"):
            return compose("config", [*overrides], return_hydra_config=hydra)

    return make


@pytest.fixture
def make_run(composed, tmp_path):
    """Overrides and an id -> a run in its directory, not yet opened."""

    def make(*overrides: str, run_id: str = "r") -> Run:
        whole = composed(*overrides, hydra=True)
        folder = Path(whole.out, whole.name, whole.stage, run_id).absolute()
        with open_dict(whole):
            whole.hydra.runtime.output_dir = str(folder)
        HydraConfig.instance().set_config(whole)
        cfg = composed(*overrides)
        sys.argv[1:] = list(overrides)
        return load_stage(cfg.stage).start(check(cfg, list(overrides)), cfg)

    return make


@pytest.fixture
def wsvs(capsys, monkeypatch):
    """Call the command line in this process: arguments -> (exit status, stdout, stderr)."""
    number = iter(range(10**6))

    def call(*arguments: str, run_id: str | None = None) -> tuple[int, str, str]:
        # A process of its own would have an id of its own; run_id="auto" lets it look for an earlier run.
        monkeypatch.setenv("WSVS_RUN_ID", run_id or f"r{next(number)}")
        if run_id == "auto":
            monkeypatch.delenv("WSVS_RUN_ID")
        monkeypatch.setattr(sys, "argv", ["wsvs", *arguments])
        before = dict(os.environ)
        GlobalHydra.instance().clear()
        capsys.readouterr()
        try:
            with pytest.raises(SystemExit) as ended:
                main()
        finally:
            os.environ.clear()
            os.environ.update(before)
        out, err = capsys.readouterr()
        status = ended.value.code
        return (0 if status is None else int(status), out, err)

    return call
