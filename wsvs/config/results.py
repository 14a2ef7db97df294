"""The settings of the stages that show results, or hand them on to people and other tools."""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Ge, Le

from wsvs.config.base import AtLeast0, Natural, OnDisk, Positive, Section, SomeTexts, Text, option


class SubmitSettings(Section):
    """Stage submit (Table 3)."""

    ids: Text | None = option(
        None, "file with the ids that the server expects: test.txt", path=OnDisk("list of ids", "file")
    )
    competition: Literal["comp5", "comp6"] = option("comp6", "comp5: trained on VOC data only; comp6: other data too")
    split: Text = option("test", "part of the folder's name in the archive")


class MergeSettings(Section):
    """Stage merge."""

    shards: Text | None = option(
        None,
        "folder of the shards, outputs/<name>/<stage>/shards; null = those of this name that were started last",
        path=OnDisk("folder of shards"),
    )


class ReportSettings(Section):
    """Stage report."""

    images: Natural = option(5000, "predicted images and videos in the gallery, at most")
    shots: Natural = option(5000, "shots of the retrieved videos in the gallery, at most")
    width: Positive = option(160, "width of a thumbnail", unit="px")


class ReviewSettings(Section):
    """Stage review."""

    port: Annotated[int, Ge(0), Le(65535)] = option(0, "port of this machine to serve the page at; 0 = a free one")
    use: bool = option(True, "trainings and stage predict read the review of their name; false: as if there were none")


class ExportSettings(Section):
    """Stage export."""

    format: Literal["voc", "coco", "yolo", "davis", "labelme", "label_studio", "cvat", "onnx", "torch_export"] = option(
        "coco", "file format of masks; onnx and torch_export write the model, with the settings of predict.*"
    )
    classes: SomeTexts | None = option(
        None, "classes of an exported model in the order of its labels, fewer are faster; null = all"
    )
    out: Text | None = option(None, "folder to write to; null = the run directory")
    names: SomeTexts | None = option(None, "names of the labels 0, 1, ...; null = those of the masks' model")
    reverse: bool = option(False, "read files of this format from `predictions` and write masks")
    objects: Literal["class", "part", "track"] = option(
        "class", "one object: all of a class in an image, each connected part, or each track (segment.instances=true)"
    )
    shapes: Literal["auto", "polygons", "masks"] = option(
        "auto", "how coco and cvat store objects; auto: masks for coco, polygons for cvat"
    )
    tolerance: AtLeast0 = option(0.0, "maximum error of simplified polygons; 0 = exact outlines", unit="px")
    min_area: Natural = option(0, "connected parts with fewer pixels are not exported", unit="px")
