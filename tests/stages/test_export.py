"""Stage export from the command line: whose masks, whose names, and back."""

from __future__ import annotations

import os

import numpy as np
import pytest

from wsvs.core.files import read_json, write_json, write_jsonl
from wsvs.core.masks import read_mask, write_mask
from wsvs.core.progress import Meter

MASK = np.array([[0, 1, 2], [2, 2, 0]], np.uint8)


@pytest.fixture
def words(tmp_path):
    return ["stage=export", f"out={tmp_path}/out", "name=n", "trainer=cpu"]


@pytest.fixture
def predict(tmp_path):
    """A finished run of stage predict: an image and a video, and its other files."""
    run = tmp_path / "out/n/predict/r"
    for name in ("a b/c.d", "film/00000", "film/00001"):
        write_mask(run / f"{name}.png", MASK)
    for name in ("overlay/x", "scores/x", ".tmp-1", "wandb/run/files/media/x"):
        write_mask(run / f"{name}.png", MASK)
    rows = [{"id": "a b/c.d", "file": "a b/c.d.Png"}, {"id": "film", "file": "film.mp4", "frames": 2}]
    write_jsonl(run / "items.jsonl", rows)
    (run / "labels.txt").write_text("background\ncat\ndog\n")
    write_json(run / "summary.json", {"finished": 1.0, "debug": False})
    return run


@pytest.mark.parametrize(
    ("kind", "count"),
    [("coco", 3), ("voc", 3), ("yolo", 3), ("davis", 2), ("labelme", 3), ("label_studio", 3), ("cvat", 3)],
)
def test_there_and_back(wsvs, words, predict, tmp_path, caplog, kind, count):
    words.append(f"export.format={kind}")
    caplog.set_level("INFO")
    status, _, err = wsvs(*words, f"predictions={predict}", f"export.out={tmp_path}/{kind}")
    assert status == 0, err
    assert f"wrote {tmp_path}/{kind}" in caplog.text
    [run] = (tmp_path / "out/n/export").iterdir()
    assert read_json(run / "summary.json")["counts"] == {"masks": count, "format": kind, "skipped items": 0}
    back = tmp_path / "back"
    status, _, err = wsvs(*words, f"predictions={tmp_path}/{kind}", f"export.out={back}", "export.reverse=true")
    assert status == 0, err
    found = {path.relative_to(back).as_posix(): read_mask(path) for path in back.rglob("*.png")}
    films = {"film/00000.png", "film/00001.png"}
    assert set(found) == (films if kind == "davis" else {"a b/c.d.png", *films})
    assert all(np.array_equal(mask, MASK) for mask in found.values())


def test_the_last_runs_and_the_names_of_their_classes(wsvs, words, predict, tmp_path):
    assert wsvs(*words, run_id="images")[0] == 0
    content = read_json(tmp_path / "out/n/export/images/annotations.json")
    assert [one["name"] for one in content["categories"]] == ["cat", "dog"]
    assert [one["file_name"] for one in content["images"]] == ["a b/c.d.Png", "film/00000.jpg", "film/00001.jpg"]
    segment = tmp_path / "out/n/segment/r"
    write_mask(segment / "masks/cat/clip_0/000009.png", MASK)
    write_json(segment / "summary.json", {"finished": 1.0, "debug": False})
    status, _, err = wsvs(*words, "export.format=davis", run_id="no names")
    assert status == 2 and "class names are unknown" in err
    status, _, err = wsvs(*words, "export.format=davis", "export.names=[background,cat,dog]", run_id="shots")
    assert status == 0, err
    davis = tmp_path / "out/n/export/shots"
    assert np.array_equal(read_mask(davis / "Annotations/Full-Resolution/cat/clip_0/00009.png"), MASK)
    assert (davis / "ImageSets/all.txt").read_text() == "cat/clip_0\n"
    back = ["export.format=davis", "export.reverse=true", f"predictions={davis}", f"export.out={tmp_path}/back"]
    assert wsvs(*words, *back)[0] == 0
    assert np.array_equal(read_mask(tmp_path / "back/cat/clip_0/000009.png"), MASK)  # as the run has it


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            ["export.format=png"],
            "export.format must be voc, coco, yolo, davis, labelme, label_studio, cvat, onnx or torch_export",
        ),
        (["predictions=nowhere"], "predicted masks not found"),
        ([], "no finished run of stage predict"),
        (["predictions=.", "export.names=[background]"], "no mask in this folder"),
        (["export.reverse=true"], "nothing to read"),
        (["export.reverse=true", "predictions=none"], "predicted masks not found"),
    ],
)
def test_mistakes(wsvs, words, more, message):
    status, _, err = wsvs(*words, *more)
    assert status == 2 and message in err and "where:" in err


@pytest.mark.parametrize("back", [False, True])
def test_unwritable_folder_is_named_by_its_setting(wsvs, words, predict, tmp_path, back):
    assert wsvs(*words, "export.out=coco")[0] == 0
    (tmp_path / "file").touch()
    for out in ("file", "file/below"):
        more = ["predictions=coco", "export.reverse=true"] if back else []
        status, _, err = wsvs(*words, *more, f"export.out={out}")
        assert status == 2 and "cannot write here" in err and "choose another with export.out=DIR" in err


