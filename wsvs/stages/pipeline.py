"""Stage pipeline: check the data, then run all stages in order, skipping finished ones."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra import compose
from omegaconf import DictConfig
from rich.table import Column, Table

from wsvs.config.base import Section
from wsvs.config.check import check
from wsvs.config.groups import FolderRetrieve, ModelSettings, RetrieveSettings
from wsvs.config.root import Settings as CommandSettings
from wsvs.config.stages import Inputs, PipelineSettings
from wsvs.core import runs
from wsvs.core.console import show
from wsvs.core.errors import UserError
from wsvs.engine.figures import judge
from wsvs.engine.fork import GOOD, call
from wsvs.engine.names import PIPELINE, stage_names
from wsvs.engine.next import PREDICTED, QUOTES, defaults, quote, true_masks
from wsvs.engine.registry import load_stage
from wsvs.engine.resume import fingerprint
from wsvs.engine.reviews import reviews_for
from wsvs.engine.run import Run
from wsvs.engine.stage import Stage, home_of, reads

log = logging.getLogger("wsvs")


@dataclass(frozen=True)
class Settings:
    """The settings that the plan needs; each step reads its own."""

    pipeline: PipelineSettings
    data: Section = reads("data", result=False)
    retrieve: RetrieveSettings = reads("retrieve", result=False)
    model: ModelSettings = reads("model", result=False)
    input: str | None = reads("input", result=False)
    labels: str | None = reads("labels", result=False)
    predictions: str | None = reads("predictions", result=False)
    truth: str | None = reads("truth", result=False)


@dataclass(frozen=True)
class Step:
    """One stage of the pipeline. `label` names its run for later steps; `set` are overrides for this step only."""

    stage: str
    label: str
    set: tuple[str, ...] = ()


def run(run: Run[Settings]) -> None:
    import lightning.pytorch  # noqa: F401  imported once here and inherited by the forked steps

    shared = [word for word in run.overrides if not word.startswith("stage=")]
    done: dict[str, Path] = {}
    skipped = 0
    steps = list(plan(run.settings))
    for number, step in enumerate(steps, 1):
        overrides = [f"stage={step.stage}", *shared, *_links(step, done, shared)]
        cfg = compose(config_name="config", overrides=overrides)
        settings = check(cfg, overrides)  # as the step itself does, so that the fingerprints agree
        name = run.id if step.label == step.stage else f"{run.id}-{step.label}"
        found = _finished(cfg, settings, step, name)
        if found is None:
            log.info("--- %s (%d of %d)", step.label, number, len(steps))
            found = _launch(settings, step, overrides, name)
        else:
            log.info("--- %s: finished before, in %s", step.label, os.path.relpath(found))
        done[step.label] = found
        skipped += runs.read_summary(found).skipped
    table = Table("step", "seconds", Column("run", overflow="fold"))
    for label, path in done.items():
        table.add_row(label, f"{runs.read_summary(path).seconds:.0f}", os.path.relpath(path))
    show(table)
    run.steps = done
    results = judge(run.settings.pipeline.checks, done)
    run.finish(
        counts={"steps": len(done), "items skipped in the steps": skipped},
        results=results,
        wrote=list(done.values())[-1] if done else None,
    )
    failed = [name for name, verdict in results.items() if verdict.startswith("FAIL")]
    if failed:
        raise UserError(
            f"figures outside the expected range: {len(failed)} of {len(results)} ({', '.join(failed)})",
            where=run.dir,
            remedy="look at the runs in the table above",
        )


def plan(settings: Settings) -> Iterator[Step]:
    """The steps of the settings, else the data check and every stage once.

    Raises:
        UserError: A step is not a stage, or a label occurs twice; no videos are given.
    """
    if not settings.pipeline.steps:
        if isinstance(settings.retrieve, FolderRetrieve) and not settings.retrieve.root:
            raise UserError(
                "no folder of videos",
                where="retrieve.root",
                remedy="give retrieve.root=DIR; without videos of your own, retrieve=youtube or retrieve=urls",
            )
        yield Step("data", "data")
        for stage in PIPELINE:
            if stage != "evaluate" or true_masks(settings):
                yield Step(stage, stage, tuple(_said(*pair) for pair in defaults(settings, stage)))
        return
    seen: set[str] = set()
    steps = [name for name in stage_names() if load_stage(name).ranks != "one"]
    for entry in settings.pipeline.steps:
        step = Step(entry.stage, str(entry.label or entry.stage), tuple(entry.set))
        if step.stage not in steps or step.label in seen:
            unknown = step.stage not in steps
            raise UserError(
                f"{step.stage!r} is not a stage" if unknown else f"two steps have the label {step.label!r}",
                where="pipeline.steps",
                remedy=f"stages: {', '.join(steps)}; give repeated stages a label",
            )
        seen.add(runs.check_folder_name("label", step.label))
        yield step


def _said(key: str, value: object) -> str:
    return f"{key}={value if value == PREDICTED else quote(value)}"


def _links(step: Step, done: dict[str, Path], shared: Sequence[str]) -> list[str]:
    """Overrides of a step: its own, with {label} replaced by that step's run, and its inputs as explicit paths."""
    own = [_fill(word, done, step) for word in step.set]
    said = {word.partition("=")[0] for word in (*own, *shared)}
    inputs = [name for name in PIPELINE if name in done and name in Inputs.model_fields]
    return [f"inputs.{name}={quote(done[name])}" for name in inputs if f"inputs.{name}" not in said] + own


