"""One W&B run for each job (logger=wandb). Nothing else in the package imports wandb, and only rank 0 comes here."""

from __future__ import annotations

import csv
import logging
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

from omegaconf import OmegaConf

from wsvs.core.classes import IGNORE
from wsvs.core.errors import UserError
from wsvs.core.files import read_json, write_json
from wsvs.core.processes import rank
from wsvs.engine.artifacts import Masks, build, describe, inputs_of
from wsvs.engine.job import swept
from wsvs.engine.run import Run
from wsvs.engine.stage import Kind, Stage

if TYPE_CHECKING:
    from wsvs.lit.media import Picture

log = logging.getLogger("wsvs")

RECORD = "wandb.json"  # in the run directory: the W&B run it belongs to, and the artifacts made of it
STEP = "trainer/global_step"
LONGEST = 640  # px of a picture's longer side


@dataclass(frozen=True)
class Wandb:
    """What `logger=wandb` asks for.

    Args:
        project, entity, group, job_type, name, tags: Of the run, as W&B calls them.
        offline: Write the run to disk only. WANDB_MODE=offline does the same.
        media: Pictures of each kind.
        models: Log the best checkpoint of a training as an artifact.
        masks: What an artifact of a mask set holds: nothing ("none": there is none), the lists of them, references to
            the PNGs (each is read once for its checksum), or the PNGs themselves.
    """

    project: str
    group: str
    job_type: str
    name: str
    entity: str | None = None
    tags: Sequence[str] = ()
    offline: bool = False
    media: int = 8
    models: bool = True
    masks: Masks = "manifest"


@contextmanager
def tracked(run: Run[Any], stage: Stage[Any]) -> Iterator[None]:
    """The job's W&B run, from here to the end of the block; nothing without logger=wandb, or on another rank.

    Of a stage whose jobs are processes forked from its own it begins when these are over.

    Raises:
        UserError: W&B does not open the run: no login, no network.
    """
    section = run.cfg.logger.get("wandb")
    if section is None or rank() != 0:
        yield
        return
    from hydra.utils import instantiate

    tracker = run.tracker = WandbTracker(run, stage.makes, instantiate(section, _convert_="all"))
    if stage.ranks != "one":
        tracker.open()
    code = 1
    try:
        yield
        code = 0
    finally:
        tracker.close(code)


P = ParamSpec("P")


