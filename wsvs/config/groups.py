"""The settings of the groups that are choices: data, model, retrieve, trainer, logger."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt, Le, MinLen
from pydantic import ConfigDict, model_validator

from wsvs.config.base import (
    Above0,
    AtLeast0,
    BelowOne,
    Natural,
    OnDisk,
    Positive,
    Range,
    Section,
    Several,
    Share,
    SomeTexts,
    Text,
    Texts,
    option,
)
from wsvs.config.world import WorldSettings

Guidance = Literal["switches", "features", "none"]
Trainable = Literal["none", "last", "all"]
DecoderWidth = Annotated[float, Gt(0), Le(8)]
Scales = Annotated[Several[Above0], MinLen(1)]
Foreign = Literal["skip", "assign"]
Runtime = Literal["deno", "node", "bun", "quickjs"]


class NetSettings(Section):
    """The networks (sections 3.1 and 3.3) as checkpoints describe them."""

    backbone: Text = option("vgg16", "name of the pre-trained network")
    image_size: Annotated[int, Ge(16)] = option(320, "longest side at which images enter the network", unit="px")
    scales: Scales = option(
        (0.5, 1.0, 1.5, 2.0), "multi-scale attention, the maximum over these multiples of the image's size"
    )
    hidden: Natural = option(1024, "channels of the new layer before the classes; 0 = none, a linear classifier")
    dropout: BelowOne = option(0.5, "dropout before the classes")
    trainable: Trainable = option("all", "layers of the backbone that are trained: none, last (block) or all")
    batch_norm: bool = option(True, "batch norm in the decoder")
    guidance: Guidance = option(
        "switches", "input of the decoder besides attention: switches of the max-pools (the paper), features, or none"
    )
    decoder_width: DecoderWidth = option(
        1.0, "channels of the decoder, as a multiple of the backbone's; switches need 1"
    )

    @model_validator(mode="after")
    def _consistent(self) -> NetSettings:
        if self.guidance == "switches" and self.decoder_width != 1:
            raise ValueError(
                f"guidance=switches needs decoder_width=1 (one switch per channel), got {self.decoder_width!r}"
            )
        return self


class ModelSettings(NetSettings):
    """The networks, described once: later stages take them from the checkpoint."""

    weights: Text | None = option(
        None,
        "path or URL of the backbone's state dict as published, such as torchvision's",
        path=OnDisk("weights", "file", words=("timm",)),
    )
    sha256: Text | None = option(None, "SHA-256 of the weights, hex; a URL needs one")
    lr: AtLeast0 | None = option(None, "learning rate of the stage that trains; null = the stage's own")


class TaggedData(Section):
    """Tagged images of your own."""

    target: Text = option("wsvs.data.tagged.TaggedImages", "class that reads them", alias="_target_")
    root: Text | None = option(help="folder of images", path=OnDisk("folder of images"))
    labels: Text = option(
        "folders",
        "table, folder of VOC XML files, or `folders`: root/<class>/<image>",
        path=OnDisk("table of tags", "any", words=("folders",)),
    )
    classes: SomeTexts | None = option(None, "names in the order of the labels 1, 2, ...; null = all tags, sorted")
    train: Text | None = option(
        None,
        "file of the ids to train on, one per line; null = all that are not in val",
        path=OnDisk("list of ids", "file"),
    )
    val: Text | None = option(
        None, "file of the held-out ids; null = about every tenth of train", path=OnDisk("list of ids", "file")
    )
    unknown_tags: Literal["error", "drop"] = option("error", "tags that are not in classes: error or drop")
    masks: Text | None = option(None, "folder of true masks <id>.png; only stage evaluate reads them")


class VocData(TaggedData):
    """PASCAL VOC 2012 (docs/tables.md)."""

    made: ClassVar[bool] = True
    target: Text = option("wsvs.data.voc.VocImages", "class that reads them", alias="_target_")
    folder: Text = option("datasets/VOC2012", "the download")
    prepared: Text = option("${data.folder}/prepared", "folder for lists and tags; set it if the download is read-only")
    augmented: Text | None = option(
        None, "list of train_aug, or the folder of SBD's lists; null = beside VOC's own lists"
    )


class SyntheticData(TaggedData):
    """The synthetic toy data set."""

    made: ClassVar[bool] = True
    target: Text = option("wsvs.data.world.SyntheticImages", "class that reads them", alias="_target_")
    folder: Text = option("${out}/${name}/world", "folder of the generated data")
    world: WorldSettings = option({}, "sizes and difficulty")  # defaults are not part of fingerprints


class DavisData(Section):
    """Video benchmark: DAVIS 2016."""

    target: Text = option("wsvs.data.davis.DavisVideos", "class that reads them", alias="_target_")
    folder: Text = option("datasets/DAVIS", "the download")
    prepared: Text = option(
        "${data.folder}/prepared", "folder for videos and masks; set it if the download is read-only"
    )


class YouTubeObjectsData(DavisData):
    """YouTube-Objects."""

    target: Text = option("wsvs.data.youtube_objects.YouTubeObjects", "class that reads them", alias="_target_")


class RetrieveSettings(Section):
    """Stage retrieve (section 4): settings of every source."""

    source: Text = option("folder", "set by retrieve=folder, urls or youtube")
    classes: Text | SomeTexts | None = option(None, "only these, e.g. [cat,dog]; null = data.classes")
    merge: Text | None = option(
        None, "folder of a sweep over classes: merge its jobs into one run", path=OnDisk("folder of a sweep")
    )
    threshold: Share = option(0.8, "thumbnails and key frames must score more than this")
    key_frames: Positive = option(15, "largest number of key frames kept per video, the best ones")
    window: Above0 = option(2.0, "time to keep before and after each of them", unit="s")
    scan: Positive = option(300, "largest number of key frames scored per video, evenly spread")
    batch: Positive = option(32, "images scored at once")
    max_videos: Natural | None = option(None, "largest number of videos to examine")
    max_bytes: Natural | None = option(None, "largest number of bytes to read", unit="bytes")
    max_hours: AtLeast0 | None = option(None, "time since the start of the run after which no video starts", unit="h")


class OtherRetrieve(RetrieveSettings):
    """A plugin's source, which may have settings of its own."""

    model_config = ConfigDict(extra="allow")


