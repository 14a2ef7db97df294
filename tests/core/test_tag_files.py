"""Tags in files of annotation tools and in the json of pandas."""

from __future__ import annotations

import json

import pytest

from wsvs.core.errors import UserError
from wsvs.core.tables import TagTable, read_tag_table

RIGHT = {"1.jpg": ("cat",), "2.jpg": ("cat", "dog")}


def read(tmp_path, content, name: str = "t.json", known=()) -> TagTable:
    text = content if isinstance(content, str) else json.dumps(content)
    (tmp_path / name).write_text(text)
    return read_tag_table(tmp_path / name, known)


def coco(**more):
    return {
        "images": [
            {"id": 7, "file_name": "train/1.jpg"},
            {"id": 3, "file_name": "2.jpg"},
            {"id": 9, "file_name": "3.jpg"},
        ],
        "categories": [{"id": 0, "name": "animals"}, {"id": 17, "name": "cat"}, {"id": 18, "name": "dog"}],
        "annotations": [
            {"image_id": 3, "category_id": 17},
            {"image_id": 3, "category_id": 18},
            {"image_id": 7, "category_id": 17},
            {"image_id": 3, "category_id": 17},
        ],
        **more,
    }


def test_coco(tmp_path):
    found = read(tmp_path, coco())
    assert found.tags == {"train/1.jpg": ("cat",), "2.jpg": ("cat", "dog"), "3.jpg": ()}
    assert found.format == "COCO instances"
    assert found.notes == (
        "images without annotations, read as without tags: 1",
        "categories without an image (1): animals",
    )
    panoptic = [{"image_id": 7, "segments_info": [{"category_id": 17}, {"category_id": 18}]}]
    assert read(tmp_path, coco(annotations=panoptic)).tags["train/1.jpg"] == ("cat", "dog")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (coco(annotations=[{"image_id": 99, "category_id": 17}]), "incomplete COCO file: KeyError 99"),
        (coco(annotations=[{"image_id": 7, "category_id": 5}]), "incomplete COCO file: KeyError 5"),
        (coco(images=[{"id": 1}]), "incomplete COCO file"),
        (coco(categories=[]), "COCO file without categories"),
        ({"shapes": [], "imagePath": "a.jpg"}, "files of LabelMe"),
        ({"a1": {"filename": "a.jpg", "regions": []}}, "VGG Image Annotator"),
        ({"a": [["cat"]]}, "tags of 'a' must be a list or a string"),
        ([1, 2], "must be an object"),
        ('{"a": ["cat"], "a": ["dog"]}', "id 'a' is in the"),
        ({"a": ["dog, domestic"]}, "the tag 'dog, domestic' has a comma"),
        ({"a": [1, 0]}, "numbers without names"),
    ],
)
def test_json_that_is_refused(tmp_path, content, problem):
    with pytest.raises(UserError, match=problem):
        read(tmp_path, content)


@pytest.mark.parametrize(
    "content",
    [
        {"1.jpg": ["cat"], "2.jpg": "cat,dog"},
        {"1.jpg": "cat", "2.jpg": ["cat", None, "dog"]},
        {"1.jpg": "cat", "2.jpg": "cat;dog"},
        {"cat": ["1.jpg", "2.jpg"], "dog": ["2.jpg"]},
        {"1.jpg": {"cat": 1, "dog": 0}, "2.jpg": {"cat": 1, "dog": 1}},
        [{"image": "1.jpg", "tags": ["cat"]}, {"image": "2.jpg", "tags": ["cat", "dog"]}],
        [{"id": 1, "file_name": "1.jpg", "label": "cat"}, {"id": 2, "file_name": "2.jpg", "label": "cat,dog"}],
        [{"image": "1.jpg", "cat": True, "dog": False}, {"image": "2.jpg", "cat": True, "dog": True}],
        {"image": {"0": "1.jpg", "1": "2.jpg"}, "tags": {"0": "cat", "1": "cat,dog"}},
        {"columns": ["image", "tags"], "index": [0, 1], "data": [["1.jpg", "cat"], ["2.jpg", "cat,dog"]]},
    ],
)
def test_json_of_people_and_pandas(tmp_path, content):
    assert read(tmp_path, content).tags == RIGHT
    if isinstance(content, list):
        assert read(tmp_path, "\n".join(map(json.dumps, content)), "t.jsonl").tags == RIGHT


