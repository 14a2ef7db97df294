"""Masks in files and in archives: the same for everything that reads them."""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from wsvs.core.errors import BadItem
from wsvs.core.masks import encode_mask, read_mask, write_mask
from wsvs.data.frames import FrameCrop, FrameDataset, FrameSet
from wsvs.data.visits import Visit
from wsvs.lit.media import middle_frames
from wsvs.metrics.shots import evaluate_shots, evaluate_videos
from wsvs.records.mask_writers import ENOUGH, writer_of
from wsvs.records.masks import MaskSet, TarSet
from wsvs.records.predicted import masks_of
from wsvs.records.row import write_rows
from wsvs.records.shots import Piece, SegmentedPiece, Shot, Video
from wsvs.report.shots import shot_items

SHOTS = {"cat/it's v.1_0_000007": (7, 40), "cat/it's v.1_0_000047": (47, 90), "dog/w_0_000000": (0, 30)}
VIDEOS = {"deep er/v.1": [(0, 60), (60, 95)], "w_000000": [(0, 30), (34, 41)]}  # frames 30 to 33 are damaged


def made(folder, store: str, *, whole: bool, frames: bool = True) -> MaskSet:
    """A finished run with the masks of SHOTS or VIDEOS."""
    masks = MaskSet.of(folder, whole=whole, store=store)
    writer, known = writer_of(masks), {}
    parts = [(name, span) for name, spans in VIDEOS.items() for span in spans] if whole else SHOTS.items()
    for name, (start, stop) in parts:
        rng = np.random.default_rng(start + stop)
        piece = Piece(
            id=f"{name}_{start:06d}" if whole else name,
            name=name,
            file="gone.mp4",
            start=start,
            stop=stop,
            total=None,
            height=24,
            width=32,
            fps=25.0,
            classes=["cat"],
            label=1,
            overlay="",
        )
        areas = []
        for number in range(start, stop):
            mask = np.zeros((24, 32), np.uint8)
            top, left = rng.integers(0, 12, 2)
            mask[top : top + 9, left : left + 9] = 1
            areas.append(float(mask.mean()))
            content = {"png": encode_mask(mask)}
            if frames:
                content["jpg"] = jpeg(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8))
            if number == (start + stop) // 2:
                content["motion.jpg"] = jpeg(rng.integers(0, 256, (6, 8), dtype=np.uint8))
            writer.add(piece, number, content, {"area": areas[-1]})
        record = SegmentedPiece(stop - start, areas, 0.9, energy={"total": 3.0}, seconds={})
        writer.finish(piece, record)
        known[piece.id] = record
    writer.close()
    masks.ledger.fail("cat/bad_000000", "torn")
    if whole:
        write_rows(masks.listing, (Video(name, "", "cat", frames=spans[-1][1]) for name, spans in VIDEOS.items()))
    else:
        write_rows(
            masks.listing,
            (
                Shot(name, name, name.split("/")[0], *span, areas=known[name].areas, score=0.5)
                for name, span in SHOTS.items()
            ),
        )
    found = MaskSet.find(folder)
    assert found is not None and isinstance(found, TarSet) == (store == "shards")
    return found


