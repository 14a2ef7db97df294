"""The notebooks and the README's figure, made from a finished run."""

from __future__ import annotations

import ast
import base64
import hashlib
import io
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tests.reports import make_world
from wsvs.core.errors import BadItem, UserError
from wsvs.core.files import read_json, read_jsonl
from wsvs.core.letters import any_font
from wsvs.core.records import Record
from wsvs.core.visualize import row, stack
from wsvs.video.reader import read_frames

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
every = pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)


def code_cells(notebook: Path) -> list[str]:
    cells = json.loads(notebook.read_text())["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def run_cell(source: str, space: dict[str, Any]) -> Any:
    """Run a cell and return what a notebook would show below it: the value of a last line that is an expression."""
    tree = ast.parse(source)
    last = tree.body[-1]
    if not isinstance(last, ast.Expr):
        exec(compile(tree, "cell", "exec"), space)
        return None
    exec(compile(ast.Module(tree.body[:-1], []), "cell", "exec"), space)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), space)


def run_notebook(name: str, runs: Path) -> tuple[list[Image.Image], dict[str, Any]]:
    """The images that a notebook shows of some runs, which it does not change, and its variables."""
    before = contents(runs)
    space: dict[str, Any] = {"RUNS": str(runs)}
    cells = code_cells(ROOT / "notebooks" / f"{name}.ipynb")[1:]
    pictures = [shown for cell in cells if isinstance(shown := run_cell(cell, space), Image.Image)]
    for picture in pictures:
        assert picture.width <= 1120
    assert contents(runs) == before
    return pictures, space


def cell_with(name: str, text: str) -> str:
    [cell] = [cell for cell in code_cells(ROOT / "notebooks" / f"{name}.ipynb") if text in cell]
    return cell


def colours(picture: Image.Image) -> int:
    return len(np.unique(np.asarray(picture).reshape(-1, 3), axis=0))


