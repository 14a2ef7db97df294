"""One run of one stage: its directory, inputs, log, lock, skipped items, and the final summary."""

from __future__ import annotations

import logging
import os
import shlex
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, Generic, TypeVar

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from rich.table import Table

from wsvs.core import runs
from wsvs.core.alive import ALIVE, alive
from wsvs.core.console import show
from wsvs.core.errors import UserError
from wsvs.core.files import Json, explain_os_error, read_json, write_json, write_text
from wsvs.core.processes import end_with, rank, world_size
from wsvs.core.reviews import SNAPSHOT, Part, Reviews
from wsvs.core.runs import FINGERPRINT
from wsvs.engine.lock import LOCK, take_lock
from wsvs.engine.ranks import leave_group, prepare_relaunch, relaunched
from wsvs.engine.resume import BUDGETS, fingerprint
from wsvs.engine.reviews import reviews_for
from wsvs.engine.tracker import Tracker

log = logging.getLogger("wsvs")

INPUTS = "inputs.json"
SKIPPED = "skipped.json"  # the skipped items, if there are any
OWN = (
    INPUTS,
    FINGERPRINT,
    SNAPSHOT,
    LOCK,
    ALIVE,
    ".hydra",
    "wandb",
    "wandb.json",
    "mlflow.json",
    "tensorboard",
)  # before any work
_NO_WORK = ("hparams.yaml", "metrics.csv")  # left by a training that diverged early

S = TypeVar("S")


