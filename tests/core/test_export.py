"""What is exported is read back as the same masks, and says what its format wants to hear."""

from __future__ import annotations

import json

import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image

from wsvs.core.errors import UserError
from wsvs.core.export import READ, WRITE, read_coco, read_yolo, write_coco, write_davis, write_voc, write_yolo
from wsvs.core.export_objects import How
from wsvs.core.files import write_json

NAMES = ["background", "cat", "dog, big", "ünit"]


def masks(void: bool = True) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    found = {"deep/f.v1": np.zeros((3, 5), np.uint8), "video/00007": np.full((4, 4), 3, np.uint8)}
    for number, (height, width) in enumerate([(7, 9), (13, 333), (41, 1)]):
        found[f"video/{number:05d}"] = rng.choice(np.array([0, 1, 2, 3], np.uint8), (height, width))
    if void:
        found["z"] = rng.choice(np.array([0, 2, 255], np.uint8), (11, 10))
    return dict(sorted(found.items()))


def same(found, expected) -> None:
    found = dict(found)
    assert found.keys() == expected.keys()
    for name, mask in expected.items():
        assert found[name].dtype == np.uint8 and np.array_equal(found[name], mask), name


@pytest.mark.parametrize("kind", sorted(WRITE))
def test_there_and_back(tmp_path, kind):
    expected = masks(void=kind != "yolo")
    if kind == "davis":
        expected = {name: mask for name, mask in expected.items() if name.startswith("video/")}
    assert WRITE[kind](tmp_path / "out", iter(masks(void=kind != "yolo").items()), NAMES) == len(expected)
    same(READ[kind](tmp_path / "out"), expected)


def hostile() -> dict[str, np.ndarray]:
    """Parts that touch, holes within holes, single pixels, corners that meet, nothing, all, and names people give."""
    touching, deep, corners = np.zeros((30, 40), np.uint8), np.ones((24, 25), np.uint8), np.zeros((12, 12), np.uint8)
    touching[5:20, 5:15], touching[5:20, 15:25], touching[20:28, 10:20] = 1, 2, 1
    deep[3:21, 3:21] = 0
    deep[6:16, 6:16] = 2
    deep[8:10, 8:10], deep[12, 12] = 0, 1
    corners[2:5, 2:5] = corners[5:8, 5:8] = 1
    chequered = (np.indices((9, 10)).sum(0) % 2 + 1).astype(np.uint8)
    return {
        "my photo (1), b=2/00000": touching,
        "my photo (1), b=2/00001": deep,
        "ümlaut/00002": corners,
        "it's 100% #1 [x]/00003": chequered,
        "cat.jpg/00004": np.zeros((7, 5), np.uint8),
        "line\u2028end\ttab/00005": np.full((1, 1), 2, np.uint8),
        "a.b/00006": np.full((4, 3), 3, np.uint8),
    }


@pytest.mark.parametrize("kind", sorted(WRITE))
def test_hostile_masks_and_names(tmp_path, kind):
    assert WRITE[kind](tmp_path / "out", iter(sorted(hostile().items())), NAMES) == len(hostile())
    same(READ[kind](tmp_path / "out"), hostile())


def test_coco_names_the_files_of_the_images(tmp_path):
    files = {"deep/f.v1": "deep/f.v1.gif", "z": "z.Jpg", "video/00007": "video/00007"}  # the last: an id with its end
    write_coco(tmp_path, masks().items(), NAMES, How(files=files))
    images = json.loads((tmp_path / "annotations.json").read_text())["images"]
    assert {image["file_name"] for image in images} == {
        "deep/f.v1.gif",
        "z.Jpg",
        "video/00007",
        "video/00000.jpg",
        "video/00001.jpg",
        "video/00002.jpg",
    }
    same(read_coco(tmp_path), masks())


def test_coco_keeps_an_id_that_the_file_name_does_not_tell(tmp_path):
    expected = {"a.jpg": np.eye(2, dtype=np.uint8), "a": np.ones((1, 2), np.uint8)}
    write_coco(tmp_path, expected.items(), NAMES, How(files={"a.jpg": "a.jpg", "a": "a.png"}))
    same(read_coco(tmp_path), expected)


