"""What every stage does around its work: find its run directory and inputs, log, lock, resume, write the summary."""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import IO, Any, cast

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, read_write
from rich.console import Console
from rich.table import Table

from wsvs.core import runs
from wsvs.core.errors import UserError
from wsvs.core.files import read_json, write_json
from wsvs.stages import STAGES, load_stage

log = logging.getLogger("wsvs")

INPUTS = "inputs.json"
LOCK = ".lock"
RANK_VARIABLES = ("RANK", "SLURM_PROCID", "LOCAL_RANK")


def rank() -> int:
    """Rank of this process among those of its run; 0 when it is alone."""
    for variable in RANK_VARIABLES:
        if os.environ.get(variable, "").isdigit():
            return int(os.environ[variable])
    return 0


class Run:
    """One run of one stage.

    Attributes:
        cfg: The configuration.
        command: What a command line calls, with sys.argv; the pipeline starts its steps with it.
        stage: Name of the stage.
        dir: outputs/<name>/<stage>/<run id>, the same for every rank.
        inputs: Stage -> run directory that this run reads; resolved once and recorded.
        overrides: The command's overrides.
    """

    def __init__(self, cfg: DictConfig, command: Callable[[], None]) -> None:
        self.cfg = cfg
        self.command = command
        self.stage: str = cfg.stage
        self.started = time.time()
        hydra = HydraConfig.get()
        self.overrides = list(hydra.overrides.task)
        self.dir = Path(os.environ["WSVS_RUN_DIR"] if _relaunched() else hydra.runtime.output_dir).absolute()
        self.inputs: dict[str, Path] = {}
        self.skipped: list[dict[str, str]] = []
        self._lock: IO[str] | None = None

    @contextmanager
    def opened(self, module: ModuleType) -> Iterator[Run]:
        """Lock the directory, resolve the inputs, start the log; undo what leaks into a next job of this process."""
        before = dict(os.environ)
        argv = list(sys.argv)
        os.environ["WSVS_RUN_DIR"] = str(self.dir)
        handler = None
        try:
            self.dir.mkdir(parents=True, exist_ok=True)
            if rank() == 0:
                self._lock = _take_lock(self.dir)
                handler = logging.FileHandler(self.dir / "wsvs.log")
                handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
                logging.getLogger().addHandler(handler)
                log.info("stage %s in %s", self.stage, self.dir)
                log.debug("command: wsvs %s", shlex.join(self.overrides))
            self.inputs = self._resolve_inputs(module)
            _prepare_relaunch(self.dir, self.overrides)
            yield self
        finally:
            if handler is not None:
                logging.getLogger().removeHandler(handler)
                handler.close()
            if self._lock is not None:
                self._lock.close()
            sys.argv[:] = argv
            for variable in set(os.environ) - set(before):
                del os.environ[variable]

    def _resolve_inputs(self, module: ModuleType) -> dict[str, Path]:
        """Rank 0 resolves and records; the others read the record, so that all see the same runs."""
        record = self.dir / INPUTS
        if rank() != 0:
            return {stage: Path(path) for stage, path in self.wait_for(record).items()}
        if record.is_file():  # a run that is taken up again keeps its inputs
            found = {stage: Path(path) for stage, path in read_json(record).items()}
        else:
            found = resolve_inputs(self.cfg, module)
            write_json(record, {stage: str(path) for stage, path in found.items()})
        for stage, path in found.items():
            log.info("reads %s: %s", stage, path)
        return found

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
        supervision: str | None = None, columns: Sequence[str] = ("", ""),
    ) -> None:
        """Write the summary (rank 0) and print the closing table."""
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
        table = Table(*columns, title=f"{self.stage}: {time.time() - self.started:.0f} s", show_header=bool(columns[0]))
        for key, value in {**counts, **(results or {})}.items():
            table.add_row(str(key), f"{value:.4g}" if isinstance(value, float) else str(value))
        Console().print(table)
        log.info("wrote %s", wrote or self.dir)


def resolve_inputs(cfg: DictConfig, module: ModuleType) -> dict[str, Path]:
    """The runs a stage reads (its NEEDS): those given by inputs.<stage>, else the latest finished ones."""
    needs = module.needs(cfg) if hasattr(module, "needs") else module.NEEDS
    return {
        stage: runs.require_run(cfg.out, cfg.name, stage, cfg.inputs[stage], debug=bool(cfg.debug)) for stage in needs
    }


def fingerprint(cfg: DictConfig, stage: str, inputs: Mapping[str, Path]) -> str:
    """Digest of all that determines a stage's result: its sections of the configuration, the seed, its inputs."""
    whole = cast(dict[str, Any], OmegaConf.to_container(cfg, resolve=False))
    sections = {key: whole[key] for key in (*load_stage(stage).SECTIONS, "seed")}
    text = json.dumps([sections, {k: str(v) for k, v in inputs.items()}], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def resolve_run_id(out: str, name: str, stage: str, resume: bool) -> str:
    """Id of this run: from the environment, else the unfinished run of the same command, else a new one."""
    if resume and stage in (*STAGES, "pipeline") and not any(
        os.environ.get(v) for v in ("WSVS_RUN_ID", "TORCHELASTIC_RUN_ID", "SLURM_JOB_ID")
    ):
        wanted = sorted(word for word in sys.argv[1:] if "=" in word and not word.startswith("hydra"))
        for path in sorted(Path(out, name, stage).glob("*/.hydra/overrides.yaml"), reverse=True):
            directory = path.parents[1]
            same = sorted(str(word) for word in OmegaConf.load(path)) == wanted
            if same and not (directory / runs.SUMMARY).exists() and not _is_locked(directory):
                os.environ["WSVS_RUN_ID"] = directory.name
                break
    return runs.run_id()


def _relaunched() -> bool:
    """Is this process a rank that Lightning started from another one?"""
    return rank() != 0 and "WSVS_RUN_DIR" in os.environ


def _prepare_relaunch(directory: Path, overrides: list[str]) -> None:
    """Lightning starts the other ranks with sys.argv: give them this one job, in this directory, and no sweep."""
    sys.argv[1:] = overrides
    config: Any = HydraConfig.instance().cfg
    if config is not None:
        with read_write(config.hydra):  # Hydra marks this node itself read-only
            config.hydra.run.dir = str(directory)


def _take_lock(directory: Path) -> IO[str]:
    """A record lock dies with its process, even by kill -9, and is not inherited by loader workers."""
    stream = (directory / LOCK).open("w")
    try:
        fcntl.lockf(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        stream.close()
        raise UserError(
            "another process works in this run directory", where=directory,
            remedy="wait for it, or start with another name=... or WSVS_RUN_ID",
        ) from None
    return stream


def _is_locked(directory: Path) -> bool:
    try:
        _take_lock(directory).close()
    except UserError:
        return True
    except OSError:
        return True  # not ours to write: not ours to take up
    return False
