"""One W&B run for each job (logger=wandb), on rank 0 only. Only this module and `artifacts` import wandb."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from wsvs.core.classes import IGNORE
from wsvs.core.errors import UserError
from wsvs.core.files import Json, read_json, write_json
from wsvs.engine.artifacts import Masks, build, describe, inputs_of
from wsvs.engine.job import swept
from wsvs.engine.run import Run
from wsvs.engine.stage import Kind
from wsvs.engine.tracking import LONGEST, harmless, outcome, overlays, read_csv

if TYPE_CHECKING:
    from wsvs.lit.media import LoggedImage

RECORD = "wandb.json"  # in the run directory: the W&B run it belongs to, and the artifacts made of it
STEP = "trainer/global_step"


@dataclass(frozen=True)
class Wandb:
    """Settings of `logger=wandb`.

    Args:
        project, entity, group, job_type, name, tags: Of the run, as W&B calls them.
        offline: Write the run to disk only. WANDB_MODE=offline does the same.
        media: Number of images of each kind.
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

    def tracker(self, run: Run[Any], makes: Sequence[Kind]) -> WandbTracker:
        return WandbTracker(run, makes, self)


class WandbTracker:
    """Writes one job into its W&B run.

    Attributes:
        media: Number of images of each kind.
        wandb: The W&B run while it is open.
    """

    def __init__(self, run: Run[Any], makes: Sequence[Kind], settings: Wandb) -> None:
        self.run = run
        self.makes = makes
        self.settings = settings
        self.media = settings.media
        self.wandb: Any = None

    def open(self) -> None:
        """Start the W&B run, or resume that of an earlier start of this job, and declare the job's inputs.

        Raises:
            UserError: It cannot be opened, or W&B refuses one of its own settings, such as WANDB_MODE.
        """
        import wandb

        given, run = self.settings, self.run
        os.environ.setdefault("WANDB_DATA_DIR", str(run.dir / "wandb"))  # else copies for upload are in the home folder
        config: Any = OmegaConf.to_container(run.cfg, resolve=True)
        if "yt_dlp" in config["retrieve"]:  # unresolved: ${oc.env:NAME} and not the secret
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
            wandb.teardown()  # else the next job of a sweep would inherit its settings
            if isinstance(error, ValueError):  # pydantic's, whose message is about W&B's classes
                raise _refused(error) from error
            raise UserError(
                f"W&B cannot open a run: {error}",
                where="logger=wandb",
                remedy="log in (wandb login), or put WANDB_MODE=offline in front of the command and send the run later "
                "(wandb sync), or leave out logger=wandb",
            ) from error
        self._remember(id=self.wandb.id, project=given.project)
        self.wandb.define_metric(STEP)
        self.wandb.define_metric("*", step_metric=STEP, step_sync=True)
        self._use_inputs()

    @harmless("W&B")
    def log(self, metrics: Mapping[str, float], step: int) -> None:
        self.wandb.log({**metrics, STEP: step})

    @harmless("W&B")
    def close(self, code: int) -> None:
        """End the run; when this returns, all of it is written (or sent)."""
        if self.wandb is not None:
            import wandb

            self.wandb.finish(exit_code=code)
            wandb.teardown()  # its helper process keeps writing for a while, and a forked job would inherit it

    @harmless("W&B")
    def show(self, key: str, images: Iterable[LoggedImage], names: Sequence[str], step: int | None = None) -> None:
        """Log images with their masks; `names` are those of the labels 0, 1, ..."""
        import wandb
        from PIL import Image

        from wsvs.lit.media import alike

        labels = {**dict(enumerate(names)), IGNORE: "ignored"}
        converted = []
        for logged in alike(images, LONGEST):
            masks = {name: {"mask_data": mask, "class_labels": labels} for name, mask in logged.masks.items()}
            image = Image.fromarray(logged.image)  # W&B would interpret a dark array as values in [0, 1]
            converted.append(wandb.Image(image, caption=logged.caption, masks=masks or None))
        if converted:
            self.wandb.log({key: converted, **({} if step is None else {STEP: step})})

    @harmless("W&B")
    def finished(self, counts: Mapping[str, Json], results: Mapping[str, Json]) -> None:
        """Log the content of summary.json, the scores of an evaluation, and the artifacts."""
        if self.wandb is None:
            self.open()
        import wandb

        self.wandb.summary.update(outcome(self.run, counts, results))
        if self.run.stage == "evaluate":
            self._tables()
        if videos := [wandb.Video(str(path), format="mp4") for path in overlays(self.run, self.media)]:
            self.wandb.log({f"{self.run.stage}/overlay": videos})
        self._make_artifacts()

    def _id(self) -> str:
        """Id of the W&B run: recorded in the run directory, or in a W&B sweep given by the agent."""
        if "WANDB_SWEEP_ID" in os.environ and not swept():
            return os.environ.get("WANDB_RUN_ID") or secrets.token_hex(5)
        return str(self._record().get("id") or secrets.token_hex(5))

    def _record(self) -> dict[str, Any]:
        path = self.run.dir / RECORD
        return read_json(path) if path.is_file() else {}

    def _remember(self, **values: Any) -> None:
        write_json(self.run.dir / RECORD, {**self._record(), **values})

    @harmless("W&B")
    def _use_inputs(self) -> None:
        for folder, artifact in inputs_of(self.run, RECORD):
            draft = build(folder, artifact)
            aliases = [artifact["alias"]]
            if self.wandb.offline:
                # The part of use_artifact that works offline. `wandb sync` finds the same content under the same
                # name, and links the runs.
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
            columns = ("Actual", "Predicted", "nPredictions")  # required by the preset
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
    """A value that W&B's settings refuse, with the environment variable it comes from."""
    found = error.errors()[0] if hasattr(error, "errors") else {"loc": (), "msg": str(error), "input": None}
    name = "WANDB_" + str(found["loc"][0]).upper() if found["loc"] else "the variables WANDB_..."
    return UserError(
        f"W&B refuses a setting: {found['msg']}, got {found['input']!r}", where=name, remedy="fix it, or unset it"
    )


def _value(cell: str) -> float | str | None:
    try:
        return float(cell)
    except ValueError:
        return cell or None
