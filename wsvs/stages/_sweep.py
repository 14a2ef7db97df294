"""What happens around a sweep: a search that was stopped is taken up again, and what its jobs passed over is counted.

A search is a sweep that chooses its next settings by the last results (Optuna). Its trials lie in a data base:

    outputs/<name>/<stage>/<study>/study.db     settings and result of every trial
    outputs/<name>/<stage>/<study>/<number>/    the run of that trial

A trial that was stopped half way keeps its number and its settings, so that its run goes on in its own directory.
"""

from __future__ import annotations

import os
import traceback
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from omegaconf import OmegaConf, read_write

from wsvs.core import runs
from wsvs.core.errors import UserError
from wsvs.core.files import explain_os_error, read_json
from wsvs.core.processes import world_size
from wsvs.stages import _status
from wsvs.stages._job import RECORD, swept
from wsvs.stages._run import relaunched, take_lock

FIRST = "WSVS_FIRST_TRIAL"
_held = ExitStack()  # the lock on the study of this command


def release() -> None:
    """End a sweep, also one whose sweeper raised an error: Hydra then calls no callback."""
    os.environ.pop(FIRST, None)
    _held.close()


class Sweep(Callback):
    """Called by Hydra, which turns errors of callbacks into warnings: a mistake is said and ends the process here."""

    def on_run_start(self, config: Any, **_: Any) -> None:
        """A job alone; also a step of a pipeline, a rank and a job of a sweep, which are told what swept them."""
        _refuse_secrets(config)
        chosen = config.hydra.runtime.choices.get("sweep") or "none"
        if chosen == "none" or _status.is_part() or relaunched() or swept():
            return
        _status.complain(UserError(
            f"sweep={chosen} sweeps nothing without -m: this would be one job", where="the command line",
            remedy="add -m: wsvs -m ...   or leave out sweep=",
        ))
        raise SystemExit(_status.overall())

    def on_multirun_start(self, config: Any, **_: Any) -> None:
        _refuse_secrets(config)
        try:
            _check_params(config.hydra)
            if config.hydra.runtime.choices.get("hydra/sweeper", "basic") != "basic" and world_size() > 1:
                raise UserError(
                    "every rank would search by itself", where="hydra/sweeper, under torchrun or srun",
                    remedy="start the search once: each of its jobs starts its own ranks (trainer.devices=N)",
                )
            if (study := config.hydra.sweeper.get("study_name")) is not None:
                runs.check_folder_name("hydra.sweeper.study_name", str(study))
            if config.hydra.sweeper.get("storage"):
                self._take_up(config)
        except UserError as error:
            _status.complain(error)
            raise SystemExit(_status.overall()) from None

    def _take_up(self, config: Any) -> None:
        """Hand stopped trials out again, first of all; `n_trials` counts what earlier commands finished."""
        import optuna

        sweeper, folder = config.hydra.sweeper, Path(config.hydra.sweep.dir)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _held.enter_context(take_lock(folder))
        except OSError as error:
            raise explain_os_error(error, folder) from error
        storage = optuna.storages.get_storage(sweeper.storage)
        try:
            trials = storage.get_all_trials(storage.get_study_id_from_name(sweeper.study_name))
        except KeyError:
            trials = []
        finished = sum(trial.state.is_finished() for trial in trials)
        if finished >= sweeper.n_trials:
            raise UserError(
                f"this study has its {finished} trials", where=f"{folder}, study {sweeper.study_name}",
                remedy="raise hydra.sweeper.n_trials, or name another one: hydra.sweeper.study_name=...",
            )
        for trial in trials:
            if not trial.state.is_finished():
                storage.set_trial_state(trial._trial_id, optuna.trial.TrialState.WAITING)
        with read_write(config.hydra):
            sweeper.n_trials -= finished
            if sweeper.sampler.get("seed") is not None:
                sweeper.sampler.seed += finished  # else it would draw its first samples again
        os.environ[FIRST] = str(finished)

    def on_multirun_end(self, config: Any, **_: Any) -> None:
        """Learns from the summaries what the jobs passed over: a launcher may have run them in other processes."""
        release()
        search = config.hydra.runtime.choices.get("hydra/sweeper", "basic") != "basic"
        for job in Path(config.hydra.sweep.dir).glob("*/.hydra"):
            record = job.parent / RECORD
            if (job.parent / runs.SUMMARY).is_file():
                if runs.read_summary(job.parent)["counts"].get("passed over"):
                    _status.add(_status.PASSED_OVER)
            elif search or not record.is_file():  # a search counts its failed jobs itself
                _status.add(_status.PASSED_OVER)
            else:
                _status.add(read_json(record).get("status", _status.PASSED_OVER))


def _refuse_secrets(config: Any) -> None:
    """Ends the process before Hydra writes a password that stands among the settings into the run directory."""
    given = config.retrieve.get("yt_dlp") or {}
    written: Any = OmegaConf.to_container(given, resolve=False) if OmegaConf.is_config(given) else {}
    if not any(value is not None for value in written.values()):
        return
    from wsvs.retrieve.ytdlp import refuse_written_secrets

    try:
        refuse_written_secrets(written)
    except UserError as error:
        _status.complain(error)
        raise SystemExit(_status.overall()) from None


def _check_params(hydra: Any) -> None:
    """Raises `UserError` where the command line leaves nothing of a sweep file: each of its settings has one value.

    One setting of several may be held fast so, and others be given other values.
    """
    parse = OverridesParser.create().parse_overrides
    file = parse([f"{key}={value}" for key, value in (hydra.sweeper.get("params") or {}).items()])
    swept = [one.key_or_group for one in file if one.is_sweep_override()]
    said = parse(list(hydra.overrides.task))
    fixed = {one.key_or_group: str(one.input_line) for one in said if not one.is_sweep_override()}
    if swept and set(swept) <= set(fixed):
        chosen, words = f"sweep={hydra.runtime.choices.get('sweep')}", " ".join(fixed[key] for key in swept)
        raise UserError(
            f"{chosen} has nothing left to sweep: {' and '.join(swept)} given twice", where=f"{chosen} {words}",
            remedy=f"leave out {chosen}, or {words}",
        )


def trial_number(job: int) -> int:
    """Number of the trial that a job of this command runs: those before it were finished by earlier commands."""
    return job + int(os.environ.get(FIRST, 0))


def explain(error: ValueError) -> UserError | None:
    """What Optuna or its sweeper refuses by a raise, such as other choices for a study; None for all else."""
    at = traceback.extract_tb(error.__traceback__)[-1]
    theirs = {"optuna", "hydra_optuna_sweeper"} & set(Path(at.filename).parts)
    if not theirs or not (at.line or "").startswith("raise "):
        return None
    return UserError(
        str(error), where="hydra.sweeper",
        remedy="a study keeps its direction and its choices (hydra.sweeper.study_name=... begins another); "
        "why a trial failed is said above",
    )
