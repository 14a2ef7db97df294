"""Event files of TensorBoard for each job (logger=tensorboard). Only rank 0 comes here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from wsvs.core.files import Json
from wsvs.engine.run import Run
from wsvs.engine.tracking import LONGEST, drawn, harmless, outcome, overlays, read_csv

if TYPE_CHECKING:
    from wsvs.lit.media import LoggedImage

FOLDER = "tensorboard"  # in the run directory


@dataclass(frozen=True)
class TensorBoard:
    """What `logger=tensorboard` asks for.

    Args:
        media: LoggedImages and videos of each kind.
    """

    media: int = 8

    def tracker(self, run: Run[Any], makes: object) -> TensorBoardTracker:
        return TensorBoardTracker(run, self.media)


class TensorBoardTracker:
    """Writes one job. A start that resumes it begins a file of its own, which replaces later steps of those before."""

    def __init__(self, run: Run[Any], media: int) -> None:
        self.run = run
        self.media = media
        self.folder = run.dir / FOLDER
        self._writer: Any = None

    def open(self) -> None:
        """The file is begun with the first value, whose step says which of an earlier start are repeated."""

    @harmless("TensorBoard")
    def log(self, metrics: Mapping[str, float], step: int) -> None:
        writer = self._at(step)
        for key, value in metrics.items():
            writer.add_scalar(key, value, step)
        writer.flush()  # a kill must not lose what the checkpoint has left behind

    @harmless("TensorBoard")
    def show(self, key: str, images: Iterable[LoggedImage], names: Sequence[str], step: int | None = None) -> None:
        for number, logged in enumerate(images):
            for kind, image in drawn(logged.within(LONGEST)).items():
                self._at(step).add_image(f"{key}{kind}/{number}", image, step or 0, dataformats="HWC")

    @harmless("TensorBoard")
    def finished(self, counts: Mapping[str, Json], results: Mapping[str, Json]) -> None:
        writer = self._at(None)
        words = []
        for key, value in outcome(self.run, counts, results).items():
            if isinstance(value, str):
                words.append([key, value])
            else:
                writer.add_scalar(key, value, 0)
        if words:
            writer.add_text("words", _table([["", ""], *words]), 0)
        for name in ("per_class", "confusion"):
            if (self.run.dir / f"{name}.csv").is_file():
                writer.add_text(f"eval/{name}", _table(read_csv(self.run.dir / f"{name}.csv")), 0)
        for path in overlays(self.run, self.media):
            self._video(f"overlay/{path.relative_to(self.run.dir / 'overlay').with_suffix('')}", path)

    @harmless("TensorBoard")
    def close(self, code: int) -> None:
        if self._writer is not None:
            self._writer.close()

    def _at(self, step: int | None) -> Any:
        """The writer, which is begun where a first value is of this step."""
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            first = not any(self.folder.glob("*"))
            self._writer = SummaryWriter(str(self.folder), purge_step=step)
            if first:
                config = OmegaConf.to_yaml(self.run.cfg)  # not resolved: ${oc.env:NAME} and not the secret
                self._writer.add_text("config", "".join(f"    {line}\n" for line in config.splitlines()), 0)
        return self._writer

    def _video(self, tag: str, path: Path) -> None:
        """A video as the animated image that TensorBoard plays."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        from wsvs.lit.media import animated

        image = Summary.Image(encoded_image_string=animated(path), colorspace=3)
        self._writer.file_writer.add_summary(Summary(value=[Summary.Value(tag=tag, image=image)]), 0)


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Rows as Markdown, the first as the heading."""
    heading, *others = ([cell.replace("|", "\\|") for cell in row] for row in rows)
    lines = [heading, ["---"] * len(heading), *others]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
