"""Stage retrieve through the command line: web, sweep, merging, a dry run, and what relevance sees of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.retrieve.films import film, thumbnail
from tests.retrieve.server import Site, status
from wsvs.config.check import check
from wsvs.core.classes import Classes
from wsvs.core.errors import UserError
from wsvs.core.files import read_jsonl, write_json
from wsvs.engine.registry import load_stage
from wsvs.lit.image_scorer import ImageScorer
from wsvs.nets.model import NetConfig, SegmentationNet
from wsvs.records.retrieved import Candidate
from wsvs.retrieve.closing import estimate
from wsvs.retrieve.sources import chosen_classes
from wsvs.video.reader import read_frames

POLITE = ("retrieve.pause=[0,0]", "retrieve.backoff=0.001", "retrieve.retries=1", "retrieve.rate=1.0e+9")


@pytest.fixture
def net() -> SegmentationNet:
    torch.manual_seed(0)
    config = NetConfig(backbone="vgg_small", classes=("cat", "dog"), image_size=64, hidden=8)
    return SegmentationNet(config, config.build_encoder(), None).eval()


@pytest.fixture
def site():
    site = Site()
    yield site
    site.close()


@pytest.fixture
def words(tmp_path, net, site) -> list[str]:
    """Two classes, tagged images, an encoder whose scores mean nothing, and a list of addresses."""
    for name in ("cat", "dog"):
        (tmp_path / "images" / name).mkdir(parents=True)
        Image.new("RGB", (64, 48)).save(tmp_path / "images" / name / "a.png")
    run = tmp_path / "encoder"
    (run / "checkpoints").mkdir(parents=True)
    state = {f"net.encoder.{key}": value for key, value in net.encoder.state_dict().items()}
    torch.save({"hyper_parameters": {"net": net.config.asdict()}, "state_dict": state}, run / "checkpoints/best.ckpt")
    write_json(run / "summary.json", {"finished": 0.0, "counts": {}, "results": {}})
    movie = film(tmp_path / "film.mp4", frames=100, gop=20, size=(96, 64)).read_bytes()
    urls = [
        (site.page("tom", movie, thumbnail(0.9)), "cat"),
        (site.page("rex", movie, thumbnail(0.9)), "dog"),
        (site.add("/gone", status(404)), "dog"),
    ]
    (tmp_path / "urls.tsv").write_text("url\tclass\n" + "".join(f"{url}\t{name}\n" for url, name in urls))
    return [
        "stage=retrieve",
        "retrieve=urls",
        f"retrieve.file={tmp_path / 'urls.tsv'}",
        "retrieve.threshold=0",
        "retrieve.key_frames=1",
        "retrieve.window=0.2",
        f"data.root={tmp_path / 'images'}",
        "model=vgg_small",
        "trainer=cpu",
        f"inputs.encoder={run}",
        *POLITE,
    ]


def rows_of(run: Path) -> list[dict]:
    return list(read_jsonl(run / "manifest.jsonl"))


def test_a_sweep_over_classes_becomes_one_run(wsvs, words, site):
    code, out, err = wsvs("-m", *words, "retrieve.classes=cat,dog", run_id="sweep")
    assert code == 3, out + err  # one address is gone
    sweep = Path("outputs/default/retrieve/sweep")
    assert [[row["class"] for row in rows_of(sweep / job)] for job in "01"] == [["cat"], ["dog", "dog"]]

    code, out, err = wsvs(*words, f"retrieve.merge={sweep}", run_id="merged")
    assert code == 0 and "what came of the candidates" in out, out + err
    merged = sweep.parent / "merged"
    assert [(row["class"], row["status"].partition(":")[0]) for row in rows_of(merged)] == [
        ("cat", "retrieved"),
        ("dog", "retrieved"),
        ("dog", "failed"),
    ]
    clip = rows_of(merged)[0]["clips"][0]
    assert (merged / clip["path"]).samefile(sweep / "0" / clip["path"])
    assert json.loads((merged / "by_class.json").read_text())["dog"]["lost"] == {"failed: HTTP error 404": 1}
    asked = len(site.hits)

    (sweep / "1" / "summary.json").unlink()
    code, _, err = wsvs(*words, f"retrieve.merge={sweep}", run_id="early")
    assert code == 2 and "has not finished" in err and "WSVS_RUN_ID=sweep" in err
    assert len(site.hits) == asked


def test_relevance_sees_exactly_the_window(wsvs, words, tmp_path):
    code, out, err = wsvs(*words, "retrieve.classes=cat", run_id="r")
    assert code == 0, out + err
    retrieved = Path("outputs/default/retrieve/r")
    [row] = rows_of(retrieved)
    [clip] = row["clips"]
    [chosen] = [key["time"] for key in row["key_frames"] if key["chosen"]]
    first = max(0, round(25 * chosen) - 5)
    last = min(99, round(25 * chosen) + 5)
    assert (clip["offset"] + clip["start"], clip["offset"] + clip["stop"]) == (first, last + 1)
    whole = list(read_frames(tmp_path / "film.mp4"))

    code, out, err = wsvs(
        "stage=relevance",
        "relevance.threshold=0",
        "relevance.min_frames=2",
        "trainer=cpu",
        f"data.root={tmp_path}",
        f"inputs.encoder={tmp_path / 'encoder'}",
        f"inputs.retrieve={retrieved}",
        run_id="v",
    )
    assert code == 0, out + err
    relevance = Path("outputs/default/relevance/v")
    lines = (relevance / "scores" / f"{clip['clip']}.csv").read_text().splitlines()[1:]
    assert [int(line.split(",")[0]) for line in lines] == list(range(clip["start"], clip["stop"]))
    [shot] = read_jsonl(relevance / "shots.jsonl")
    assert (shot["start"], shot["stop"], shot["clip_start"]) == (clip["start"], clip["stop"], clip["offset"])
    assert shot["shot"] == f"{clip['clip']}_{clip['start']:06d}"
    for number, frame in enumerate(read_frames(shot["file"], shot["start"], shot["stop"]), first):
        assert np.array_equal(frame, whole[number])


def test_a_dry_run_fetches_no_video(wsvs, words, site):
    code, out, err = wsvs(*words, "dry_run=true", run_id="d")
    assert code == 0 and "what a full run would cost" in out, out + err
    run = Path("outputs/default/retrieve/d")
    assert not (run / "summary.json").exists() and not (run / "clips").exists()
    costs = json.loads((run / "dry_run.json").read_text())
    assert (costs["found"], costs["thumbnails passed"], costs["videos"]) == (3, 2, 2)
    assert costs["hours of video"] == pytest.approx(2 * 180 / 3600)
    thumbnails = len([hit for hit in site.hits if hit.path.endswith(".png")])
    code, out, err = wsvs(*words, run_id="d")  # the full run takes it up
    assert code == 3 and (run / "summary.json").exists(), out + err
    assert len([hit for hit in site.hits if hit.path.endswith(".png")]) == thumbnails


def test_what_is_missing_is_reported_first(wsvs, words, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    for given, expected in (
        (["retrieve=youtube"], "JavaScript runtime"),
        (["retrieve.file=null"], "no list of addresses"),
        (["retrieve.classes=[bird]"], "'bird' is not a class"),
        (["retrieve.threshold=2"], "retrieve.threshold must be"),
        (["retrieve.pause=[3,1]"], "retrieve.pause must be"),
    ):
        rest = [word for word in words if given != ["retrieve=youtube"] or "urls" not in word]
        code, _, err = wsvs(*rest, *given)
        assert code == 2 and expected in err, err


def needed(cfg) -> tuple[str, ...]:
    return load_stage("retrieve").needed(check(cfg))


def test_the_encoder_is_needed_only_to_score(composed):
    assert needed(composed("stage=retrieve", "data.root=x")) == ()
    assert needed(composed("stage=retrieve", "data.root=x", "retrieve.score=true")) == ("encoder",)
    assert needed(composed("stage=retrieve", "data.root=x", "retrieve=youtube")) == ("encoder",)
    assert needed(composed("stage=retrieve", "data.root=x", "retrieve=urls", "retrieve.merge=d")) == ()


def test_chosen_classes(composed):
    known = Classes(["cat", "dog", "big bird"])
    for given, expected in (
        ((), known.names),
        (("retrieve.classes=dog",), ("dog",)),
        (("retrieve.classes=['big bird',cat]",), ("big bird", "cat")),
    ):
        settings = check(composed("stage=retrieve", "data.root=x", *given)).retrieve
        assert chosen_classes(settings, known).names == expected
    with pytest.raises(UserError, match="videos of other classes"):
        words = ("stage=retrieve", "data.root=x", "retrieve.foreign=assign", "retrieve.classes=cat")
        chosen_classes(check(composed(*words)).retrieve, known)


def test_scores_do_not_depend_on_what_else_is_in_the_batch(net, tmp_path):
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (*size, 3), np.uint8) for size in ((48, 64), (100, 40), (48, 64), (300, 400))]
    score = ImageScorer(net, "cpu")
    together = score(images, "dog")
    assert np.allclose(together, [score([image], "dog")[0] for image in images], atol=1e-6)
    exact = torch.from_numpy(images[0]).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        assert together[0] == pytest.approx(net.encoder(exact).sigmoid()[0, 1].item(), abs=1e-6)


def test_estimate(composed):
    cfg = composed(
        "stage=retrieve",
        "data.root=x",
        "retrieve=youtube",
        "retrieve.pause=[1,3]",
        "retrieve.rate=1000000",
        "retrieve.max_size=10000000",
    )
    videos = [Candidate("a", "u", duration=100.0), Candidate("b", "u", duration=300.0), Candidate("c", "u")]
    wanted = [("cat", videos[0]), ("dog", videos[0]), ("cat", videos[1]), ("cat", videos[2])]
    costs = estimate(check(cfg).retrieve, wanted)
    assert costs["videos"] == 3 and costs["hours of video"] == pytest.approx(600 / 3600)  # 200 s for the unknown one
    size = 6.25e6 + 10e6 + 10e6  # the others are cut off at max_size
    assert costs["GB"] == pytest.approx(size / 1e9)
    assert costs["hours"] == pytest.approx((3 * 3 * 2 + size / 1e6) / 3600)


def test_the_same_command_tries_again_what_failed_for_now(wsvs, words, site, caplog):
    """Also with other pauses; what is gone only by retrieve.retry, and nothing of it starts a new run."""
    caplog.set_level("INFO", "wsvs")
    good = dict(site.handlers)
    site.add("/rex", status(403))
    code, out, err = wsvs(*words, run_id="auto")
    assert code == 3, out + err
    [run] = Path("outputs/default/retrieve").iterdir()
    assert "failed temporarily: videos 1; run the same command again to retry them" in caplog.text
    counts = json.loads((run / "summary.json").read_text())["counts"]
    assert counts["failures"] == {"later": 1, "gone": 1} and counts["skipped items"] == 2
    assert json.loads((run / "by_class.json").read_text())["dog"]["failures"] == {"later": 1, "gone": 1}

    site.handlers = good
    slower = ["retrieve.pause=[0,0.01]" if word.startswith("retrieve.pause") else word for word in words]
    code, out, err = wsvs(*slower, "retrieve.streak=7", run_id="auto")
    assert code == 3 and "retrying videos that failed in earlier starts: 1" in caplog.text, out + err
    assert [row["status"].partition(" (")[0] for row in rows_of(run)] == [
        "retrieved",
        "retrieved",
        "failed: HTTP error 404",
    ]
    site.add("/gone", site.handlers["/tom"])
    code, out, err = wsvs(*words, "retrieve.retry=[gone]", run_id="auto")
    assert code == 0 and rows_of(run)[2]["failure"] is None, out + err
    assert [path.name for path in run.parent.iterdir()] == [run.name]
    code, out, err = wsvs(*words, run_id="auto")  # nothing is left: a new run
    assert len(list(run.parent.iterdir())) == 2, out + err


def test_a_streak_ends_the_command(wsvs, words, site, tmp_path):
    listed = "".join(f"{site.add(f'/bad{k}', status(403))}\tcat\n" for k in range(6))
    with (tmp_path / "urls.tsv").open("a") as table:
        table.write(listed)
    code, _, err = wsvs(*words, run_id="auto")
    assert code == 2 and "5 consecutive failures (later 5), the last one: failed: HTTP error 403" in err, err
    [run] = Path("outputs/default/retrieve").iterdir()
    assert not (run / "summary.json").exists() and not site.of("/bad5")
    for path in list(site.handlers):
        site.add(path, site.handlers["/tom"]) if path.startswith("/bad") else None
    code, out, err = wsvs(*words, run_id="auto")
    assert code == 3 and [path.name for path in run.parent.iterdir()] == [run.name], out + err
    assert [row["failure"] for row in rows_of(run)] == [None] * 7 + [None, "gone"]


def test_a_larger_budget_continues_the_run(wsvs, words, caplog):
    caplog.set_level("INFO", "wsvs")
    code, out, err = wsvs(*words, "retrieve.max_videos=1", run_id="auto")
    assert code == 3, out + err
    [run] = Path("outputs/default/retrieve").iterdir()
    assert "beyond the budget: videos 1; run the same command with a larger one" in caplog.text
    code, out, err = wsvs(*words, "retrieve.max_videos=2", run_id="auto")
    assert [row["failure"] for row in rows_of(run)] == [None, None, "gone"], out + err
    assert [path.name for path in run.parent.iterdir()] == [run.name]


def test_settings_of_retries_and_of_yt_dlp_are_checked(wsvs, words, monkeypatch):
    monkeypatch.setenv("WSVS_PROXY", "http://me:hush@127.0.0.1:9")
    for given, expected in (
        ("retrieve.retry=[lost]", "there is no kind of failure lost"),
        ("retrieve.retry=[account]", "this would be a new run"),
        ("+retrieve.yt_dlp.exec=rm", "there is no setting retrieve.yt_dlp.exec"),
        ("retrieve.yt_dlp.cookies=none.txt", "no such file"),
        ("retrieve.streak=0", "retrieve.streak must be"),
        ("retrieve.per_list=0", "retrieve.per_list must be"),
        ("'retrieve.yt_dlp.proxy=\"http://me:hush@127.0.0.1:9\"'".strip("'"), "oc.env:WSVS_SECRET"),
    ):
        code, _, err = wsvs(*words, given)
        assert code == 2 and expected in err and "hush" not in err, err
    for path in Path("outputs").rglob("*"):
        assert path.is_dir() or "hush" not in path.read_text(errors="replace"), path
    by_proxy = ("retrieve.yt_dlp.proxy=${oc.env:WSVS_PROXY}", "retrieve.streak=null")
    code, out, err = wsvs(*words, *by_proxy, run_id="proxied")
    assert code == 2 and "no video of any class" in err, out + err  # no server at that proxy
    run = Path("outputs/default/retrieve/proxied")
    assert {row["failure"] for row in rows_of(run)} == {"later"}
    for path in Path("outputs").rglob("*"):
        assert path.is_dir() or "hush" not in path.read_text(errors="replace"), path


def test_a_run_of_an_earlier_version_is_opened_again(wsvs, words, site):
    good = dict(site.handlers)
    site.add("/rex", status(404))
    code, out, err = wsvs(*words, run_id="auto")
    assert code == 3, out + err
    [run] = Path("outputs/default/retrieve").iterdir()
    (run / ".fingerprint").write_text("0" * 64)  # what an earlier version wrote: of other settings, without a mark
    for name in ("journal.jsonl", "manifest.jsonl"):
        lines = [json.loads(line) for line in (run / name).read_text().splitlines()]
        for line in lines:
            line.pop("failure", None)
            for result in line.get("results", {}).values():
                result.pop("failure", None)
        (run / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = json.loads((run / "summary.json").read_text())
    del found["counts"]["failures"]
    write_json(run / "summary.json", found)
    site.handlers = good
    code, out, err = wsvs(*words, "retrieve.retry=[unknown]", run_id="auto")
    assert code == 3 and "this run was started by an earlier version" in (run / "wsvs.log").read_text(), out + err
    assert [row["status"].partition(" (")[0] for row in rows_of(run)] == [
        "retrieved",
        "retrieved",
        "failed: HTTP error 404",
    ]
