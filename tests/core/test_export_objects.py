"""Objects of a mask: parts, tracks, small ones left out, simplified; and what people change in the tools."""

from __future__ import annotations

import base64
import json
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from wsvs.core.errors import UserError
from wsvs.core.export import READ, WRITE
from wsvs.core.export_objects import How
from wsvs.core.export_polygons import distances
from wsvs.core.files import read_json, write_json

NAMES = ["background", "cat", "dog"]
TOOLS = ("coco", "cvat", "labelme", "label_studio", "yolo")


def blob() -> np.ndarray:
    """Two discs of a class, one with a hole, and single pixels."""
    y, x = np.indices((40, 60))
    mask = ((np.hypot(x - 15, y - 18) < 12) & (np.hypot(x - 14, y - 18) > 5)).astype(np.uint8)
    mask[np.hypot(x - 42, y - 20) < 13] = 1
    mask[1, 1], mask[38, 58], mask[38, 30:33] = 1, 2, 2
    return mask


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return float(((one == other) & (one > 0)).sum() / ((one > 0) | (other > 0)).sum())


@pytest.mark.parametrize("kind", TOOLS)
@pytest.mark.parametrize("objects", ["class", "part"])
def test_small_parts_are_left_out_and_counted(tmp_path, kind, objects):
    expected = blob()
    for label in (1, 2):  # by another implementation
        parts, count = ndimage.label(expected == label)
        for part in range(1, count + 1):
            if (parts == part).sum() < 3:
                expected[parts == part] = 0
    how = How(objects, min_area=3, shapes="polygons")
    WRITE[kind](tmp_path, [("a", blob())], NAMES, how)
    [(_, found)] = READ[kind](tmp_path)
    assert np.array_equal(found, expected) and set(np.unique(found)) == {0, 1, 2}
    assert how.errors.results() == {"parts left out": 2, "pixels left out": 2}


@pytest.mark.parametrize("kind", TOOLS)
def test_tolerance_gives_fewer_corners_and_says_the_error(tmp_path, kind):
    how = How("class", "polygons", tolerance=1.0)
    WRITE[kind](tmp_path / "rough", [("a", blob())], NAMES, how)
    WRITE[kind](tmp_path / "exact", [("a", blob())], NAMES, How("class", "polygons"))
    [(_, rough)], [(_, exact)] = READ[kind](tmp_path / "rough"), READ[kind](tmp_path / "exact")
    assert np.array_equal(exact, blob()) and 0.9 < iou(rough, blob()) < 1
    said = how.errors.results()
    wrong = float((rough != blob()).sum() / (blob() > 0).sum())
    rounding = 0.005  # shares and percentages move the slanted sides that meet a pixel's centre
    assert said["area error (wrong pixels / object pixels)"] == pytest.approx(wrong, abs=rounding) and wrong > rounding
    assert 0 < said["boundary error, mean (px)"] < said["boundary error, max (px)"] <= 1
    short, long = (
        sum(path.stat().st_size for path in (tmp_path / which).rglob("*") if path.is_file())
        for which in ("rough", "exact")
    )
    assert short < long
    assert rough[1, 1] == 1  # a single pixel does not vanish


def test_distances_by_brute_force():
    rng = np.random.default_rng(0)
    loop, points = rng.uniform(0, 20, (5, 2)), rng.uniform(-5, 25, (40, 2))
    steps = np.linspace(0, 1, 20001)[:, None]
    sides = np.concatenate([a + steps * (b - a) for a, b in zip(loop, np.roll(loop, -1, axis=0), strict=True)])
    expected = [np.hypot(*(sides - point).T).min() for point in points]
    assert np.abs(distances(points, loop) - expected).max() < 1e-2


def test_one_object_for_each_part_or_track(tmp_path):
    mask = blob()
    tracks = np.where(np.arange(60) < 28, 7, 9).astype(np.uint8) * (mask == 1)
    for objects, labels in (("class", [1, 2]), ("part", [1, 1, 1, 2, 2]), ("track", [1, 1, 2])):
        how = How(objects, tracks=lambda name: tracks)
        WRITE["coco"](tmp_path, [("v/00000", mask)], NAMES, how)
        found = read_json(tmp_path / "annotations.json")["annotations"]
        assert [one["category_id"] for one in found] == labels
        assert sum(one["area"] for one in found) == (mask > 0).sum()
    assert [one.get("track_id") for one in found] == [7, 9, None]
    WRITE["davis"](tmp_path, [("v/00000", mask)], NAMES, how)
    with Image.open(tmp_path / "Annotations/Full-Resolution/v/00000.png") as image:
        assert np.array_equal(np.asarray(image), tracks)
    assert read_json(tmp_path / "objects.json") == {"v": {"7": 1, "9": 1}}
    [(_, back)] = READ["davis"](tmp_path)
    assert np.array_equal(back, mask * (mask == 1))  # class 2 has no track here