def test_coco_by_its_own_api(tmp_path, capsys):
    coco = pytest.importorskip("pycocotools.coco", reason="pycocotools is not installed")
    expected = masks()
    write_coco(tmp_path, expected.items(), NAMES)
    api = coco.COCO(str(tmp_path / "annotations.json"))
    assert {one["id"]: one["name"] for one in api.loadCats(api.getCatIds())} == {
        1: "cat",
        2: "dog, big",
        3: "ünit",
        255: "void",
    }
    for image in api.loadImgs(api.getImgIds()):
        mask = np.zeros((image["height"], image["width"]), np.uint8)
        for annotation in api.loadAnns(api.getAnnIds(imgIds=image["id"])):
            part = api.annToMask(annotation)
            mask[part > 0] = annotation["category_id"]
            rows, columns = np.nonzero(part)
            assert annotation["area"] == part.sum()
            left, top, width, height = annotation["bbox"]
            assert (left, top, left + width, top + height) == (
                columns.min(),
                rows.min(),
                columns.max() + 1,
                rows.max() + 1,
            )
        assert np.array_equal(mask, expected[image["file_name"].removesuffix(".jpg")])


def test_coco_of_others_with_polygons_and_plain_runs(tmp_path):
    write_json(
        tmp_path / "theirs.json",
        {
            "images": [{"id": 9, "file_name": "a.png", "height": 2, "width": 3}],
            "annotations": [
                {"image_id": 9, "category_id": 4, "segmentation": [[0, 0, 3, 0, 3, 1, 0, 1]]},
                {"image_id": 9, "category_id": 2, "segmentation": {"size": [2, 3], "counts": [1, 2, 3]}},
            ],
        },
    )
    same(read_coco(tmp_path / "theirs.json"), {"a": np.array([[4, 2, 4], [2, 0, 0]], np.uint8)})


def test_voc_files(tmp_path):
    write_voc(tmp_path, masks().items(), NAMES)
    assert (tmp_path / "ImageSets/Segmentation/all.txt").read_text().split() == list(masks())
    assert (tmp_path / "labels.txt").read_text().splitlines() == NAMES
    with Image.open(tmp_path / "SegmentationClass/z.png") as image:
        assert image.mode == "P" and image.getpalette()[6:9] == [0, 128, 0]


def test_yolo_lines(tmp_path):
    mask = np.zeros((4, 8), np.uint8)
    mask[1:3, 2:6] = 2
    write_yolo(tmp_path, [("a", mask), ("b", np.full((2, 2), 255, np.uint8))], NAMES)
    label, *shares = (tmp_path / "labels/a.txt").read_text().split()
    points = {tuple(point) for point in np.array(shares, float).reshape(-1, 2).tolist()}
    assert label == "1" and points == {(0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75)}
    assert (tmp_path / "labels/b.txt").read_text() == ""  # void is nothing
    assert dict(OmegaConf.load(tmp_path / "data.yaml").names) == {0: "cat", 1: "dog, big", 2: "ünit"}
    write_yolo(tmp_path, [("a", mask)], ["background", "cat 🐈"])
    assert dict(OmegaConf.load(tmp_path / "data.yaml").names) == {0: "cat 🐈"}


def test_davis_folders(tmp_path):
    write_davis(tmp_path, masks().items(), NAMES)
    assert (tmp_path / "ImageSets/all.txt").read_text() == "video\n"
    frames = sorted(path.name for path in (tmp_path / "Annotations/Full-Resolution/video").iterdir())
    assert frames == ["00000.png", "00001.png", "00002.png", "00007.png"]
    ids = [f"video/{frame[:5]}" for frame in frames]
    assert json.loads((tmp_path / "frames.json").read_text()) == dict(zip(ids, ids, strict=True))
    with pytest.raises(UserError, match="no masks of videos"):
        write_davis(tmp_path / "none", [("a", np.zeros((1, 1), np.uint8))], NAMES)


@pytest.mark.parametrize("names", [("v/000120", "v/000121"), ("v/1", "v/10"), ("v w/\t/07", "v/7")])
def test_davis_frames_get_their_names_back(tmp_path, names):
    expected = {name: np.full((2, 2), number, np.uint8) for number, name in enumerate(names)}
    write_davis(tmp_path, expected.items(), NAMES)
    assert all(len(path.stem) == 5 for path in (tmp_path / "Annotations").rglob("*.png"))
    same(READ["davis"](tmp_path), expected)


