"""The settings of each stage, in the order of the pipeline."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt, MinLen
from pydantic import AfterValidator, ConfigDict, Field, model_validator

from wsvs.config.base import (
    Above0,
    AtLeast0,
    BelowOne,
    Natural,
    OnDisk,
    Pair,
    Positive,
    RangeAbove0,
    Section,
    Share,
    SomeTexts,
    Text,
    option,
    ordered,
)

Schedule = Literal["constant", "cosine", "poly"]
Method = Literal["decoder", "attention", "mean"]
Threshold = Share | Literal["otsu"]
ClassThreshold = Share | Literal["auto"]
Zooms = Annotated[Sequence[Above0], MinLen(1)]
Cut = Literal["none", "cut"]
Crop = Literal["zoom", "frame"]
Coverage = Annotated[Pair[Annotated[float, Gt(0), Le(1)]], AfterValidator(ordered)]
Side = Annotated[int, Ge(16)]
SlicMethod = Literal["auto", "numba", "opencv"]
Gradient = Literal["full", "cross"]
Angle = Literal["circular", "sum"]
Cleanup = Literal["flood", "sweep"]
Gain = Literal["none", "adaptive"]
Guided = Literal["none", "guided"]
Solver = Literal["auto", "maxflow", "scipy"]
_SCHEDULE = "learning-rate schedule: constant, or cosine or poly decay to 0"
_WARMUP = "linear learning-rate warm-up"
_EMA = "decay of a moving average of the weights, such as 0.999; checkpoints then hold the average"
_JITTER = "brightness, contrast and saturation are multiplied by factors in 1 +- this"
_SCALE = "longest side of a training image, in units of "
_READERS = "processes that read "
_SHARD = "i/n, numbered from 0: work on share i of the {} only, as one of n independent jobs; stage merge joins them"
_REUSE = (
    "finished run of this stage with the same settings, or last (of this name): its masks of {} that have not changed "
    "are taken over, and only the others are worked on"
)
_ACCEPTED = "weight in the loss of {} that were accepted in stage review; 1 = that of all others"


class Training(Section):
    """Settings of encoder, decoder and adapt."""

    batch_size: Positive = option(14, "items per device, and per accumulated batch")
    lr: AtLeast0 = option(1e-3, "learning rate (Adam)")
    schedule: Schedule = option("constant", _SCHEDULE)
    warmup: Natural = option(0, _WARMUP, unit="steps")
    ema: BelowOne | None = option(None, _EMA)
    jitter: Share = option(0.3, _JITTER)


class EncoderSettings(Training):
    """Stage encoder (section 3.1)."""

    epochs: Positive = option(20, "passes over the training images")
    lr: AtLeast0 = option(1.0e-3, "learning rate of the new layers (Adam)")
    lr_backbone: AtLeast0 = option(1.0e-4, "learning rate of the backbone's layers that model.trainable selects")
    scale: RangeAbove0 = option((0.8, 1.6), _SCALE + "model.image_size")
    workers: Natural = option(2, _READERS + "images, per device")


class RelevanceSettings(Section):
    """Stage relevance (section 3.2)."""

    threshold: Share = option(0.8, "frames must score more than this")
    min_frames: Positive = option(6, "shortest sequence of relevant frames that is kept", unit="frames")
    batch_size: Positive = option(16, "frames scored at once")
    cuts: bool = option(True, "end shots where the video cuts to another shot")
    workers: Natural = option(1, "processes that read frames and find cuts, per device")
    shard: Text | None = option(None, _SHARD.format("clips"))


class Energy(Section):
    """Video segmentation (section 3.2, Eqs. 3 to 5); what the paper leaves open follows Papazoglou & Ferrari.

    The defaults follow the paper; conf/experiment/motion.yaml and full.yaml have the strongest settings.
    """

    superpixels: Positive = option(1500, "approximate number of superpixels per frame")
    superpixel_method: SlicMethod = option("auto", "numba (compiled), opencv, or auto: the first that is installed")
    compactness: Above0 = option(30.0, "SLIC compactness: weight of spatial against colour distance")
    longest_edge: Positive = option(400, "larger frames are shrunk to this", unit="px")
    flow: Text = option("dis_medium", "optical flow: dis_ultrafast, dis_fast or dis_medium, or one of a plugin")
    motion: Literal["inside_outside", "contrast"] = option(
        "inside_outside",
        "motion term M: inside-outside maps (the paper), or contrast with the surroundings, which is "
        "stronger and needs the flow in both directions",
    )
    saliency: AtLeast0 = option(0.0, "exponent of colour contrast in addition to motion; for motion=contrast only")
    lambda_a: AtLeast0 = option(2.0, "weight of the attention term; 0 = without attention (Eq. 4)")
    lambda_m: AtLeast0 = option(1.0, "weight of the motion term")
    lambda_c: AtLeast0 = option(2.0, "weight of the colour term")
    alpha_s: AtLeast0 = option(500.0, "spatial smoothness (Eq. 5)")
    alpha_t: AtLeast0 = option(400.0, "temporal smoothness (Eq. 5)")
    clip_a: Annotated[float, Ge(0), Lt(0.5)] = option(
        0.05, "attention is clipped to [this, 1 - this]; unclipped it would exclude the parts that it misses"
    )
    floor_a: Annotated[float, Ge(0), Le(0.5)] = option(
        0.0, "lower bound of attention; 0.5: attention can raise the foreground probability but not lower it"
    )
    floor_m: Annotated[float, Ge(0), Lt(0.5)] = option(1.0e-3, "motion is clipped to [this, 1 - this]")
    fg_components: Positive = option(5, "Gaussians of the foreground colour model")
    bg_components: Positive = option(8, "Gaussians of the background colour model")
    fg_threshold: Share = option(
        0.5, "superpixels with attention above this fraction of the maximum seed the foreground colour model"
    )
    bg_threshold: Share = option(0.1, "and those below this fraction the background colour model")
    reestimate: Natural = option(0, "rounds in which the colour models are re-estimated from the labels; paper: 0")
    grad: Gradient = option("full", "gradient of the flow: full, or cross as in the release")
    angle: Angle = option("circular", "angle of neighbouring flows: circular, or sum as in the release")
    cleanup: Cleanup = option("flood", "cleaning of the inside map: flood, or sweep as in the release")
    gain: Gain = option("none", "adaptive: finds the motion boundaries of slow objects too")
    refine: Guided = option("none", "guided: mask borders follow the edges of the frame")
    solver: Solver = option(
        "auto", "graph cut, with equal masks: maxflow (PyMaxflow, faster), scipy; auto: the first if installed"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Energy:
        if self.bg_threshold > self.fg_threshold:
            raise ValueError(
                f"thresholds must satisfy bg_threshold <= fg_threshold, got {self.bg_threshold!r} and "
                f"{self.fg_threshold!r}"
            )
        if self.lambda_a == self.lambda_m == self.lambda_c == 0:
            raise ValueError("one of lambda_a, lambda_m, lambda_c must be positive, got 0 for all")
        return self


class SegmentLoop(Section):
    """How stage segment processes its videos; only `cuts`, `max_frames` and `min_confidence` change masks."""

    checkpoint: Text | None = option(
        None, "checkpoint file of an encoder, instead of inputs.encoder", path=OnDisk("checkpoint", "file")
    )
    max_frames: Positive = option(100, "frames per graph; longer shots are split", unit="frames")
    attention_batch: Positive = option(8, "frames whose attention is computed at once")
    workers: Natural = option(1, "processes that read frames and compute superpixels and flow, per device")
    frames: bool = option(True, "store the frames as JPEG with the masks; stage decoder needs them")
    store: Literal["files", "shards"] = option(
        "files",
        "files: a file for each mask and frame; shards: tar archives of about 100 frames in the layout of WebDataset, "
        "and journals instead of files in done/",
    )
    overlay: bool = option(False, "write videos with the mask drawn over the frames")
    cuts: bool = option(True, "for `videos`: detect shots and segment each separately; false: every video is one shot")
    min_confidence: Share = option(
        0.5, "shots get empty masks if the confidence that something in them moves or has attention is lower"
    )
    instances: bool = option(
        False, "also write instances/: masks with an id for each object of a video, the same in all of its frames"
    )
    shard: Text | None = option(None, _SHARD.format("videos, or of the shots"))
    reuse: Text | None = option(None, "for `videos`: " + _REUSE.format("videos"))


class SegmentSettings(SegmentLoop, Energy):
    """Stage segment (section 3.2)."""


class DecoderSettings(Training):
    """Stage decoder (section 3.3)."""

    steps: Positive = option(15000, "optimizer steps")
    size: Side | None = option(None, "side of the training crops; null = model.image_size", unit="px")
    crop: Crop = option(
        "zoom", "zoom: around the mask, so that its bounding box fills `coverage` of the crop; frame: whole frames"
    )
    coverage: Coverage = option((0.25, 0.9), "fraction of the crop that the mask's bounding box fills, for crop=zoom")
    min_area: Share = option(0.005, "masks with a smaller fraction of the frame are not used")
    max_area: Share = option(0.9, "masks with a larger fraction of the frame are not used")
    min_confidence: Share = option(
        0.5, "frames are not used if the confidence that something in them moves or has attention is lower"
    )
    accepted_weight: Above0 = option(1.0, _ACCEPTED.format("shots"))
    holdout: BelowOne = option(0.1, "fraction of the videos held out for validation")
    val_every: Positive = option(500, "interval between validations", unit="steps")
    val_items: Positive = option(64, "frames of a validation")
    workers: Natural = option(2, _READERS + "frames, per device")

    @model_validator(mode="after")
    def _consistent(self) -> DecoderSettings:
        if not self.min_area < self.max_area:
            raise ValueError(f"min_area must be below max_area, got {self.min_area!r} and {self.max_area!r}")
        return self


class AdaptSettings(Training):
    """Stage adapt (section 5.2.1)."""

    steps: Positive = option(5000, "optimizer steps")
    lr: AtLeast0 = option(1.0e-4, "learning rate (Adam)")
    size: Side | None = option(None, "side of the training crops; null = model.image_size", unit="px")
    scale: RangeAbove0 = option((0.8, 1.6), _SCALE + "the crop's side")
    max_images: Positive | None = option(None, "images to label and train on, drawn at random; null = all")
    method: Method = option("decoder", "source of the pseudo-labels: decoder, attention or their mean")
    background: Threshold = option(0.5, "foreground threshold of the pseudo-labels, or otsu per image")
    flip: bool = option(False, "average with the mirrored image")
    refine: Cut = option("none", "cut: a graph cut over the image's colours")
    accepted_weight: Above0 = option(1.0, _ACCEPTED.format("images"))
    corrected: Text | None = option(
        None,
        "manually corrected masks of images of data.root, which replace pseudo-labels in training",
        path=OnDisk("corrected masks", "any"),
    )
    corrected_format: Literal["masks", "voc", "coco", "yolo", "davis", "labelme", "label_studio", "cvat"] = option(
        "masks", "what `corrected` is: a folder of masks <id>.png, or a format of stage export"
    )
    corrected_share: BelowOne = option(
        0.25, "corrected images are repeated until they are at least this fraction of the training items"
    )
    val_every: Positive = option(500, "interval between validations", unit="steps")
    val_items: Positive = option(64, "images of a validation")
    workers: Natural = option(2, _READERS + "images, per device")


class PredictSettings(Section):
    """Stage predict (section 3.4)."""

    model: Literal["auto", "encoder", "decoder", "adapt"] = option(
        "auto",
        "stage of the model: encoder, decoder or adapt; auto = adapt if it is finished, else decoder (for "
        "method=attention the encoder, if neither is)",
    )
    checkpoint: Text | None = option(None, "checkpoint file, instead of a run's", path=OnDisk("checkpoint", "file"))
    method: Method = option("decoder", "decoder, attention, or the mean of both")
    class_threshold: ClassThreshold = option(
        0.6, "score from which a class counts as present; auto: per class, chosen on held-out tags"
    )
    background: Threshold = option(0.5, "foreground threshold, or otsu: chosen per image")
    flip: bool = option(False, "average with the mirrored image")
    zooms: Zooms = option((1.0,), "multi-scale test-time augmentation: multiples of model.image_size")
    refine: Cut = option("none", "cut: a graph cut over the image's colours")
    tags: SomeTexts | None = option(
        None, "classes of every image of input, e.g. [cat,dog]; null = those in labels, else predicted"
    )
    ids: Text | None = option(
        None, "file with the ids to predict; null = every image of input", path=OnDisk("list of ids", "file")
    )
    overlay: bool = option(True, "write images and videos with the masks and a legend drawn over them, in overlay/")
    scores: bool = option(False, "store the probabilities (float16) for a scan of thresholds")
    shard: Text | None = option(None, _SHARD.format("images and videos"))
    reuse: Text | None = option(None, _REUSE.format("images and videos"))
    workers: Natural = option(1, _READERS + "images, per device")


class EvaluateSettings(Section):
    """Stage evaluate (section 5)."""

    kind: Literal["image", "video", "relevance"] = option(
        "image", "image; video for folders <video>/%05d.png or a segment run; relevance for a relevance run"
    )
    split: Text | None = option(
        None, "file with the ids to score; null = every mask in truth", path=OnDisk("list of ids", "file")
    )
    split_name: Text | None = option(None, "name printed with every figure; null = that of the split file or of truth")
    classes: SomeTexts | None = option(None, "names to average over, e.g. [background,cat]; null = all")
    names: SomeTexts | None = option(
        None, "names of the true labels 0, 1, ...; null = labels.txt with the true masks, data.classes, or numbers"
    )
    prediction_names: SomeTexts | None = option(
        None, "names of the predicted labels; null = labels.txt with the predictions, or those of the true labels"
    )
    truth_offset: Natural | None = option(
        None, "number of the first true label, or frame (kind=video): 1 if they count from 1; null = 0, or detected"
    )
    thresholds: list[Share] | None = option(None, "background thresholds to scan over predictions/scores (an oracle)")
    table: Text | None = option(None, "kind=video: table of video and class", path=OnDisk("table of classes", "file"))
    boundary: bool = option(False, "kind=video: also the boundary measure F of every frame; slower")


class Check(Section):
    """The expected range of a figure of a finished run."""

    step: str = option(help="label of the step")
    metric: str = option(help="dotted name in its metrics.json, or in the results of its summary.json")
    minus: str | None = option(None, "step whose figure is subtracted")
    low: float | None = option(None, "smallest value; null = no bound")
    high: float | None = option(None, "largest value; null = no bound")
    expected: float | str | None = option(None, "value of the committed run")

    def verdict(self, value: float) -> str:
        """PASS if low <= value <= high, else FAIL (also for NaN)."""
        low, high = (-math.inf if self.low is None else self.low), (math.inf if self.high is None else self.high)
        return "PASS" if low <= value <= high else "FAIL"


class PipelineStep(Section):
    """One run of a stage within a pipeline."""

    stage: str = Field(description="name of the stage")
    label: str | int | None = option(None, "name of its run for later steps; null = that of the stage")
    set: list[str] = option((), "overrides for this step only")


class PipelineSettings(Section):
    """Stage pipeline."""

    steps: list[PipelineStep] | None = option(None, "list of {stage, label, set: [overrides]}; null = every stage once")
    checks: dict[str, Check | None] | None = option(
        {}, "expected figures: {name: {step, metric, minus, low, high, expected}}"
    )


class ReproduceSettings(Section):
    """Stage reproduce."""

    seeds: Annotated[list[int], MinLen(1)] = option((0, 1, 2), "seeds; one pipeline runs with each")


class Inputs(Section):
    """Runs to read, by stage; null = the last finished one of this name."""

    model_config = ConfigDict(extra="allow")  # stages from other packages may read further runs

    encoder: Text | None = option(None, "encoder run to read; null = the last finished one")
    retrieve: Text | None = option(None, "retrieve run")
    relevance: Text | None = option(None, "relevance run")
    segment: Text | None = option(None, "segment run")
    decoder: Text | None = option(None, "decoder run")
    adapt: Text | None = option(None, "adapt run")