@pytest.mark.parametrize("kind", ["cvat", "labelme", "label_studio"])
def test_classes_are_known_by_name(tmp_path, kind):
    WRITE[kind](tmp_path, [("a", blob())], NAMES)
    [(_, found)] = READ[kind](tmp_path, names=["background", "dog", "cat"])
    assert np.array_equal(found, np.array([0, 2, 1], np.uint8)[blob()])
    with pytest.raises(UserError, match="class 'dog' is not among the names") as caught:
        list(READ[kind](tmp_path, names=["background", "cat"]))
    assert caught.value.remedy == "give all of them: export.names=[background,cat,dog]"
    (tmp_path / "labels.txt").unlink()
    with pytest.raises(UserError, match="name classes, but not their labels") as caught:
        list(READ[kind](tmp_path))
    assert "export.names=[background,cat,dog]" in caught.value.remedy


def test_coco_categories_by_name_where_names_are_given(tmp_path):
    WRITE["coco"](tmp_path, [("a", blob())], NAMES)
    content = read_json(tmp_path / "annotations.json")
    for one in content["categories"]:
        one["id"] += 10
    for one in content["annotations"]:
        one["category_id"] += 10
    write_json(tmp_path / "annotations.json", content)
    [(_, found)] = READ["coco"](tmp_path, names=NAMES)
    assert np.array_equal(found, blob())


def test_label_studio_takes_what_a_person_has_drawn(tmp_path):
    """As its JSON export has it: uploaded under another name, with an annotation beside the prediction."""
    WRITE["label_studio"](tmp_path, [("a", blob())], NAMES)
    [task] = read_json(tmp_path / "tasks.json")
    drawn = {"points": [[0, 0], [50, 0], [50, 50], [0, 50]], "closed": True, "polygonlabels": ["dog"]}
    size = {"original_width": 8, "original_height": 4}
    task["annotations"] = [
        {"result": [{"type": "polygonlabels", "value": drawn, **size}, {"type": "choices", "value": {}}]},
        {"was_cancelled": True, "result": []},
    ]
    task["data"] = {"image": "/data/upload/1/b%20c.jpg"}
    write_json(tmp_path / "tasks.json", [task, {"data": {"image": "/empty.jpg"}, "annotations": []}])
    [(name, found)] = READ["label_studio"](tmp_path)
    expected = np.zeros((4, 8), np.uint8)
    expected[:2, :4] = 2
    assert name == "data/upload/1/b c" and np.array_equal(found, expected)


def test_cvat_boxes_and_order(tmp_path):
    (tmp_path / "annotations.xml").write_text(
        '<annotations><image id="0" name="a.png" width="6" height="4">'
        '<box label="cat" xtl="0" ytl="0" xbr="2" ybr="2" z_order="1"/>'
        '<polygon label="dog" points="0,0;6,0;6,4;0,4" z_order="0"/><points label="cat" points="1,1"/>'
        "</image></annotations>"
    )
    [(_, found)] = READ["cvat"](tmp_path, names=NAMES)
    expected = np.full((4, 6), 2)
    expected[:2, :2] = 1
    assert np.array_equal(found, expected)


def test_labelme_shapes_of_others(tmp_path):
    """Rectangles of labelme and of X-AnyLabeling, and masks."""
    stamp = BytesIO()
    Image.fromarray(np.array([[0, 255], [255, 255]], np.uint8)).save(stamp, "PNG")
    shapes = [
        {"label": "cat", "shape_type": "rectangle", "points": [[2, 2], [0, 0]]},
        {"label": "dog", "shape_type": "rectangle", "points": [[4, 0], [6, 0], [6, 2], [4, 2]]},
        {
            "label": "dog",
            "shape_type": "mask",
            "points": [[1, 2], [2, 3]],
            "mask": base64.b64encode(stamp.getvalue()).decode(),
        },
        {"label": "cat", "shape_type": "point", "points": [[3, 3]]},
    ]
    (tmp_path / "deep").mkdir()
    content = {"shapes": shapes, "imageHeight": 4, "imageWidth": 6, "imagePath": "a.png"}
    (tmp_path / "deep/a.json").write_text(json.dumps(content))
    [(name, found)] = READ["labelme"](tmp_path, names=NAMES)
    expected = np.array([[1, 1, 0, 0, 2, 2], [1, 1, 0, 0, 2, 2], [0, 0, 2, 0, 0, 0], [0, 2, 2, 0, 0, 0]])
    assert name == "deep/a" and np.array_equal(found, expected)


@pytest.mark.parametrize(
    ("kind", "file", "content"),
    [
        ("cvat", "annotations.xml", "<annotations><image"),
        ("cvat", "annotations.xml", '<a><image name="a" width="1" height="0"/></a>'),
        ("cvat", "annotations.xml", '<a><image name="a" width="2" height="2"><polygon label="cat"/></image></a>'),
        ("label_studio", "tasks.json", '{"a": 1}'),
        ("label_studio", "tasks.json", '[{"predictions": []}]'),
        ("labelme", "a.json", "[1]"),
        ("labelme", "a.json", '{"shapes": [{"label": "cat", "points": [["x"]]}], "imageHeight": 2, "imageWidth": 2}'),
    ],
)
def test_files_of_another_form_are_refused(tmp_path, kind, file, content):
    (tmp_path / file).write_text(content)
    with pytest.raises(UserError, match="not a file of") as caught:
        list(READ[kind](tmp_path, names=NAMES))
    assert caught.value.where == str(tmp_path / file) and caught.value.remedy