def test_file_names_of_images_that_no_run_has_listed(wsvs, words, tmp_path, caplog):
    caplog.set_level("INFO")
    for name in ("a", "b", "c.jpg", "d"):
        write_mask(tmp_path / "theirs" / f"{name}.png", MASK)
    (tmp_path / "photos").mkdir()
    for name in ("a.gif", "b.JPG", "c.jpg"):
        (tmp_path / "photos" / name).touch()
    words += ["predictions=theirs", "export.names=[background,cat,dog]"]
    assert wsvs(*words, "input=photos", "export.out=coco")[0] == 0
    names = [one["file_name"] for one in read_json(tmp_path / "coco/annotations.json")["images"]]
    assert names == ["a.gif", "b.JPG", "c.jpg", "d.jpg"] and "masks whose image is unknown: 1 of 4" in caplog.text
    assert wsvs(*words[:4], "predictions=coco", "export.reverse=true", "export.out=back")[0] == 0
    assert {path.name for path in (tmp_path / "back").iterdir()} == {"a.png", "b.png", "c.jpg.png", "d.png"}


def test_import_knows_how_much_there_is(wsvs, words, predict, tmp_path, monkeypatch, caplog):
    """Otherwise its bar has no end and no time left."""
    monkeypatch.setattr(Meter.__init__, "__kwdefaults__", {**Meter.__init__.__kwdefaults__, "every": -1})
    caplog.set_level("INFO")
    assert wsvs(*words, "export.out=coco")[0] == 0
    caplog.clear()
    assert wsvs(*words, "predictions=coco", "export.reverse=true", "export.out=back")[0] == 0
    assert "1 of 3 masks" in caplog.text


@pytest.mark.parametrize(
    ("more", "problem", "advice"),
    [
        (["export.format=yolo", "export.shapes=masks"], "yolo files have no masks", "export.shapes=polygons"),
        (["export.tolerance=1.0"], "no polygons to simplify", "export.shapes=polygons"),
        (["export.format=voc", "export.tolerance=1.0"], "no polygons to simplify", "export.tolerance=0"),
        (["export.format=voc", "export.objects=part"], "no objects of the kind 'part'", "export.objects=class"),
        (["export.objects=track"], "no finished run of stage segment", "stage=segment"),
        (["export.objects=track", "predictions=."], "these masks have no tracks", "segment.instances=true"),
    ],
)
def test_what_a_format_cannot_hold_is_refused(wsvs, words, predict, more, problem, advice):
    status, _, err = wsvs(*words, *more, "export.names=[background,cat,dog]")
    assert status == 2 and problem in err and advice in err


def test_the_error_of_simplified_polygons_is_printed(wsvs, words, predict, tmp_path):
    words += ["export.shapes=polygons", "export.tolerance=1.0", "export.min_area=2", "export.objects=part"]
    status, out, err = wsvs(*words, run_id="rough")
    assert status == 0, err
    results = read_json(tmp_path / "out/n/export/rough/summary.json")["results"]
    assert results["parts left out"] == 6 and results["pixels left out"] == 6
    assert 0 <= results["boundary error, mean (px)"] <= results["boundary error, max (px)"] <= 1
    assert "area error" in out


def test_nothing_is_written_outside_the_folder(wsvs, words, tmp_path):
    images = [{"id": 1, "file_name": "../../evil/x.jpg", "height": 1, "width": 1}]
    write_json(tmp_path / "in/annotations.json", {"images": images, "annotations": []})
    status, _, err = wsvs(*words, "predictions=in", "export.reverse=true", "export.out=deep/er/out")
    assert status == 2 and "'../../evil/x' is not the name of a file" in err and "images[0]" in err
    assert not list(tmp_path.rglob("x.png"))


ODD_NAMES = pytest.mark.parametrize("name", [os.fsdecode(b"bad\xff"), "two\nlines", "two\rlines"])


@pytest.mark.parametrize("kind", ["voc", "yolo", "davis"])
@ODD_NAMES
def test_names_that_a_list_cannot_hold_are_refused_at_once(wsvs, words, predict, tmp_path, kind, name):
    write_mask(tmp_path / f"theirs/{name}/00000.png", MASK)
    words = [*words, f"export.format={kind}", "export.names=[background,cat,dog]"]
    status, _, err = wsvs(*words, "predictions=theirs", "export.out=made")
    assert status == 2 and f"the name {name + '/00000'!r} has a line break or is not UTF-8" in err
    assert not (tmp_path / "made").exists()


@ODD_NAMES
def test_coco_files_hold_every_name(wsvs, words, predict, tmp_path, name):
    """By escapes."""
    write_mask(tmp_path / f"theirs/{name}/00000.png", MASK)
    words = [*words, "export.format=coco", "export.names=[background,cat,dog]"]
    status, _, err = wsvs(*words, "predictions=theirs", "export.out=made")
    assert status == 0, err
    assert wsvs(*words, "predictions=made", "export.reverse=true", "export.out=back")[0] == 0
    assert np.array_equal(read_mask(tmp_path / f"back/{name}/00000.png"), MASK)


def test_a_bad_mask_is_skipped(wsvs, words, predict, caplog):
    (predict / "a b/c.d.png").write_bytes(b"")
    assert wsvs(*words)[0] == 3 and "skipped a b/c.d.png" in caplog.text


def test_a_label_without_a_name_is_refused(wsvs, words, predict):
    status, _, err = wsvs(*words, "export.names=[background,cat]")
    assert status == 2 and "label 2 has no name" in err