def task(name: str, *answers, control: str = "what", **more) -> dict:
    kinds = {"choices": "choices", "rectanglelabels": "rectanglelabels", "brushlabels": "brushlabels"}
    return {
        "id": 5,
        "data": {"image": f"upload/1/{name}"},
        "predictions": [{"result": []}],
        "annotations": [
            {
                "was_cancelled": False,
                "ground_truth": False,
                **more,
                "result": [
                    {"type": kinds[kind], "from_name": control, "value": {"x": 1, kind: labels}}
                    for kind, labels in answer
                ],
            }
            for answer in answers
        ],
    }


@pytest.mark.parametrize("kind", ["choices", "rectanglelabels", "brushlabels"])
def test_label_studio(tmp_path, kind):
    found = read(
        tmp_path,
        [
            task("1.jpg", [(kind, ["cat"])]),
            task("2.jpg", [(kind, ["cat"]), (kind, ["dog"])], [(kind, ["dog", "cat"])]),
            task("3.jpg", []),
            task("4.jpg"),
            task("5.jpg", [(kind, ["dog"])], was_cancelled=True),
        ],
    )
    assert {name.rpartition("/")[2]: tags for name, tags in found.tags.items()} == {**RIGHT, "3.jpg": ()}
    assert found.format == "Label Studio export"
    assert found.notes == ("tasks without annotations, not used: 2",)


def test_label_studio_where_it_is_not_certain(tmp_path):
    two = task("1.jpg", [("choices", ["cat"])], [("choices", ["dog"])])
    with pytest.raises(UserError, match=r"annotators disagree: 1, first .*1.jpg \(cat / dog\)"):
        read(tmp_path, [two])
    two["annotations"][1]["ground_truth"] = True
    assert list(read(tmp_path, [two]).tags.values()) == [("dog",)]
    other = task("2.jpg", [("choices", ["good"])], control="quality")["annotations"][0]["result"]
    both = task("2.jpg", [("choices", ["cat"])])
    both["annotations"][0]["result"] += other
    with pytest.raises(UserError, match="several questions"):
        read(tmp_path, [both])
    assert list(read(tmp_path, [both], known=("cat",)).tags.values()) == [("cat",)]


def test_label_studio_json_min(tmp_path):
    cat, dog = ({"x": 1, "rectanglelabels": [name]} for name in ("cat", "dog"))
    rows = [
        {"image": "1.jpg", "id": 1, "label": [cat], "annotator": 1},
        {"image": "2.jpg", "id": 2, "label": [cat, dog], "annotator": 1},
        {"image": "2.jpg", "id": 2, "label": [dog, cat], "annotator": 2},
    ]
    assert read(tmp_path, rows).tags == RIGHT
    rows[2]["label"] = []
    with pytest.raises(UserError, match="annotators disagree on 2"):
        read(tmp_path, rows)


def test_cvat(tmp_path):
    text = """<?xml version="1.0" encoding="utf-8"?><annotations><version>1.1</version>
<meta><task><labels><label><name>cat</name></label></labels></task></meta>
<image id="0" name="1.jpg" width="9" height="9"><tag label="cat" source="manual"></tag></image>
<image id="1" name="2.jpg" width="9" height="9"><box label="cat" xtl="0"><attribute name="age">2</attribute></box>
<polygon label="dog" points="0,0;1,1"/><mask label="dog" rle="1"/></image>
<image id="2" name="3.jpg" width="9" height="9"></image></annotations>"""
    found = read(tmp_path, text, "annotations.xml")
    assert found.tags == {**RIGHT, "3.jpg": ()} and found.format == "CVAT for images"
    assert found.notes == ("images without annotations, read as without tags: 1",)
    for text, problem in (
        ("<annotations><track id='0' label='cat'/></annotations>", "CVAT for video"),
        ("<html/>", "an unknown XML format"),
        ("<annotation><object/></annotation>", "a single file of Pascal VOC"),
        ("<annotations>", "not XML"),
    ):
        with pytest.raises(UserError, match=problem):
            read(tmp_path, text, "annotations.xml")
