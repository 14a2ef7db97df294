"""Exports read by the tools' own code. They are no dependencies: pip install label-studio-sdk datumaro supervision

labelme fiftyone into an environment of their own, and run this file there with the project on PYTHONPATH.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from wsvs.core.export import WRITE
from wsvs.core.export_objects import How

NAMES = ["background", "cat", "dog"]


def scene() -> np.ndarray:
    """A hole with an island, corners that touch, single pixels, two parts, two classes that touch."""
    mask = np.zeros((24, 31), np.uint8)
    mask[2:14, 2:14], mask[5:11, 5:11], mask[7:9, 7:9] = 1, 0, 1
    mask[14:17, 14:17], mask[17:20, 17:20] = 1, 1
    mask[2:14, 14:20], mask[0, 30], mask[23, 0] = 2, 2, 1
    return mask


@pytest.fixture(params=["class", "part"])
def how(request) -> How:
    return How(request.param, files={"a": "a.png"})


@pytest.fixture
def photo(tmp_path):
    (tmp_path / "images").mkdir()
    for folder in (tmp_path, tmp_path / "images"):
        Image.fromarray(np.zeros((24, 31, 3), np.uint8)).save(folder / "a.png")
    return tmp_path / "images"


def painted(parts) -> np.ndarray:
    """A mask of (label, (H, W) bool) in turn."""
    mask = np.zeros((24, 31), np.uint8)
    for label, part in parts:
        mask[np.asarray(part, bool)] = label
    return mask


@pytest.mark.parametrize("shapes", ["masks", "polygons"])
def test_coco_by_pycocotools(tmp_path, how, shapes):
    coco = pytest.importorskip("pycocotools.coco", reason="pycocotools is not installed")
    how.shapes = shapes
    WRITE["coco"](tmp_path, [("a", scene())], NAMES, how)
    api = coco.COCO(str(tmp_path / "annotations.json"))
    found = api.loadAnns(api.getAnnIds())
    assert np.array_equal(painted((one["category_id"], api.annToMask(one)) for one in found), scene())
    assert len(found) == (2 if how.objects == "class" else 7)
    assert all(api.annToMask(one).sum() == one["area"] for one in found)


@pytest.mark.parametrize("shapes", ["masks", "polygons"])
def test_coco_by_fiftyone(tmp_path, how, shapes):
    coco = pytest.importorskip("fiftyone.utils.coco", reason="fiftyone is not installed")
    how.shapes = shapes
    WRITE["coco"](tmp_path, [("a", scene())], NAMES, how)
    _, classes, _, images, objects = coco.load_coco_detection_annotations(str(tmp_path / "annotations.json"))
    [(number, image)] = images.items()
    assert image["file_name"] == "a.png"
    names = classes if isinstance(classes, dict) else dict(enumerate(classes))
    parts = []
    for one in objects[number]:
        shape = one.to_detection((31, 24), classes_map=names, load_segmentation=True)
        left, top = round(shape.bounding_box[0] * 31), round(shape.bounding_box[1] * 24)
        whole = np.zeros((24, 31), bool)
        whole[top : top + shape.mask.shape[0], left : left + shape.mask.shape[1]] = shape.mask
        parts.append((NAMES.index(shape.label), whole))
    assert np.array_equal(painted(parts), scene())


@pytest.mark.parametrize("shapes", ["masks", "polygons"])
def test_coco_by_supervision(tmp_path, photo, how, shapes):
    sv = pytest.importorskip("supervision", reason="supervision is not installed")
    how.shapes = shapes
    WRITE["coco"](tmp_path, [("a", scene())], NAMES, how)
    data = sv.DetectionDataset.from_coco(str(photo), str(tmp_path / "annotations.json"), force_masks=True)
    [(_, _, found)] = list(data)
    labels = [NAMES.index(data.classes[number]) for number in found.class_id]
    drawn = painted(zip(labels, np.asarray(found.mask), strict=True))
    if shapes == "masks":
        assert np.array_equal(drawn, scene())
    else:  # it paints the sides of polygons too
        assert (drawn > 0)[scene() > 0].all()


def test_yolo_by_supervision(tmp_path, photo, how):
    sv = pytest.importorskip("supervision", reason="supervision is not installed")
    WRITE["yolo"](tmp_path, [("a", scene())], NAMES, how)
    data = sv.DetectionDataset.from_yolo(
        str(photo), str(tmp_path / "labels"), str(tmp_path / "data.yaml"), force_masks=True
    )
    [(_, _, found)] = list(data)
    assert list(data.classes) == NAMES[1:] and sorted(found.class_id.tolist()) == [0] * 5 + [1] * 2
    drawn = painted((label + 1, part) for label, part in zip(found.class_id, found.mask, strict=True))
    assert (drawn > 0)[scene() > 0].all()  # it paints the sides of polygons too


@pytest.mark.parametrize("shapes", ["masks", "polygons"])
def test_cvat_by_datumaro(tmp_path, photo, how, shapes):
    dm = pytest.importorskip("datumaro", reason="datumaro is not installed")
    from datumaro.util.mask_tools import rles_to_mask

    how.shapes = shapes
    WRITE["cvat"](tmp_path, [("a", scene())], NAMES, how)
    data = dm.Dataset.import_from(str(tmp_path), "cvat")
    [item] = list(data)
    names = [one.name for one in data.categories()[dm.AnnotationType.label].items]
    parts = []
    for one in item.annotations:
        whole = one.image if one.type == dm.AnnotationType.mask else rles_to_mask([one.points], 31, 24)
        parts.append((NAMES.index(names[one.label]), whole))
    assert names == ["cat", "dog", "void"] and np.array_equal(painted(parts), scene())


def test_label_studio_by_its_sdk(tmp_path, how):
    sdk = pytest.importorskip("label_studio_sdk.converter", reason="label-studio-sdk is not installed")
    from label_studio_sdk.label_interface import LabelInterface

    coco = pytest.importorskip("pycocotools.coco", reason="pycocotools is not installed")
    WRITE["label_studio"](tmp_path, [("a", scene())], NAMES, how)
    tasks = json.loads((tmp_path / "tasks.json").read_text())
    interface = LabelInterface((tmp_path / "config.xml").read_text())
    for task in tasks:
        assert all(interface.validate_prediction(one, return_errors=True) == [] for one in task["predictions"])
        [prediction] = task.pop("predictions")
        task |= {"id": 1, "annotations": [{"id": 1, "result": prediction["result"]}]}  # as an annotator accepts it
    (tmp_path / "accepted").mkdir()
    (tmp_path / "accepted/tasks.json").write_text(json.dumps(tasks))
    converter = sdk.Converter(str(tmp_path / "config.xml"), str(tmp_path), download_resources=False)
    converter.convert_to_coco(str(tmp_path / "accepted"), str(tmp_path / "made"), str(tmp_path / "made/images"))
    api = coco.COCO(str(tmp_path / "made/result.json"))
    names = {one["id"]: one["name"] for one in api.loadCats(api.getCatIds())}
    found = api.loadAnns(api.getAnnIds())
    parts = [(NAMES.index(names[one["category_id"]]), api.annToMask(one)) for one in found]
    assert len(found) == 7 and np.array_equal(painted(parts), scene())


def test_labelme_by_itself(tmp_path, photo, how):
    pytest.importorskip("labelme", reason="labelme is not installed")
    from labelme import utils
    from labelme._label_file import read_label_file

    WRITE["labelme"](tmp_path, [("a", scene())], NAMES, how)
    shapes = read_label_file(str(tmp_path / "a.json")).shapes
    assert len(shapes) == 7 and (shapes[0]["group_id"] is None) == (how.objects == "part")
    drawn, _ = utils.shapes_to_label((24, 31), shapes, {name: label for label, name in enumerate(NAMES)})
    assert (drawn > 0)[scene() > 0].all()  # it paints the sides of polygons too