class FolderRetrieve(RetrieveSettings):
    """Videos of a local folder."""

    root: Text | SomeTexts | None = option(
        None, "videos: a folder, a file, a pattern, or a list of these", path=OnDisk("folder of videos", "pattern")
    )
    labels: Text | None = option(
        None, "table: video, class; null = root/<class>/<video>", path=OnDisk("table of classes", "file")
    )
    foreign: Foreign = option(
        "skip", "videos without a class of the data: skip, or assign them to classes as distractors"
    )
    score: bool = option(False, "true: keep clips around the best key frames, as for web videos; false: whole videos")


class YtDlpSettings(Section):
    """Options passed to yt-dlp, by their names on its command line; others are refused."""

    cookies: Text | None = option(None, "file of cookies in Netscape's format")
    cookies_from_browser: Text | None = option(None, "browser to read cookies from: firefox, chrome:PROFILE, ...")
    netrc: Text | None = option(None, "file with logins, as ~/.netrc")
    proxy: Text | None = option(None, "URL of a proxy; one with a password as ${oc.env:NAME}")
    geo_verification_proxy: Text | None = option(None, "proxy used only to check in which countries a video is shown")
    source_address: Text | None = option(None, "local IP address to connect from")
    extractor_args: Text | Texts | None = option(None, 'list such as ["youtube:player_client=tv"]')
    impersonate: Text | None = option(None, "browser to impersonate; needs pip install curl_cffi")


class WebRetrieve(RetrieveSettings):
    """Videos from the web through yt-dlp."""

    max_duration: Above0 = option(1200, "longer videos are skipped", unit="s")
    max_size: Positive = option(100000000, "larger files are skipped", unit="bytes")
    format: Text = option(help="format selection in yt-dlp's syntax")
    javascript: list[Runtime] = option(
        ("deno", "node", "bun", "quickjs"), "runtimes that may execute YouTube's scripts"
    )
    pause: Range = option((1.0, 3.0), "pause between two requests, drawn from this range", unit="s")
    rate: Above0 = option(2000000, "limit of the download rate", unit="bytes/s")
    timeout: Above0 = option(30.0, "time without an answer after which a request fails", unit="s")
    backoff: AtLeast0 = option(10.0, "wait after the first failure of a request, doubled each time", unit="s")
    retries: Natural = option(6, "attempts after the first one")
    streak: Positive | None = option(5, "consecutive failures, except of kind gone, that stop the run; null = never")
    retry: Text | SomeTexts | None = option(
        None, "kinds of failures to try again: gone, account, region, list, unusable, unknown; or all"
    )
    yt_dlp: YtDlpSettings = YtDlpSettings()
    keep_videos: bool = option(False, "keep the whole videos after their clips are cut")


