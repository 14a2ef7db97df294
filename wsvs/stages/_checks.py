"""Hold settings against their types, and figures of finished runs against what is expected of them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from rich.table import Table

from wsvs.core.console import plain_console
from wsvs.core.errors import UserError
from wsvs.core.files import read_json
from wsvs.core.runs import SUMMARY

WHOLE = (
    "epochs", "steps", "batch_size", "workers", "val_every", "val_items", "min_frames", "max_frames",
    "attention_batch", "superpixels", "longest_edge", "warmup",
)
NUMBERS = ("lr", "lr_backbone", "threshold", "holdout", "jitter", "ema")
NULL = ("ema", "trainer.enable_model_summary")  # of these, where null is a value too
PAIRS = ("scale", "coverage")
LISTS = (  # lists of names or numbers, many of them null by default; of any section, since a pipeline reads them late
    "predict.tags", "predict.zooms", "evaluate.classes", "evaluate.names", "evaluate.prediction_names",
    "evaluate.thresholds", "export.names", "reproduce.seeds", "data.classes", "model.scales", "retrieve.pause",
    "retrieve.javascript", "plugins",
)
TRAINER = {  # number of the trainer section: (its least value, is it a whole one)
    "num_nodes": (1, True), "accumulate_grad_batches": (1, True), "log_every_n_steps": (0, True),
    "max_epochs": (-1, True), "max_steps": (-1, True), "gradient_clip_val": (0, False), "overfit_batches": (0, False),
    "limit_train_batches": (0, False), "limit_val_batches": (0, False), "limit_predict_batches": (0, False),
}
# Lightning's others make the weights themselves of half precision, while pictures come as float32.
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed", "64-true")
NUMBER_LISTS = ("predict.zooms", "evaluate.thresholds", "model.scales", "retrieve.pause")
TEXTS = (  # paths and names; Hydra reads one of digits as a number
    "name", "out", "objective", "videos", "input", "labels", "predictions", "truth", "inputs.encoder",
    "inputs.retrieve", "inputs.relevance", "inputs.segment", "inputs.decoder", "inputs.adapt", "data.root",
    "data.labels", "data.train", "data.val", "data.masks", "data.folder", "data.prepared", "data.augmented",
    "model.weights", "model.sha256", "retrieve.root", "retrieve.labels", "retrieve.file", "retrieve.merge",
    "segment.checkpoint", "predict.checkpoint", "predict.ids", "evaluate.split", "evaluate.split_name",
    "evaluate.table", "submit.ids", "export.out",
)
NAMES = (  # lists of them; of retrieve.classes one alone will do, as a sweep gives it
    "predict.tags", "evaluate.classes", "evaluate.names", "evaluate.prediction_names", "export.names",
    "data.world.classes", "data.classes", "retrieve.classes", "retrieve.javascript", "plugins",
)
FLAGS = (
    "resume", "dry_run", "segment.frames", "segment.overlay", "adapt.flip", "predict.flip", "predict.overlay",
    "predict.scores", "evaluate.boundary", "export.reverse", "retrieve.score", "retrieve.keep_videos",
    "model.batch_norm", "trainer.enable_model_summary", "logger.wandb.offline", "logger.wandb.models",
)
_SHOW = "--cfg job shows every value; without yours it shows the default"


def check_types(cfg: DictConfig, overrides: Sequence[str] = ()) -> None:
    """Raises `UserError` where a number of the stage's section is none: steps=1e4 would fail late, and oddly.

    So it does where a list is none: predict.tags=tiger would be five tags of a letter each; and where true or false is
    none: predict.flip=no would be true. Numbers of the trainer section too, of which Lightning refuses some by a trace,
    and others never. Paths and names that Hydra has read as numbers become texts in `cfg`.

    Args:
        cfg: The configuration.
        overrides: Those of the command, which say how such a number was written.
    """
    section = {} if cfg.stage == "pipeline" else cfg.get(cfg.stage) or {}  # its `steps` are stages, not numbers
    for keys, whole in ((WHOLE, True), (NUMBERS, False)):
        for key in keys:
            value = section.get(key, 0)
            if value is not None or key not in NULL:
                _check_number(f"{cfg.stage}.{key}", value, whole)
    for key in PAIRS:
        value = section.get(key, [0, 0])
        if not (OmegaConf.is_list(value) or isinstance(value, list)) or len(value) != 2 or not _numbers(value):
            raise UserError(f"{cfg.stage}.{key} must be two numbers, got {value!r}", where="the configuration",
                            remedy=f"for example {cfg.stage}.{key}=[0.5,0.9]")
    for name in LISTS:
        value = _given(cfg, name)
        if value is not None and (isinstance(value, str) or not isinstance(value, Sequence)):
            raise UserError(f"{name} must be a list, got {value!r}", where="the configuration",
                            remedy=f"write {name}=[{value}]")
    for name in NUMBER_LISTS:
        value = _given(cfg, name)
        if value is not None and not _numbers(value):
            raise UserError(f"{name} must be numbers, got {value!r}", where="the configuration", remedy=_SHOW)
    for name in FLAGS:
        value = _given(cfg, name, default=False)
        if not isinstance(value, bool) and (value is not None or name not in NULL):
            raise UserError(f"{name} must be true or false, got {value!r}", where="the configuration",
                            remedy=f"write {name}=true or {name}=false")
    _make_texts(cfg, overrides)
    _check_number("seed", cfg.seed, True)
    _check_trainer(cfg.trainer)
    _check_precision(cfg.trainer.precision, cfg.stage)


def _check_precision(precision: Any, stage: str) -> None:
    if precision not in PRECISIONS:
        raise UserError(
            f"trainer.precision must be {', '.join(PRECISIONS[:-1])} or {PRECISIONS[-1]}, got {precision!r}",
            where="the configuration", remedy="for half precision use trainer.precision=bf16-mixed",
        )
    if precision == "64-true" and stage in ("segment", "pipeline", "reproduce"):  # Lightning cannot convert its shots
        raise UserError(
            "stage segment has no precision 64-true", where="trainer.precision", remedy="use trainer.precision=32-true"
        )


def _given(cfg: DictConfig, name: str, default: Any = None) -> Any:
    """Value of a setting; the default where there is no such one, or where it leads to one that nobody has given."""
    return OmegaConf.select(cfg, name, default=default, throw_on_resolution_failure=False)


def _numbers(values: Sequence[Any]) -> bool:
    return all(isinstance(one, int | float) and not isinstance(one, bool) for one in values)


def _make_texts(cfg: DictConfig, overrides: Sequence[str]) -> None:
    """Put texts in the place of numbers where a path or a name is meant."""
    written = {key.lstrip("+"): text for key, _, text in (word.partition("=") for word in overrides)}
    for name in (*TEXTS, *NAMES):
        value, words = _given(cfg, name), written.get(name, "")
        if OmegaConf.is_list(value) and name in NAMES:
            text: Any = [as_text(name, one, words) for one in value]
        else:
            text = value if value is None else as_text(name, value, words)
        if text != value:
            OmegaConf.update(cfg, name, text)


def as_text(name: str, value: Any, written: str = "") -> str:
    """A path or a name, or one of several, that Hydra may have read as a number.

    Args:
        name: The setting.
        value: What it has.
        written: What the command says of it, if anything.

    Raises:
        UserError: No text, or a number that was written in another way: 2024_10 is 202410 to Hydra.
    """
    if isinstance(value, str):
        return value
    example = '["2024_10"]' if name in NAMES else '"2024_10"'
    recipe = f"put quotes within quotes around a name that is read as something else: '{name}={example}'"
    if isinstance(value, bool) or not isinstance(value, int | float):
        each = "each of " if name in NAMES else ""
        raise UserError(f"{each}{name} must be one text, got {value!r}", where="the configuration", remedy=recipe)
    if written and "$" not in written and str(value) not in re.split(r"[\[\], ]+", written):
        raise UserError(f"{name}={written} would be read as the number {value}", where="the configuration",
                        remedy=recipe)
    return str(value)


def _check_trainer(section: DictConfig) -> None:
    for key, (least, whole) in TRAINER.items():
        if section.get(key) is not None:
            _check_number(f"trainer.{key}", section[key], whole, least)
    devices = section.devices
    if OmegaConf.is_list(devices):
        good = len(devices) > 0 and all(type(one) is int and one >= 0 for one in devices)
    else:
        good = devices in ("auto", -1) or (type(devices) is int and devices > 0)
    if not good:
        raise UserError(
            f"trainer.devices must be how many, or -1 or auto for all, or a list of their numbers, got {devices!r}",
            where="the configuration", remedy="for example trainer.devices=2",
        )


def _check_number(key: str, value: Any, whole: bool, least: float = -math.inf) -> None:
    what = "a whole number" if whole else "a number"
    if not isinstance(value, int if whole else int | float) or isinstance(value, bool):
        raise UserError(f"{key} must be {what}, got {value!r}", where="the configuration", remedy=_SHOW)
    if value < least:
        raise UserError(f"{key} must be at least {least}, got {value}", where="the configuration", remedy=_SHOW)


def nearest_key(key: str, conf: Path) -> str | None:
    """'did you mean ...' for a setting that does not exist, by the shipped files below `conf`."""
    known: set[str] = set()
    for path in conf.rglob("*.yaml"):
        group = path.parent.relative_to(conf).as_posix()
        prefix = "" if group in (".", "stage", "experiment", "debug", "sweep") else f"{group}."
        known |= {prefix + name for name in _names(OmegaConf.to_container(OmegaConf.load(path), resolve=False))}
    near = get_close_matches(key, sorted(known), n=1)
    return f"did you mean {near[0]}?" if near else None


def _names(node: Any, prefix: str = "") -> Iterator[str]:
    for key, value in node.items() if isinstance(node, dict) else ():
        yield f"{prefix}{key}"
        yield from _names(value, f"{prefix}{key}.")


def judge(checks: Mapping[str, DictConfig] | None, done: Mapping[str, Path]) -> dict[str, str]:
    """Print a table, got against expected, and return {name: 'PASS ...' or 'FAIL ...'}.

    A check names a `step` and a `metric` in its metrics.json (or in the results of its summary), an optional step
    `minus` whose figure is taken off, and a range: `low` and `high`; `expected` is what the committed run gave.
    """
    if not checks:
        return {}
    verdicts = {}
    table = Table("figure", "got", "expected", "allowed", "")
    for name, check in checks.items():
        if check is None:  # taken out by an override
            continue
        got = _figure(done, check.step, check.metric)
        if check.get("minus"):
            got -= _figure(done, check.minus, check.metric)
        low, high = (check.get(bound) for bound in ("low", "high"))  # null, or left out: no bound
        good = (-math.inf if low is None else low) <= got <= (math.inf if high is None else high)
        allowed = f"{'' if low is None else low} .. {'' if high is None else high}"
        verdict = "PASS" if good else "FAIL"
        table.add_row(name, f"{got:.3f}", str(check.get("expected", "")), allowed, verdict)
        verdicts[name] = f"{verdict} {got:.4f}"
    plain_console().print(table)
    return verdicts


def _figure(done: Mapping[str, Path], step: str, metric: str) -> float:
    if step not in done:
        raise UserError(f"no step is called {step!r}", where="pipeline.checks", remedy=f"steps: {', '.join(done)}")
    value = read_figure(done[step], metric)
    if value is None:
        raise UserError(f"no figure {metric!r}", where=done[step], remedy="check pipeline.checks")
    return value


def read_figure(run: Path, metric: str) -> float | None:
    """A number of a finished run by its dotted name in metrics.json, else in the results of its summary."""
    metrics = run / "metrics.json"
    values: Any = read_json(metrics) if metrics.is_file() else read_json(run / SUMMARY)["results"]
    for key in metric.split("."):
        values = values.get(key) if isinstance(values, dict) else None
    return None if isinstance(values, bool) or not isinstance(values, int | float) else float(values)
