"""What every stage does around its work: find its run directory and inputs, log, lock, resume, write the summary."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType
from typing import IO, TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, read_write
from rich.table import Table

from wsvs.config.check import text_of
from wsvs.core import runs
from wsvs.core.console import show
from wsvs.core.errors import UserError
from wsvs.core.files import explain_os_error, read_json, write_json, write_text
from wsvs.core.locks import lock
from wsvs.core.processes import end_with, world_size
from wsvs.core.processes import rank as rank  # stages take it from here
from wsvs.core.sweeps import unfinished
from wsvs.data.images import limit_images
from wsvs.stages import ALL_STAGES, load_stage
from wsvs.stages._job import is_sweep, swept
from wsvs.stages._next import next_line
from wsvs.stages._resume import BUDGETS, MANNERS, continues, is_task_override, overrides_of
from wsvs.stages._status import is_part

if TYPE_CHECKING:
    from wsvs.stages._wandb import Tracker

log = logging.getLogger("wsvs")

INPUTS = "inputs.json"
FINGERPRINT = ".fingerprint"
LOCK = ".lock"
_OWN = (INPUTS, FINGERPRINT, LOCK, ".hydra", "wandb", "wandb.json")  # before there is any work
_NO_WORK = ("hparams.yaml", "metrics.csv")  # what a training that diverged early leaves
# Settings that change no result. `dirpath` and `every` are of the callbacks: where checkpoints go, how often to report.
NO_RESULT = ("workers", "log_every_n_steps", "enable_model_summary", "profiler", "dirpath", "every", *MANNERS)
CONFIG_OPTIONS = ("--config-dir", "-cd", "--config-name", "-cn", "--config-path", "-cp")


class Run:
    """One run of one stage.

    Attributes:
        cfg: The configuration.
        command: What a command line calls, with sys.argv; the pipeline starts its steps with it.
        stage: Name of the stage.
        dir: outputs/<name>/<stage>/<run id>, the same for every rank.
        inputs: Stage -> run directory that this run reads; resolved once and recorded.
        overrides: The command's overrides.
        tracker: Writes to W&B; None without logger=wandb, and on every rank but the first.
        steps: Label -> run directory of what a pipeline ran.
        held: What this run has until it ends: its GPUs.
    """

    def __init__(self, cfg: DictConfig, command: Callable[[], None]) -> None:
        self.cfg = cfg
        self.command = command
        self.stage: str = cfg.stage
        self.started = time.time()
        hydra = HydraConfig.get()
        self.overrides = list(hydra.overrides.task)
        self.dir = Path(os.environ["WSVS_RUN_DIR"] if relaunched() else hydra.runtime.output_dir).absolute()
        self.inputs: dict[str, Path] = {}
        self.steps: dict[str, Path] = {}
        self.skipped: list[dict[str, str]] = []
        self.tracker: Tracker | None = None
        self.held = ExitStack()
        self._lock: IO[str] | None = None

    @property
    def id(self) -> str:
        """The run's path below the folder of its stage, in one word: the run id, and in a sweep the job's number."""
        home = Path(self.cfg.out, self.cfg.name, self.stage).absolute()
        return "-".join(self.dir.relative_to(home).parts if self.dir.is_relative_to(home) else self.dir.parts[-1:])

    @contextmanager
    def opened(self, module: ModuleType) -> Iterator[Run]:
        """Lock the directory, resolve the inputs, start the log; undo what leaks into a next job of this process."""
        before = dict(os.environ)
        argv = list(sys.argv)
        os.environ["WSVS_RUN_DIR"] = str(self.dir)
        limit_images(self.cfg.max_megapixels)
        handler = None
        try:
            if rank() == 0:
                try:
                    self.dir.mkdir(parents=True, exist_ok=True)
                    self._lock = take_lock(self.dir)
                    handler = logging.FileHandler(self.dir / runs.LOG, encoding="utf-8")
                except OSError as error:
                    raise explain_os_error(error, self.dir) from error
                handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
                logging.getLogger().addHandler(handler)
                log.info("stage %s in %s", self.stage, self.dir)
                log.debug("command: wsvs %s", shlex.join(self.overrides))
            elif relaunched() and "WSVS_PARENT" in os.environ:
                end_with(int(os.environ["WSVS_PARENT"]))
            self.inputs = self._resolve_inputs(module)
            _prepare_relaunch(self.overrides)
            if not relaunched():
                os.environ["WSVS_PARENT"] = str(os.getpid())
            yield self
        except Exception as error:
            if handler is not None:  # the log keeps what the screen shows
                handler.emit(logging.LogRecord("wsvs", logging.ERROR, __file__, 0, "%s", (error,), None))
            if isinstance(error, UserError) and self._lock is not None and world_size() == 1:
                self._forget_inputs()
            raise
        finally:
            if handler is not None:
                logging.getLogger().removeHandler(handler)
                handler.close()
            self.held.close()
            if self._lock is not None:
                self._lock.close()
            sys.argv[:] = argv
            if "LOCAL_RANK" in set(os.environ) - set(before):  # Lightning started ranks for this job alone
                _leave_group()
            for variable in set(os.environ) - set(before):
                del os.environ[variable]

    def _resolve_inputs(self, module: ModuleType) -> dict[str, Path]:
        """Rank 0 resolves and records; the others read the record, so that all see the same runs."""
        record = self.dir / INPUTS
        if rank() != 0:
            return {stage: Path(path) for stage, path in self.wait_for(record).items()}
        if record.is_file():  # a run that is taken up again keeps its inputs
            given = self.cfg.inputs
            found = {
                stage: Path(given[stage]).resolve() if given[stage] else Path(path)
                for stage, path in read_json(record).items()
            }
        else:
            found = resolve_inputs(self.cfg, module)
        self._check_settings(found)
        if not record.is_file():
            write_json(record, {stage: str(path) for stage, path in found.items()})
        for stage, path in found.items():
            log.info("reads %s: %s", stage, path)
        return found

    def _forget_inputs(self) -> None:
        """Where a run is refused before it has made anything: the next start takes what has been mended meanwhile."""
        if all(path.name in (*_OWN, *_NO_WORK, runs.LOG) for path in self.dir.iterdir()):
            for name in (INPUTS, FINGERPRINT):
                (self.dir / name).unlink(missing_ok=True)

    def _check_settings(self, inputs: Mapping[str, Path]) -> None:
        """Part of one result and part of another would make neither: refuse what was begun with other settings."""
        now, path = fingerprint(self.cfg, self.stage, inputs, without=BUDGETS), self.dir / FINGERPRINT
        now = f"2 {now}" if self.stage == "retrieve" else now
        before = path.read_text(encoding="utf-8") if path.is_file() else None
        if before is not None and self.stage == "retrieve" and not before.startswith("2 "):
            log.warning("an earlier version began this run: whether its settings were the same cannot be told")
            before = None
        if before is None:
            write_text(path, now)
        elif before != now:
            raise UserError(
                "this run directory was begun with other settings", where=self.dir,
                remedy="give another WSVS_RUN_ID (in a SLURM job too: its number is the default), or resume=false, "
                "or remove the directory",
            )

    def wait_for(self, record: Path, seconds: float = 600.0) -> Any:
        """Content of a JSON file that rank 0 writes. Raises `UserError` if it does not come."""
        deadline = time.time() + seconds
        while not record.is_file():
            if time.time() > deadline:
                raise UserError("rank 0 did not write this file", where=record, remedy="do all nodes share the folder?")
            time.sleep(0.2)
        return read_json(record)

    def checkpoint(self, stage: str) -> Path:
        """Best checkpoint of an input run. Raises `UserError` if the run holds none."""
        path = self.inputs[stage] / "checkpoints" / "best.ckpt"
        if not path.is_file():
            raise UserError("this run has no checkpoint", where=path, remedy=f"run stage={stage} again")
        return path

    def skip(self, item: str, reason: str) -> None:
        """Record one bad item that was passed over."""
        log.warning("passed over %s: %s", item, reason.replace("\n", " "))
        self.skipped.append({"item": item, "reason": reason})

    def finish(
        self, *, counts: Mapping[str, Any], results: Mapping[str, Any] | None = None, wrote: Path | None = None,
        supervision: str | None = None, columns: Sequence[str] = ("", ""), goes_on: bool = True,
        proposed: Sequence[str] = (),
    ) -> None:
        """Write the summary (rank 0), print the closing table and, if this run has made anything, what comes next.

        `proposed` are overrides that the next command needs beside those of this one.
        """
        if rank() != 0:
            return
        counts = {**counts, "passed over": len(self.skipped)}
        if self.skipped:
            write_json(self.dir / "skipped.json", self.skipped)
        runs.write_summary(
            self.dir, stage=self.stage, started=self.started, overrides=self.overrides,
            inputs={stage: str(path) for stage, path in self.inputs.items()}, counts=counts,
            results={**(results or {}), "fingerprint": fingerprint(self.cfg, self.stage, self.inputs)},
            supervision=supervision, debug=bool(self.cfg.debug),
        )
        if self.tracker is not None:
            self.tracker.finished(counts, results or {})
        table = Table(*columns, title=f"{self.stage}: {time.time() - self.started:.0f} s", show_header=bool(columns[0]))
        for key, value in {**counts, **(results or {})}.items():
            _add_rows(table, str(key), value)
        show(table)
        log.info("wrote %s", wrote or self.dir)
        alone = not is_part() and not swept()  # no step, nor a sweep's job
        if goes_on and alone:
            options = config_options(sys.argv[1:])
            following = next_line(self.cfg, self.overrides, self.dir, options, proposed)
            if following:
                log.info("%s", following)


def _add_rows(table: Table, key: str, value: Any) -> None:
    """One row, or the key and a row for each of its parts."""
    if isinstance(value, Mapping) and value:
        table.add_row(key, "")
        for part, one in value.items():
            _add_rows(table, f"  {part}", one)
    else:
        table.add_row(key, f"{value:.4g}" if isinstance(value, float) else str(value))


def resolve_inputs(cfg: DictConfig, module: ModuleType) -> dict[str, Path]:
    """The runs a stage reads (its NEEDS): those given by inputs.<stage>, else the latest finished ones."""
    needs = module.needs(cfg) if hasattr(module, "needs") else module.NEEDS
    return {
        stage: runs.require_run(cfg.out, cfg.name, stage, cfg.inputs[stage], debug=bool(cfg.debug)) for stage in needs
    }


def fingerprint(cfg: DictConfig, stage: str, inputs: Mapping[str, Path], without: Sequence[str] = ()) -> str:
    """Digest of all that determines a stage's result: its sections of the configuration, the seed, its inputs."""
    keys = load_stage(stage).SECTIONS
    sections: dict[str, Any] = {}
    for key in (*keys, "seed"):
        value = OmegaConf.select(cfg, key)  # a section, or one setting of it
        sections[key] = OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
    sections = _without(sections, (*NO_RESULT, *without))
    text = json.dumps([sections, {k: str(v) for k, v in inputs.items()}], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _without(value: Any, keys: Sequence[str]) -> Any:
    """Nested dicts without some keys."""
    return {k: _without(v, keys) for k, v in value.items() if k not in keys} if isinstance(value, dict) else value


def resolve_run_id(out: str, name: str, stage: str, resume: bool) -> str:
    """Id of this run: from the environment, else the unfinished run of the same command, else a new one."""
    home = Path(runs.check_out(text_of("out", out)), runs.check_folder_name("name", text_of("name", name)), stage)
    if resume and stage in ALL_STAGES and not any(
        os.environ.get(v) for v in ("WSVS_RUN_ID", "TORCHELASTIC_RUN_ID", "SLURM_JOB_ID")
    ):
        said = sorted(word for word in sys.argv[1:] if is_task_override(word))
        begun = [(path.parents[1], overrides_of(path)) for path in home.glob("*/.hydra/overrides.yaml")]
        for directory, words in sorted(unfinished(home) if is_sweep(sys.argv) else begun, reverse=True):
            if continues(directory, stage, said, words) and not _is_locked(directory):
                os.environ["WSVS_RUN_ID"] = directory.name
                break
    return runs.run_id()


def relaunched() -> bool:
    """Is this process a rank that Lightning started from another one?"""
    return rank() != 0 and "WSVS_RUN_DIR" in os.environ


def _leave_group() -> None:
    """The next job of a sweep gets ranks of its own: it must not wait for those of this one."""
    import torch.distributed

    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _prepare_relaunch(overrides: list[str]) -> None:
    """Lightning starts the other ranks with sys.argv: give them this one job, and no sweep.

    They find their directory in WSVS_RUN_DIR. Hydra's own is quoted by Lightning in a way that not every path stands.
    """
    sys.argv[1:] = [*config_options(sys.argv[1:]), *overrides]
    config: Any = HydraConfig.instance().cfg
    if config is not None:
        with read_write(config.hydra):  # Hydra marks this node itself read-only
            config.hydra.run.dir = "."


def config_options(words: Sequence[str]) -> Iterator[str]:
    """The options that say where the configuration comes from, with their values."""
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word in CONFIG_OPTIONS:
            yield from (word, following)
        elif word.partition("=")[0] in CONFIG_OPTIONS:
            yield word


def take_lock(directory: Path) -> IO[str]:
    """A record lock dies with its process, even by kill -9, and is not inherited by loader workers."""
    stream = (directory / LOCK).open("w", encoding="utf-8")
    try:
        free = lock(stream)
    except OSError as error:
        log.warning("no locks on this file system (%s): start this run only once", error.strerror)
        return stream
    if not free:
        stream.close()
        raise UserError(
            "another process works in this run directory", where=directory,
            remedy="wait for it, or start with another name=... or WSVS_RUN_ID",
        )
    return stream


def _is_locked(directory: Path) -> bool:
    try:
        take_lock(directory).close()
    except UserError:
        return True
    except OSError:
        return True  # not ours to write: not ours to take up
    return False