@pytest.mark.parametrize("kind", sorted(WRITE))
def test_what_an_earlier_export_left_is_not_read(tmp_path, kind):
    one, two = np.eye(3, dtype=np.uint8), np.ones((2, 2), np.uint8)
    WRITE[kind](tmp_path, [("v/00000", one), ("v/0001", one), ("w/00000", one)], NAMES)
    WRITE[kind](tmp_path, [("v/00000", two)], NAMES)
    same(READ[kind](tmp_path), {"v/00000": two})


def test_folders_of_masks_without_lists_are_read_whole(tmp_path):
    expected = {"v/00000": np.eye(3, dtype=np.uint8)}
    for kind, file in (("voc", "ImageSets/Segmentation/all.txt"), ("davis", "frames.json")):
        WRITE[kind](tmp_path / kind, expected.items(), NAMES)
        (tmp_path / kind / file).unlink()
        same(READ[kind](tmp_path / kind), expected)


def test_two_masks_of_one_name_are_refused(tmp_path):
    both = [("v/1", np.zeros((1, 1), np.uint8)), ("v/01", np.ones((1, 1), np.uint8))]
    with pytest.raises(UserError, match=r"two images would both give v/00001.png") as caught:
        write_davis(tmp_path, both, NAMES)
    assert caught.value.where == "mask v/01.png"
    images = [{"id": n, "file_name": f"a.{end}", "height": 1, "width": 1} for n, end in enumerate(("jpg", "png"))]
    write_json(tmp_path / "annotations.json", {"images": images, "annotations": []})
    with pytest.raises(UserError, match=r"two images would both give a.png") as caught:
        list(read_coco(tmp_path))
    assert caught.value.where == f"{tmp_path}/annotations.json: images[1], file_name 'a.png'"
    (tmp_path / "sizes.tsv").write_text("id\theight\twidth\na\t1\t1\n./a\t1\t1\n")
    with pytest.raises(UserError, match=r"two images would both give a.png") as caught:
        list(read_yolo(tmp_path))
    assert caught.value.where == f"{tmp_path}/sizes.tsv:3"


@pytest.mark.parametrize("name", ["../../evil/x", "/tmp/evil/x", "a/../../x", "..", "/"])
def test_names_that_lead_out_of_the_folder_are_refused(tmp_path, name):
    images = [{"id": n, "file_name": file, "height": 1, "width": 1} for n, file in enumerate(("a.jpg", f"{name}.jpg"))]
    write_json(tmp_path / "annotations.json", {"images": [images[0], images[1] | {"mask_id": name}], "annotations": []})
    (tmp_path / "sizes.tsv").write_text(f"id\theight\twidth\na\t1\t1\n{name}\t1\t1\n")
    write_davis(tmp_path, [("v/00000", np.zeros((1, 1), np.uint8))], NAMES)
    write_json(tmp_path / "frames.json", {"v/00000": name})
    for kind, where in (("coco", "annotations.json: images[1]"), ("yolo", "sizes.tsv:3"), ("davis", "frames.json: v")):
        with pytest.raises(UserError, match="is not the name of a file below a folder") as caught:
            list(READ[kind](tmp_path))
        assert repr(name) in caught.value.problem and caught.value.where.startswith(str(tmp_path / where))
    write_json(tmp_path / "annotations.json", {"images": images, "annotations": []})
    with pytest.raises(UserError):
        list(read_coco(tmp_path))


@pytest.mark.parametrize("kind", sorted(READ))
def test_how_much_there_is_to_read_is_known(tmp_path, kind):
    count = WRITE[kind](tmp_path, masks(void=False).items(), NAMES)
    lengths = []
    list(READ[kind](tmp_path, lambda work: lengths.append(len(work)) or work))
    assert lengths == [count]


@pytest.mark.parametrize("line", ["-1 0 0 1 0 1 1", "0 0 0 nan 0 1 1", "0 0 0 inf 0 1 1", "254 0 0 1 0 1 1", "1.5 0 0"])
def test_yolo_numbers_that_mean_nothing(tmp_path, line):
    write_yolo(tmp_path, [("a", np.ones((2, 2), np.uint8))], NAMES)
    (tmp_path / "labels/a.txt").write_text(f"0 0 0 1 0 1 1\n{line}\n")
    with pytest.raises(UserError, match="not 'class x y") as caught:
        list(read_yolo(tmp_path))
    assert caught.value.where == f"{tmp_path / 'labels/a.txt'}:2"


