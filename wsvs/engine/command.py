"""One command, from its configuration to the exit status of its jobs."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import NoReturn

import hydra
from hydra._internal.hydra import Hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from wsvs.config.check import check
from wsvs.config.files import config_dir
from wsvs.config.store import register
from wsvs.core.console import log_to_stdout
from wsvs.core.errors import UserError
from wsvs.core.files import explain_os_error
from wsvs.core.processes import rank
from wsvs.core.runs import SUMMARY
from wsvs.core.stopping import catch_signals, leave, number, stop_in
from wsvs.engine import job, status, sweep
from wsvs.engine.explain import explain_config_error, user_errors
from wsvs.engine.figures import objective, objective_name
from wsvs.engine.names import stage_names
from wsvs.engine.next import next_line
from wsvs.engine.ranks import config_options
from wsvs.engine.registry import load_plugins, load_stage, register_stages
from wsvs.engine.requirements import check_extras, check_paths
from wsvs.engine.resume import resolve_run_id
from wsvs.engine.shards import refuse_shards, said_shard, shard_of
from wsvs.engine.sweep import trial_number
from wsvs.engine.tracking import tracked

log = logging.getLogger("wsvs")


def register_resolvers() -> None:
    register_stages()
    register()
    OmegaConf.register_new_resolver("run_id", resolve_run_id, replace=True, use_cache=True)
    OmegaConf.register_new_resolver("shard", said_shard, replace=True)
    OmegaConf.register_new_resolver("trial", trial_number, replace=True)
    OmegaConf.register_new_resolver("run_dir", lambda: os.environ.get("WSVS_RUN_DIR", "outputs"), replace=True)


def run_stage(cfg: DictConfig) -> float | None:
    """Run the stage of a composed configuration: the only job of a command, or one job of a sweep.

    Returns the objective for a search over settings, if the stage has one.
    """
    if job.is_apart():
        return job.run_apart(_config_options())
    try:
        with job.recorded() as outcome, user_errors():
            outcome.objective, outcome.value = _run_stage(cfg)
            return outcome.value
    except UserError as mistake:
        # The sweep's process must see the error of a job in another process, and a search that of every failed job.
        if not status.counts_here() or (job.searches() and cfg.trainer.devices == 1):
            raise
        status.complain(mistake)  # printed here, once: Hydra would wrap it in a message of its own
        if cfg.trainer.devices != 1:  # the state of the other ranks is undefined: run no further job of the sweep
            sys.exit(status.overall())
    return None


def _config_options() -> list[str]:
    """The options that locate the configuration of this process's job."""
    hydra = HydraConfig.get()
    found = {source.provider: source.path for source in hydra.runtime.config_sources}
    options = ["--config-name", str(hydra.job.config_name)]
    if found["main"] != str(config_dir()):
        options += ["--config-path", found["main"]]
    if "command-line" in found:
        options += ["--config-dir", found["command-line"]]
    return options


def _run_stage(cfg: DictConfig) -> tuple[str | None, float | None]:
    """Name and value of the objective. Imports that take seconds happen only once the stage runs."""
    log_to_stdout()  # a launcher's process does not run main()
    said = HydraConfig.get().overrides.task
    settings = check(cfg, said)
    stage = load_stage(cfg.stage)
    refuse_shards(settings, stage.name)
    sought = objective_name(settings, stage)
    check_extras(settings, stage)
    check_paths(settings, stage.paths, said)
    if shard := shard_of(settings, stage.name):
        stage = replace(stage, makes=())  # no artifact: later runs would take the part for the whole
    run = stage.start(settings, cfg)
    if not stage.writes:
        stage.run(run)
        return None, None
    with run.opened(), user_errors(), tracked(run, stage):
        if stage.ranks == "one" and rank() != 0:
            raise UserError(
                f"stage {stage.name} starts its own ranks",
                where="torchrun or srun with several tasks",
                remedy="start it once, and give trainer=ddp trainer.devices=N",
            )
        if shard and (run.dir / SUMMARY).is_file():
            log.info("this shard is finished")  # a whole array may be submitted again after some of its jobs failed
            run.closing = (True, ())
        elif stage.ranks == "all" or rank() == 0:
            load_plugins(cfg.plugins)
            stage.run(run)
        goes_on, proposed = run.closing
        if goes_on and not status.is_part() and not job.swept():  # neither a pipeline's step nor a sweep's job
            following = next_line(stage.name, settings, run.overrides, run.dir, config_options(sys.argv[1:]), proposed)
            if following:
                log.info("%s", following)
    if run.skipped:
        status.add(status.SKIPPED)
    return sought, objective(run, sought)


def application() -> None:
    """Compose the configuration of the command line and run it."""
    if not _writes(sys.argv[1:]):
        if job.is_sweep(sys.argv[1:]):
            raise UserError("this stage only prints, so it cannot be swept", where="-m", remedy="leave out -m")
        sys.argv += ["hydra.run.dir=.", "hydra.output_subdir=null"]  # Hydra then makes no folder and no file
    if not any(config_options(sys.argv[1:])) and not any("hydra.mode" in word for word in sys.argv):
        # Hydra composes everything twice, first to see whether hydra.mode is set. No file of wsvs sets it (tested),
        # and this takes a quarter of the time until a mistake is reported.
        Hydra.get_mode = lambda self, config_name, overrides: None  # type: ignore[method-assign]
    hydra.main(version_base="1.3", config_path=str(config_dir()), config_name="config")(run_stage)()


def _writes(words: Sequence[str]) -> bool:
    """Whether a command's stage has a run directory."""
    said = (word.partition("=")[2] for word in words if word.startswith("stage="))
    return all(load_stage(name).writes for name in said if name in stage_names())


def _run_jobs() -> None:
    """Run everything the command line asks for, and report mistakes."""
    try:
        register_resolvers()
        application()
    except UserError as error:
        status.complain(error)
    except (HydraException, OmegaConfBaseException) as error:
        status.complain(explain_config_error(error))
    except OSError as error:  # Hydra's own files in the run directory
        explained = explain_os_error(error, error.filename or "the run directory")
        if not isinstance(explained, UserError):
            raise
        status.complain(explained)
    except ValueError as error:
        refused = sweep.explain(error)
        if refused is None:
            raise
        status.complain(refused)
    finally:
        sweep.release()


def options_first(words: list[str]) -> list[str]:
    """Hydra requires its options to be contiguous; move them in front, so that they may be anywhere."""
    overrides = [word for word in words if not word.startswith("-") and ("=" in word or word.startswith("~"))]
    return [word for word in words if word not in overrides] + overrides


def main() -> NoReturn:
    """Run the command in sys.argv and exit.

    Exit status: 0 done, 1 unexpected error, 2 a mistake to fix, 3 done with skipped items, 130 stopped by Ctrl-C,
    143 by SIGTERM.
    """
    sys.argv[1:] = options_first(sys.argv[1:])
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # keep the traceback of unexpected errors
    log_to_stdout()
    status.begin()
    job.begin()
    catch_signals()
    said = ""
    try:
        _run_jobs()
        code = status.overall()
    except BaseException as error:
        stop = stop_in(error)
        if stop is not None:
            said, code = "\nstopped; run the same command again to resume", 128 + number(stop)
        elif isinstance(error, SystemExit) and isinstance(error.code, int):
            code = error.code
        else:
            raise
    leave(code, said)
