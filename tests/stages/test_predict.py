"""Which images stage predict works on, and what it says of the others."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image

from tests.films import make_film
from wsvs.core.classes import Classes
from wsvs.core.errors import UserError
from wsvs.core.files import read_json, read_jsonl
from wsvs.core.masks import read_mask
from wsvs.nets.model import NetConfig, SegmentationNet
from wsvs.records.predicted import Bad, Wanted
from wsvs.stages.predict import list_images

CLASSES = Classes(["cat", "dog"])


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "images"
    for name in ("b.png", "a.jpg", "deep/c.JPEG", "deep/d.Jpg", "notes.txt", "._a.jpg", ".thumbs/e.jpg", "f.v1.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (2, 2)).save(folder / name, "PNG")
    return folder


def write_checkpoint(path):
    config = NetConfig(backbone="vgg_small", classes=("cat", "dog"), image_size=32, scales=(1.0,), hidden=8, dropout=0)
    torch.manual_seed(0)
    encoder = config.build_encoder()
    net = SegmentationNet(config, encoder, config.build_decoder(encoder))
    state = {f"net.{key}": value for key, value in net.state_dict().items()}
    torch.save({"state_dict": state, "hyper_parameters": {"net": config.asdict()}}, path)


def test_from_the_command_line(wsvs, tmp_path):
    """Images and a video of unusual names, a torn file among them, by one pattern."""
    write_checkpoint(tmp_path / "net.ckpt")
    mine = tmp_path / "my photos"
    mine.mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned
    Image.new("RGB", (30, 20), "red").save(mine / "--name=[1], (ü).jpg", exif=exif)
    Image.new("CMYK", (30, 20)).save(mine / "cmyk.jpg")
    Image.new("RGBA", (31, 21)).save(mine / "alpha.png")
    (mine / "torn.png").write_bytes(b"")
    make_film(mine / "a film.mp4", 3, size=(32, 16))
    words = [
        "stage=predict",
        f"out={tmp_path}/out",
        f"predict.checkpoint={tmp_path}/net.ckpt",
        f"input='{mine}/*'",
        "trainer=cpu",
        "predict.workers=0",
        "predict.tags=[dog]",
        "predict.background=0",
    ]
    status, _, err = wsvs(*words, run_id="r")
    assert status == 3, err  # one is skipped
    run = tmp_path / "out/default/predict/r"
    sizes = {path.relative_to(run).as_posix(): read_mask(path).shape for path in run.rglob("*.png")}
    film = {f"a film/{number:05d}.png": (16, 32) for number in range(3)}
    assert sizes == {"--name=[1], (ü).png": (30, 20), "cmyk.png": (20, 30), "alpha.png": (21, 31), **film}
    shown = {path.relative_to(run / "overlay").as_posix() for path in (run / "overlay").iterdir()}
    assert shown == {"--name=[1], (ü).jpg", "cmyk.jpg", "alpha.jpg", "a film.mp4"}
    for row in read_jsonl(run / "items.jsonl"):
        if "frames" in row:
            assert "confidence" not in row
        else:  # above the threshold 0 wherever there is a mask
            confidence, seen = row["confidence"]["dog"], read_mask(run / f"{row['id']}.png").any()
            assert set(row["confidence"]) == {"dog"} and (0 < confidence <= 1 if seen else confidence is None)
    summary = read_json(run / "summary.json")
    assert summary["counts"] == {"images": 4, "masks": 3, "videos": 1, "masks of videos": 3, "skipped items": 1}
    assert summary["results"]["seconds of the loop"] > 0 and 0 < summary["results"]["data_wait"] < 1
    assert "given" in summary["supervision"] and "torn.png" in read_json(run / "skipped.json")[0]["reason"]


def test_folders_named_like_those_of_a_run_are_exported_too(wsvs, tmp_path):
    """Whatever images and their folders are called: as many masks are exported as are predicted."""
    write_checkpoint(tmp_path / "net.ckpt")
    names = ("frames/a.PNG", "done/b.png", "overlay/c.gif", "masks/d.Jpg", "wandb/e.png", "f.png")
    for number, name in enumerate(names, 1):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (6, number)).save(tmp_path / "in" / name)
    words = [f"out={tmp_path}/out", "trainer=cpu"]
    status, _, err = wsvs(
        "stage=predict",
        *words,
        f"predict.checkpoint={tmp_path}/net.ckpt",
        f"input={tmp_path}/in",
        "predict.workers=0",
        "predict.tags=[dog]",
        "predict.background=0",
        "predict.scores=true",
        run_id="r",
    )
    assert status == 0, err
    run = tmp_path / "out/default/predict/r"
    assert {row["file"] for row in read_jsonl(run / "items.jsonl")} == set(names)
    status, _, err = wsvs("stage=export", *words, "export.format=coco", run_id="e")
    assert status == 0, err
    images = read_json(tmp_path / "out/default/export/e/annotations.json")["images"]
    assert {image["file_name"]: image["height"] for image in images} == dict(zip(names, range(1, 7), strict=True))


def test_no_next_command_is_proposed_without_masks(wsvs, tmp_path, caplog):
    caplog.set_level("INFO", "wsvs")
    write_checkpoint(tmp_path / "net.ckpt")
    (tmp_path / "torn.mp4").write_bytes(b"xx")
    words = ["stage=predict", f"predict.checkpoint={tmp_path}/net.ckpt", "trainer=cpu", "predict.workers=0"]
    assert wsvs(*words, f"input={tmp_path}/torn.mp4")[0] == 3
    assert not any(message.startswith("next: ") for message in caplog.messages)


def test_an_overlay_that_fails_is_reported_and_its_mask_kept(wsvs, tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO", "wsvs")
    write_checkpoint(tmp_path / "net.ckpt")
    Image.new("RGB", (30, 20)).save(tmp_path / "whole.png")
    monkeypatch.setattr("wsvs.lit.predictor.over", lambda *_: 1 / 0)
    words = ["stage=predict", f"predict.checkpoint={tmp_path}/net.ckpt", "trainer=cpu", "predict.workers=0"]
    assert wsvs(*words, f"input={tmp_path}/whole.png", run_id="s")[0] == 3
    run = tmp_path / "outputs/default/predict/s"
    assert read_mask(run / "whole.png").shape == (20, 30) and caplog.messages[-1].startswith("next: ")
    [skipped] = read_json(run / "skipped.json")
    assert skipped["item"] == "whole" and "its mask is written, but not its overlay" in skipped["reason"]


def odd_images(folder: Path) -> dict[str, tuple[int, int]]:
    """Write images of every kind; returns the (height, width) of their masks."""
    rng = np.random.default_rng(0)

    def pixels(height: int, width: int, channels: int = 3) -> np.ndarray:
        return rng.integers(0, 256, (height, width, channels), dtype=np.uint8)

    picture = Image.fromarray(pixels(20, 30))
    for turn in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = turn
        picture.save(folder / f"turn{turn}.jpg", exif=exif)
    for mode, name in (("CMYK", "cmyk.jpg"), ("CMYK", "cmyk_deep.tif"), ("1", "bit.png"), ("LAB", "lab.tif")):
        picture.convert(mode).save(folder / name)
    picture.convert("P").save(folder / "palette.png", transparency=3)
    Image.fromarray(pixels(20, 30, 4)).save(folder / "alpha.png")
    Image.fromarray(rng.integers(0, 65536, (20, 30), dtype=np.uint16)).save(folder / "deep.png")
    cv2.imwrite(str(folder / "deep_colour.png"), rng.integers(0, 65536, (20, 30, 3), dtype=np.uint16))
    Image.fromarray(rng.random((20, 30), np.float32)).save(folder / "float.tif")
    for kind in ("gif", "webp", "png", "tif"):
        picture.save(folder / f"moves_{kind}.{kind}", save_all=True, append_images=[picture.rotate(180)] * 3)
    for name in ("--overlay=x", "-rf", "a,b=[c]{d}$e", "new\nline", "\U0001f431 ü '\"", "x" * 240):
        picture.save(folder / f"{name}.png")
    sizes = {path.stem: (20, 30) for path in folder.iterdir()} | {f"turn{turn}": (30, 20) for turn in range(5, 9)}
    for height, width in ((1, 1), (2, 1), (2000, 3), (3, 2000)):
        Image.fromarray(pixels(height, width)).save(folder / f"{height}x{width}.png")
        sizes[f"{height}x{width}"] = (height, width)
    return sizes


def test_images_and_videos_of_every_kind(wsvs, tmp_path, recwarn):
    """Each has its mask, or a line that says why it has none; nothing stops the others."""
    write_checkpoint(tmp_path / "net.ckpt")
    folder = tmp_path / "in"
    folder.mkdir()
    sizes = odd_images(folder)
    (folder / "empty.jpg").touch()
    (folder / "text.png").write_text("no picture")
    whole = (folder / "cmyk.jpg").read_bytes()
    (folder / "torn.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "lost.png").symlink_to("nowhere.png")
    (folder / "folder.jpg").mkdir()
    make_film(folder / "one frame.mp4", 1, size=(32, 16))
    film = make_film(folder / "--whole.mkv", 40, size=(64, 48)).read_bytes()
    (folder / "breaks.mkv").write_bytes(film[: len(film) // 2])
    (folder / "none.mp4").write_bytes(b"xx")
    words = [
        "stage=predict",
        f"out={tmp_path}/out",
        f"predict.checkpoint={tmp_path}/net.ckpt",
        f"input='{folder}/*'",
        "trainer=cpu",
        "predict.workers=0",
        "predict.tags=[dog]",
    ]
    status, _, err = wsvs(*words, run_id="r")
    assert status == 3, err
    run = tmp_path / "out/default/predict/r"
    assert {path.stem: read_mask(path).shape for path in run.glob("*.png")} == sizes
    assert {path.stem for path in (run / "overlay").glob("*.jpg")} == set(sizes)
    frames = {name: len(list((run / name).glob("*.png"))) for name in ("one frame", "--whole", "breaks")}
    assert frames["one frame"] == 1 and frames["--whole"] == 40 and 0 < frames["breaks"] < 40
    reasons = {one["item"]: one["reason"] for one in read_json(run / "skipped.json")}
    assert set(reasons) == {"empty", "text", "torn", "lost", "breaks", "none"}
    assert "image not found" in reasons["lost"] and "truncated" in reasons["torn"]
    assert f"only the first frames are used ({frames['breaks']})" in reasons["breaks"]
    assert not [warning for warning in recwarn if "not writable" in str(warning.message)]


def listed(root, tmp_path, table=None, ids=None, tags=None):
    cfg = {"input": str(root), "labels": None, "predict": {"ids": None, "tags": tags}}
    if table is not None:
        (tmp_path / "labels.tsv").write_text("id\ttags\n" + "".join(f"{k}\t{v}\n" for k, v in table.items()))
        cfg["labels"] = str(tmp_path / "labels.tsv")
    if ids is not None:
        (tmp_path / "ids.txt").write_text("\n".join(ids))
        cfg["predict"]["ids"] = str(tmp_path / "ids.txt")
    return list_images(OmegaConf.create(cfg), CLASSES)


def test_every_image_below_the_folder(root, tmp_path):
    items = listed(root, tmp_path)
    assert [(item.id, item.classes) for item in items] == [
        ("a", None),
        ("b", None),
        ("deep/c", None),
        ("deep/d", None),
        ("f.v1", None),
    ]  # sorted, no text, nothing hidden
    assert [Path(item.file).relative_to(root).as_posix() for item in items] == [
        "a.jpg",
        "b.png",
        "deep/c.JPEG",
        "deep/d.Jpg",
        "f.v1.png",
    ]


def test_two_images_of_one_stem(root, tmp_path):
    Image.new("RGB", (2, 2)).save(root / "deep/c.png")
    with pytest.raises(UserError, match=r"two images would both give deep/c\.png") as caught:
        listed(root, tmp_path)
    assert "c.JPEG" in caught.value.where and "c.png" in caught.value.where and caught.value.remedy
    assert len(listed(root, tmp_path, ids=["deep/c"])) == 1  # the user may choose


def test_tags(root, tmp_path):
    table = {"a": "dog", "b": "dog,cat", "deep/c": "", "deep/d": "cat", "f.v1": "cat", "z": "cat"}
    items = listed(root, tmp_path, table)
    assert [item.classes for item in items[:-1]] == [[1], [1, 0], [], [0], [0]]
    assert items[-1] == Bad("z", f"no image file for id 'z' in {root}")


def test_image_without_tags_is_skipped(root, tmp_path):
    items = listed(root, tmp_path, {"a": "dog"})
    assert items[0].classes == [1]
    assert {item.id for item in items if isinstance(item, Bad)} == {"b", "deep/c", "deep/d", "f.v1"}
    assert items[1].reason == f"no tags for image 'b' in {tmp_path / 'labels.tsv'}"


def test_ids_with_their_extension(root, tmp_path):
    table = {"a.jpg": "dog", "b.png": "cat", "deep/c.JPEG": "", "deep/d.Jpg": "", "f.v1.png": ""}
    items = listed(root, tmp_path, table)
    assert [(item.id, item.classes) for item in items] == [
        ("a", [1]),
        ("b", [0]),
        ("deep/c", []),
        ("deep/d", []),
        ("f.v1", []),
    ]  # as the masks are called: <image>.png
    with pytest.raises(UserError, match=r"two images would both give a\.png"):
        listed(root, tmp_path, {"a": "dog", "a.jpg": "cat"})


def test_an_image_beside_that_of_the_table_gives_way(root, tmp_path):
    """Stage data lets it pass, so this stage must: it comes at the end of a pipeline."""
    for name in ("a.png", "deep/d.webp", "x.jpg", "x.png"):
        Image.new("RGB", (2, 2)).save(root / name)
    items = listed(root, tmp_path, {"a.png": "dog", "b": "cat", "deep/c": "cat", "deep/d": "cat", "f.v1": ""})
    found = {item.id: Path(item.file).name for item in items if isinstance(item, Wanted)}
    assert found == {"a": "a.png", "b": "b.png", "deep/c": "c.JPEG", "deep/d": "d.webp", "f.v1": "f.v1.png"}
    assert [item.id for item in items if isinstance(item, Bad)] == ["x"]  # in no row


def test_a_pattern_and_a_table_of_ids_with_their_extension(root, tmp_path):
    table = tmp_path / "labels.tsv"
    table.write_text("id\ttags\na.jpg\tcat\nb\tdog\n")
    cfg = {"input": str(root / "*.*"), "labels": str(table), "predict": {"ids": None, "tags": None}}
    items = list_images(OmegaConf.create(cfg), CLASSES)
    assert [(item.id, item.classes) for item in items[:2]] == [("a", [0]), ("b", [1])]
    assert isinstance(items[2], Bad) and items[2].id == "f.v1"


@pytest.mark.parametrize("row", ["clip", "clip.mp4"])
def test_tags_of_a_video(root, tmp_path, row):
    (root / "clip.mp4").touch()
    assert [item.classes for item in listed(root / "clip.mp4", tmp_path, {row: "dog"})] == [[1]]


def test_given_ids_in_their_order(root, tmp_path):
    items = listed(root, tmp_path, ids=["f.v1", "missing", "a"])
    assert [item.id for item in items] == ["f.v1", "missing", "a"]
    assert "no image file for id 'missing'" in items[1].reason
    assert [item.id for item in listed(root, tmp_path, {"a": "cat", "b": "dog"}, ids=["b"])] == ["b"]


def test_unknown_tag_stops_at_once(root, tmp_path):
    with pytest.raises(UserError, match="'dogs' is not a class") as caught:
        listed(root, tmp_path, {"a": "dogs"})
    assert "did you mean 'dog'?" in str(caught.value) and "tags of 'a'" in caught.value.where


def test_images_that_are_not_read_are_reported(root, tmp_path, caplog):
    for name in ("new.HEIC", "deep/new.jxl", ".hidden.heic"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).touch()
    assert not any("new" in item.id for item in listed(root, tmp_path))
    assert "files in formats that are not supported: 2 (.heic, .jxl): convert them to JPEG or PNG" in caplog.text


def test_nothing_to_predict(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/notes.txt").touch()
    with pytest.raises(UserError, match="no image in this folder"):
        listed(tmp_path / "empty", tmp_path)
    with pytest.raises(UserError, match="no such image, video or folder") as caught:
        listed(tmp_path / "nowhere", tmp_path)
    assert caught.value.where == f"input={tmp_path / 'nowhere'}"
    with pytest.raises(UserError, match="nothing to predict") as caught:
        list_images(OmegaConf.create({"input": None, "labels": None, "predict": {}}), CLASSES)
    assert "input=DIR" in str(caught.value)
    with pytest.raises(UserError, match="list of ids not found"):
        cfg = {"input": str(tmp_path), "labels": None, "predict": {"ids": "nowhere.txt", "tags": None}}
        list_images(OmegaConf.create(cfg), CLASSES)


def names_of(given, **more):
    cfg = {"input": str(given), "labels": None, "predict": {"ids": None, "tags": None}} | more
    return {item.id: Path(item.file).name for item in list_images(OmegaConf.create(cfg), CLASSES)}


def test_one_image_one_video_and_patterns(root):
    for name in ("clip.mp4", "deep/c.MOV", "deep/x/--[1] (ü), =.png", "odd[1].jpg"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).touch()
    assert names_of(root / "a.jpg") == {"a": "a.jpg"}
    assert names_of(root / "odd[1].jpg") == {"odd[1]": "odd[1].jpg"}  # a file of that name comes before the pattern
    assert names_of(root / "clip.mp4") == {"clip": "clip.mp4"}
    assert names_of(root / "*.jpg") == {"a": "a.jpg", "odd[1]": "odd[1].jpg"}
    assert names_of(root / "[ac]*") == {"a": "a.jpg", "clip": "clip.mp4"}  # no folders, nothing hidden, no text
    assert names_of(root / "d*" / "d.*") == {"deep/d": "d.Jpg"}
    assert names_of(root / "**" / "*.png")["deep/x/--[1] (ü), ="] == "--[1] (ü), =.png"
    items = list_images(
        OmegaConf.create({"input": str(root / "clip.*"), "labels": None, "predict": {"ids": None, "tags": ["dog"]}}),
        CLASSES,
    )
    assert items == [Wanted("clip", str(root / "clip.mp4"), [1], video=True)]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("notes.txt", "neither an image nor a video"),
        ("*.txt", "no image or video matches"),
        ("z*", "no image or video matches"),
        ("z.jpg", "no such image, video or folder"),
        ("deep/c.*", "two images"),
    ],
)
def test_what_cannot_be_predicted_is_reported(root, given, message):
    (root / "deep/c.mov").touch()
    with pytest.raises(UserError, match=message) as caught:
        names_of(root / given)
    assert caught.value.where and caught.value.remedy


def test_masks_of_a_video_do_not_mix_with_those_of_a_folder(root):
    (root / "deep.mp4").touch()
    assert set(names_of(root / "*.*")) == {"a", "b", "deep", "f.v1"}
    with pytest.raises(UserError, match="of a folder with the same name would be mixed") as caught:
        names_of(root / "**" / "*.*")
    assert caught.value.where == str(root / "deep")


def test_tags_for_all(root, tmp_path):
    items = listed(root, tmp_path, tags=["dog", "cat"])
    assert len(items) == 5 and all(item.classes == [1, 0] for item in items)
    with pytest.raises(UserError, match="'dogs' is not a class"):
        listed(root, tmp_path, tags=["dogs"])
    with pytest.raises(UserError, match="tags are given twice"):
        listed(root, tmp_path, {"a": "dog"}, tags=["dog"])
    with pytest.raises(UserError, match=r"predict\.ids needs a folder"):
        names_of(root / "a.jpg", predict={"ids": str(tmp_path / "ids.txt"), "tags": None})