def contents(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@every
def test_stored_outputs_are_of_the_stored_code(notebook):
    """make notebooks runs them again; another order or number of cells is another code."""
    content = json.loads(notebook.read_text())
    code = [cell for cell in content["cells"] if cell["cell_type"] == "code"]
    said = "\0".join("".join(cell["source"]) for cell in code)
    assert content["metadata"]["executed"] == hashlib.sha256(said.encode()).hexdigest()
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    assert any(cell["outputs"] for cell in code)


@every
def test_stored_outputs_are_small_and_without_faults(notebook):
    outputs = [output for cell in json.loads(notebook.read_text())["cells"] for output in cell.get("outputs", [])]
    assert {output["output_type"] for output in outputs} <= {"stream", "execute_result", "display_data"}
    assert all(output.get("name") != "stderr" for output in outputs)
    images = [base64.b64decode("".join(o["data"]["image/png"])) for o in outputs if "image/png" in o.get("data", {})]
    assert images
    for image in images:
        with Image.open(io.BytesIO(image)) as opened:
            assert opened.width <= 1120 and len(image) < 200_000
    assert not re.search(r"(?<![\w.])/(tmp|home|root|work|Users)/", json.dumps(outputs))  # of the machine


@pytest.mark.parametrize("notebook", [path for path in NOTEBOOKS if path.stem != "first"], ids=lambda path: path.stem)
def test_notebook_names_the_runs_first_and_trains_nothing(notebook):
    cells = code_cells(notebook)
    assert cells[0] == 'RUNS = "outputs/toy"'
    assert not re.search(r"\b(fit|backward|optimizer|Trainer|write_\w+|mkdir|unlink)\b", " ".join(cells))


def test_first_notebook_installs_and_reads_no_file_of_ours():
    first, *others = code_cells(ROOT / "notebooks" / "first.ipynb")
    assert "%pip install" in first and "wsvs" in first
    paths = set(re.findall(r'"([\w./]+/[\w./{}-]*)"|=([\w.]+/[\w./]+)', " ".join(others)))
    made = {path.split("/")[0] for pair in paths for path in pair if path}
    assert made == {"world", "outputs"}  # the notebook makes both


@pytest.mark.slow
def test_first_notebook_runs_anywhere(cli, tmp_path, monkeypatch):
    """Its cells one by one, where there is nothing else; shell cells by the command of this environment."""
    monkeypatch.chdir(tmp_path)
    space: dict[str, Any] = {}
    shown = []
    for cell in code_cells(ROOT / "notebooks" / "first.ipynb")[1:]:
        if cell.startswith("%%sh\n"):
            for line in cell.splitlines()[1:]:
                cli.run(*shlex.split(line)[1:], cwd=tmp_path)
        else:
            shown.append(run_cell(cell, space))
    assert [colours(picture) > 200 for picture in shown] == [True, True]
    scores = read_json(next(tmp_path.glob("outputs/first/evaluate/*/metrics.json")))
    assert scores["videos"] == 3 and scores["video_average"] > 0.4


@pytest.mark.slow
def test_retrieval(tiny_runs, capsys):
    [bars, clips], space = run_notebook("retrieval", tiny_runs)
    said = capsys.readouterr().out
    counts = {stage: summary_counts(tiny_runs, stage) for stage in ("retrieve", "relevance", "segment")}
    left = {step: sum(numbers) for step, numbers in space["left"].items()}
    assert left == {
        "downloaded": counts["retrieve"]["frames"],
        "relevant": counts["relevance"]["relevant frames"],
        "segmented": counts["segment"]["frames"],
    }
    assert re.search(rf"all\s+{counts['retrieve']['candidates']}\s", said) and "source: folder" in said
    assert "thumbnails      0 scored" in said
    assert colours(bars) > 3 and colours(clips) > 200


@pytest.mark.slow
def test_attention(tiny_runs, capsys):
    pictures, space = run_notebook("attention", tiny_runs)
    assert len(pictures) == 4 and min(map(colours, pictures)) > 3 and colours(pictures[-1]) > 200
    clips = list(read_jsonl(next(tiny_runs.glob("relevance/*/clips.jsonl"))))
    assert sum(len(scores) for scores in space["by_class"].values()) == sum(
        clip["stop"] - clip["start"] for clip in clips
    )
    scores = space["scores"][space["chosen"]]
    assert (np.diff(scores) <= 0).all() and scores[0] == space["scores"].max() and scores[-1] == space["scores"].min()
    assert "kept: " in capsys.readouterr().out


@pytest.mark.slow
def test_mask(tiny_runs, capsys):
    pictures, space = run_notebook("mask", tiny_runs)
    assert len(pictures) == 3 and min(map(colours, pictures)) > 200
    said = capsys.readouterr().out
    assert "100.0% of the pixels are labelled as in the run" in said  # the terms shown are those of the run's mask
    assert re.search(r"^  total +[\d.]+$", said, re.MULTILINE)
    space["settings"] = space["settings"].replaced(lambda_m=0.0, lambda_c=0.0)  # a run without motion
    run_cell(cell_with("mask", "variants = "), space)
    assert [name for name, _ in space["tiles"]][1:] == [
        "A and M",
        "A, M and C, not smoothed",
        "A, M and C: the mask of the run",
    ]


@pytest.mark.slow
def test_errors(tiny_runs, capsys):
    [squares, worst], space = run_notebook("errors", tiny_runs)
    said = capsys.readouterr().out
    shares = space["shares"].sum(1)
    assert np.allclose(shares[shares > 0], 1) and colours(squares) > 5 and colours(worst) > 200
    assert said.count(" is called ") == 5 and said.count("missed") == len(space["names"])
    metrics = read_json(space["last"] / "metrics.json")
    of_images = {space["names"][label]: found for label, found in space["by_label"].items()}
    for name, found in of_images.items():  # one image by itself is what stage evaluate calls the IoU of its class
        assert all(0 <= iou <= 1 for iou, _ in found) and name in metrics["iou"]


def test_errors_of_one_image_by_hand(tmp_path):
    """2 of 3 true pixels are found, one is too much and one is void: IoU 2/4."""
    cell = cell_with("errors", "def ious")
    function = cell[cell.index("def ious") : cell.index("by_label = {}")]
    space: dict[str, Any] = {"np": np, "IGNORE": 255}
    exec(function, space)
    assert space["ious"](np.array([[1, 1, 0, 1, 1]]), np.array([[1, 1, 1, 0, 255]])) == {1: 0.5}


@pytest.fixture
def world(tmp_path, monkeypatch) -> Path:
    """The small runs of the report's tests; we are in another folder than they were started in."""
    made = make_world(tmp_path / "here")
    monkeypatch.chdir(tmp_path)
    return made


def test_errors_of_images_in_folders(world, capsys):
    """Ids with a folder, as of images that lie in a folder of their class."""
    for folder in ("images", "truth", "out/n/predict/r"):
        (world / folder / "cat").mkdir()
        (world / folder / "i1.png").rename(world / folder / "cat/i1.png")
    [_, worst], space = run_notebook("errors", world / "out/n")
    assert sorted(space["by_label"][1]) == [(0.0, "i0"), (0.25, "cat/i1"), (0.5, "i2"), (0.75, "i3")]
    assert worst.height > 100 and "predict/r: background 0.667  cat 0.500" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        ("out/n/evaluate", "no finished evaluation of images"),
        ("images", "no such image, video or folder"),
        ("out/n/predict/r/.hydra", "their images are unknown"),
        ("truth", "has both a mask in"),
        ("images/*", "has both a mask in"),
    ],
)
def test_errors_says_what_is_missing(world, gone, said):
    for path in world.glob(gone):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(UserError, match=said) as raised:
        run_notebook("errors", world / "out/n")
    assert raised.value.remedy


