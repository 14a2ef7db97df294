"""Start and end of a sweep: resume a stopped search, and count the items that its jobs skipped.

A search is a sweep that chooses its next settings by the last results (Optuna). Its trials are kept in a database:

    outputs/<name>/<stage>/<study>/study.db     settings and result of every trial
    outputs/<name>/<stage>/<study>/<number>/    the run of that trial

A trial that was stopped keeps its number and settings, so that its run resumes in its own directory.
"""

from __future__ import annotations

import logging
import os
import sys
import traceback
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import rich.table
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from omegaconf import OmegaConf, open_dict, read_write
from rich.table import Column

from wsvs.core import runs
from wsvs.core.console import plain_console
from wsvs.core.errors import UserError
from wsvs.core.extras import require
from wsvs.core.files import explain_os_error
from wsvs.core.processes import rank, world_size
from wsvs.core.stopping import stop_in
from wsvs.core.sweeps import DONE, FAILED, MINIMIZE, Outcome, read_sweep
from wsvs.core.sweeps import Sweep as Table
from wsvs.engine import status
from wsvs.engine.job import STARTED
from wsvs.engine.lock import take_lock
from wsvs.engine.names import PIPELINE, stage_names
from wsvs.engine.ranks import relaunched

log = logging.getLogger("wsvs")

FIRST = "WSVS_FIRST_TRIAL"
_held = ExitStack()  # holds the lock on the directory of this command's sweep
_begun: list[Path] = []  # that directory, once the sweep has started


def release() -> None:
    """End a sweep and show its results. Hydra calls no callback when the sweeper raises an error."""
    os.environ.pop(FIRST, None)
    sweep = read_sweep(_begun.pop()) if _begun and stop_in(sys.exception()) is None else None
    _begun.clear()
    if sweep is not None:
        show(sweep)
    _held.close()


def show(sweep: Table) -> None:
    """Print the settings and results of a sweep, and write them all to sweep.csv."""
    headings, rows = sweep.shown()
    whole = all(job.state == DONE for job in sweep.jobs)
    order = "lowest first" if sweep.direction == MINIMIZE else "highest first"
    title = f"by {sweep.objective}, {order}" if sweep.objective else "no figure to sort by: objective=... names one"
    table = rich.table.Table(
        *(Column(heading, overflow="fold") for heading in [*headings, *([] if whole else ["state"])]),
        title=f"{len(rows)} jobs, {title}",
    )
    for job, row in zip(sweep.jobs, rows, strict=True):
        table.add_row(*map(_cell, row), *([] if whole else [job.state]))
    plain_console().print(table)
    for job in sweep.jobs:
        if job.state == FAILED:
            log.info("job %s failed: %s", job.number, job.reason)
    log.info("wrote %s", sweep.write())


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


