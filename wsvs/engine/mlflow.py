"""One MLflow run for each job (logger=mlflow). Only rank 0 comes here."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from wsvs.core.errors import UserError
from wsvs.core.files import Json, read_json, write_json
from wsvs.engine.run import Run
from wsvs.engine.tracking import LONGEST, drawn, harmless, outcome, overlays

if TYPE_CHECKING:
    from wsvs.lit.media import LoggedImage

RECORD = "mlflow.json"  # in the run directory: the MLflow run it belongs to


@dataclass(frozen=True)
class Mlflow:
    """What `logger=mlflow` asks for.

    Args:
        experiment: Name of the experiment.
        tracking_uri: A server, a database or a folder; None: what MLFLOW_TRACKING_URI says, else `folder`.
        folder: The local store.
        media: LoggedImages and videos of each kind.
    """

    experiment: str
    folder: str
    tracking_uri: str | None = None
    media: int = 8

    def tracker(self, run: Run[Any], makes: object) -> MlflowTracker:
        return MlflowTracker(run, self)


class MlflowTracker:
    """Writes one job into its MLflow run."""

    def __init__(self, run: Run[Any], settings: Mlflow) -> None:
        self.run = run
        self.settings = settings
        self.media = settings.media
        self.id = ""
        self._client: Any = None
        self._known: dict[str, int] | None = None  # last step of each metric, of an earlier start

    def open(self) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # it is kept up, but not developed
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException

        given = self.settings.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
        uri = given or Path(self.settings.folder).absolute().as_uri()
        try:
            self._client = MlflowClient(tracking_uri=uri)
            self.id = self._resumed() or self._begun()
        except (MlflowException, OSError) as error:
            raise UserError(
                f"MLflow does not open a run: {error}",
                where=f"logger=mlflow, {uri}",
                remedy="start the server, give logger.mlflow.tracking_uri=ADDRESS, or leave out logger=mlflow",
            ) from error
        write_json(self.run.dir / RECORD, {"id": self.id, "tracking_uri": uri})

    def _resumed(self) -> str | None:
        """The run of an earlier start, if the store still has it."""
        from mlflow.exceptions import MlflowException

        path = self.run.dir / RECORD
        if not path.is_file():
            return None
        found = str(read_json(path)["id"])
        try:
            self._client.update_run(found, status="RUNNING")
        except MlflowException:
            return None
        self._known = {}
        return found

    def _begun(self) -> str:
        client, run, name = self._client, self.run, self.settings.experiment
        experiment = client.get_experiment_by_name(name)
        place = experiment.experiment_id if experiment else client.create_experiment(name)
        tags = {"stage": run.stage, "name": run.home.name, "run_dir": str(run.dir)}
        begun: str = client.create_run(place, run_name=f"{run.stage} {run.id}", tags=tags).info.run_id
        for word in run.overrides:
            key, _, value = word.lstrip("+~").partition("=")
            client.set_tag(begun, f"override.{_plain(key)}", value)
        client.log_text(begun, OmegaConf.to_yaml(run.cfg), "config.yaml")  # not resolved: ${oc.env:NAME}, no secret
        return begun

    @harmless("MLflow")
    def log(self, metrics: Mapping[str, float], step: int) -> None:
        for key, value in metrics.items():
            if step > self._last(key):  # a resumed training repeats the steps since its checkpoint
                self._client.log_metric(self.id, _plain(key), value, step=step)

    def _last(self, key: str) -> int:
        if self._known is None:
            return -1
        if key not in self._known:
            history = self._client.get_metric_history(self.id, _plain(key))
            self._known[key] = max((one.step for one in history), default=-1)
        return self._known[key]

    @harmless("MLflow")
    def show(self, key: str, images: Iterable[LoggedImage], names: Sequence[str], step: int | None = None) -> None:
        for number, logged in enumerate(images):
            for kind, image in drawn(logged.within(LONGEST)).items():
                self._client.log_image(self.id, image, f"{key}{kind}/{step or 0:06d}-{number}.png")

    @harmless("MLflow")
    def finished(self, counts: Mapping[str, Json], results: Mapping[str, Json]) -> None:
        if not self.id:
            self.open()
        for key, value in outcome(self.run, counts, results).items():
            if isinstance(value, str):
                self._client.set_tag(self.id, _plain(key), value)
            else:
                self._client.log_metric(self.id, _plain(key), float(value))
        for name in ("summary.json", "metrics.json", "per_class.csv", "confusion.csv"):
            if (self.run.dir / name).is_file():
                self._client.log_artifact(self.id, str(self.run.dir / name))
        for path in overlays(self.run, self.media):
            self._client.log_artifact(self.id, str(path), str(path.parent.relative_to(self.run.dir)))

    @harmless("MLflow")
    def close(self, code: int) -> None:
        if self.id:
            self._client.set_terminated(self.id, "FINISHED" if code == 0 else "FAILED")


def _plain(key: str) -> str:
    """A name that MLflow takes: letters of any script, digits and _-. /"""
    return "".join(sign if sign.isalnum() or sign in "_-. /" else "_" for sign in key)