@pytest.mark.parametrize(
    ("name", "text", "stage", "said"),
    [
        ("mask", "shots = sorted", "segment", "no clip of a segmented shot is there"),
        ("attention", "def scores_of", "relevance", "no clip that was scored is there"),
    ],
)
def test_clips_that_are_gone(world, name, text, stage, said):
    (world / "clip 1.mp4").unlink()
    runs = world / "out/n"
    (runs / "relevance/r/clips.jsonl").write_text("")
    space = {"runs": runs, "segmented": runs / "segment/r", "relevance": runs / "relevance/r"}
    space |= {"Record": Record, "UserError": UserError, "read_jsonl": read_jsonl}
    with pytest.raises(UserError, match=said):
        run_cell(cell_with(name, text), space)


def test_class_without_a_clip(world, capsys):
    """Its videos are all lost: there is no row of it."""
    relevance = world / "out/n/relevance/r"
    (relevance / "clips.jsonl").write_text(
        '{"clip": "cat/v", "class": "cat", "file": "clip 1.mp4", "start": 0, "stop": 8, "distractor": false}\n'
    )
    (relevance / "shots.jsonl").write_text("")
    space: dict[str, Any] = {"relevance": relevance, "classes": ["cat", "dog"], "row": row, "stack": stack, "np": np}
    space |= {"Record": Record, "read_jsonl": read_jsonl, "Counter": Counter, "read_frames": read_frames}
    space |= {"BadItem": BadItem}
    assert colours(run_cell(cell_with("retrieval", "kept = Counter"), space)) > 20
    assert capsys.readouterr().out == "dog: no clip\n"


@pytest.mark.parametrize(("name", "function"), [("retrieval", "bars"), ("errors", "squares")])
def test_class_names_of_another_script_can_be_read(name, function):
    """A font that lacks their letters would show the same boxes for all of them."""
    source = ast.parse(cell_with(name, f"def {function}("))
    source.body = [node for node in source.body if isinstance(node, ast.FunctionDef) and node.name == function]
    space: dict[str, Any] = {"Image": Image, "ImageDraw": ImageDraw, "any_font": any_font}
    exec(compile(source, "cell", "exec"), space)
    numbers = {"bars": {"downloaded": [1], "relevant": [1], "segmented": [1]}, "squares": [[1.0]]}[function]
    cat, dog = (np.asarray(space[function](numbers, [word])) for word in ("ЖЖЖ", "ЩЩЩ"))
    assert (cat != dog).any()


def summary_counts(runs: Path, stage: str) -> dict[str, Any]:
    return max(
        (read_json(path) for path in runs.glob(f"{stage}/*/summary.json") if "-by-" not in str(path)),
        key=lambda summary: summary["finished"],
    )["counts"]


@pytest.mark.slow
def test_image_is_drawn_from_a_finished_run(tiny_runs, tmp_path):
    before = contents(tiny_runs)
    out = tmp_path / "toy.png"
    done = subprocess.run(
        [sys.executable, ROOT / "docs" / "picture.py", tiny_runs, out], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "100.0% of the pixels are as the run labelled them" in done.stdout
    with Image.open(out) as picture:
        assert 1000 <= picture.width <= 1120
    assert out.stat().st_size < 300_000
    assert contents(tiny_runs) == before


@pytest.mark.slow
def test_image_without_runs_says_what_to_do(tmp_path):
    done = subprocess.run(
        [sys.executable, ROOT / "docs" / "picture.py", tmp_path / "none", tmp_path / "toy.png"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "no finished run of stage adapt" in done.stderr
    assert "Traceback" not in done.stderr
