"""Every command that a stage prints last is typed into a shell, until nothing more is proposed."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

import pytest

from tests.processes import CLASSES, TINY, make_own_data, quoted
from tests.test_commands import run
from wsvs.engine.names import stage_names

pytestmark = pytest.mark.slow
NET = TINY[: TINY.index("model.scales=[1.0]") + 1]
NEXT = re.compile(r"^next(, with your folder of videos in place of DIR)?: (.*)$", re.MULTILINE)
NAMES = f"[background,{','.join(map(quoted, CLASSES))}]"
Follow = Callable[..., list[str]]


@pytest.fixture(scope="module")
def own(tmp_path_factory) -> Path:
    """Images, videos and their tables, and masks, in a folder with a name that needs quotes."""
    folder = tmp_path_factory.mktemp("next") / "it's mine"
    make_own_data(folder)
    for image in sorted((folder / "images").iterdir())[:4]:
        (folder / "some photos").mkdir(exist_ok=True)
        shutil.copy(image, folder / "some photos")
    (folder / "few videos").mkdir()
    shutil.copy(next((folder / "videos").glob("*_01.mp4")), folder / "few videos")
    shutil.copytree(folder.parent / "world" / "video_masks", folder / "truth")
    return folder


def given(key: str, path: Path) -> str:
    return f"{key}={quoted(path)}"


@pytest.fixture
def follow(own, tmp_path, monkeypatch, caplog, capfd) -> Follow:
    """A first command's words -> the stages that were run: it, and what each one proposes after it.

    Only settings of a stage's own section that make it short are put to what it proposes.
    """
    caplog.set_level("INFO", "wsvs")
    (folder := tmp_path / "it's here").mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "200")

    def go_on(*first: str) -> list[str]:
        line, stages = shlex.join(["wsvs", *first, "name=n", "out=my runs"]), []
        while len(stages) < 20:
            program, *words = in_shell(line)
            if program == "python3":  # shows a page in the browser
                page = Path(url2pathname(urlparse(words[-1]).path))
                assert words[:-1] == ["-m", "webbrowser"] and page.is_file(), line
                return stages
            assert program == "wsvs", line
            [stage] = [word.removeprefix("stage=") for word in words if word.startswith("stage=")]
            short = [word for word in TINY if word.startswith(stage_names() if stage == "pipeline" else f"{stage}.")]
            said = {word.partition("=")[0] for word in words}
            words += [word for word in short if word.partition("=")[0] not in said]
            caplog.clear()
            capfd.readouterr()
            status = run(words, monkeypatch, len(stages))
            told = "\n".join([*caplog.messages, *capfd.readouterr()])
            assert status in (0, 3) and "Traceback" not in told, f"{line}\n{told[-4000:]}"
            stages.append(stage)
            proposed = NEXT.findall(told)
            assert len(proposed) == 1, f"{line}\n{told[-4000:]}"
            filling, line = proposed[0]
            assert bool(filling) == line.endswith("=DIR"), line
            line = re.sub("DIR$", lambda _: shlex.quote(quoted(own / "videos")), line)
        pytest.fail(f"it goes round: {stages}")

    return go_on


def in_shell(line: str) -> list[str]:
    """The words of a command, as a shell splits it."""
    done = subprocess.run(["sh", "-c", f"printf '%s\\0' {line}"], capture_output=True, text=True, check=True)
    return done.stdout.split("\0")[:-1]


def tagged(own: Path) -> list[str]:
    """What a user says of data of their own with one network, but for the folder of the videos."""
    tables = [given("data.labels", own / "labels.tsv"), given("retrieve.labels", own / "videos.tsv")]
    return [*NET, given("data.root", own / "images"), *tables]


def test_from_the_check_of_the_data_by_the_pipeline(own, follow):
    assert follow("stage=data", *tagged(own)) == ["data", "pipeline", "report"]


def test_from_stage_to_stage(own, follow):
    assert follow("stage=encoder", *tagged(own), given("data.masks", own / "masks")) == [
        "encoder",
        "retrieve",
        "relevance",
        "segment",
        "decoder",
        "adapt",
        "predict",
        "evaluate",
        "report",
    ]
    assert follow("stage=predict", *tagged(own), given("input", own / "some photos")) == ["predict", "export", "report"]


def test_from_videos_alone(own, follow):
    videos = given("videos", own / "few videos")
    assert follow("stage=segment", "experiment=motion", videos) == ["segment", "export", "report"]
    truth = given("truth", own / "truth")
    assert follow("stage=segment", "experiment=motion", videos, truth) == ["segment", "evaluate", "report"]


def test_from_the_synthetic_world(follow):
    """Its tags and videos are made by the first command; its own figures hold for a long training."""
    small = (
        "data.world.images=24",
        "data.world.clips_per_class=1",
        "pipeline.checks=null",
        "pipeline.steps=[{stage: encoder}, {stage: retrieve}]",
    )
    assert follow("stage=data", "data=synthetic", *NET, *small) == ["data", "pipeline", "report"]


def test_from_masks(own, follow):
    judged = [given("predictions", own / "masks"), given("truth", own / "masks"), f"evaluate.names={NAMES}"]
    assert follow("stage=evaluate", *judged) == ["evaluate", "report"]
    (own / "test.txt").write_text("".join(f"{path.stem}\n" for path in (own / "masks").iterdir()))
    assert follow("stage=submit", judged[0], given("submit.ids", own / "test.txt")) == ["submit", "report"]
    check = "{step: evaluate, metric: miou, low: 0.9}"
    figures = ["pipeline.steps=[{stage: evaluate}]", f"+pipeline.checks={{mIoU: {check}}}"]
    assert follow("stage=reproduce", *judged, *figures, "reproduce.seeds=[0]") == ["reproduce", "report"]