def test_sizes_without_a_heading_keep_their_first_image(tmp_path):
    (tmp_path / "sizes.tsv").write_text("a\t2\t3\nb\t1\t1\n")
    same(read_yolo(tmp_path), {"a": np.zeros((2, 3), np.uint8), "b": np.zeros((1, 1), np.uint8)})


def test_bad_line_of_sizes_is_named(tmp_path):
    (tmp_path / "sizes.tsv").write_text("a 2 3\nb\t1\t1\n")
    with pytest.raises(UserError, match="not 'id, height, width'") as caught:
        list(read_yolo(tmp_path))
    assert caught.value.where == f"{tmp_path / 'sizes.tsv'}:1"


@pytest.mark.parametrize(
    ("kind", "file", "content", "message"),
    [
        ("yolo", "sizes.tsv", "id\theight\twidth\n\xfc\t1\t1\n", "not UTF-8 text"),
        ("yolo", "labels/v/00000.txt", "0 \xfc\n", "not UTF-8 text"),
        ("yolo", "sizes.tsv", "a\t1000000000\t1000000000\n", "invalid image size"),
        ("yolo", "sizes.tsv", "a\t0\t1\n", "invalid image size"),
        ("yolo", "sizes.tsv", f"a\t{'9' * 5000}\t1\n", "invalid image size"),
        ("voc", "ImageSets/Segmentation/all.txt", "\xfc\n", "not UTF-8 text"),
        ("voc", "ImageSets/Segmentation/all.txt", "v/00001\n", "mask not found"),
        ("voc", "ImageSets/Segmentation/all.txt", "../v\n", "is not the name of a file"),
        ("davis", "frames.json", "[1]", "not a table of frames"),
        ("davis", "frames.json", '{"v/00000": 5}', "not a table of frames"),
        ("davis", "frames.json", '{"../v/00000": "v/00000"}', "is not the name of a file"),
        (
            "coco",
            "annotations.json",
            '{"images": [{"id": 1, "file_name": "a", "height": 1000000000, "width": 1000000000}], "annotations": []}',
            "not a file of COCO masks",
        ),
    ],
)
def test_damaged_files_are_reported(tmp_path, kind, file, content, message):
    WRITE[kind](tmp_path, [("v/00000", np.ones((2, 2), np.uint8))], NAMES)
    (tmp_path / file).write_text(content, encoding="latin-1")
    with pytest.raises(UserError, match=message) as caught:
        list(READ[kind](tmp_path))
    assert str(tmp_path) in caught.value.where


def test_bad_files_are_reported(tmp_path):
    def annotated(**more):
        image = {"id": 1, "file_name": "a", "height": 1, "width": 1}
        row = {"image_id": 1, "category_id": 1, "segmentation": {"counts": [0, 1]}}
        return {"images": [image], "annotations": [row | more]}

    for content in (
        [],
        {"images": [], "x": 1},
        {"images": [{"id": 1}], "annotations": []},
        {"images": ["a.jpg"], "annotations": []},
        annotated(category_id=300),
        annotated(category_id=0),
        annotated(category_id=-1),
        annotated(category_id="1"),
        annotated(segmentation=[[0, 0, 1, 0, float("nan"), 1]]),
    ):
        (tmp_path / "annotations.json").write_text(json.dumps(content))
        with pytest.raises(UserError, match="not a file of COCO masks"):
            list(read_coco(tmp_path))
    with pytest.raises(UserError, match="give the size of an image"):
        list(read_yolo(tmp_path))
    (tmp_path / "sizes.tsv").write_text("id\theight\twidth\na\t3\t4\nb 3 4\n")
    with pytest.raises(UserError, match="not 'id, height, width', separated by tabs: 'b 3 4'") as caught:
        list(read_yolo(tmp_path))
    assert caught.value.where == f"{tmp_path / 'sizes.tsv'}:3"
    write_yolo(tmp_path, masks(void=False).items(), NAMES)
    (tmp_path / "labels/video/00000.txt").write_text("1 0.5 0.5\n1 0.5 x\n")
    with pytest.raises(UserError, match="not 'class x y") as caught:
        list(read_yolo(tmp_path))
    assert caught.value.where == f"{tmp_path / 'labels/video/00000.txt'}:2"
    with pytest.raises(UserError, match="no mask in this folder"):
        list(READ["voc"](tmp_path / "nowhere"))