def _harmless(method: Callable[P, None]) -> Callable[P, None]:
    """What cannot be logged is said and forgotten: the results are on disk, and a training must not be lost for it."""

    @wraps(method)
    def quietly(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            method(*args, **kwargs)
        except Exception as error:  # W&B raises what its many parts raise
            log.warning("not logged to W&B (%s): %s: %s", method.__name__, type(error).__name__, error)

    return quietly


class WandbTracker:
    """Writes one job into its W&B run.

    Attributes:
        media: Pictures of each kind.
        wandb: The W&B run while it is open.
    """

    def __init__(self, run: Run[Any], makes: Sequence[Kind], settings: Wandb) -> None:
        self.run = run
        self.makes = makes
        self.settings = settings
        self.media = settings.media
        self.wandb: Any = None

    def open(self) -> None:
        """Begin the W&B run, or go on with that of an earlier start of this job; name what the job reads.

        Raises:
            UserError: It cannot be opened, or W&B refuses a setting of its own, such as WANDB_MODE.
        """
        import wandb

        given, run = self.settings, self.run
        os.environ.setdefault("WANDB_DATA_DIR", str(run.dir / "wandb"))  # else copies for upload lie in the home folder
        config: Any = OmegaConf.to_container(run.cfg, resolve=True)
        if "yt_dlp" in config["retrieve"]:  # as it is written: ${oc.env:NAME} and not the secret
            config["retrieve"]["yt_dlp"] = OmegaConf.to_container(run.cfg.retrieve.yt_dlp, resolve=False)
        config["inputs"] |= {stage: str(path) for stage, path in run.inputs.items()}
        try:
            self.wandb = wandb.init(
                project=given.project,
                entity=given.entity,
                group=given.group,
                job_type=given.job_type,
                name=given.name,
                tags=list(given.tags),
                dir=str(run.dir),
                id=self._id(),
                resume="allow",
                mode="offline" if given.offline else None,
                config={**config, "run_dir": str(run.dir)},
            )
        except (wandb.errors.Error, ValueError) as error:
            wandb.teardown()  # else the next job of a sweep finds its settings
            if isinstance(error, ValueError):  # pydantic's, which tells of W&B's classes and links to itself
                raise _refused(error) from error
            raise UserError(
                f"W&B does not open a run: {error}",
                where="logger=wandb",
                remedy="log in (wandb login), or put WANDB_MODE=offline in front of the command and send the run later "
                "(wandb sync), or leave out logger=wandb",
            ) from error
        self._remember(id=self.wandb.id, project=given.project)
        self.wandb.define_metric(STEP)
        self.wandb.define_metric("*", step_metric=STEP, step_sync=True)
        self._use_inputs()

    @property
    def logger(self) -> Any:
        return self.wandb

    @_harmless
    def close(self, code: int) -> None:
        """End the run; when this returns, all of it is written (or sent)."""
        if self.wandb is not None:
            import wandb

            self.wandb.finish(exit_code=code)
            wandb.teardown()  # its helper process writes on for a while, and a forked job would inherit it

    @_harmless
    def show(self, key: str, pictures: Iterable[Picture], names: Sequence[str], step: int | None = None) -> None:
        """Log pictures with their masks; `names` are those of the labels 0, 1, ..."""
        import wandb
        from PIL import Image

        from wsvs.lit.media import alike

        labels = {**dict(enumerate(names)), IGNORE: "ignored"}
        images = []
        for picture in alike(pictures, LONGEST):
            masks = {name: {"mask_data": mask, "class_labels": labels} for name, mask in picture.masks.items()}
            image = Image.fromarray(picture.image)  # an array of small numbers would be taken for one in [0, 1]
            images.append(wandb.Image(image, caption=picture.caption, masks=masks or None))
        if images:
            self.wandb.log({key: images, **({} if step is None else {STEP: step})})

    @_harmless
    def finished(self, counts: Mapping[str, Any], results: Mapping[str, Any]) -> None:
        """Log what summary.json says, the scores of an evaluation, and the artifacts."""
        if self.wandb is None:
            self.open()
        if self.run.stage == "evaluate":
            results = {}
            self.wandb.summary.update(numbers(read_json(self.run.dir / "metrics.json"), "eval"))
            self._tables()
        self.wandb.summary.update({**numbers(counts, "counts"), **numbers(results, "results")})
        self._make_artifacts()

    def _id(self) -> str:
        """That of the run directory; in a W&B sweep the agent's own."""
        if "WANDB_SWEEP_ID" in os.environ and not swept():
            return os.environ.get("WANDB_RUN_ID") or secrets.token_hex(5)
        return str(self._record().get("id") or secrets.token_hex(5))

    def _record(self) -> dict[str, Any]:
        path = self.run.dir / RECORD
        return read_json(path) if path.is_file() else {}

    def _remember(self, **values: Any) -> None:
        write_json(self.run.dir / RECORD, {**self._record(), **values})

    @_harmless
    def _use_inputs(self) -> None:
        for folder, artifact in inputs_of(self.run, RECORD):
            draft = build(folder, artifact)
            aliases = [artifact["alias"]]
            if self.wandb.offline:
                # What use_artifact does with such a draft, which it refuses offline. `wandb sync` finds the same
                # content under the same name, and ties the runs together.
                self.wandb._log_artifact(draft, aliases=aliases, is_user_created=True, use_after_commit=True)
            else:
                self.wandb.use_artifact(draft, aliases=aliases)

    def _make_artifacts(self) -> None:
        made = describe(self.run, self.makes, models=self.settings.models, masks=self.settings.masks)
        for artifact in made:
            self.wandb.log_artifact(build(self.run.dir, artifact), aliases=["latest", artifact["alias"]])
        self._remember(artifacts=made)

    def _tables(self) -> None:
        import wandb

        if (self.run.dir / "per_class.csv").is_file():
            heading, *rows = read_csv(self.run.dir / "per_class.csv")
            per_class = wandb.Table([*heading], [[_value(cell) for cell in row] for row in rows])
            self.wandb.log({"eval/per_class": per_class})
        if (self.run.dir / "confusion.csv").is_file():
            (_, *names), *rows = read_csv(self.run.dir / "confusion.csv")
            counts = [[true, name, int(count)] for true, *row in rows for name, count in zip(names, row, strict=True)]
            columns = ("Actual", "Predicted", "nPredictions")  # as the preset wants them
            self.wandb.log(
                {
                    "eval/confusion": wandb.plot_table(
                        "wandb/confusion_matrix/v1",
                        wandb.Table([*columns], counts),
                        {name: name for name in columns},
                        {"title": "pixels by true and predicted class"},
                    )
                }
            )


def _refused(error: ValueError) -> UserError:
    """What W&B's settings refuse, by the variable that holds it; all others have their own checks."""
    found = error.errors()[0] if hasattr(error, "errors") else {"loc": (), "msg": str(error), "input": None}
    name = "WANDB_" + str(found["loc"][0]).upper() if found["loc"] else "the variables WANDB_..."
    return UserError(
        f"W&B refuses a setting: {found['msg']}, got {found['input']!r}", where=name, remedy="mend it, or unset it"
    )


def numbers(values: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """{"<prefix>/<key>": number} of nested dicts; of what is no number only the words of the first level are kept."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}/{key}"
        if isinstance(value, Mapping):
            found |= {place: one for place, one in numbers(value, name).items() if not isinstance(one, str)}
        elif isinstance(value, int | float | str):
            found[name] = value
    return found


def read_csv(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.reader(stream))


def _value(cell: str) -> float | str | None:
    try:
        return float(cell)
    except ValueError:
        return cell or None
