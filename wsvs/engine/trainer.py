"""Build the Lightning trainer, callbacks and loggers of the configuration, and fit or predict with resume."""

from __future__ import annotations

import logging
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from math import isnan
from pathlib import Path
from typing import Any, cast

import lightning.pytorch as pl
import torch
import torch.distributed
from lightning.pytorch.callbacks import WeightAveraging
from lightning.pytorch.strategies import DDPStrategy
from omegaconf import OmegaConf
from torch.optim.swa_utils import get_ema_multi_avg_fn

from wsvs.config.stages import Training
from wsvs.core.errors import UserError
from wsvs.core.files import explain_os_error
from wsvs.core.processes import DDP_TIMEOUT, rank
from wsvs.core.stopping import at_a_stop, stop_in
from wsvs.engine.devices import check_launcher, devices_of, lease
from wsvs.engine.explain import build
from wsvs.engine.optimisation import learning_rates
from wsvs.engine.run import Run
from wsvs.engine.tracking import is_tracker
from wsvs.lit.finite import StopOnDivergence
from wsvs.lit.logger import Metrics
from wsvs.lit.steps import Newest, StepSeed, Throughput, ValidateLast
from wsvs.lit.tracking import BadItems, WholeCheckpoints
from wsvs.nets.model import read_checkpoint

log = logging.getLogger("wsvs")


def set_seed(seed: int) -> None:
    """Seed all random generators, including those of loader workers and of weight initialisation."""
    pl.seed_everything(seed, workers=True, verbose=False)


def build_trainer(
    run: Run[Any],
    *,
    training: Training | None = None,
    epochs: int | None = None,
    steps: int | None = None,
    val_every: int | None = None,
    monitor: str | None = None,
    **extra: Any,
) -> pl.Trainer:
    """`cfg.trainer` with its loggers and callbacks, and the stage's length unless the trainer section overrides it.

    Args:
        training: Settings of the training; None for a predict loop.
        epochs, steps: Length of the training, in epochs or optimizer steps; neither for a predict loop.
        val_every: Steps between validations; at the end of every epoch by default.
        monitor: The metric, the higher the better, that chooses the checkpoint.
    """
    cfg = run.cfg
    _quieten()
    check_launcher(cfg)
    set_seed(run.seed)  # again, so that the order of items is the same in a resumed run
    given = {key: value for key, value in cfg.trainer.items() if value is not None}
    if epochs is not None:  # an epoch ends with a validation, also if max_steps limits the training
        given.setdefault("max_epochs", sys.maxsize if "max_steps" in given else epochs)
    if steps is not None and "max_epochs" not in given:
        given.setdefault("max_steps", steps)
    if steps is not None:
        given.setdefault("max_epochs", -1)
    given.setdefault("max_steps", -1)
    if val_every is not None:
        batches = val_every * given.get("accumulate_grad_batches", 1)  # Lightning counts batches
        given |= {"val_check_interval": batches, "check_val_every_n_epoch": None}
    leased = lease(cfg, run.held)
    if leased is not None:
        given["devices"] = leased
    if rank() == 0:
        keep_metrics(run.dir)
    loggers = [build(item) for item in cfg.logger.values() if item and not is_tracker(item)]
    # Writers come before the callbacks that count finished items.
    callbacks: list[pl.Callback] = [StopOnTerm(), *extra.pop("callbacks", [])]
    if any(map(is_tracker, cfg.logger.values())):
        loggers.append(Metrics(run.tracker.log if run.tracker else None))
    if monitor and run.tracker and run.tracker.media:
        from wsvs.lit.media import ShowValidation

        callbacks.append(ShowValidation(run.tracker.media, run.tracker.show))
    if monitor:
        callbacks += [StepSeed(cfg.seed), ValidateLast(), Newest(monitor), *averaging(training)]
        rates = learning_rates(cfg.model.lr, training, run.stage, cfg.model.trainable)
        callbacks.append(StopOnDivergence(rates))  # after the averaging callback, whose weights it checks
    for item in cfg.callbacks.values():
        if item is not None and item._target_.endswith("ModelCheckpoint"):
            free = "monitor" in item or item.get("filename") == "last"
            chosen = {} if free else {"monitor": monitor, "mode": "max"}
            if monitor:
                callbacks.append(build(item, **chosen))
        elif item is not None:
            callbacks.append(build(item))
    if monitor and not any(getattr(item, "filename", "") == "best" for item in callbacks):
        raise UserError(
            "no callback saves checkpoints, so the training would leave no result",
            where="callbacks",
            remedy="keep callbacks.checkpoint, with filename: best",
        )
    if monitor is None and given.get("strategy") in ("auto", "ddp") and devices_of(cfg) * cfg.trainer.num_nodes > 1:
        del given["strategy"]  # its default time-out is half an hour
        extra["strategy"] = DDPStrategy(timeout=DDP_TIMEOUT)
    trainer: pl.Trainer = build(
        OmegaConf.create(given),
        logger=loggers or False,
        callbacks=callbacks,
        default_root_dir=str(run.dir),
        enable_checkpointing=monitor is not None,
        enable_progress_bar=False,
        plugins=[WholeCheckpoints()],
        **extra,
    )
    if trainer.is_global_zero:
        for logger in trainer.loggers:
            logger.log_hyperparams(cast(dict[str, Any], OmegaConf.to_container(cfg, resolve=True)))
    return trainer


def averaging(training: Training | None) -> list[pl.Callback]:
    """The moving average of the weights, if enabled: validations and checkpoints then use the average."""
    if training is None or training.ema is None:
        return []
    # updated by differences, so that weights that do not change (frozen layers) stay bit-identical
    return [WeightAveraging(multi_avg_fn=get_ema_multi_avg_fn(training.ema))]  # type: ignore[no-untyped-call]


