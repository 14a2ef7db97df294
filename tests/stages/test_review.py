"""What stages read of a review: answers count in the fingerprint, and a run keeps those that it began with."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf
from PIL import Image

from wsvs.core.classes import Classes
from wsvs.core.errors import UserError
from wsvs.core.files import read_json
from wsvs.core.reviews import Answer, Journal, Reviews, Subject, identity, subject_of
from wsvs.core.runs import Home, read_summary
from wsvs.engine.data import answers_of, build_data
from wsvs.engine.registry import load_stage
from wsvs.engine.resume import LATER, fingerprint
from wsvs.engine.reviews import reviews_for
from wsvs.records.predicted import Bad, Wanted
from wsvs.stages.predict import retagged

SHOT = Subject("shot", "cat/a", "cat/a")
IMAGE = Subject("image", "a", "0" * 64, 7)


def say(*pairs: tuple[Subject, Answer], out: str = "outputs", name: str = "n") -> None:
    with Journal(Path(out, name, "review.jsonl")) as journal:
        for subject, answer in pairs:
            journal.answer(subject, answer)


@pytest.fixture(scope="module")
def configurations() -> dict[tuple[str, ...], DictConfig]:
    return {}


@pytest.fixture
def prints(composed, configurations):
    """(stage, further words) -> its fingerprint with the review as it is now."""

    def of(stage: str, *words: str) -> str:
        if words not in configurations:
            configurations[words] = composed("stage=encoder", "data.root=x", *words)
        cfg, one = configurations[words], load_stage(stage)
        found = reviews_for(Home("outputs", "n"), stage, one.reviews, cfg)
        return fingerprint(cfg, one.decisive, {}, reviews=found)

    return of


STAGES = ("encoder", "decoder", "adapt", "predict", "segment", "evaluate")


@pytest.mark.parametrize(
    ("answer", "changed"),
    [
        ((SHOT, Answer("reject")), {"decoder"}),
        ((SHOT, Answer(None, ("dog",))), {"decoder"}),
        ((SHOT, Answer("accept")), set()),
        ((IMAGE, Answer("reject")), {"adapt"}),
        ((IMAGE, Answer("accept")), set()),
        ((IMAGE, Answer("accept", ("dog",))), {"encoder", "adapt", "predict"}),
        ((IMAGE, Answer()), set()),
    ],
)
def test_a_review_counts_in_the_stages_that_read_it(prints, answer, changed):
    before = {stage: prints(stage) for stage in STAGES}
    say(answer)
    assert {stage for stage in STAGES if prints(stage) != before[stage]} == changed
    assert {stage: prints(stage, "review.use=false") for stage in STAGES} == before
    say((answer[0], Answer()))  # taken back
    assert {stage: prints(stage) for stage in STAGES} == before


@pytest.mark.parametrize(("stage", "subject"), [("decoder", SHOT), ("adapt", IMAGE)])
def test_accepted_ones_count_where_they_weigh_more(prints, stage, subject):
    weighted = f"{stage}.accepted_weight=2.0"
    before, other = prints(stage), prints(stage, weighted)
    say((subject, Answer("accept")))
    assert prints(stage) == before != other != prints(stage, weighted)


def test_runs_of_before_keep_their_fingerprint(composed):
    """Without the settings that came later, and without a review, it is what it was."""
    cfg = composed("stage=decoder", "data.root=x")
    for key, value in LATER.items():
        assert OmegaConf.select(cfg, key) == value
    keys = ("decoder", "seed")
    sections = {key: OmegaConf.to_container(node) if OmegaConf.is_config(node := cfg[key]) else node for key in keys}
    for late in ("accepted_weight", "workers"):
        del sections["decoder"][late]
    text = json.dumps([sections, {"segment": "/a"}], sort_keys=True)
    assert fingerprint(cfg, ["decoder"], {"segment": Path("/a")}) == hashlib.sha256(text.encode()).hexdigest()


def test_a_run_keeps_the_answers_that_it_began_with(make_run):
    say((SHOT, Answer("reject")))
    words = ("stage=decoder", "name=n", "inputs.encoder=e", "inputs.segment=s")
    for stage in "es":
        Path(stage).mkdir()
        Path(stage, "summary.json").write_text(json.dumps({"person": ["masks corrected by a person: 50"]}))
    for _ in range(2):  # started, and resumed
        with make_run(*words).opened() as run:
            assert run.reviews == Reviews({"cat/a": Answer("reject")})
    relaunched = make_run(*words)
    relaunched.inputs = relaunched._resolve_inputs()
    say((SHOT, Answer("accept")))
    with pytest.raises(UserError, match="corrected masks have changed") as caught, make_run(*words).opened():
        pass
    assert "resume=false" in caught.value.remedy
    with make_run(*words, run_id="other").opened() as run:
        assert run.reviews == Reviews() and not (run.dir / "reviews.json").exists()
    say((SHOT, Answer("reject")))
    with make_run(*words).opened() as run:
        run.finish(counts={}, supervision="image tags")
    summary = read_summary(run.dir)
    assert summary.person == ["masks corrected by a person: 50", "reviewed by a person: shots 1 (1 rejected)"]
    assert summary.supervision == "image tags"


def test_other_ranks_read_what_the_first_has_kept(make_run, monkeypatch):
    say((SHOT, Answer("reject")))
    words = ("stage=decoder", "name=n", "inputs.encoder=e", "inputs.segment=s")
    for stage in "es":
        Path(stage).mkdir()
        Path(stage, "summary.json").write_text("{}")
    with make_run(*words).opened() as run:
        say((SHOT, Answer("accept")))  # meanwhile
        with monkeypatch.context() as second:
            second.setenv("LOCAL_RANK", "1")
            second.setenv("WSVS_RUN_DIR", str(run.dir))
            other = make_run(*words)
            other.inputs = other._resolve_inputs()
        assert other.reviews == run.reviews == Reviews({"cat/a": Answer("reject")})


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for number, name in enumerate("abc"):
        Image.new("RGB", (20, 10), (number, 0, 0)).save(folder / f"{name}.png")
    Path("labels.tsv").write_text("id\ttags\na\tcat\nb\tdog\nc\tcat\n")
    return folder


def test_corrected_tags_reach_encoder_and_adapt(make_run, images):
    """Wherever the reviewed copy of the image lies, and whatever it is called."""
    (elsewhere := images.parent / "photo.png").write_bytes((images / "a.png").read_bytes())
    say(
        (subject_of("image", "photo", elsewhere), Answer("reject", ("dog",))),
        (subject_of("image", "b", images / "b.png"), Answer("accept")),
    )
    words = ("name=n", "data=tags", f"data.root={images}", "data.labels=labels.tsv")
    for stage, verdict in (("encoder", None), ("adapt", "reject")):
        run = make_run(f"stage={stage}", *words)
        run.reviews = reviews_for(run.home, stage, load_stage(stage).reviews, run.cfg)
        data = build_data(run)
        assert data.tags == {"a": ("dog",), "b": ("dog",), "c": ("cat",)}
        assert answers_of(run, data) == {"a": Answer(verdict, ("dog",))}


def test_corrected_tags_reach_predict(images):
    classes, key = Classes(["cat", "dog"]), identity(images / "a.png")
    answers = Reviews(files={key: Answer(None, ("dog",))}, sizes={(images / "a.png").stat().st_size})
    items = [
        Wanted("a", str(images / "a.png")),
        Wanted("b", str(images / "b.png"), [0]),
        Bad("c", "no image file"),
    ]
    found = retagged(items, answers, classes)
    assert [item.classes for item in found[:2]] == [[1], [0]] and found[1:] == items[1:]
    assert retagged(items, Reviews(), classes) == items
    with pytest.raises(UserError, match="cow"):
        retagged(items, Reviews(files={key: Answer(None, ("cow",))}, sizes=answers.sizes), classes)


def test_used_frames_of_the_report_are_those_after_the_review(tmp_path):
    from tests.reports import make_world
    from wsvs.report.flow import data_flow

    out = make_world(tmp_path / "here") / "out/n"
    found = {stage: out / stage / "r" for stage in ("segment", "decoder")}

    def used() -> dict[str, int]:
        return next(count.by_class for count in data_flow(found) if (count.unit, count.step) == ("shots", "used"))

    assert used() == {"cat": 1, "dog": 1}
    (found["decoder"] / "reviews.json").write_text(json.dumps(Reviews({"dog/b_000000": Answer("reject")}).asdict()))
    assert used() == {"cat": 1}
    assert read_json(found["decoder"] / "summary.json")["supervision"]