def jpeg(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.fixture(params=[False, True], ids=["shots", "videos"])
def both(request, tmp_path):
    return tuple(made(tmp_path / store, store, whole=request.param) for store in ("files", "shards"))


@pytest.fixture
def shots(tmp_path):
    return tuple(made(tmp_path / store, store, whole=False) for store in ("files", "shards"))


def test_masks_frames_and_terms_are_equal(both):
    files, tars = both
    assert list(files.names()) == list(tars.names()) and len(list(files.names())) == (132 if files.whole else 106)
    for row in files.rows():
        assert list(files.numbered(row.name)) == list(tars.numbered(row.name))
        for number in files.numbered(row.name):
            for kind in ("mask", "frame"):
                assert getattr(tars, kind)(row.name, number).read_bytes() == (
                    getattr(files, kind)(row.name, number).read_bytes()
                )
    pieces = list(tars.ledger.items())
    assert all(
        tars.ledger.read(one)["frames"] == files.ledger.read(one)["frames"] for one in pieces if "bad" not in one
    )
    for piece in pieces:
        assert [files.term(piece, term).is_file() for term in ("motion", "attention")] == ["bad" not in piece, False]
        assert [tars.term(piece, term).is_file() for term in ("motion", "attention")] == ["bad" not in piece, False]
        if "bad" not in piece:
            assert tars.term(piece, "motion").read_bytes() == files.term(piece, "motion").read_bytes()


def test_frames_without_a_mask_have_none_in_archives_too(both):
    files = both[0]
    places = [("w_000000", 32), ("w_000000", 41), ("never", 0)] if files.whole else [("dog/w_0_000000", 30)]
    for place in places:
        for masks in both:
            assert not masks.mask(*place).is_file() and not masks.frame(*place).is_file()
            with pytest.raises(BadItem, match="mask not found"):
                read_mask(masks.mask(*place))


def test_archives_have_the_layout_of_webdataset(both):
    """The files of a sample follow each other and differ in what comes after the first dot of the last part."""
    _, tars = both
    samples: dict[str, dict[str, bytes]] = {}
    for path in sorted(tars.masks.rglob("*.tar")):
        last = ""
        with tarfile.open(path) as archive:
            for member in archive:
                folder, _, name = member.name.rpartition("/")
                key = f"{folder}/{name.partition('.')[0]}"
                assert key == last or key not in samples
                last = key
                samples.setdefault(key, {})[name.partition(".")[2]] = archive.extractfile(member).read()
    assert sorted(samples) == sorted(tars.names())
    for key, sample in samples.items():
        assert {"png", "jpg", "json"} <= set(sample) <= {"png", "jpg", "json", "motion.jpg"}
        about = json.loads(sample["json"])
        assert tars.frame_name(about["name"], about["frame"]) == key and about["label"] == 1
        assert about["area"] == pytest.approx((read_mask(tars.named(key)) > 0).mean())


def test_short_pieces_share_an_archive(both):
    """At most one archive is without enough frames, and each is named after its first piece."""
    _, tars = both
    pieces = list(tars.ledger.groups())
    names = {path.relative_to(tars.masks).as_posix() for path in tars.masks.rglob("*.tar")}
    assert names == {f"{piece}.tar" for piece in pieces if "bad" not in piece} and len(names) == (
        2 if tars.whole else 1
    )
    assert ENOUGH == 100 and {path.name for path in (tars.folder / "done").iterdir()} == {"rank-0.jsonl"}


def test_many_short_pieces_make_few_archives(tmp_path):
    masks = MaskSet.of(tmp_path, whole=True, store="shards")
    writer = writer_of(masks)
    for number in range(160):
        piece = Piece(f"v_{7 * number:06d}", "v", "", 7 * number, 7 * number + 7, None, 2, 2, 25.0, [], 1, "")
        for frame in range(piece.start, piece.stop):
            writer.add(piece, frame, {"png": b"mask %d" % frame, "jpg": b"frame"}, {})
        writer.finish(piece, SegmentedPiece(7, [], energy={}, seconds={}))
    writer.close()
    again = MaskSet.of(tmp_path, whole=True)
    assert [again.mask("v", frame).read_bytes() for frame in range(1120)] == [b"mask %d" % one for one in range(1120)]
    found = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(found) == 12 and (len(found) + 20) / 1120 < 0.03  # with what every run has


def test_the_decoder_gets_the_same_samples(shots):
    crop = FrameCrop(32, jitter=0.3)
    sets = [FrameSet.select(masks.folder, masks.rows(), 0, 1) for masks in shots]
    assert all(one.masks.has_frames for one in sets) and isinstance(sets[1].masks, TarSet)
    drawn = [FrameDataset(one.split(0.5)[0], ["cat", "dog"], crop) for one in sets]
    spread = [FrameDataset(one, ["cat", "dog"], replace(crop, jitter=0, mirror=False), fixed=20) for one in sets]
    for files, tars in (drawn, spread):
        for number in range(20):
            visit = Visit(number, 1, 5) if files.fixed is None else number
            one, other = files[visit], tars[visit]
            assert one.keys() == other.keys() and one["id"] == other["id"]
            assert all(torch.equal(one[key], other[key]) for key in ("image", "target", "class"))


def test_a_run_without_frames_says_so(tmp_path):
    for store in ("files", "shards"):
        masks = made(tmp_path / store, store, whole=False, frames=False)
        assert not masks.has_frames and not masks.frame("dog/w_0_000000", 3).is_file()


def test_reports_show_the_same_items(both):
    found = []
    for masks in both:
        items, count = shot_items(masks, 10, 32, lambda file: None)
        found.append([replace(item, run="") for item in items])
        assert count == len(items) > 1
    assert found[0] == found[1] and all(item.thumbnail for item in found[0])
    assert not both[0].whole or all(item.motion is None for item in found[0])
    assert both[0].whole or all(item.motion and item.whole.energy for item in found[0])


def test_scores_against_true_masks_are_equal(both, tmp_path):
    for row in both[0].rows():
        for number in range(0, 60, 7):
            truth = np.zeros((24, 32), np.uint8)
            truth[5:15, 5:15] = 1
            write_mask(tmp_path / f"truth/{row.name}/{number:05d}.png", truth)
    score = evaluate_videos if both[0].whole else evaluate_shots
    (one, counts), (other, same) = (score(masks, tmp_path / "truth") for masks in both)
    assert one.metrics()["by_class"] == other.metrics()["by_class"] and counts == same
    assert 0 < one.metrics()["frame_average"] == other.metrics()["frame_average"] < 1
    assert [item.problem for item in one.bad] == [item.problem for item in other.bad]


def test_masks_to_export_and_to_log_are_equal(both):
    files, tars = (masks_of(masks.folder) for masks in both)
    assert files.files == tars.files and files.files
    assert masks_of(both[1].masks).files == tars.files  # the folder of archives by its own name
    for name in files.files:
        assert (read_mask(files.find(name)) == read_mask(tars.find(name))).all()
    shown = [[(one.caption, one.masks, one.image) for one, _ in middle_frames(masks, 5, 100)] for masks in both]
    assert len(shown[0]) > 1
    for one, other in zip(*shown, strict=True):
        assert one[0] == other[0] and (one[1]["mask"] == other[1]["mask"]).all() and (one[2] == other[2]).all()


def test_what_a_killed_start_has_left_is_removed(shots):
    """An archive that has its name but no line."""
    tars = shots[1]
    (tars.masks / "dog").mkdir()
    before = sorted(tars.masks.rglob("*"))
    (tars.masks / "dog/w_0_000000.tar").write_bytes(b"of another start")
    tars.tidy()
    assert sorted(tars.masks.rglob("*")) == before