class Run(Generic[S]):
    """The context that a stage receives.

    Attributes:
        stage: Name of the stage.
        settings: The settings that it reads, typed; see `wsvs.engine.stage.Stage`.
        keys: The settings that determine its result.
        needs: The stages whose runs it reads: those given by inputs.<stage>, else the latest finished ones.
        inputs: Stage -> run directory that it reads; resolved once and recorded.
        reviews: The reviewer's answers that apply to it, as they were at its start.
        dir: <out>/<name>/<stage>/<run id>, the same on every rank.
        seed: Seed of every random draw.
        home: Where the runs of this name are stored.
        overrides: The command's overrides.
        tracker: Writes to W&B and the like; None without such a logger, and on every rank but the first.
        cfg: The whole configuration, for objects that Hydra builds (trainer, callbacks, loggers, data) and for further
            commands.
        steps: Label -> run directory of a pipeline's steps.
        held: Resources of this run until it ends: its GPUs.
        skipped: The skipped items, with their reasons.
        closing: Arguments of `finish` about the next command: whether there is any output, and overrides it needs.
    """

    def __init__(
        self,
        stage: str,
        settings: S,
        *,
        keys: Sequence[str],
        needs: Sequence[str],
        home: runs.Home,
        cfg: DictConfig,
        reviews: Sequence[Part] = (),
        version: int = 1,
    ) -> None:
        self.stage = stage
        self.settings = settings
        self.keys = tuple(keys)
        self.needs = tuple(needs)
        self.version = version
        self.home = home
        self.cfg = cfg
        self.seed: int = cfg.seed
        self.debug = bool(cfg.debug)
        self.started = time.time()
        hydra = HydraConfig.get()
        self.overrides = list(hydra.overrides.task)
        self.dir = Path(os.environ["WSVS_RUN_DIR"] if relaunched() else hydra.runtime.output_dir).absolute()
        self.inputs: dict[str, Path] = {}
        self.review_parts = tuple(reviews)
        self.reviews = Reviews()
        self.steps: dict[str, Path] = {}
        self.skipped: list[dict[str, str]] = []
        self.tracker: Tracker | None = None
        self.held = ExitStack()
        self.closing: tuple[bool, Sequence[str]] = (False, ())
        self._lock: IO[str] | None = None

    @property
    def id(self) -> str:
        """The run's path below the folder of its stage as one word: the run id, and in a sweep the job's number."""
        home = (self.home.folder / self.stage).absolute()
        return "-".join(self.dir.relative_to(home).parts if self.dir.is_relative_to(home) else self.dir.parts[-1:])

    @contextmanager
    def opened(self) -> Iterator[Run[S]]:
        """Lock the directory, resolve the inputs, start the log; restore the process state for the next job."""
        from wsvs.data.images import limit_images  # late: imports NumPy, which earlier checks do not need

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
                    self.held.enter_context(alive(self.dir))
                    handler = logging.FileHandler(self.dir / runs.LOG, encoding="utf-8")
                except OSError as error:
                    raise explain_os_error(error, self.dir) from error
                handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
                logging.getLogger().addHandler(handler)
                log.info("stage %s in %s", self.stage, self.dir)
                log.debug("command: wsvs %s", shlex.join(self.overrides))
            elif relaunched() and "WSVS_PARENT" in os.environ:
                end_with(int(os.environ["WSVS_PARENT"]))
            self.inputs = self._resolve_inputs()
            prepare_relaunch(self.overrides)
            if not relaunched():
                os.environ["WSVS_PARENT"] = str(os.getpid())
            yield self
        except Exception as error:
            if handler is not None:  # the log gets the message too
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
                leave_group()
            for variable in set(os.environ) - set(before):
                del os.environ[variable]

    def _resolve_inputs(self) -> dict[str, Path]:
        """Rank 0 resolves and records the inputs; the others read the record, so that all use the same runs."""
        record = self.dir / INPUTS
        if rank() != 0:
            found = {stage: Path(path) for stage, path in self.wait_for(record).items()}
            if (self.dir / SNAPSHOT).is_file():  # written before that record
                self.reviews = Reviews.read(read_json(self.dir / SNAPSHOT))
            return found
        if record.is_file():  # a resumed run keeps its inputs
            given = self.home.given
            found = {
                stage: Path(str(given[stage])).resolve() if given.get(stage) else Path(path)
                for stage, path in read_json(record).items()
            }
        else:
            found = {stage: self.home.require(stage) for stage in self.needs}
        self._take_reviews(begun=record.is_file())
        self._check_settings(found)
        if not record.is_file():
            write_json(record, {stage: str(path) for stage, path in found.items()})
        for stage, path in found.items():
            log.info("reads %s: %s", stage, path)
        return found

    def _take_reviews(self, *, begun: bool) -> None:
        """Store the answers for all ranks and starts of this run. Raises `UserError` if they have changed since."""
        self.reviews = reviews_for(self.home, self.stage, self.review_parts, self.cfg)
        path, now = self.dir / SNAPSHOT, self.reviews.asdict()
        if begun and now != (read_json(path) if path.is_file() else {}):
            raise UserError(
                "the review or the corrected masks have changed since this run was started",
                where=self.dir,
                remedy=self._new_set
                or "give resume=false to start a new run with the new answers (or another WSVS_RUN_ID, if it is set), "
                "or remove the directory",
            )
        if now:
            write_json(path, now)
            for line in self.reviews.summary():
                log.info("%s", line)

    def _forget_inputs(self) -> None:
        """After a mistake before any output: the next start resolves its inputs again."""
        if all(path.name in (*OWN, *_NO_WORK, runs.LOG) for path in self.dir.iterdir()):
            for name in (INPUTS, FINGERPRINT, SNAPSHOT):
                (self.dir / name).unlink(missing_ok=True)

    @property
    def _version(self) -> str:
        return f"{self.version} " if self.version > 1 else ""

    def mark(self, inputs: Mapping[str, Path], reviews: Reviews) -> str:
        """What a run with its settings, these inputs and these answers has in its file .fingerprint."""
        return self._version + fingerprint(self.cfg, self.keys, inputs, BUDGETS, reviews)

    def _check_settings(self, inputs: Mapping[str, Path]) -> None:
        """Refuse a run directory that was started with other settings: its results would be mixed."""
        now, path = self.mark(inputs, self.reviews), self.dir / FINGERPRINT
        before = path.read_text(encoding="utf-8") if path.is_file() else None
        if before is not None and not before.startswith(self._version):
            log.warning("this run was started by an earlier version: its settings cannot be compared")
            before = None
        if before is None:
            write_text(path, now)
        elif before != now:
            raise UserError(
                "this run directory was started with other settings",
                where=self.dir,
                remedy=self._new_set
                or "give another WSVS_RUN_ID (also in a SLURM job, whose number is the default), or resume=false, or "
                "remove the directory",
            )

    @property
    def _new_set(self) -> str:
        """How to start a shard in a new directory; empty for other runs."""
        shard = OmegaConf.select(self.cfg, f"{self.stage}.shard", default=None)
        return "give all shards of a new set the same WSVS_RUN_ID=<word>, or remove the directory" if shard else ""

    def wait_for(self, record: Path, seconds: float = 600.0) -> Any:
        """Wait for a JSON file that rank 0 writes, and return its content. Raises `UserError` after `seconds`."""
        deadline = time.time() + seconds
        while not record.is_file():
            if time.time() > deadline:
                remedy = "check that all nodes share this folder"
                raise UserError("rank 0 did not write this file", where=record, remedy=remedy)
            time.sleep(0.2)
        return read_json(record)

    def checkpoint(self, stage: str) -> Path:
        """Best checkpoint of an input run. Raises `UserError` if the run has none."""
        path = self.inputs[stage] / "checkpoints" / "best.ckpt"
        if not path.is_file():
            raise UserError("this run has no checkpoint", where=path, remedy=f"run stage={stage} again")
        return path

    def skip(self, item: str, reason: str) -> None:
        """Record a skipped item with its reason."""
        log.warning("skipped %s: %s", item, reason.replace("\n", " "))
        self.skipped.append({"item": item, "reason": reason})

    def by_a_person(self, *own: str) -> list[str]:
        """Manual work for this run and for its input runs: one sentence each."""
        there = [path for path in self.inputs.values() if (path / runs.SUMMARY).is_file()]
        read = [line for path in there for line in runs.read_summary(path).person]
        return list(dict.fromkeys([*read, *own, *self.reviews.summary()]))

    def finish(
        self,
        *,
        counts: Mapping[str, Json],
        results: Mapping[str, Json] | None = None,
        wrote: Path | None = None,
        supervision: str | None = None,
        person: Sequence[str] = (),
        columns: Sequence[str] = ("", ""),
        goes_on: bool = True,
        proposed: Sequence[str] = (),
    ) -> None:
        """Write the summary (rank 0) and print the closing table.

        Args:
            supervision: The annotations that it used.
            person: Manual work beyond these, except the review; one sentence each.
            goes_on: Whether there is any output for a next command.
            proposed: Further overrides that the next command needs.
        """
        if rank() != 0:
            return
        counts = {**counts, runs.SKIPPED: len(self.skipped)}
        if self.skipped:
            write_json(self.dir / SKIPPED, self.skipped)
        runs.write_summary(
            self.dir,
            stage=self.stage,
            started=self.started,
            overrides=self.overrides,
            inputs={stage: str(path) for stage, path in self.inputs.items()},
            counts=counts,
            results={
                **(results or {}),
                "fingerprint": fingerprint(self.cfg, self.keys, self.inputs, reviews=self.reviews),
            },
            supervision=supervision,
            person=self.by_a_person(*person),
            debug=self.debug,
        )
        if self.tracker is not None:
            self.tracker.finished(counts, results or {})
        table = Table(*columns, title=f"{self.stage}: {time.time() - self.started:.0f} s", show_header=bool(columns[0]))
        for key, value in {**counts, **(results or {})}.items():
            _add_rows(table, str(key), value)
        show(table)
        log.info("wrote %s", wrote or self.dir)
        self.closing = (goes_on, proposed)


def _add_rows(table: Table, key: str, value: Json) -> None:
    """Add one row, or for a mapping a heading and one row per entry."""
    if isinstance(value, Mapping) and value:
        table.add_row(key, "")
        for part, one in value.items():
            _add_rows(table, f"  {part}", one)
    else:
        table.add_row(key, f"{value:.4g}" if isinstance(value, float) else str(value))