def keep_metrics(folder: Path) -> None:
    """Rename the metrics of an earlier start: Lightning's CSV logger would delete them."""
    metrics = folder / "metrics.csv"
    if metrics.is_file():
        number = next(n for n in count(1) if not (folder / f"metrics.{n}.csv").exists())
        metrics.rename(folder / f"metrics.{number}.csv")


def restore_metrics(folder: Path) -> None:
    """Restore the metrics of the previous start if this one had nothing left to train."""
    numbers = [int(path.suffixes[0][1:]) for path in folder.glob("metrics.*.csv")]
    if numbers and not (folder / "metrics.csv").exists():
        (folder / f"metrics.{max(numbers)}.csv").rename(folder / "metrics.csv")


class StopOnTerm(pl.Callback):
    """Restores wsvs' SIGTERM handler: Lightning's ignores the signal in a predict loop, and broadcasts inside the
    handler, which can deadlock with a rank in another collective call."""

    def __init__(self) -> None:
        self.ours = signal.getsignal(signal.SIGTERM)

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        signal.signal(signal.SIGTERM, self.ours)

    def on_predict_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        signal.signal(signal.SIGTERM, self.ours)


@contextmanager
def _unwatched() -> Iterator[None]:
    """Let this rank report an error or a signal and exit by itself.

    Lightning's observer of child processes would kill it as soon as another rank fails, which they then do.
    """
    with at_a_stop(_unwatch):
        try:
            yield
        except BaseException:
            _unwatch()
            raise


def _unwatch() -> None:
    for thread in threading.enumerate():
        if thread.name == "child-process-observer":
            thread._child_processes = []  # type: ignore[attr-defined]  # nothing left to observe


@contextmanager
def explained(run: Run[Any]) -> Iterator[None]:
    """Translate errors of a training or predict loop that the user can fix to `UserError`, by their types.

    Lightning's SystemExit after an interrupt becomes the interrupt again.
    """
    try:
        with _unwatched():
            yield
    except torch.OutOfMemoryError as error:
        raise UserError(
            "the GPU is out of memory",
            where=f"stage {run.stage}",
            remedy="lower <stage>.batch_size or model.image_size",
        ) from error
    except OSError as error:
        raise explain_os_error(error, error.filename or run.dir) from error
    except RuntimeError as error:
        failed = _failed_process(error)
        if failed is None:
            raise
        raise UserError(
            f"{failed} ended unexpectedly: {error}",
            where=f"stage {run.stage}",
            remedy="see the messages above; it may have been killed because memory ran out. "
            "Run the same command again to resume",
        ) from error
    except SystemExit as exit:  # Lightning's answer to an interrupt
        raise (stop_in(exit) or KeyboardInterrupt) from exit


def _failed_process(error: RuntimeError) -> str | None:
    """Which process died, if the error says so."""
    if "DataLoader worker" in str(error):
        return "a data loader worker"
    if isinstance(error, torch.distributed.DistError) or "gloo" in str(error):
        return "another rank"
    return None


def fit(run: Run[Any], trainer: pl.Trainer, module: pl.LightningModule, data: Any) -> dict[str, float | None]:
    """Train from scratch or resume; bad items are skipped and recorded.

    Returns the metric that selects the checkpoint, its value for the best one, and the throughput.
    """
    bad, throughput = BadItems(), Throughput()
    trainer.callbacks += [bad, throughput]  # type: ignore[attr-defined]
    last = run.dir / "checkpoints" / "last.ckpt"
    if last.is_file():
        # For a damaged file Lightning would raise types that cannot be distinguished from errors in training.
        read_checkpoint(last, remedy="remove the file: the same command then trains from scratch")
        log.info("resuming from %s", last)
    with explained(run):
        trainer.fit(module, data, ckpt_path=str(last) if last.is_file() else None, weights_only=True)
    for item, reason in sorted(bad.found.items()):
        run.skip(item, reason)
    if rank() == 0:
        restore_metrics(run.dir)
    newest = next(item for item in trainer.callbacks if isinstance(item, Newest))  # type: ignore[attr-defined]
    keeper: Any = trainer.checkpoint_callback
    chosen, best = keeper.monitor, keeper.best_model_score
    if chosen is None:  # no metric selects the checkpoint
        chosen, best = newest.figure, newest.score
    if best is None or (rank() == 0 and not (run.dir / "checkpoints" / "best.ckpt").is_file()):
        raise UserError(
            "the training wrote no checkpoint",
            where=run.dir / "checkpoints",
            remedy="train longer (at least one validation)",
        )
    figure = float(best)  # NaN: no validation images have this metric, and it selects nothing
    return {chosen: None if isnan(figure) else figure, **throughput.results()}


def _quieten() -> None:
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in ("lightning.pytorch.profilers", "lightning.fabric.strategies.launchers"):
        logging.getLogger(name).setLevel(logging.INFO)  # the table of debug=profile; the reason why ranks were killed
    harmless = (
        "does not have many workers",
        "smaller than the logging interval",
        "exists and is not empty",
        "across ranks is zero",
        "It is recommended to use `self.log.*sync_dist=True",
        "You have overridden `transfer_batch_to_device`",
        "module.s. in eval mode at the start of training",
        "Couldn.t infer the batch indices",
        "No positive samples found in target",
        "Average precision score for one or more",
        "`isinstance.treespec, LeafSpec.` is deprecated",
        "your dataloader is not resumable",  # `TrainingData` is resumable, not its loader
        "The `srun` command is available on your system",  # check_launcher reports when it is needed
    )
    for text in harmless:
        warnings.filterwarnings("ignore", message=f".*{text}.*")
