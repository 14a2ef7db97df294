"""All settings of a command."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict

from wsvs.config.base import OnDisk, Section, SomeTexts, Text, Texts, option
from wsvs.config.groups import (
    DavisData,
    FolderRetrieve,
    MlflowSettings,
    ModelSettings,
    RetrieveSettings,
    SyntheticData,
    TaggedData,
    TensorBoardSettings,
    TrainerSettings,
    UrlsRetrieve,
    VocData,
    WandbSettings,
    YouTubeObjectsData,
    YouTubeRetrieve,
)
from wsvs.config.results import ExportSettings, MergeSettings, ReportSettings, ReviewSettings, SubmitSettings
from wsvs.config.stages import (
    AdaptSettings,
    DecoderSettings,
    EncoderSettings,
    EvaluateSettings,
    Inputs,
    PipelineSettings,
    PredictSettings,
    RelevanceSettings,
    ReproduceSettings,
    SegmentSettings,
)

# The sections of the groups, by the names that files of conf/ use in their defaults, such as /data_voc@_here_.
NODES: dict[str, type[Section]] = {
    "model_settings": ModelSettings,
    "trainer_settings": TrainerSettings,
    "data_tagged": TaggedData,
    "data_voc": VocData,
    "data_world": SyntheticData,
    "data_videos": DavisData,
    "data_youtube_objects": YouTubeObjectsData,
    "retrieve_folder": FolderRetrieve,
    "retrieve_urls": UrlsRetrieve,
    "retrieve_youtube": YouTubeRetrieve,
    "logger_wandb": WandbSettings,
    "logger_tensorboard": TensorBoardSettings,
    "logger_mlflow": MlflowSettings,
}
OUTSIDE: dict[str, type[Section]] = {}  # sections of stages from other packages
OUTSIDE_INPUTS: dict[str, None] = {}  # these stages, and the stages whose runs they read


def _by(key: str, prefix: str) -> dict[str, type[Section]]:
    return {section.defaults()[key]: section for name, section in NODES.items() if name.startswith(prefix)}


DATA, SOURCES, LOGGERS = _by("_target_", "data_"), _by("source", "retrieve_"), _by("_target_", "logger_")


def groups() -> dict[str, dict[str, type[Section]]]:
    """{key: {choice: section}} of the groups, and of stages from other packages."""
    outside = {key: {key: section} for key, section in OUTSIDE.items()}
    loggers = {
        name.replace("_", ".", 1): {section.defaults()["_target_"]: section}
        for name, section in NODES.items()
        if name.startswith("logger_")
    }
    return {"data": DATA, "retrieve": SOURCES, **loggers, **outside}


class Settings(Section):
    """Every setting of every stage. A configuration file may define further top-level keys, for `${key}`."""

    model_config = ConfigDict(extra="allow")

    name: Text = option("default", "name of the experiment: runs are in outputs/<name>/<stage>/<run id>")
    out: Text = option("outputs", "folder of all runs")
    seed: int = option(0, "seed of every random draw")
    resume: bool = option(True, "resume the unfinished run of the same command; a pipeline skips finished steps")
    objective: Text | None = option(
        None, "figure that a search (sweep=search) optimises: miou, val/miou, ...; null = the stage's own"
    )
    plugins: Texts = option((), "modules of your own to import first: backbones, flows, sources (docs/extending.md)")
    max_megapixels: float = option(
        180.0,
        "larger images are skipped with a message: a small file can decode to an image that fills memory",
        unit="million pixels",
        gt=0,
    )
    debug: bool = option(False, "set by debug=fast, overfit and profile: the run is never used as input")
    inputs: Inputs
    dry_run: bool = option(False, "stage retrieve: search and score thumbnails only, and estimate a full run's cost")
    videos: Text | SomeTexts | None = option(
        None,
        "videos to segment: folder, file, pattern, or list of these; null = the shots of a relevance run",
        path=OnDisk("folder of videos", "pattern"),
    )
    frame_rate: float = option(24.0, "rate of folders of numbered images", gt=0, unit="frames/s")
    input: Text | None = option(
        None,
        "folder of images; or an image, a video, or a pattern such as photos/*.jpg",
        path=OnDisk("image, video or folder", "pattern"),
    )
    labels: Text | None = option(
        None,
        "table of tags of `input`, as data.labels (null = predict them), or of classes of `videos`",
        path=OnDisk("table of tags", "any", words=("folders",)),
    )
    predictions: Text | None = option(
        None, "folder of masks to score, or to export", path=OnDisk("predicted masks", "any")
    )
    truth: Text | None = option(None, "folder of true masks", path=OnDisk("true masks", "any"))
    encoder: EncoderSettings
    relevance: RelevanceSettings
    segment: SegmentSettings
    decoder: DecoderSettings
    adapt: AdaptSettings
    predict: PredictSettings
    evaluate: EvaluateSettings
    pipeline: PipelineSettings
    submit: SubmitSettings
    reproduce: ReproduceSettings
    merge: MergeSettings
    report: ReportSettings
    review: ReviewSettings
    export: ExportSettings
    model: ModelSettings
    trainer: TrainerSettings
    data: Section = Section()  # of the choice, as `retrieve`: `wsvs.config.check.check` sets them
    retrieve: RetrieveSettings = RetrieveSettings()
    logger: dict[str, Any] = option({}, "loggers by name")