class Sweep(Callback):
    """Called by Hydra, which turns errors of callbacks into warnings: mistakes are reported and end the process."""

    def on_run_start(self, config: Any, **_: Any) -> None:
        """Refuse sweep=... without -m. Steps of a pipeline, ranks and jobs of a sweep may have it."""
        _refuse_secrets(config)
        chosen = config.hydra.runtime.choices.get("sweep") or "none"
        if chosen == "none" or status.is_part() or relaunched() or STARTED in os.environ:
            return
        status.complain(
            UserError(
                f"sweep={chosen} has no effect without -m: this would be one job",
                where="the command line",
                remedy="add -m: wsvs -m ...   or leave out sweep=",
            )
        )
        raise SystemExit(status.overall())

    def on_multirun_start(self, config: Any, **_: Any) -> None:
        _refuse_secrets(config)
        try:
            _check_params(config.hydra)
            _check_stage(config)
            if config.hydra.runtime.choices.get("hydra/sweeper", "basic") != "basic" and world_size() > 1:
                raise UserError(
                    "every rank would run its own search",
                    where="hydra/sweeper, under torchrun or srun",
                    remedy="start the search once: each of its jobs starts its own ranks (trainer.devices=N)",
                )
            if (study := config.hydra.sweeper.get("study_name")) is not None:
                runs.check_folder_name("hydra.sweeper.study_name", str(study))
            if rank() == 0:
                self._lock(Path(config.hydra.sweep.dir))
            if config.hydra.runtime.choices.get("hydra/sweeper") == "search":
                require("optuna", f"sweep={config.hydra.runtime.choices.get('sweep')}")
            if config.hydra.sweeper.get("storage"):
                self._resume(config)
        except UserError as error:
            status.complain(error)
            raise SystemExit(status.overall()) from None

    def _lock(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _held.enter_context(take_lock(folder))
        except OSError as error:
            raise explain_os_error(error, folder) from error
        _begun[:] = [folder]

    def _resume(self, config: Any) -> None:
        """Queue stopped trials first, and subtract the trials that earlier commands finished from `n_trials`."""
        import optuna

        sweeper, folder = config.hydra.sweeper, Path(config.hydra.sweep.dir)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        try:
            storage = optuna.storages.get_storage(sweeper.storage)
        except RuntimeError as error:  # because of the tables of its database
            raise UserError(
                "this study was started by an earlier version of Optuna",
                where=f"{folder}, study {sweeper.study_name}",
                remedy=f"optuna storage upgrade --storage {sweeper.storage}   or start another study: "
                "hydra.sweeper.study_name=...",
            ) from error
        try:
            trials = storage.get_all_trials(storage.get_study_id_from_name(sweeper.study_name))
        except KeyError:
            trials = []
        finished = sum(trial.state.is_finished() for trial in trials)
        if finished >= sweeper.n_trials:
            raise UserError(
                f"all trials of this study are finished: {finished}",
                where=f"{folder}, study {sweeper.study_name}",
                remedy="raise hydra.sweeper.n_trials, or start another study: hydra.sweeper.study_name=...",
            )
        for trial in trials:
            if not trial.state.is_finished():
                storage.set_trial_state_values(trial._trial_id, optuna.trial.TrialState.WAITING)
        with read_write(config.hydra):
            sweeper.n_trials -= finished
            if sweeper.sampler and sweeper.sampler.get("seed") is not None:
                sweeper.sampler.seed += finished  # else it would draw the same first samples again
        os.environ[FIRST] = str(finished)

    def on_multirun_end(self, config: Any, **_: Any) -> None:
        """Read from the summaries whether jobs skipped items: a launcher may have run them in other processes."""
        release()
        search = config.hydra.runtime.choices.get("hydra/sweeper", "basic") != "basic"
        for job in Path(config.hydra.sweep.dir).glob("*/.hydra"):
            outcome = Outcome.read(job.parent)
            if (job.parent / runs.SUMMARY).is_file():
                if runs.read_summary(job.parent).skipped:
                    status.add(status.SKIPPED)
            elif search or outcome is None:  # a search counts its failed jobs itself
                status.add(status.SKIPPED)
            else:
                status.add(status.SKIPPED if outcome.status is None else outcome.status)


def _refuse_secrets(config: Any) -> None:
    """End the process before Hydra writes a password from the settings to the run directory."""
    given = config.retrieve.get("yt_dlp") or {}
    written: Any = OmegaConf.to_container(given, resolve=False) if OmegaConf.is_config(given) else {}
    if not any(value is not None for value in written.values()):
        return
    try:
        require("yt_dlp", "retrieve.yt_dlp")
        from wsvs.retrieve.ytdlp import refuse_written_secrets

        refuse_written_secrets(written)
    except UserError as error:
        status.complain(error)
        raise SystemExit(status.overall()) from None


def _check_params(hydra: Any) -> None:
    """Raises `UserError` if the command line fixes every setting of a sweep file. Fixing some of them is allowed."""
    parse = OverridesParser.create().parse_overrides
    file = parse([f"{key}={value}" for key, value in (hydra.sweeper.get("params") or {}).items()])
    swept = [one.key_or_group for one in file if one.is_sweep_override()]
    said = parse(list(hydra.overrides.task))
    fixed = {one.key_or_group: str(one.input_line) for one in said if not one.is_sweep_override()}
    if swept and set(swept) <= set(fixed):
        chosen, words = f"sweep={hydra.runtime.choices.get('sweep')}", " ".join(fixed[key] for key in swept)
        raise UserError(
            f"{chosen} has nothing left to sweep: {' and '.join(swept)} given twice",
            where=f"{chosen} {words}",
            remedy=f"leave out {chosen}, or leave out {words}",
        )


def _check_stage(config: Any) -> None:
    """Ignore settings of a sweep file that belong to other stages, with a message: they change no result.

    Raises:
        UserError: The command line sweeps such a setting, or no other setting is left.
    """
    stage, params = OmegaConf.select(config, "stage", throw_on_missing=False), config.hydra.sweeper.get("params") or {}
    if stage not in PIPELINE:
        return  # several stages, or one that runs others
    parse = OverridesParser.create().parse_overrides
    given = [one.key_or_group for one in parse(list(config.hydra.overrides.task)) if one.is_sweep_override()]
    others = {*stage_names()} - {stage, "data"}
    foreign = [str(key) for key in (*params, *given) if _section(str(key)) in others]
    if not foreign:
        return
    named, chosen = " and ".join(dict.fromkeys(foreign)), f"sweep={config.hydra.runtime.choices.get('sweep')}"
    left = {*given, *map(str, params)} - {*foreign}
    if {*foreign} & {*given} or not left:
        raise UserError(
            f"stage {stage} does not read {named}: the jobs would be the same",
            where="the command line" if {*foreign} & {*given} else chosen,
            remedy=f"sweep settings of this stage, such as {stage}.KEY=A,B (docs/stages.md lists them), "
            f"or run stage={_section(foreign[0])}",
        )
    log.info("ignored in %s: %s, which stage %s does not read", chosen, named, stage)
    with read_write(config.hydra), open_dict(config.hydra):
        for key in foreign:
            config.hydra.sweeper.params.pop(key)


def _section(key: str) -> str:
    """The first part of a setting's name."""
    return key.lstrip("+").partition(".")[0].partition("/")[0].partition("@")[0]


def trial_number(job: int) -> int:
    """Number of the trial that a job of this command runs; earlier commands finished those before it."""
    return job + int(os.environ.get(FIRST, 0))


def explain(error: ValueError) -> UserError | None:
    """A ValueError of Optuna, such as changed choices for a study; None for one raised elsewhere."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    package = str(frame.f_globals.get("__name__", ""))
    if type(error) is not ValueError or not package.startswith("optuna."):
        return None
    return UserError(
        str(error),
        where="hydra.sweeper",
        remedy="a study keeps its direction and its choices (hydra.sweeper.study_name=... starts another); "
        "the reasons of failed trials are above",
    )
