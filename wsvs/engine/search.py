"""A search for settings by Optuna: each trial is a job of a sweep, and its figure is what the job returns."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Transformer
from omegaconf import OmegaConf

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

log = logging.getLogger("wsvs")

RESULT = "optimization_results.yaml"


def search(
    launch: Callable[..., Sequence[Any]],
    arguments: Sequence[str],
    folder: str | Path,
    *,
    study_name: str | None,
    storage: str | None,
    direction: str,
    sampler: Any,
    n_trials: int,
    n_jobs: int,
    max_failure_rate: float,
    params: Mapping[str, Any] | None,
) -> None:
    """Run trials, and write the best settings to optimization_results.yaml in `folder`.

    Args:
        launch: Hydra's launcher: lists of overrides, and the number of the first, to what the jobs returned.
        arguments: Overrides of the command line; those with several values are searched.
        study_name, storage: Of Optuna: trials are kept there, and those waiting are run first.
        direction: maximize or minimize.
        sampler: Of Optuna.
        n_trials: In this command.
        n_jobs: Trials at a time.
        max_failure_rate: Fraction of the trials of one time that may fail.
        params: {key: its values} of a sweep file; the command line goes first.

    Raises:
        Exception: Of a failed trial, if more failed than may.
    """
    import optuna
    from optuna.trial import TrialState

    spaces, fixed = spaces_of([*(f"{key}={value}" for key, value in (params or {}).items()), *arguments])
    study = optuna.create_study(
        study_name=study_name, storage=storage, sampler=sampler, direction=direction, load_if_exists=True
    )
    for first in range(0, n_trials, n_jobs):
        trials = [study.ask(spaces) for _ in range(min(n_jobs, n_trials - first))]
        jobs = [[f"{key}={value}" for key, value in {**trial.params, **fixed}.items()] for trial in trials]
        failed = []
        for trial, job in zip(trials, launch(jobs, initial_job_idx=first), strict=True):
            try:
                study.tell(trial, float(job.return_value), state=TrialState.COMPLETE)  # raises what the job raised
            except Exception as error:
                study.tell(trial, state=TrialState.FAIL)
                log.warning("Failed experiment: %s", error)
                failed.append(error)
        if len(failed) > max_failure_rate * len(trials):
            raise failed[0]
    best = study.best_trial
    log.info("Best parameters: %s", best.params)
    log.info("Best value: %s", best.value)
    found = {"name": "optuna", "best_params": best.params, "best_value": best.value}
    OmegaConf.save(OmegaConf.create(found), Path(folder, RESULT))


def spaces_of(words: Sequence[str]) -> tuple[dict[str, BaseDistribution], dict[str, str]]:
    """Of overrides, where a later one counts: what is searched, {key: values to choose from}, and what is fixed."""
    spaces: dict[str, BaseDistribution] = {}
    fixed: dict[str, str] = {}
    for one in OverridesParser.create().parse_overrides(list(words)):
        key = one.get_key_element()
        spaces.pop(key, None)
        fixed.pop(key, None)
        if one.is_sweep_override():
            spaces[key] = _space(one)
        else:
            fixed[key] = one.get_value_element_as_str()
    return spaces, fixed


def _space(override: Override) -> BaseDistribution:
    """interval(0.1,1), tag(log,interval(1,100)), range(1,10,3), choice(a,b) and a,b as Optuna has them."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    value: Any = override.value()
    if override.is_interval_sweep():
        whole = isinstance(value.start, int) and isinstance(value.end, int)
        return (IntDistribution if whole else FloatDistribution)(value.start, value.end, log="log" in value.tags)
    choices: Any = list(override.sweep_iterator(transformer=Transformer.encode))
    if override.is_range_sweep() and not value.shuffle and value.step > 0:
        whole = all(isinstance(choice, int) for choice in choices)
        return (IntDistribution if whole else FloatDistribution)(choices[0], choices[-1], step=value.step)
    return CategoricalDistribution(choices)