def _fill(word: str, done: dict[str, Path], step: Step) -> str:
    """An override with {label} replaced by that step's run, quoted, since a path may need quotes in Hydra's grammar."""
    key, _, value = word.partition("=")
    filled = value
    for label, path in done.items():
        filled = filled.replace("{" + label + "}", str(path))
    if re.match(r"\{[^{}:,]+\}", filled):
        raise UserError(
            f"there is no earlier step {filled.partition('}')[0][1:]!r}",
            where=f"step {step.label}: {word}",
            remedy=f"earlier steps: {', '.join(done) or 'none'}",
        )
    return word if filled == value else f"{key}={filled if value[0] in QUOTES else quote(filled)}"


def _finished(cfg: DictConfig, settings: CommandSettings, step: Step, name: str) -> Path | None:
    """The latest finished run of this stage with the same settings and inputs.

    With resume=false only the run with this `name` counts: this pipeline's own, in a requeued job. So it is with
    <stage>.reuse, since settings do not show that files are new.
    """
    anyone = settings.resume and not getattr(getattr(settings, step.stage, None), "reuse", None)
    stage, home = load_stage(step.stage), home_of(settings)
    inputs = {one: home.require(one) for one in stage.needed(settings)}
    answers = reviews_for(home, stage.name, stage.reviews, cfg)
    wanted = fingerprint(cfg, stage.decisive, inputs, reviews=answers)
    for path, summary in runs.finished_runs(home.out, home.name, step.stage, debug=home.debug).items():
        if (anyone or path.name == name) and summary.results.get("fingerprint") == wanted:
            return path.absolute()
    return None


def _launch(settings: CommandSettings, step: Step, overrides: list[str], name: str) -> Path:
    """Run a stage under this run id, and return its directory."""
    status = call(overrides, name)
    if status not in GOOD:
        again = "run the same command" if settings.resume else "run the same command without resume=false"
        raise UserError(
            f"stage {step.stage} stopped with exit status {status}",
            where=f"step {step.label}",
            remedy=f"fix the error above; then {again} to resume",
        )
    return (home_of(settings).folder / step.stage / name).absolute()


# W&B sweeps and `sweep=search` optimise a figure of the last step.
STAGE = Stage(
    "pipeline",
    Settings,
    run,
    paths=("data.root", "data.labels", "retrieve.root", "retrieve.labels"),
    objective="evaluate.miou",
    ranks="one",
)