class UrlsRetrieve(WebRetrieve):
    """A list of URLs."""

    source: Text = option("urls", "set by retrieve=folder, urls or youtube")
    file: Text | None = option(
        None, "table (tsv, csv) with the columns url and class", path=OnDisk("list of addresses", "file")
    )
    per_list: Positive = option(50, "largest number of videos from the URL of a playlist or channel")


class YouTubeRetrieve(WebRetrieve):
    """A YouTube search per class."""

    source: Text = option("youtube", "set by retrieve=folder, urls or youtube")
    queries: dict[str, Any] | None = option(None, "{class: [search terms, ...]}; null = the class names")
    per_class: Positive = option(300, "largest number of candidates per class")


class TrainerSettings(Section):
    """Lightning's Trainer; further arguments of it can be added with +trainer.NAME=VALUE."""

    model_config = ConfigDict(extra="allow")

    target: Text = option("lightning.pytorch.Trainer", "class", alias="_target_")
    accelerator: Literal["auto", "cpu", "gpu"] = option("auto", "type of device; auto uses a GPU if there is one")
    devices: Positive | Literal["auto", -1] | Annotated[list[Natural], MinLen(1)] = option(
        1, "number of GPUs, or of processes on a CPU, per machine; a list of GPUs; -1 or auto for all"
    )
    num_nodes: Positive = option(1, "machines")
    strategy: Text = option("auto", "auto, or ddp for several devices")
    precision: Literal["32-true", "16-mixed", "bf16-mixed", "64-true"] = option("32-true", "numerical precision")
    accumulate_grad_batches: Positive = option(1, "batches whose gradients are accumulated for one step")
    gradient_clip_val: AtLeast0 | None = option(None, "largest norm of the gradient; null = no limit")
    log_every_n_steps: Natural = option(10, "interval between two rows of metrics.csv", unit="steps")
    enable_model_summary: bool | None = option(False, "print a table of the network's layers at the start")
    limit_train_batches: AtLeast0 | None = option(None, "batches per epoch, or fraction of them; null = all")
    limit_val_batches: AtLeast0 | None = option(None, "the same for validation")
    limit_predict_batches: AtLeast0 | None = option(None, "the same for relevance, segment and predict")
    overfit_batches: AtLeast0 = option(0.0, "train and validate on this number of batches, or fraction; 0 = off")
    profiler: Text | None = option(None, "simple or advanced: time of each part, printed at the end")
    max_epochs: Annotated[int, Ge(-1)] | None = option(None, "overrides the stage's epochs")
    max_steps: Annotated[int, Ge(-1)] | None = option(None, "overrides the stage's steps")
    deterministic: bool | Literal["warn"] = option(False, "refuse operations that are not reproducible on a GPU")


class WandbSettings(Section):
    """Weights & Biases (docs/tracking.md)."""

    target: Text = option("wsvs.engine.wandb.Wandb", "class", alias="_target_")
    project: Text = option("wsvs", "project")
    entity: Text | None = option(None, "user or team; null = yours")
    group: Text = option("${name}", "group of the run")
    job_type: Text = option("${stage}", "job type of the run")
    name: Text = option("${name}-${stage}", "name of the run")
    tags: Texts = option((), "tags of the run")
    offline: bool = option(False, "write the run to disk only; or WANDB_MODE=offline")
    media: Natural = option(8, "images to log of each kind; 0 = none")
    models: bool = option(True, "log the best checkpoints as artifacts")
    masks: Literal["none", "manifest", "references", "files"] = option(
        "manifest", "mask sets as artifacts: none, manifest (lists), references (paths and hashes), files (upload)"
    )


class TensorBoardSettings(Section):
    """TensorBoard (docs/tracking.md)."""

    target: Text = option("wsvs.engine.tensorboard.TensorBoard", "class", alias="_target_")
    media: Natural = option(8, "images and videos to log of each kind; 0 = none")


class MlflowSettings(Section):
    """MLflow (docs/tracking.md)."""

    target: Text = option("wsvs.engine.mlflow.Mlflow", "class", alias="_target_")
    experiment: Text = option("${name}", "experiment")
    tracking_uri: Text | None = option(None, "server, database or folder; null = MLFLOW_TRACKING_URI, or else `folder`")
    folder: Text = option("${out}/mlruns", "local store, in files")
    media: Natural = option(8, "images and videos to log of each kind; 0 = none")
